import re
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.copy.links import Links
from models.copy.pool import CHANNELS, KINDS, OCCASIONS, TONES, Key
from models.copy.render import PUSH_CONTENT_BYTES, render_email, render_push
from models.copy.slots import SlotError
from models.copy.templates import template

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{price}}",
    "{{name}} {{unknown}}",
    "קומקום \u202e evil",
    "👨‍👩‍👧‍👦" * 30,
    "x" * 300,
    "a\r\nBcc: everyone@example.com",
    "\ud800 broken",
    "& &amp; 'quoted' \"twice\"",
]


class Seen(HTMLParser):
    """Tags, links, pictures and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.hrefs, self.images, self.text = [], [], [], ""
        self.quiet = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.quiet = tag in ("style", "title")
        if tag == "a":
            self.hrefs.append(given["href"])
        if tag == "img":
            self.images.append(given)

    def handle_endtag(self, tag):
        self.quiet = False

    def handle_data(self, data):
        self.text += "" if self.quiet else data + " "


def a_key(**changes):
    return Key(**{"kind": "promotional", "channel": "email", "tone": "warm", "language": "en", **changes})


def an_email(items, links, now, *, locale="en-US", name="Ana", key=None):
    chosen = key or a_key(language="zh" if locale.startswith("zh") else "en")
    tokens = {item.product_id: f"token-{item.product_id}" for item in items}
    return render_email(template(chosen), items, user_first_name=name, locale=locale, tokens=tokens, links=links, now=now)


def a_push(item, links, *, locale="en-US", key=None):
    chosen = key or a_key(channel="push", language="zh" if locale.startswith("zh") else "en")
    return render_push(template(chosen), [item], locale=locale, tokens={item.product_id: "token"}, links=links)


def test_an_email_says_name_and_price_of_the_catalogue_and_greets(a_product, links, now):
    email = an_email([a_product()], links, now)

    assert email.subject == "Something we think you will like: Ember kettle"
    assert "Hi Ana," in email.text
    assert "$9.50" in Seen(email.html).text
    assert "Prices as of Aug 29, 2026" in email.text
    assert email.cta.label == "See it in the shop"


def test_a_chinese_shopper_reads_chinese(a_product, links, now):
    email = an_email([a_product(locale_names={"zh-CN": "余烬水壶"}, currency="CNY")], links, now, locale="zh-CN", name="小明")

    assert email.subject == "觉得你会喜欢：余烬水壶"
    assert "小明，你好：" in email.text
    assert "¥9.50" in email.text
    assert '<html lang="zh-Hans"' in email.html


def test_every_link_carries_the_decision_token_of_its_product(a_product, links, now):
    products = [a_product(), a_product(product_id="p10", url=None), a_product(product_id="p11", url="/eleven")]
    email = an_email(products, links, now)

    hrefs = Seen(email.html).hrefs
    tokens = [parse_qs(urlsplit(href).query)["decision_token"][0] for href in hrefs]

    assert set(tokens) == {"token-p9", "token-p10", "token-p11"}
    assert "https://shop.example/p/p10?decision_token=token-p10&link_id=item-2" in hrefs
    assert "https://shop.example/eleven?decision_token=token-p11&link_id=item-3" in hrefs
    assert parse_qs(urlsplit(email.cta.url).query) == {"colour": ["red"], "decision_token": ["token-p9"], "link_id": ["cta"]}


def test_the_plain_text_says_the_same_as_the_page(a_product, links, now):
    email = an_email([a_product(price=9.5, list_price=12.0), a_product(product_id="p10", name="Blue cup")], links, now)
    seen = Seen(email.html)

    for said in (
        "Ember kettle",
        "Blue cup",
        "Ember",
        "$9.50",
        "$12.00",
        "Hi Ana,",
        "A little idea for you",
        "Unsubscribe",
        email.cta.label,
    ):
        assert said in email.text
        assert said in seen.text
    assert set(re.findall(r"https://\S+", email.text)) == set(seen.hrefs)


def test_the_page_is_fit_for_mail_programs(a_product, links, now):
    html = an_email([a_product()], links, now).html
    seen = Seen(html)

    assert "prefers-color-scheme:dark" in html
    assert all(image["alt"] and image["src"].startswith("https://") for image in seen.images)
    assert not {"script", "form", "iframe", "link"} & set(seen.tags)
    assert html.count("<table") == html.count('role="presentation"')
    assert len(html.encode()) < 100_000


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_text(name, a_product, links, now):
    plain = Seen(an_email([a_product()], links, now).html)
    email = an_email([a_product(name=name, brand=name, category=name)], links, now, name=name)
    seen = Seen(email.html)

    assert set(seen.tags) - {"bdi"} == set(plain.tags)  # nothing that the catalogue wrote became markup
    assert seen.hrefs == plain.hrefs
    assert "\n" not in email.subject and "\r" not in email.subject
    assert len(email.subject) <= 90
    assert "\u202e" not in email.html + email.text + email.subject
    assert "$9.50" in email.text
    assert msgspec.json.encode(email)


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "https://u:p@evil.example/", 'https://x/"onclick=1', "ht tp://x"]
)
def test_an_unsafe_address_of_the_catalogue_is_not_linked(url, a_product, links, now):
    email = an_email([a_product(url=url, image_url=url)], links, now)

    assert {urlsplit(href)._replace(query="").geturl() for href in Seen(email.html).hrefs} == {
        "https://shop.example/p/p9",
        "https://shop.example/unsubscribe",
    }
    assert "img" not in Seen(email.html).tags


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_a_push_keeps_within_its_limits_whatever_the_product_is_called(name, locale, a_product, links):
    push = a_push(
        a_product(name=name, url="https://shop.example/" + "y" * 1400, image_url="https://img.example/" + "z" * 1400),
        links,
        locale=locale,
    )

    assert len(push.title) <= 65
    assert len(push.body) <= 240
    assert len(msgspec.json.encode(push)) <= PUSH_CONTENT_BYTES
    assert "decision_token=token" in push.deep_link
    assert "9.50" in push.title + push.body


def test_a_long_name_is_cut_before_the_price_is(a_product, links):
    push = a_push(a_product(name="Kettle " * 40, list_price=12.0), links, key=a_key(channel="push", segment="saving"))

    assert push.title.endswith("…, now $9.50")


def test_copy_about_a_saving_is_refused_for_a_product_without_one(a_product, links, now):
    with pytest.raises(SlotError, match="list_price"):
        an_email([a_product()], links, now, key=a_key(segment="saving", tone="plain"))


def test_a_message_about_nothing_is_refused(links, now):
    with pytest.raises(SlotError, match="no item"):
        an_email([], links, now)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("segment", OCCASIONS)
def test_every_template_renders(kind, tone, locale, segment, a_product, links, now):
    product = a_product(list_price=12.0)
    for channel in CHANNELS:
        key = a_key(kind=kind, tone=tone, channel=channel, segment=segment, language=locale[:2])
        said = (
            an_email([product], links, now, key=key, locale=locale)
            if channel == "email"
            else a_push(product, links, key=key, locale=locale)
        )

        assert "{{" not in msgspec.json.encode(said).decode()


def test_one_click_unsubscribe_follows_rfc_8058(links):
    headers = links.unsubscribe("tok", group="promotions")

    assert headers == {
        "list_unsubscribe": "<https://shop.example/unsubscribe?group=promotions&decision_token=tok>, "
        "<mailto:bye@shop.example?subject=unsubscribe%20promotions%20tok>",
        "list_unsubscribe_post": "List-Unsubscribe=One-Click",
        "list_id": "<promotions.shop.example>",
    }


def test_a_base_that_is_no_web_address_is_refused():
    with pytest.raises(ValueError, match="absolute http"):
        Links(base="shop.example")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(name=st.text(max_size=300), brand=st.text(max_size=100))
def test_no_catalogue_text_changes_the_shape_of_the_page(name, brand, a_product, links, now):
    shape = [
        tag for tag in Seen(an_email([a_product()], links, now).html).tags if tag != "bdi"
    ]  # <bdi> is ours, around other directions
    tags = Seen(an_email([a_product(name=name, brand=brand + "b")], links, now).html).tags

    assert [tag for tag in tags if tag != "bdi"] == shape
