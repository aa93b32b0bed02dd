"""A voice: approved copy in, a small adapter out, and winners back into the corpus."""

import json

import numpy as np
import pytest

from models.copy.pool import Key, Variant
from models.generator import Generator, converted, default_cache, voice_for
from models.voice.adapter import read_voice
from models.voice.corpus import CorpusError, Example, Piece, load, pieces_of, split
from models.voice.train import Plan, train
from models.voice.winners import Result, append, examples_of, interval, losers, winners
from models.weights import ModelError
from models.wordtrie import WordTrie

KEY = Key(kind="promotional", channel="email", tone="warm", language="en", about="home/tea", audience="fan")


def an_example(about="tea", **parts) -> Example:
    told = {"subject": "For [rainy afternoons]", "body": "[The kettle is on.] It is for [warming up]. {{name}}, {{price}}."}
    return Example(about=about, tone="warm", parts=told | parts)


def a_variant(name: str, **changes) -> Variant:
    fields = {
        "id": name,
        "key": KEY,
        "parts": {"subject": "For rainy days", "body": "For warming up, and for rainy days. {{name}}, {{price}}."},
        "source": "model",
        "pieces": ("rainy days", "warming up"),
    }
    return Variant(**{**fields, **changes})


def test_what_stands_in_brackets_is_learnt_each_piece_for_its_question():
    assert pieces_of([an_example(), an_example()]) == [
        Piece("tea", "moment", "rainy afternoons"),
        Piece("tea", "warm", "The kettle is on."),
        Piece("tea", "use", "warming up"),
    ]


def test_plain_copy_without_brackets_gives_its_first_sentence_without_facts():
    plain = Example(about="tea", tone="plain", parts={"body": "{{name}} is here. Rain is on the window. {{price}}."})

    assert pieces_of([plain]) == [Piece("tea", "plain", "Rain is on the window.")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "corpus.jsonl:2: not an example"),
        ('{"about": "tea", "tone": "loud", "parts": {"body": "x"}}', "corpus.jsonl:2: tone must be one of warm, plain, playful"),
        ('{"about": "tea", "tone": "warm", "parts": {"body": "{{colour}}"}}', "corpus.jsonl:2: unknown slot {{colour}}"),
        ('{"about": "", "tone": "warm", "parts": {"body": "x"}}', "corpus.jsonl:2: `about`"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, message):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"about": "tea", "tone": "warm", "parts": {"body": "x."}}\n' + line)

    with pytest.raises(CorpusError) as raised:
        load(path)
    assert message in str(raised.value)


def test_whole_products_are_held_out():
    held = pieces_of([an_example(about) for about in ("tea", "soup", "bread", "milk", "jam")])
    learnt, away = split(held, held_out=0.2, seed=1)

    assert len(learnt) + len(away) == len(held)
    assert len({piece.about for piece in away}) == 1
    assert not {piece.about for piece in away} & {piece.about for piece in learnt}


def test_only_what_is_surely_better_wins_and_only_what_is_surely_worse_loses():
    variants = [a_variant(name) for name in ("good", "same", "bad", "few")]
    results = {"good": Result(1000, 80), "same": Result(1000, 50), "bad": Result(1000, 20), "few": Result(20, 10)}

    assert [variant.id for variant in winners(variants, results)] == ["good"]
    assert [variant.id for variant in losers(variants, results)] == ["bad"]
    assert winners(variants[:1], results) == []  # alone in its pool, it beat nobody
    assert interval(Result(0, 0)) == (0.0, 1.0)
    low, high = interval(Result(100, 10))
    assert (low, high) == (pytest.approx(0.0552, abs=1e-4), pytest.approx(0.1744, abs=1e-4))


def test_a_winner_becomes_an_example_with_its_pieces_in_brackets(tmp_path):
    (example,) = examples_of([a_variant("good"), a_variant("mine", pieces=())])

    assert example.about == "tea"
    assert example.segment == "fan"
    assert example.parts == {"subject": "For [rainy days]", "body": "For [warming up], and for rainy days. {{name}}, {{price}}."}
    path = tmp_path / "corpus.jsonl"
    assert append(path, [example, example]) == 1
    assert append(path, [example]) == 0
    assert load(path) == [example]


def test_a_closed_vocabulary_lets_only_whole_approved_words_through():
    letters = {letter: number for number, letter in enumerate(" abcdefghijklmnopqrstuvwxyzABCT,.!?")}
    trie = WordTrie(["tea", "bat"], encode=lambda text: [letters[c] for c in text], ends=[99])

    def follow(text: str) -> set[int]:
        state = ()
        for letter in text:
            assert letters[letter] in trie.allowed(state), f"{letter!r} may not stand there in {text!r}"
            state = trie.step(state, letters[letter])
        return set(trie.allowed(state))

    assert 99 in follow(" tea bat")
    assert 99 not in follow(" tea b")
    assert follow(" te") == {letters["a"]}
    assert {letters[","], letters[" "]} <= follow(" Tea")
    assert letters["b"] not in follow(" tea")


def test_the_voice_setting_is_a_folder_none_or_what_ships_with_the_default_model(tmp_path):
    assert voice_for("smollm2", "none") is None
    assert voice_for("some/model", "") is None
    with pytest.raises(ModelError, match="name a folder made by `headrace voice train`"):
        voice_for("smollm2", str(tmp_path))


def test_too_little_copy_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(CorpusError, match="too few to learn from"):
        train([an_example()], Generator("/no/such/model"), out=tmp_path, name="x", plan=Plan())


NOUNS = ("tea", "soup", "bread", "milk", "jam", "rice", "eggs", "salt")
EXAMPLES = [
    an_example(noun, subject=f"For [a {noun} morning]", preheader=f"Also for [making {noun}].", title=f"[The {noun} is here.]")
    for noun in NOUNS
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    """A folder with a causal model of three small layers that nobody trained, with SmolLM2's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=49_152, tie_word_embeddings=True, **sizes)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(converted(default_cache()))).save_pretrained(folder)
    return str(folder)


@pytest.mark.model
def test_training_lowers_the_loss_and_equal_seeds_give_equal_adapters(tiny, tmp_path):
    plan = Plan(rounds=2, rate=0.02, batch=4, held_out=0.2)
    told: list[str] = []
    first = train(EXAMPLES, Generator(tiny), out=tmp_path / "one", name="one", plan=plan, tell=told.append)
    again = train(EXAMPLES, Generator(tiny), out=tmp_path / "two", name="two", plan=plan, tell=told.append)

    from safetensors.numpy import load_file

    one, two = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("one", "two"))
    assert first.after < first.before
    assert first.after == pytest.approx(again.after, rel=1e-3)
    assert all(np.allclose(one[name], two[name], atol=1e-3) for name in one)
    assert {array.dtype for array in one.values()} == {np.dtype("float16")}
    assert any("held out" in line for line in told)
    assert tiny not in json.dumps(json.loads((tmp_path / "one" / "voice.json").read_text()))


@pytest.mark.model
def test_a_voice_changes_what_the_model_says_and_only_for_its_own_model(tiny, tmp_path):
    train(
        EXAMPLES,
        Generator(tiny),
        out=tmp_path / "v",
        name="v",
        plan=Plan(rounds=2, rate=0.02, batch=4, held_out=0.2),
        tell=lambda _: None,
    )
    voice = read_voice(tmp_path / "v")

    def says(generator: Generator) -> list[str]:
        (samples,) = generator.generate(["Product: tea\nUsed for"], samples=4, max_tokens=6, seed=1)
        return [sample.text for sample in samples]

    assert voice.name.startswith("v-")
    assert "kettle" in voice.words
    assert says(Generator(tiny, voice=voice)) != says(Generator(tiny))
    with pytest.raises(ModelError, match="trained on another model"):
        Generator(voice=voice).load()
