"""Tables of purchases as an event log: CSV, and Parquet by pyarrow, with any names of columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from models.evaluation.log import PURCHASE, Basket, EvaluationError, EventLog, Product, in_order

REQUIRED: Final = ("user", "item", "time")
GUESSES: Final[Mapping[str, Sequence[str]]] = {  # names that are taken without being told
    "user": ("user_id", "user", "userid", "customer_id", "household_id", "visitor_id", "visitorid"),
    "item": ("product_id", "item_id", "item", "itemid", "product", "sku"),
    "time": ("timestamp", "time", "at", "transaction_timestamp", "event_time", "date"),
    "order": ("order_id", "basket_id", "order", "session_id"),
    "action": ("event", "action", "event_type", "type"),
    "quantity": ("quantity", "qty"),
    "price": ("price", "unit_price"),
    "category": ("category", "product_category", "category_code"),
    "brand": ("brand",),
    "name": ("name", "title", "product_name"),
}
BOUGHT: Final = frozenset({"purchase", "order", "buy", "transaction", "order completed", "bought"})


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of columns; empty: one of the usual names is looked for, and only user, item and time must be found."""

    user: str = ""
    item: str = ""
    time: str = ""
    order: str = ""  # lines of one order; without it, lines of one shopper and moment are one basket
    action: str = ""  # what happened; without it, every line is a purchase
    quantity: str = ""
    price: str = ""
    category: str = ""
    brand: str = ""
    name: str = ""

    def found(self, header: Sequence[str], where: str) -> dict[str, str]:
        """Field -> column of `header`. EvaluationError names every column that is missing, and what there is."""
        low = {name.lower(): name for name in reversed(header)}
        taken, problems = {}, []
        for field in self.__dataclass_fields__:
            asked = getattr(self, field)
            if asked and asked not in header:
                problems.append(f"no column {asked!r} for {field}")
            column = asked or next((low[guess] for guess in GUESSES[field] if guess in low), "")
            if not column and field in REQUIRED:
                problems.append(f"no column for {field}: name it with --{field}-column")
            if column:
                taken[field] = column
        if problems:
            raise EvaluationError(f"{where}: {'; '.join(problems)}; the columns are: {', '.join(header) or 'none'}")
        return taken


def read_csv(path: Path, columns: Columns = Columns()) -> EventLog:
    """Raises EvaluationError for a missing column, a bad value with its line, or no lines."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restval="")
            taken = columns.found(list(rows.fieldnames or ()), path.name)
            return _log(((number, row) for number, row in enumerate(rows, 2)), taken, path.name)
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path.name}: expected UTF-8, got an invalid byte at {error.start}") from error


def read_parquet(path: Path, columns: Columns = Columns()) -> EventLog:
    """Raises EvaluationError as `read_csv` does, and for a file that is not Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise EvaluationError(f"{path.name}: not a Parquet file: {error}") from error
    taken = columns.found(file.schema_arrow.names, path.name)

    def rows() -> Iterator[tuple[int, Mapping[str, Any]]]:
        number = 0
        for batch in file.iter_batches(columns=sorted(set(taken.values()))):
            for row in batch.to_pylist():
                number += 1
                yield number, row

    return _log(rows(), taken, path.name)


def _log(rows: Iterator[tuple[int, Mapping[str, Any]]], taken: Mapping[str, str], name: str) -> EventLog:
    lines: dict[tuple[str, str, float | str, str], dict[str, tuple[int, float]]] = {}
    times: dict[tuple[str, str, float | str, str], float] = {}
    products: dict[str, Product] = {}
    for number, row in rows:
        where = f"{name}, line {number}"
        user, item = _text(row, taken["user"], where), _text(row, taken["item"], where)
        at = seconds(row[taken["time"]], where)
        action = str(row[taken["action"]] or "").strip().lower() if "action" in taken else PURCHASE
        action = PURCHASE if action in BOUGHT else action or "other"
        order = str(row[taken["order"]] or "") if "order" in taken else ""
        quantity = _number(row, taken, "quantity", where, default=1.0)
        price = _number(row, taken, "price", where, default=0.0)
        key = (user, action, order or at, item if action != PURCHASE else "")
        times[key] = max(at, times.get(key, at))  # an order is over with its last line
        kept = lines.setdefault(key, {})
        kept[item] = (kept.get(item, (0, 0.0))[0] + max(1, round(quantity)), price)
        if item not in products:
            told = {field: str(row[taken[field]] or "") for field in ("name", "category", "brand") if field in taken}
            products[item] = Product(product_id=item, price=price, **told)
    if not lines:
        raise EvaluationError(f"{name}: no lines")
    baskets = [
        Basket(
            user=user,
            at=times[key],
            items=tuple(kept),
            quantities=tuple(quantity for quantity, _ in kept.values()),
            prices=tuple(price for _, price in kept.values()) if "price" in taken else (),
            order_id=str(order),
            action=action,
        )
        for key, kept in lines.items()
        for user, action, order, _ in (key,)
    ]
    return in_order(baskets, products=products, name=name)


def seconds(value: object, where: str) -> float:
    """Epoch seconds of a number (seconds, or milliseconds where it is large), a date-time, or ISO 8601 text; without a zone: UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    text = str(value).strip()
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise EvaluationError(f"{where}: expected a time (epoch seconds or ISO 8601), got {text[:40]!r}") from None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not 0.0 <= number < 1e14:
        raise EvaluationError(f"{where}: expected a time (epoch seconds or ISO 8601), got {text[:40]!r}")
    return number / 1000.0 if number > 1e11 else number


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row[column]
    if value is None or not str(value).strip():
        raise EvaluationError(f"{where}: {column} is empty")
    return str(value).strip()


def _number(row: Mapping[str, Any], taken: Mapping[str, str], field: str, where: str, *, default: float) -> float:
    value = row[taken[field]] if field in taken else None
    if value is None or str(value).strip() == "":
        return default
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise EvaluationError(f"{where}: expected a number for {field}, got {str(value)[:40]!r}")
    return number
