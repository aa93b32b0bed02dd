"""The benchmark of rules in its short form, and that it would see a breach."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.rules import Shop, run


async def test_no_list_breaks_a_rule_while_catalogue_rules_and_shoppers_change() -> None:
    books, looked, _ = await run(150, seed=3, products=300, shoppers=20)

    assert looked > 300
    assert not books.broken, books.examples


async def test_rules_that_are_not_applied_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shop, "write_rules", _silent(Shop.write_rules))

    books, _, _ = await run(100, seed=3, products=300, shoppers=20)

    assert {"excluded", "price band", "stock"} & set(books.broken)


def _silent(write: Any) -> Any:
    """Writes the books, and an empty file for the product."""

    def only_books(shop: Shop) -> None:
        write(shop)
        shop.path.write_text("{}")

    return only_books
