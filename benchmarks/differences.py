"""What differs between two profiles, two stores' counters, two policies: exact on counts, to a tolerance on sums and vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from models.bandit import Stats, merge
from models.profile import Profile
from streams.decision import decode_outcome
from streams.journeys import SENT
from streams.store import NEIGHBOURS_KEPT, Store

VECTOR = 1e-4  # largest difference of an entry of a unit vector
SUM = 1e-4  # relative difference of a sum of floats
VECTORS = ("long_sum", "session_sum")
IGNORED = (
    "fences",
    "seen_ids",
    "seen_minutes",
    "rate",
)  # what was heard of late and where: bookkeeping of arrival, compared by what it guards


def of_profiles(a: Profile, b: Profile) -> list[str]:
    """Names of fields that differ, with both values."""
    found = []
    for name in Profile.__struct_fields__:
        if name in IGNORED:
            continue
        mine, theirs = getattr(a, name), getattr(b, name)
        if name == "pending":  # a wait holds the products heard of last, at most eight: when and why it is due is what must agree
            mine, theirs = ({n: (p.due, p.trigger) for n, p in one.items()} for one in (mine, theirs))
        if name in VECTORS:
            apart = _apart(mine, theirs)
            if apart > VECTOR:
                found.append(f"{name}: unit vectors {apart:.1e} apart")
        elif not equal(mine, theirs):
            found.append(f"{name}: {_differing(mine, theirs)}")
    return found


def _differing(a: Any, b: Any) -> str:
    """Only the entries that differ, where there are entries."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        keys = [key for key in {**a, **b} if key not in a or key not in b or not equal(a[key], b[key])]
        return "; ".join(f"{key}: {_differing(a.get(key), b.get(key))}" for key in keys)
    if hasattr(a, "__struct_fields__") and type(a) is type(b):
        return ", ".join(
            f"{f}: {_differing(getattr(a, f), getattr(b, f))}"
            for f in a.__struct_fields__
            if not equal(getattr(a, f), getattr(b, f))
        )
    return f"{_short(a)} against {_short(b)}"


def _apart(a: Any, b: Any) -> float:
    size, other = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if size < 1e-9 and other < 1e-9:
        return 0.0
    return float(np.abs(a / max(size, 1e-12) - b / max(other, 1e-12)).max())


def equal(a: Any, b: Any) -> bool:
    """Structures equal, floats to `SUM`, arrays to `VECTOR` of their largest entry."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= SUM * max(1.0, abs(a), abs(b))
    if isinstance(a, np.ndarray):
        top = max(float(np.abs(a).max(initial=0.0)), float(np.abs(b).max(initial=0.0)), 1e-12)
        return a.shape == b.shape and float(np.abs(a - b).max(initial=0.0)) <= VECTOR * top
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple) and isinstance(b, tuple) and all(isinstance(x, float) for x in (*a, *b)):
        top = max((abs(x) for x in (*a, *b)), default=0.0)  # a sum beside its weight is as exact as the weight
        return len(a) == len(b) and all(abs(x - y) <= SUM * max(1.0, top) for x, y in zip(a, b, strict=True))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(equal(x, y) for x, y in zip(a, b, strict=True))
    if hasattr(a, "__struct_fields__"):
        return type(a) is type(b) and all(equal(getattr(a, f), getattr(b, f)) for f in a.__struct_fields__)
    return bool(a == b)


def of_outcomes(a: Mapping[str, bytes], b: Mapping[str, bytes]) -> list[str]:
    """Which decisions of one shopper count, and what followed them; both as `Store.scan_user` gives them."""
    mine, theirs = (
        {
            name: None if name.endswith(SENT) else decode_outcome(data)
            for name, data in one.items()
            if name.startswith("decision:") and "#" in name
        }
        for one in (a, b)
    )
    found = [f"outcome of {name} only on one side" for name in sorted(mine.keys() ^ theirs.keys())]
    shared = sorted(mine.keys() & theirs.keys())
    return found + [f"outcome of {n}: {_short(mine[n])} against {_short(theirs[n])}" for n in shared if mine[n] != theirs[n]]


async def of_counters(a: Store, b: Store, product_ids: Sequence[str]) -> list[str]:
    """Events exactly; heat and pairs as sums."""
    found = []
    mine, theirs = await a.counters(product_ids), await b.counters(product_ids)
    found += [f"counters of {item}: {mine[item]} against {theirs[item]}" for item in product_ids if mine[item] != theirs[item]]
    if not equal(dict(await a.hot(None, 100_000)), dict(await b.hot(None, 100_000))):
        found.append("heat of items")
    pairs, others = await a.neighbours(product_ids, NEIGHBOURS_KEPT), await b.neighbours(product_ids, NEIGHBOURS_KEPT)
    # a list that was ever cut is an approximation by design; the others must be the same
    whole = [item for item in product_ids if max(len(pairs[item]), len(others[item])) < NEIGHBOURS_KEPT]
    apart = [item for item in whole if not equal(dict(pairs[item]), dict(others[item]))]
    if apart:
        item = apart[0]
        found.append(f"pairs of {len(apart)} items, first {item}: {pairs[item][:3]} against {others[item][:3]}")
    return found


def of_policies(a: Iterable[bytes], b: Iterable[bytes]) -> list[str]:
    """Arms and their sums, partitions added up."""
    mine, theirs = (merge([Stats.decode(data) for data in parts]) for parts in (a, b))
    found = [f"arms {sorted(mine.arms.keys() ^ theirs.arms.keys())}"] if mine.arms.keys() != theirs.arms.keys() else []
    for key in sorted(mine.arms.keys() & theirs.arms.keys()):
        one, other = mine.arms[key], theirs.arms[key]
        found += [
            f"{key} {name}: {_short(getattr(one, name))} against {_short(getattr(other, name))}"
            for name in ("n", "sum_r", "sum_r2", "a", "b", "young")
            if not equal(getattr(one, name), getattr(other, name))
        ]
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."
