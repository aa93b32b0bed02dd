"""The benchmark of rules in its short form, and that it would see a breach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.rules import Shop, run
from models.rules import NONE
from streams.firing import Firing
from streams.slate import _suggested
from streams.store import Timer
from tests.streams.shop import Shop as Stocked
from tests.streams.shop import track


async def test_no_list_breaks_a_rule_while_catalogue_rules_and_shoppers_change() -> None:
    books, looked, _ = await run(150, seed=3, products=300, shoppers=20)

    assert looked > 300
    assert not books.broken, books.examples


async def test_rules_that_are_not_applied_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shop, "write_rules", _silent(Shop.write_rules))

    books, _, _ = await run(100, seed=3, products=300, shoppers=20)

    assert {"excluded", "price band", "stock"} & set(books.broken)


async def test_what_a_message_recommends_keeps_to_the_rules_too(tmp_path: Path) -> None:
    shop = await Stocked().stocked()
    await shop.feed("click", track("Product Viewed", "ana", at=shop.now - 60, mid="v", product_id="cup-1"))
    path = tmp_path / "rules.yaml"
    path.write_text("surfaces: {message: {exclude: [{categories: [home]}]}}")
    shop.settings = replace(shop.settings, rules=path)
    firing = Firing(shop.worker())
    await firing.pipeline.warm()
    state = await firing._state([Timer(ref=shop.store.ref("ana"), name="none", due=shop.now)], now=shop.now, sent={})
    plan: Any = SimpleNamespace(person=state.by_ref[shop.store.ref("ana")], campaign=SimpleNamespace(max_items=3))

    picks = _suggested(state, plan, np.random.default_rng(1), personal=True, now=shop.now)
    free = _suggested(replace(state, shop_rules=NONE), plan, np.random.default_rng(1), personal=True, now=shop.now)

    assert picks and all(pick.product_id.startswith("tea-") for pick in picks)
    assert any(pick.product_id.startswith("cup-") for pick in free)


def _silent(write: Any) -> Any:
    """Writes the books, and an empty file for the product."""

    def only_books(shop: Shop) -> None:
        write(shop)
        shop.path.write_text("{}")

    return only_books
