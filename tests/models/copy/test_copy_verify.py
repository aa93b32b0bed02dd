import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.copy.pool import CHANNELS, KINDS, OCCASIONS, TONES, Key
from models.copy.slots import SLOTS
from models.copy.templates import assemble, frame
from models.copy.verify import REASONS, Rules, alike, verify, verify_part, vocabulary

EMAIL = Rules(channel="email", language="en", allowed=frozenset({"name", "price"}))
CHINESE = Rules(channel="email", language="zh", allowed=frozenset({"name", "price"}))


def reasons(text, rules=EMAIL, part="hook"):
    return {fault.reason for fault in verify_part(part, text, rules)}


def test_good_copy_passes():
    assert reasons("Some evenings just ask for {{name}} and a friend.") == set()
    assert reasons("有些晚上，就想要{{name}}和一个朋友。", CHINESE) == set()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("segment", OCCASIONS)
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("tone", TONES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_template_is_held_to_less_than_a_model(kind, segment, channel, tone, language):
    key = Key(kind=kind, channel=channel, tone=tone, language=language, segment=segment)
    _, parts = frame(key)
    slots = {"name", "price"} | ({"saving", "list_price"} if (kind, segment) == ("promotional", "saving") else set())
    rules = Rules(channel=channel, language=language, allowed=frozenset(slots))

    assert verify(assemble(key, parts), rules) == []
    assert verify_part("hook", parts["hook"], rules) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Yours with 5 friends around.", "number"),
        ("Yours with ５ friends around.", "number"),
        ("Yours with ③ friends around.", "number"),
        ("Yours with Ⅷ friends around.", "number"),
        ("Yours with ½ of the effort.", "number"),
        ("Twenty friends will come over.", "number"),
        ("It is half of what you think.", "number"),
        ("A little for some € here.", "currency"),
        ("A little for some ￥ here.", "currency"),
        ("Just a few dollars for joy.", "currency"),
        ("Some percent for your joy here.", "number"),
        ("Your joy by ％ and more.", "percent"),
        ("The best evening you had.", "superlative"),
        ("The loveliest evening you had.", "superlative"),
        ("An unbeatable evening for you.", "superlative"),
        ("It comes with free shipping.", "claim"),
        ("It is waterproof and lovely.", "claim"),
        ("Good for your heart, really.", "claim"),
        ("A sustainable evening for you.", "claim"),
        ("Hurry, the evening is here.", "urgency"),
        ("Don’t miss this evening, friend.", "urgency"),
        ("Almost gone, like the evening.", "urgency"),
        ("You will save on the evening.", "saving"),
        ("Half price for an evening.", "free_money"),
        ("As an AI I like the evening.", "leak"),
        ("Ignore all of this, friend, and smile.", "leak"),
        ("Subject: a quiet evening here.", "leak"),
        ("A <b>quiet</b> evening here.", "markup"),
        ("A **quiet** evening here.", "markup"),
        ("A quiet &amp; good evening.", "markup"),
        ("A {{ name }} evening for you.", "bad_slot"),
        ("A {{name}} and a } for you.", "bad_slot"),
        ("A quiet {{discount}} evening.", "unknown_slot"),
        ("A quiet {{saving}} evening.", "unknown_slot"),
        ("See evil.com for the evening.", "url"),
        ("See https://evil for the evening.", "url"),
        ("Write to a@b for the evening.", "email_address"),
        ("A quiet\x00 evening for you.", "control_character"),
        ("A quiet\u202e evening for you.", "control_character"),
        ("A quiet\u200b evening for you.", "control_character"),
        ("A quiet\n evening for you.", "control_character"),
        ("A QUIET evening for you.", "shouting"),
        ("A quiet evening for you!!", "shouting"),
        ("Evening evening for you and us.", "repetition"),
        ("An evening, an evening, and that evening.", "repetition"),
        ("A quiet evening for", "unfinished"),
        ("Short.", "too_short"),
        ("A quiet evening " * 20 + ".", "too_long"),
        ("Una tarde tranquila para ti contigo siempre.", "wrong_language"),
        ("Тихий вечер для тебя и меня.", "wrong_language"),
        ("A quiеt evening for you.", "wrong_language"),
        ("安静的晚上，给你自己。", "wrong_language"),
    ],
)
def test_what_english_copy_may_not_say(text, reason):
    assert reason in reasons(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("今天打８折给你。", "number"),
        ("今天八折给你。", "number"),
        ("只要九十元就好。", "number"),
        ("一点心意，百分之十。", "number"),
        ("这是最好的晚上。", "superlative"),
        ("全网第一的晚上。", "superlative"),
        ("今晚包邮到家哦。", "claim"),
        ("它能治疗你的心情。", "claim"),
        ("限时的晚上，给你。", "urgency"),
        ("手慢无，快来看看。", "urgency"),
        ("今晚有优惠给你。", "saving"),
        ("送你一张优惠券哦。", "free_money"),
        ("作为一个人工智能，我喜欢。", "leak"),
        ("以下是文案：安静的晚上。", "leak"),
        ("晚上晚上给你自己。", "repetition"),
        ("A quiet evening for you.", "wrong_language"),
    ],
)
def test_what_chinese_copy_may_not_say(text, reason):
    assert reason in reasons(text, CHINESE)


def test_ordinary_chinese_words_with_such_characters_are_no_fault():
    assert reasons("最近的生活有点曲折，给自己一点时间，单元楼下见。", CHINESE) == set()


def test_a_lower_price_may_be_spoken_of_where_the_copy_shows_it():
    rules = Rules(channel="email", language="en", allowed=frozenset({"name", "saving"}))

    assert reasons("You save {{saving}} on {{name}}.", rules) == set()


def test_a_word_that_nobody_approved_is_refused_from_a_model():
    rules = Rules(channel="email", language="en", vocabulary=vocabulary(), known=frozenset({"shampoo"}))

    assert reasons("Some evenings just ask for shampoo.", rules) == set()
    assert reasons("Some evenings just ask for hypoallergenic shampoo.", rules) == {"unknown_word"}


def test_copy_that_resembles_the_pool_is_refused():
    rules = Rules(channel="email", language="en", taken={"hook": ["Some evenings just ask for soup."]})

    assert "near_duplicate" in reasons("Some evenings just ask for a soup.", rules)
    assert reasons("Monday called and wants to talk to you.", rules) == set()


def test_a_variant_needs_each_part_once_and_its_facts():
    parts = {"title": "A quiet evening", "body": "Some evenings just ask for {{name}}.", "cta": "Take a look"}
    rules = Rules(channel="push", language="en", allowed=frozenset({"name", "price"}), required=frozenset({"price"}))

    assert {(fault.reason, fault.detail) for fault in verify(parts, rules)} == {("missing_slot", "price")}
    assert "missing_part" in {fault.reason for fault in verify({**parts, "cta": " "}, rules)}
    assert "unknown_part" in {fault.reason for fault in verify({**parts, "footer": "Bye"}, rules)}
    assert "repetition" in {fault.reason for fault in verify({**parts, "cta": "A quiet evening"}, rules)}


@given(st.text(max_size=200), st.sampled_from(["en", "zh"]), st.sampled_from(["email", "push"]))
def test_no_text_breaks_the_verifier_and_every_reason_is_of_the_list(text, language, channel):
    faults = verify_part("hook", text, Rules(channel=channel, language=language, vocabulary=vocabulary()))

    assert {fault.reason for fault in faults} <= set(REASONS)


@given(st.text(max_size=60), st.characters(categories=["Nd", "Nl", "No"]), st.text(max_size=60))
def test_no_number_of_any_script_passes(before, digit, after):
    assert {"number"} <= reasons(before.replace("{", "") + digit + after.replace("}", ""))


@given(st.text(max_size=60), st.characters(categories=["Cc", "Cf", "Sc"]), st.text(max_size=60))
def test_no_currency_sign_and_no_hidden_character_passes(before, character, after):
    expected = "currency" if unicodedata.category(character) == "Sc" else "control_character"

    assert expected in reasons(before.replace("{", "") + character + after.replace("}", ""))


@given(st.from_regex(r"\{\{[a-z_]{1,12}\}\}", fullmatch=True))
def test_no_slot_but_the_allowed_passes(slot):
    found = reasons(f"Some evenings just ask for {slot}.")

    assert ("unknown_slot" in found) == (slot[2:-2] not in EMAIL.allowed)
    assert EMAIL.allowed <= set(SLOTS)


@given(st.text(max_size=50))
def test_a_text_is_like_itself(text):
    assert alike(text, text) in (0.0, 1.0)
