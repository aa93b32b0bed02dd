"""How many messages a core can write once the copy is there: choose from the pool, fill, render, sign.

    python -m benchmarks.serving

The language model has no part in this: it fills the pool from another process, and where it is slow or dead the pool stays as it
is. E-mails with one and with three products and pushes, in the shares of the demo (a half, a quarter, a quarter), three locales.
"""

from __future__ import annotations

import os
import sys
import time

import numpy as np

from models.catalog import Item
from models.copy.links import Links
from models.copy.pool import TONES, Key, Variant, choose, speakable
from models.copy.render import render_email, render_push
from models.copy.slots import facts
from models.copy.templates import template
from schemas.ids import sign_token

MESSAGES = 12_000
BAR = 3_000.0  # a second on one core
NOW = 1_795_000_000.0
SECRET = b"a secret for this benchmark only"
DECISION = "11111111-1111-5111-8111-111111111111"
LOCALES = ("en-US", "zh-CN", "de-DE")


def main() -> int:
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}")
    goods = products(2_000)
    links, rng = Links(), np.random.default_rng(3)
    pools = {channel: [template(key(channel, tone)) for tone in TONES] for channel in ("email", "push")}
    for wave in ("cold", "warm"):
        spent = {"email, one product": 0.0, "email, three products": 0.0, "push": 0.0}
        counts = dict.fromkeys(spent, 0)
        for i in range(MESSAGES):
            kind = ("email, one product", "email, one product", "email, three products", "push")[i % 4]
            n = 3 if "three" in kind else 1
            items = [goods[(7 * i + 31 * j) % len(goods)] for j in range(n)]
            began = time.process_time()
            message(items, pools["push" if kind == "push" else "email"], links, rng, locale=LOCALES[i % 3], push=kind == "push")
            spent[kind] += time.process_time() - began
            counts[kind] += 1
        for kind, seconds in spent.items():
            print(f"{wave}: {kind:<22} {seconds / counts[kind] * 1e6:6.0f} us")
    rate = MESSAGES / sum(spent.values())
    print(f"{rate:,.0f} messages a second on one core (bar {BAR:,.0f})")
    print("verdict:", "met" if rate >= BAR else "NOT met")
    return 0 if rate >= BAR else 1


def message(items: list[Item], pool: list[Variant], links: Links, rng: np.random.Generator, *, locale: str, push: bool) -> None:
    """What `streams.wording` does for one message."""
    variants = speakable(pool, set(facts(items[0], locale=locale, count=len(items))))
    variant = choose(variants, rng)
    tokens = {item.product_id: sign_token(SECRET, DECISION, item.product_id, NOW + 28 * 86_400.0) for item in items}
    if push:
        render_push(variant, items, locale=locale, tokens=tokens, links=links)
    else:
        render_email(variant, items, user_first_name="Ana", locale=locale, tokens=tokens, links=links, now=NOW)
    links.unsubscribe(tokens[items[0].product_id], group="promotions")


def key(channel: str, tone: str) -> Key:
    return Key(kind="product_introduction", channel=channel, tone=tone, language="en", segment="any", about="")


def products(n: int) -> list[Item]:
    empty = np.zeros(4, dtype=np.float32)
    return [
        Item(
            product_id=f"p{i}",
            name=f"Green tea number {i}",
            price=5.5 + i % 97 + 0.01 * (i % 89),
            currency="USD",
            list_price=9.0 + i % 97 + 0.01 * (i % 89) if i % 3 else None,
            brand=f"Leafy {i % 40}",
            category="food/tea",
            image_url=f"https://img.example/{i}.png",
            url=f"/p/{i}",
            stock=5,
            locale_names={"zh": f"绿茶{i}号"},
            vector=empty,
        )
        for i in range(n)
    ]


if __name__ == "__main__":
    sys.exit(main())
