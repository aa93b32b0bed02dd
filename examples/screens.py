"""Pictures of the e-mails as a browser shows them: phone and desktop, light and dark, English, Chinese, right-to-left names.

    python -m examples.screens --out out/screens

Needs Debian's chromium (or another Chromium: --browser PATH). The shop and the shopper are made up.
"""

from __future__ import annotations

import argparse
import base64
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from models.catalog import Item
from models.copy.links import Links
from models.copy.pool import Key
from models.copy.render import render_email
from models.copy.templates import template
from schemas.ids import sign_token
from schemas.messages import EmailContent

WIDTHS = {"phone": 375, "desktop": 900}
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
NOW = 1_795_000_000.0
SECRET = b"a secret for pictures only, not used elsewhere"
HOST = "https://shop.example/"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/screens"))
    parser.add_argument("--browser", default="/usr/bin/chromium")
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.browser, args=FLAGS)
        for name, width, scheme, picture, overflow in shots(browser):
            path = args.out / f"{name}-{width}-{scheme}.png"
            path.write_bytes(picture)
            print(f"{path} {len(picture):,} bytes" + (f"  {overflow} px too wide" if overflow else ""))
        browser.close()
    return 0


def shots(browser: Browser) -> Iterator[tuple[str, str, str, bytes, int]]:
    """Name, width, scheme, PNG, and by how many pixels the page is wider than the screen."""
    for name, content in emails().items():
        for width, pixels in WIDTHS.items():
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": pixels, "height": 700}, color_scheme="dark" if scheme == "dark" else "light"
                )
                page.route("**/*", lambda route: route.fulfill(body=swatch(route.request.url), content_type="image/png"))
                page.set_content(content.html, wait_until="load")
                overflow = int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
                yield name, width, scheme, page.screenshot(full_page=True), max(0, overflow)
                page.close()


def emails() -> dict[str, EmailContent]:
    """One e-mail for each language and direction."""
    links = Links(base=HOST)
    english = [item("beans", "Dark roast coffee beans, 1 kg", 12.9, was=15.5), item("grinder", "Hand grinder", 39.0)]
    chinese = [
        item("tea", "Green tea", 58.0, currency="CNY", zh="明前龙井绿茶礼盒"),
        item("cup", "Cup", 25.5, currency="CNY", zh="白瓷茶杯"),
    ]
    mixed = [
        item("oil", "زيت زيتون بكر ممتاز", 18.0),
        item("honey", "דבש פרחי בר", 9.5, was=11.0),
        item("plain", "Sea salt", 3.2),
    ]
    made = {}
    for name, items, locale, kind, tone, first in (
        ("english", english, "en-US", "promotional", "warm", "Ana"),
        ("chinese", chinese, "zh-CN", "product_introduction", "plain", "小明"),
        ("mixed", mixed, "en-GB", "digest", "playful", "محمد"),
    ):
        key = Key(
            kind=kind, channel="email", tone=tone, language="zh" if locale.startswith("zh") else "en", segment="any", about=""
        )
        tokens = {
            one.product_id: sign_token(SECRET, "11111111-1111-5111-8111-111111111111", one.product_id, NOW + 1e6) for one in items
        }
        made[name] = render_email(template(key), items, user_first_name=first, locale=locale, tokens=tokens, links=links, now=NOW)
    return made


def item(product_id: str, name: str, price: float, *, was: float | None = None, currency: str = "USD", zh: str = "") -> Item:
    return Item(
        product_id=product_id,
        name=name,
        price=price,
        currency=currency,
        list_price=was,
        brand="",
        category="pantry",
        image_url=f"{HOST}{product_id}.png",
        url=f"/p/{product_id}",
        stock=5,
        locale_names={"zh": zh} if zh else {},
        vector=np.zeros(4, dtype=np.float32),
    )


def swatch(url: str) -> bytes:
    """A square of one colour in place of a product's picture: nothing is fetched from anywhere."""
    shade = sum(url.encode()) % 120 + 90
    row = b"\0" + bytes((shade, 170, 250 - shade)) * 96
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 96, 96, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(row * 96)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return base64.b64decode("iVBORw0KGgo=") + body


if __name__ == "__main__":
    sys.exit(main())
