"""The stored form of a decision: what a reward needs to find it, credit it once, and teach the policy."""

from __future__ import annotations

import msgspec

from models.rewards import Outcome
from schemas.errors import PipelineError

WHETHER = "send"  # the factor whose arms are to write and not to


class Decision(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One choice taken for one shopper."""

    decision_id: str
    user_id: str
    kind: str  # "message" or "recommendation"
    at: float
    policy_version: str
    arms: dict[str, str]  # factor -> arm
    context: list[float]
    items: list[str]
    campaign: str = ""
    message_id: str = ""
    chances: dict[str, float] = {}  # factor -> probability with which its arm was taken
    not_before: float = 0.0  # when the policy wanted the message to leave
    definitions: str = ""  # version of the campaign definitions that it was taken under
    propensities: dict[str, dict[str, float]] = {}  # factor -> probability of each arm that was open
    policy: str = ""  # name of the policy
    leave: float = 0.0  # when its message leaves

    @property
    def sends(self) -> bool:
        """False: the policy chose to write nothing."""
        return self.arms.get(WHETHER, "send") == "send"

    @property
    def leaves_at(self) -> float:
        """When its message leaves, if it does."""
        return max(self.at, self.leave)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Decision).decode


class DecisionError(PipelineError):
    """A stored decision cannot be read."""


def encode_decision(decision: Decision) -> bytes:
    return b"\x01" + _encode(decision)


def decode_decision(data: bytes) -> Decision:
    """Raises DecisionError on another version or a damaged value."""
    if data[:1] != b"\x01":
        raise DecisionError(f"decision record: expected version 1, got {data[:1]!r}")
    try:
        return _decode(data[1:])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DecisionError(f"decision record: {error}") from error


_encode_outcome = msgspec.msgpack.Encoder().encode
_decode_outcome = msgspec.msgpack.Decoder(Outcome).decode


def encode_outcome(outcome: Outcome) -> bytes:
    return b"\x01" + _encode_outcome(outcome)


def decode_outcome(data: bytes) -> Outcome:
    """Raises DecisionError on another version or a damaged value."""
    if data[:1] != b"\x01":
        raise DecisionError(f"outcome record: expected version 1, got {data[:1]!r}")
    try:
        return _decode_outcome(data[1:])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DecisionError(f"outcome record: {error}") from error
