"""Ids that a repeat has again, and tokens that link a click to its decision."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from schemas.errors import PipelineError
from schemas.events import Source
from schemas.limits import MAX_TOKEN_CHARS

_NAMESPACE: Final = UUID("4e9b7a52-3c1d-5f80-9a6e-2d7c5b8f0e11").bytes  # Headrace's own; changing it changes every id
_PURPOSE: Final = b"headrace.token.1\x00"  # so that no other use of the secret signs the same bytes


class TokenError(PipelineError):
    """A token is damaged, forged or expired."""


class Token(NamedTuple):
    """What a click brings back."""

    decision_id: str
    item_id: str
    expires_at: float


def outbound_id(kind: str, source: Source, user: str, ordinal: int = 0) -> str:
    """UUIDv5 over cause and purpose: computed again after a crash, it is the same.

    >>> outbound_id("decision", Source(topic="click", partition=3, offset=1942), "ana")
    'bca5e90d-b7f2-5038-96a4-836d4899d1ae'
    """
    name = f"{kind}|{source.topic}|{source.partition}|{source.offset}|{ordinal}|{user}"
    digest = bytearray(hashlib.sha1(_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def sign_token(secret: bytes, decision_id: str, item_id: str, expires_at: float) -> str:
    """`payload.signature` in base64url without padding: nothing in it needs escaping in an address."""
    if not secret:
        raise ValueError("secret must not be empty")
    payload = _text(_pack((decision_id, item_id, float(expires_at))))
    return f"{payload}.{_text(_mac(secret, payload))}"


def read_token(secret: bytes, token: str, now: float) -> Token:
    """What was signed. TokenError for anything that `sign_token` with this secret did not make, or that is too old."""
    if not secret:
        raise ValueError("secret must not be empty")
    if len(token) > MAX_TOKEN_CHARS or not token.isascii():
        raise TokenError("not a token")
    payload, _, signature = token.partition(".")
    if not hmac.compare_digest(signature, _text(_mac(secret, payload))):
        raise TokenError("the signature does not fit")
    try:
        decision_id, item_id, expires_at = _unpack(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, msgspec.DecodeError) as error:
        raise TokenError("signed, but not readable: made by another version") from error
    if now >= expires_at:
        raise TokenError("expired")
    return Token(decision_id, item_id, expires_at)


def _mac(secret: bytes, payload: str) -> bytes:
    return hmac.digest(secret, _PURPOSE + payload.encode(), "sha256")


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(tuple[str, str, float]).decode
