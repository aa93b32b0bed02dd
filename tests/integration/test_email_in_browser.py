"""The e-mails in a real Chromium: phone and desktop, light and dark, three scripts."""

from __future__ import annotations

import os
from pathlib import Path

import html5lib
import pytest
from playwright.sync_api import sync_playwright

from examples.screens import FLAGS, WIDTHS, emails, swatch

BROWSER = Path("/usr/bin/chromium")
READ = """() => [...document.querySelectorAll('h1, p, a, td div, del')].map(e => {
  const own = getComputedStyle(e).color;
  let box = e, back = 'rgba(0, 0, 0, 0)';
  while (box && back === 'rgba(0, 0, 0, 0)') { back = getComputedStyle(box).backgroundColor; box = box.parentElement; }
  return [e.innerText.trim(), own, back];
}).filter(row => row[0])"""


@pytest.fixture(scope="module")
def browser():
    if not BROWSER.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{BROWSER} is missing: .ci/run installs it")
        pytest.skip("no Chromium here: install Debian's chromium")
    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=str(BROWSER), args=FLAGS)
        yield one
        one.close()


def light(colour: str) -> float:
    """Relative luminance of a CSS colour (WCAG 2.2)."""
    parts = [float(part) / 255.0 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, two: str) -> float:
    brighter, darker = sorted((light(one), light(two)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_an_email_fits_the_screen_and_every_word_can_be_read(browser, width, scheme):
    for name, content in emails().items():
        page = browser.new_page(viewport={"width": WIDTHS[width], "height": 700}, color_scheme=scheme)
        page.route("**/*", lambda route: route.fulfill(body=swatch(route.request.url), content_type="image/png"))
        page.set_content(content.html, wait_until="load")
        wider = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        words = page.evaluate(READ)
        page.close()

        assert wider <= 0, f"{name} is {wider} px too wide on a {width}"
        assert words
        for text, ink, paper in words:
            assert contrast(ink, paper) >= 4.5, f"{name} {scheme}: {text!r} is {ink} on {paper}"


def test_without_pictures_the_products_are_still_named(browser):
    content = emails()["mixed"]
    page = browser.new_page(viewport={"width": 375, "height": 700})
    page.route("**/*", lambda route: route.abort())
    page.set_content(content.html, wait_until="load")
    shown = page.inner_text("body")
    page.close()

    assert "زيت زيتون بكر ممتاز" in shown and "US$18.00" in shown


@pytest.mark.parametrize("name", ["english", "chinese", "mixed"])
def test_the_html_is_valid_and_small_and_the_plain_text_says_the_same(name):
    content = emails()[name]

    tree = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(content.html)
    links = {one.attrib["href"] for one in tree.iter("a")}

    assert len(content.html.encode()) < 100_000
    assert all(link in content.text for link in links)
