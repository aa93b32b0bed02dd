"""A small log of purchases for the evaluation's tests: people with habits, and now and then something else."""

from __future__ import annotations

from random import Random

from models.evaluation.log import Basket, EventLog, Product, in_order

DAY_S = 86_400.0


def habits(*, shoppers: int = 30, days: int = 80, products: int = 40, seed: int = 3) -> EventLog:
    rng = Random(seed)
    catalogue = [f"p{i:03d}" for i in range(products)]
    baskets = []
    for shopper in range(shoppers):
        usual = rng.sample(catalogue, 6)
        for day in range(rng.randrange(4), days, rng.choice((3, 5, 7))):
            taken = {rng.choice(usual) for _ in range(3)} | {rng.choice(catalogue[:12])}
            baskets.append(
                Basket(
                    user=f"u{shopper}",
                    at=day * DAY_S + rng.choice((0.0, 3600.0)),
                    items=tuple(sorted(taken)),
                    order_id=f"{shopper}-{day}",
                )
            )
    known = {p: Product(product_id=p, name=f"Thing {p}", category=f"c{i % 5}", price=1.0 + i) for i, p in enumerate(catalogue)}
    return in_order(baskets, products=known, name="habits")
