"""Which product a shopper will take: learnt online, one list at a time, from weights set by hand on."""

from models.ranker.champion import Champion, decode_ranker, refill
from models.ranker.interface import Ranker, RankerError
from models.ranker.learner import Learner
from models.ranker.linear import Linear
from models.ranker.prior import PRIOR
from models.ranker.two_layer import TwoLayer

__all__ = [
    "PRIOR",
    "Champion",
    "Learner",
    "Linear",
    "Ranker",
    "RankerError",
    "TwoLayer",
    "decode_ranker",
    "first_ranker",
    "refill",
]


def first_ranker() -> Ranker:
    """What a shop begins with: the weights set by hand, ready to learn."""
    return Champion()
