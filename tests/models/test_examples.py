"""What the ranker learns from survives storage, and damage is told."""

import numpy as np
import pytest

from models.examples import Example, decode_example, encode_example, example
from schemas.errors import ShapeError


def a_list(m: int = 20, f: int = 30, seed: int = 0) -> Example:
    rng = np.random.default_rng(seed)
    return example(
        rng.normal(size=(m, f)),
        (rng.random(m) < 0.2).astype(float),
        positions=np.arange(m),
        surface="home",
        at=1_780_000_000.25,
        kind="impression",
        feature_version="f2",
        zero_weight=5.1,
    )


@pytest.mark.parametrize("m", [0, 1, 20, 700])
def test_a_list_comes_back_from_storage_number_for_number(m: int) -> None:
    one = a_list(m)
    back = decode_example(encode_example(one))

    np.testing.assert_array_equal(back.rows, one.rows)
    np.testing.assert_array_equal(back.labels, one.labels)
    np.testing.assert_array_equal(back.positions, one.positions)
    assert back.zero_weight == one.zero_weight == pytest.approx(5.1)
    assert (back.surface, back.at, back.kind, back.feature_version) == ("home", 1_780_000_000.25, "impression", "f2")


def test_numbers_that_storage_cannot_hold_are_cut_before_anybody_learns_from_them() -> None:
    one = example(np.array([[np.nan, np.inf, -1e9]]), np.array([1.0]), surface="home", at=0.0, kind="order", feature_version="f2")

    assert one.rows.tolist() == [[0.0, 65504.0, -65504.0]]


def test_damage_anywhere_is_told() -> None:
    data = encode_example(a_list())

    for at in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[at] ^= 0x55
        with pytest.raises(ShapeError):
            decode_example(bytes(damaged))
    for cut in (0, 5, 30, len(data) - 1):
        with pytest.raises(ShapeError):
            decode_example(data[:cut])


def test_lists_whose_parts_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError):
        example(np.zeros((3, 2)), np.zeros(2), surface="home", at=0.0, kind="order", feature_version="f2")
