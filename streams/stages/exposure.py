"""Stage 5, its other half: a message left, or the policy chose to send nothing. From now on the decision counts.

Heard on the outbound topics, so that it is fenced by a source offset like every other lesson: a record that comes twice (a message
decided again after a crash has the same id) finds the mark of the first. A decision whose message never left counts nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from models.bandit import Stats
from models.rewards import VALUES, Values
from schemas.events import Source
from schemas.messages import EmailReady, Message, PushReady, Suppressed
from streams.decision import WHETHER, Decision, decode_decision
from streams.effects import Effects
from streams.journeys import SENT
from streams.stages.feedback import DECISION_TTL_S, Part, written
from streams.store import DecisionWrite, Ref, Store

TOPICS = ("content.email", "content.push", "suppressions")
NOTHING = "send_nothing"


class Left(NamedTuple):
    """One outbound record, with where it stood."""

    source: Source
    message: Message


@dataclass(frozen=True, kw_only=True)
class ExposureState:
    decisions: Mapping[tuple[Ref, str], Decision]  # (shopper, decision id): those that are stored
    counted: frozenset[tuple[Ref, str]]  # those that are counted already
    stats: Mapping[tuple[str, int], tuple[int, Stats]]  # source partition -> (offset included, cumulative)
    refs: Mapping[str, Ref]
    values: Values = VALUES


def counts(message: Message) -> str | None:
    """The decision that this record makes count."""
    if isinstance(message, EmailReady | PushReady):
        return message.decision_id
    return message.decision_id if isinstance(message, Suppressed) and message.reason == NOTHING else None


async def exposure_state(
    store: Store, left: Sequence[Left], *, stats: Mapping[tuple[str, int], tuple[int, Stats]], values: Values = VALUES
) -> ExposureState:
    """The decisions behind a batch, in one round trip."""
    refs = {one.message.user_id: store.ref(one.message.user_id) for one in left if counts(one.message)}
    pairs = list(dict.fromkeys((refs[one.message.user_id], decision_id) for one in left if (decision_id := counts(one.message))))
    asked = [(ref, decision_id + suffix) for ref, decision_id in pairs for suffix in ("", SENT)]
    found = await store.decisions(asked) if asked else []
    return ExposureState(
        decisions={pair: decode_decision(data) for pair, data in zip(pairs, found[::2], strict=True) if data is not None},
        counted=frozenset(pair for pair, mark in zip(pairs, found[1::2], strict=True) if mark is not None),
        stats=stats,
        refs=refs,
        values=values,
    )


async def exposure(left: Sequence[Left], state: ExposureState, *, now: float) -> Effects:
    """Count each decision once."""
    effects = Effects()
    parts: dict[tuple[str, int], Part] = {}
    done = set(state.counted)
    for source, message in left:
        decision_id = counts(message)
        if decision_id is None:
            effects.count("applied")  # it says nothing of a decision
            continue
        pair = (state.refs[message.user_id], decision_id)
        decision = state.decisions.get(pair)
        if decision is None:
            effects.count("exposure_unknown")  # erased meanwhile, or older than what is kept
            effects.count("applied")
            continue
        if pair in done:
            effects.count("duplicate")
            continue
        done.add(pair)
        effects.outcomes.append(DecisionWrite(ref=pair[0], decision_id=decision_id + SENT, data=b"\x01", ttl_s=DECISION_TTL_S))
        place = (source.topic, source.partition)
        if place not in parts:
            offset, stats = state.stats.get(place, (-1, Stats()))
            parts[place] = Part(offset, stats.copy(), offset)
        part = parts[place]
        if source.offset <= part.expected:
            effects.count("replayed")  # counted before a crash; only the mark was not written
            continue
        part.offset, part.touched = max(part.offset, source.offset), True
        effects.count("exposed")
        effects.count("applied")
        for factor, arm in decision.arms.items():
            if factor == WHETHER:
                part.stats.update(
                    factor, arm, decision.context, state.values.sent if decision.sends else 0.0, new=True, at=decision.at
                )
            elif decision.sends:
                part.stats.update(factor, arm, decision.context, 0.0, new=True, at=decision.at)
    effects.policy += written(parts)
    return effects
