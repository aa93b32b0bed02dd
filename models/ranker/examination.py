"""How often each place of a list is looked at, learnt for each surface beside the ranker.

Position-based model (Richardson et al., 2007): a product is taken when its place is looked at and it is wanted. Which of the two
was missing when nothing is taken is not seen; it is estimated from what the ranker thinks of the product, and both estimates
improve each other (regression EM; Wang et al., 2018), one list at a time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float64]

PLACES: Final = 50  # deeper places count as the last
EXPONENT: Final = 0.7  # before anything is learnt place k is looked at k ** -0.7 as often as the first
PRIOR_LISTS: Final = 40.0  # lists that the curve of a new surface is worth
SURFACES: Final = 32
LEAST: Final = 0.01
FORGET: Final = 1.0 - 1.0 / 50_000.0  # a list: pages are redesigned


class Examination:
    """Curves by surface."""

    def __init__(self) -> None:
        self.looked: dict[str, Curve] = {}  # surface -> (2, PLACES): times looked at, times shown

    def curve(self, surface: str) -> Curve:
        """Chance that each place is looked at, beside the first, (PLACES,)."""
        held = self.looked.get(surface)
        if held is None:
            return before()
        rate = held[0] / held[1]
        result: Curve = np.clip(rate / max(rate[0], LEAST), LEAST, 1.0)
        return result

    def at(self, surface: str, positions: npt.NDArray[np.integer]) -> Curve:
        """The same for the places of a list, (m,) -> (m,); 1 for a product that was not in one."""
        chances = self.curve(surface)[np.clip(positions - 1, 0, PLACES - 1)]
        result: Curve = np.where(positions > 0, chances, 1.0)
        return result

    def learn(self, surface: str, positions: npt.NDArray[np.integer], taken: Curve, wanted: Curve) -> Curve:
        """One list that was shown: positions (m,) from 1, taken (m,) 0 or 1, wanted (m,) the chance that a product is wanted.

        Returns the chance that each was wanted, seeing what was taken, (m,): what the ranker should have said.
        """
        looked = self.at(surface, positions)
        was_looked = np.where(taken > 0, 1.0, looked * (1.0 - wanted) / np.maximum(1.0 - looked * wanted, 1e-9))
        was_wanted = _wanted(looked, taken, wanted)
        held = self.looked.get(surface)
        if held is None:
            if len(self.looked) >= SURFACES:
                return was_wanted
            held = self.looked[surface] = np.stack([before() * PRIOR_LISTS, np.full(PLACES, PRIOR_LISTS)])
        held *= FORGET
        places = np.clip(positions - 1, 0, PLACES - 1)
        shown = positions > 0
        np.add.at(held[0], places[shown], was_looked[shown])
        np.add.at(held[1], places[shown], 1.0)
        return was_wanted

    def wanted(self, surface: str, positions: npt.NDArray[np.integer], taken: Curve, wanted: Curve) -> Curve:
        """The same without learning."""
        return _wanted(self.at(surface, positions), taken, wanted)


def _wanted(looked: Curve, taken: Curve, wanted: Curve) -> Curve:
    result: Curve = np.where(taken > 0, taken, wanted * (1.0 - looked) / np.maximum(1.0 - looked * wanted, 1e-9))
    return result


def before() -> Curve:
    """The curve of a surface of which nothing is known."""
    result: Curve = np.arange(1, PLACES + 1, dtype=np.float64) ** -EXPONENT
    return result
