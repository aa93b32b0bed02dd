"""How a shopper feels about what they write."""

import pytest

from models.sentiment import language, sentiment


@pytest.mark.parametrize(
    "text", ["I love this mug, it is great!", "Terrific quality", "很好用，非常满意", "物流不慢", "好", "😍"]
)
def test_praise_is_above_zero(text: str) -> None:
    assert sentiment(text) > 0.3


@pytest.mark.parametrize("text", ["Terrible, broke after a day", "I hate it", "质量很差，失望", "不好", "不太满意", "好难用"])
def test_complaints_are_below_zero(text: str) -> None:
    assert sentiment(text) < -0.3


@pytest.mark.parametrize("text", ["", "   ", "42", "The mug is blue", "这是一个杯子", "好像有点"])
def test_plain_statements_are_neutral(text: str) -> None:
    assert sentiment(text) == 0.0


@pytest.mark.parametrize("text", ["Die Tasse ist nicht schlecht", "la tasse est horrible", "это ужасно", "die die die"])
def test_a_language_that_is_not_known_is_neutral(text: str) -> None:
    assert language(text) != "en"
    assert sentiment(text) == 0.0


def test_a_page_of_text_is_read_from_its_beginning() -> None:
    assert sentiment("I love it. " + "x" * 100_000) > 0.3
    assert -1.0 <= sentiment("差" * 5000) < -0.9
