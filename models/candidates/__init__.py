"""Where a recommendation may come from: one source a file. To add one, write its function and give it a row in SOURCES."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from models.candidates.buy_again import buy_again
from models.candidates.co_visit import co_visit
from models.candidates.discovery import new_items
from models.candidates.nearby import neighbours_interest, neighbours_session
from models.candidates.trends import trending
from models.candidates.world import Candidate, Scene, World

Source = Callable[[Scene], list[Candidate]]
SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "buy_again": buy_again,
        "co_visit": co_visit,
        "session": neighbours_session,
        "interest": neighbours_interest,
        "trending": trending,
        "new": new_items,
    }
)
GENERAL = frozenset({"trending", "new"})  # sources that need to know nothing of the shopper

__all__ = [
    "GENERAL",
    "SOURCES",
    "Candidate",
    "Scene",
    "Source",
    "World",
    "buy_again",
    "co_visit",
    "neighbours_interest",
    "neighbours_session",
    "new_items",
    "trending",
]
