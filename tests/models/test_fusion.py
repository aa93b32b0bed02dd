"""Text and picture in one vector."""

import numpy as np
import pytest

from models.fusion import combine, turning


def unit(seed: int, dim: int) -> np.ndarray:
    row = np.random.default_rng(seed).normal(size=dim).astype(np.float32)
    return row / np.linalg.norm(row)


def test_without_a_picture_the_vector_is_that_of_the_text_to_the_last_bit():
    text = unit(1, 384)

    assert combine(text, None, weight=0.5) is text
    assert combine(text, np.zeros(512, dtype=np.float32), weight=0.5) is text
    assert combine(text, unit(2, 512), weight=0.0) is text


@pytest.mark.parametrize("k", [64, 384, 512, 768])
def test_likeness_is_the_weighted_sum_of_both_likenesses(k):
    texts, pictures = [unit(i, 384) for i in range(60)], [unit(100 + i % 20, k) for i in range(60)]
    both = [combine(t, p, weight=0.4) for t, p in zip(texts, pictures, strict=True)]

    pairs = [(i, j) for i in range(60) for j in range(i)]
    got = np.array([both[i] @ both[j] for i, j in pairs])
    wanted = np.array([0.6 * texts[i] @ texts[j] + 0.4 * pictures[i] @ pictures[j] for i, j in pairs])
    same = np.array([i % 20 == j % 20 for i, j in pairs])

    assert np.abs(got - wanted).mean() < 0.05
    assert got[same].min() > got[~same].mean() + 0.2  # the same picture, other words
    assert all(np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5) for row in both)


def test_a_text_still_finds_the_words_of_a_product_with_a_picture():
    text, other = unit(1, 384), unit(2, 384)

    assert combine(text, unit(3, 512), weight=0.3) @ text > combine(other, unit(4, 512), weight=0.3) @ text + 0.5


def test_the_map_keeps_lengths_and_is_the_same_everywhere():
    for k in (64, 512):
        rows = np.stack([unit(i, k) for i in range(50)])
        assert np.linalg.norm(rows @ turning(k, 384), axis=1) == pytest.approx(1.0, abs=0.25 if k > 384 else 1e-4)
    assert float(turning(64, 384)[3, 5]) == pytest.approx(float(turning.__wrapped__(64, 384)[3, 5]), abs=1e-6)


def test_a_weight_outside_of_zero_to_one_is_refused():
    with pytest.raises(ValueError, match="from 0 to 1"):
        combine(unit(1, 8), unit(2, 4), weight=1.5)
