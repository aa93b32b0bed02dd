import subprocess
import sys

import numpy as np
import pytest

from models.encoder import Encoder
from models.weights import ModelError

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(cache_texts=4)


def test_like_meanings_are_near_and_rows_are_unit_vectors(encoder):
    shoes, boots, coffee = encoder.encode(["running shoes", "sneakers for jogging", "dark roast coffee beans"])

    assert shoes @ boots > shoes @ coffee + 0.2
    assert np.linalg.norm(shoes) == pytest.approx(1.0, abs=1e-5)
    assert shoes.shape == (encoder.dim,) == (384,)
    assert shoes.dtype == np.float32


def test_rows_keep_the_order_of_the_texts_whatever_their_length(encoder):
    texts = ["a long text about kettles, cups and quiet mornings in the kitchen", "tea", "tea", "soup bowls"]
    together, alone = encoder.encode(texts), Encoder(cache_texts=0)

    for row, text in zip(together, texts, strict=True):
        assert row == pytest.approx(alone.encode([text])[0], abs=1e-4)


def test_a_text_met_before_is_not_encoded_again_and_the_cache_is_bounded(encoder):
    encoder.encode(["cache one"])
    hits, misses = encoder.hits, encoder.misses

    again = encoder.encode(["cache one", "cache two", "cache two"])

    assert (encoder.hits - hits, encoder.misses - misses) == (2, 1)
    assert np.array_equal(again[1], again[2])
    assert len(encoder._cache) <= 4


@pytest.mark.parametrize("text", ["", " ", "\x00", "\ud800", "🫖" * 5000, "汤", "word " * 5000])
def test_any_text_has_a_vector(encoder, text):
    row = encoder.encode([text])[0]

    assert np.isfinite(row).all()
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-4)


def test_no_texts_give_no_rows(encoder):
    assert encoder.encode([]).shape == (0, 384)


@pytest.mark.parametrize("name", ["/no/such/folder", "./here", "", "a/b/c"])
def test_a_missing_model_is_one_line_that_says_what_to_do(name):
    with pytest.raises(ModelError) as raised:
        Encoder(name).load()

    assert "\n" not in str(raised.value)
    assert "give an existing folder, or a Hugging Face name" in str(raised.value)


def test_a_folder_without_a_model_is_one_line_too(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded") as raised:
        Encoder(str(tmp_path)).load()

    assert "\n" not in str(raised.value)


def test_importing_encoder_and_generator_loads_no_torch():
    code = (
        "import sys, models.encoder, models.generator, models.endpoint, models.copy.write; "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
