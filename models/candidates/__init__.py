"""Where a recommendation may come from: one source a file. To add one, write how it finds and how it explains, give it a row in SOURCES."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from models.candidates.buy_again import buy_again, explain_buy_again
from models.candidates.co_visit import co_visit, explain_co_visit
from models.candidates.discovery import explain_new, new_items
from models.candidates.likely import explain_likely, likely
from models.candidates.nearby import explain_interest, explain_session, neighbours_interest, neighbours_session
from models.candidates.trends import explain_trending, trending
from models.candidates.world import Base, Candidate, Found, Near, Pool, Scene, World, among, pool


class Source(NamedTuple):
    """`find` answers for all items at once, in arrays; `explain` says for one that is shown what its suggestion rests on."""

    find: Callable[[Scene], Found]
    explain: Callable[[Scene, int, float], Candidate]


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "buy_again": Source(buy_again, explain_buy_again),
        "co_visit": Source(co_visit, explain_co_visit),
        "session": Source(neighbours_session, explain_session),
        "interest": Source(neighbours_interest, explain_interest),
        "likely": Source(likely, explain_likely),
        "trending": Source(trending, explain_trending),
        "new": Source(new_items, explain_new),
    }
)
GENERAL = frozenset({"trending", "new"})  # sources that need to know nothing of the shopper

__all__ = ["GENERAL", "SOURCES", "Base", "Candidate", "Found", "Near", "Pool", "Scene", "Source", "World", "among", "pool"]
