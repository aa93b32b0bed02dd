"""The ranker that the learner wrote last, as everybody who recommends sees it: looked at every few seconds, read when it changed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from models.features import VERSION
from models.ranker import Ranker, RankerError, decode_ranker, first_ranker
from streams.store import Source, Store

log = logging.getLogger(__name__)

RANKER = "ranker"  # name of the policy under which the learner keeps it, with the offset that it includes
EXAMPLES: Source = ("examples", 0)
LOOK_EVERY_S = 2.0


@dataclass
class RankerReader:
    """Constant cost: one small reading every LOOK_EVERY_S, one of the whole only after a change."""

    store: Store
    ranker: Ranker = field(default_factory=first_ranker)
    name: str = f"prior-{VERSION}"  # as outputs name it
    offset: int = -1
    looked: float | None = None

    async def refresh(self, now: float) -> Ranker:
        """The newest ranker; the prior one as long as there is none, or it was made for other features."""
        if self.looked is not None and abs(now - self.looked) < LOOK_EVERY_S:
            return self.ranker
        offset = (await self.store.policy_offsets(RANKER)).get(EXAMPLES, -1)
        self.looked = now
        if offset == self.offset:
            return self.ranker
        data = (await self.store.policy(RANKER)).get(EXAMPLES)
        self.offset = offset
        try:
            if data is None:
                raise RankerError("there is none")
            self.ranker = decode_ranker(data)
            self.name = self.ranker.version
        except RankerError as error:
            log.warning("ranking with the weights set by hand: the stored ranker cannot be used: %s", error)
            self.ranker, self.name = first_ranker(), f"prior-{VERSION}"
        return self.ranker
