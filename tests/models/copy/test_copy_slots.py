import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.copy.slots import SlotError, clean, clip, facts, fill, first_name, language, money, slots_in


def test_a_product_called_like_a_slot_keeps_its_odd_name():
    assert fill("Meet {{name}} for {{price}}", {"name": "{{price}}", "price": "$9.50"}) == "Meet {{price}} for $9.50"


def test_copy_that_asks_for_a_fact_nobody_has_is_refused_by_name():
    with pytest.raises(SlotError, match=r"\{\{saving\}\}"):
        fill("You keep {{saving}}", {"price": "$9.50"})


def test_prices_are_written_as_the_shopper_writes_them():
    assert money(9.5, "USD", "en-US") == "$9.50"
    assert money(1234.5, "EUR", "de-DE") == "1.234,50\xa0€"
    assert money(1234.5, "CNY", "zh-CN") == "¥1,234.50"
    assert money(980, "JPY", "en-US") == "¥980"
    assert money(9.5, "USD", "not a locale") == "$9.50"
    assert money(9.5, "points", "en-US") == "9.5 points"


def test_a_saving_is_spoken_of_only_where_the_list_price_is_higher(a_product):
    assert "saving" not in facts(a_product(), locale="en-US")
    assert "saving" not in facts(a_product(list_price=9.5), locale="en-US")
    assert "saving" not in facts(a_product(price=9.5, list_price=9.501), locale="en-US")

    told = facts(a_product(price=9.5, list_price=12.0), locale="en-US")

    assert (told["list_price"], told["saving"], told["saving_percent"]) == ("$12.00", "$2.50", "20%")


def test_a_name_is_shown_in_the_shoppers_language_where_the_shop_has_one(a_product):
    kettle = a_product(locale_names={"zh": "余烬水壶", "en-GB": "Ember tea kettle"})

    assert facts(kettle, locale="zh-CN")["name"] == "余烬水壶"
    assert facts(kettle, locale="en_GB")["name"] == "Ember tea kettle"
    assert facts(kettle, locale="fr-FR")["name"] == "Ember kettle"


def test_a_product_without_a_name_is_called_by_its_id(a_product):
    assert facts(a_product(name=" \u200b "), locale="en-US")["name"] == "p9"


def test_names_of_the_other_direction_cannot_reorder_the_sentence(a_product):
    assert facts(a_product(name="קומקום"), locale="en-US")["name"] == "\u2068קומקום\u2069"
    assert facts(a_product(name="safe\u202egpj.exe"), locale="en-US")["name"] == "safegpj.exe"


def test_a_cut_does_not_leave_half_an_emoji():
    family = "👨‍👩‍👧‍👦"

    assert clip(f"ab{family}cd", 5) == "ab…"
    assert clip("ab👍🏽cd", 4) == "ab…"


@pytest.mark.parametrize(
    "name", ["win at evil.example", "http://evil", "a@b", "<b>Ana</b>", "{{price}}", "Ana 5", "x" * 41, "", None]
)
def test_a_first_name_that_is_no_name_is_not_greeted(name):
    assert first_name(name) is None


def test_first_names_of_the_world_are_greeted():
    assert [first_name(name) for name in ("Ana", "Jean-Luc", "O'Neil", "小明")] == ["Ana", "Jean-Luc", "O'Neil", "小明"]


def test_a_locale_has_one_of_two_languages():
    assert [language(locale) for locale in ("zh-CN", "zh_Hant_TW", "ZH", "en-US", "fr", "", None)] == [
        "zh",
        "zh",
        "zh",
        "en",
        "en",
        "en",
        "en",
    ]


@given(st.text(max_size=400), st.integers(1, 200))
def test_cleaned_text_is_one_short_line_of_visible_characters(text, limit):
    shown = clean(text, limit)

    assert len(shown) <= limit
    assert not set(shown) & set("\n\r\t\x00\u202e\u2066\u2028\ufeff")
    assert shown.encode().decode() == shown


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_filled_text_holds_the_value_and_the_words_unchanged(before, value):
    words = before.replace("{", "")

    assert fill(words + "{{name}}", {"name": value}) == words + value
    assert slots_in(words + "{{name}}") == ["name"]
