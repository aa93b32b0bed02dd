import itertools

import pytest

from models.copy import frames, pieces
from models.copy.dress import assemblies, dress, fillings
from models.copy.lines import Line
from models.copy.pool import CHANNELS, KINDS, OCCASIONS, TONES, Key
from models.copy.segments import SEGMENTS
from models.copy.slots import SLOTS, slots_in
from models.voice.corpus import CORPUS, load, pieces_of

RULES = pieces.rules_for("garden hoses", "en", words=frozenset(["beds", "hoses"]))
LINES = {
    task: [Line(text, task, -1.0, f"prompts-2/{task}/en") for text in texts]
    for task, texts in {
        "use": ["watering the garden", "rinsing muddy boots"],
        "moment": ["dry summers", "warm evenings"],
        "warm": ["The sun is low, and the children run through the spray."],
        "plain": ["For the beds in the evening and the boots on Saturday."],
        "playful": ["The roses would like a word with you."],
    }.items()
}


def reasons(text: str, task: str) -> set[str]:
    return {fault.reason for fault in pieces.faults(text, task, RULES)}


@pytest.mark.parametrize(
    ("task", "text"),
    [
        ("use", "watering the garden"),
        ("doing", "running through the garden after work"),
        ("moment", "dry summers"),
        ("moment", "Sunday mornings"),
        ("moment", "evenings with friends"),
        ("occasion", "a dry week in July"),
        ("warm", "The garden is quiet, and the evening is warm."),
    ],
)
def test_a_piece_that_fits_its_blank_passes(task, text):
    assert reasons(text, task) == set()


@pytest.mark.parametrize(
    ("task", "text", "reason"),
    [
        ("use", "the garden in summer", "shape"),
        ("moment", "watering the garden", "shape"),
        ("moment", "when it is dry", "shape"),
        ("moment", "my garden in summer", "shape"),
        ("occasion", "a day in the", "unfinished"),
        ("use", "watering with", "unfinished"),
        ("warm", "The garden and the.", "unfinished"),
        ("warm", "It is in the garden.", "too_short"),
        ("use", "watering a durable garden", "claim"),
        ("use", "watering a miraculous garden", "unknown_word"),
        ("moment", "a garden for 5 people", "number"),
        ("use", "watering garden after garden", "repetition"),
        ("occasion", "a very long day in the garden with all of your family and friends", "too_long"),
    ],
)
def test_a_piece_that_does_not_fit_is_refused(task, text, reason):
    assert reason in reasons(text, task)


@pytest.mark.parametrize(
    ("task", "said", "told"),
    [
        ("use", " Watering the garden. It is great", "watering the garden"),
        ("use", "Used for watering the garden", "watering the garden"),
        ("moment", " Sunday mornings,", "Sunday mornings"),
        ("warm", " the sun is low, and the beds are dry. And then", "The sun is low, and the beds are dry."),
        ("warm", " The sun is low, and the beds are dry", "The sun is low, and the beds are dry."),
    ],
)
def test_an_answer_is_brought_into_shape(task, said, told):
    assert pieces.tidy(said, task, "en") == told


def test_a_model_with_a_voice_is_asked_in_one_line_and_another_is_shown_how():
    assert pieces.ask("tea", "use", language="en", voiced=True) == "Product: tea\nUsed for"
    shown = pieces.ask("tea", "use", language="en", voiced=False)
    assert shown.endswith("\n\nProduct: tea\nUsed for")
    assert "planning dinner" in shown


EVERY = list(itertools.product(KINDS, OCCASIONS, CHANNELS, TONES, SEGMENTS))


@pytest.mark.parametrize("language", frames.languages())
def test_every_frame_has_known_slots_and_blanks_and_every_kind_of_message_has_frames(language):
    for kind, occasion, channel, tone, reader in EVERY:
        told = frames.choices(Key(kind=kind, channel=channel, tone=tone, language=language, segment=occasion, audience=reader))
        for texts in told.values():
            assert texts
            for text in texts:
                assert set(slots_in(text)) <= set(SLOTS)
                assert "[" not in frames.BLANK.sub("", text)


def test_every_kind_of_message_can_be_written_for_every_reader():
    for kind, occasion, channel, tone, reader in EVERY:
        key = Key(kind=kind, channel=channel, tone=tone, language="en", segment=occasion, about="x", audience=reader)
        made, _ = dress(key, LINES, model="m", keep=1, taken=(), seed=1)

        assert made, key
        assert {"name", "price"} <= made[0].slots
        assert made[0].pieces


def test_no_word_of_a_frame_agrees_with_the_name_in_number():
    for kind, occasion, channel, tone, reader in EVERY:
        told = frames.choices(Key(kind=kind, channel=channel, tone=tone, language="en", segment=occasion, audience=reader))
        for text in itertools.chain.from_iterable(told.values()):
            assert not any(
                f"{{{{name}}}} {verb} " in text for verb in ("is", "are", "costs", "cost", "has", "have", "was", "were")
            )


def test_equal_pieces_and_seed_give_equal_messages_and_another_seed_others():
    key = Key(kind="promotional", channel="email", tone="warm", language="en", about="x")

    def first(seed: int) -> list[dict[str, str]]:
        return [variant.parts for variant in dress(key, LINES, model="m", keep=3, taken=(), seed=seed)[0]]

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert len(list(assemblies(key, fillings(key, LINES), seed=1))) > 3


def test_the_corpus_is_large_and_holds_to_its_own_rules():
    examples = load(CORPUS)
    held = pieces_of(examples)

    assert len(examples) >= 400
    assert len({piece.about for piece in held}) >= 40
    assert {(example.kind, example.channel, example.tone) for example in examples} == set(
        itertools.product(KINDS, CHANNELS, TONES)
    )
    words = frozenset(word for piece in held for word in pieces.words_of(piece.text))
    allowed = {"too_long", "unfinished", "repetition", "too_short"}  # a person may bend the shape that a model is held to
    for piece in held:
        rules = pieces.rules_for(piece.about, "en", words=words)
        assert {fault.reason for fault in pieces.faults(piece.text, piece.task, rules)} <= allowed, piece
