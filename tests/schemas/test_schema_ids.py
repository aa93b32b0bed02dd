"""Ids that a repeat has again, and tokens that only we can make."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Source
from schemas.ids import TokenError, outbound_id, read_token, sign_token
from schemas.limits import MAX_TOKEN_CHARS

HERE = Source(topic="click", partition=3, offset=1942)
SECRET = b"a secret of some length"


def test_an_outbound_id_is_a_uuid_of_version_5_and_the_same_again():
    first = outbound_id("decision", HERE, "ana")

    assert first == outbound_id("decision", Source(topic="click", partition=3, offset=1942), "ana")
    assert str(uuid.UUID(first)) == first and uuid.UUID(first).version == 5
    assert first == str(uuid.uuid5(uuid.UUID("4e9b7a52-3c1d-5f80-9a6e-2d7c5b8f0e11"), "decision|click|3|1942|0|ana"))


def test_every_part_of_the_cause_changes_the_id():
    ids = {
        outbound_id("decision", HERE, "ana"),
        outbound_id("message", HERE, "ana"),
        outbound_id("decision", Source(topic="search", partition=3, offset=1942), "ana"),
        outbound_id("decision", Source(topic="click", partition=31, offset=942), "ana"),
        outbound_id("decision", Source(topic="click", partition=3, offset=1943), "ana"),
        outbound_id("decision", HERE, "bob"),
        outbound_id("decision", HERE, "ana", 1),
        outbound_id("decision", HERE, "0|ana"),
    }

    assert len(ids) == 8


@given(decision=st.text(max_size=40), item=st.text(max_size=64), expires=st.floats(1, 1e10))
def test_a_token_brings_back_what_was_signed(decision, item, expires):
    token = sign_token(SECRET, decision, item, expires)

    assert read_token(SECRET, token, expires - 0.5) == (decision, item, expires)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_the_longest_ids_still_make_a_token_that_the_envelope_takes():
    assert len(sign_token(SECRET, "d" * 36, "猫" * 85, 4e9)) <= MAX_TOKEN_CHARS


def test_a_token_is_the_same_when_signed_again():
    assert sign_token(SECRET, "d", "p9", 5.0) == sign_token(SECRET, "d", "p9", 5.0)


def test_a_token_ends():
    token = sign_token(SECRET, "d", "p9", 100.0)

    with pytest.raises(TokenError, match="expired"):
        read_token(SECRET, token, 100.0)


@given(place=st.integers(0, 300), letter=st.sampled_from("AZaz09-_."))
def test_a_token_with_another_letter_is_refused(place, letter):
    token = sign_token(SECRET, "decision", "p9", 100.0)
    place %= len(token)
    if token[place] != letter:
        with pytest.raises(TokenError):
            read_token(SECRET, token[:place] + letter + token[place + 1 :], 1.0)


@given(token=st.text(max_size=60))
def test_anything_else_is_no_token(token):
    with pytest.raises(TokenError):
        read_token(SECRET, token, 1.0)


def test_another_secret_signs_other_tokens():
    with pytest.raises(TokenError, match="signature"):
        read_token(b"another secret", sign_token(SECRET, "d", "p9", 100.0), 1.0)


def test_an_empty_secret_signs_nothing():
    with pytest.raises(ValueError, match="must not be empty"):
        sign_token(b"", "d", "p9", 100.0)
    with pytest.raises(ValueError, match="must not be empty"):
        read_token(b"", "a.b", 100.0)
