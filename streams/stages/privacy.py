"""Stage 6, privacy and identity: who somebody is, what they agreed to, and what must be forgotten.

Merging an anonymous profile into a known one takes three steps that each may be repeated: freeze the anonymous value as an
alias that still holds its profile (from then on its events count for the known shopper), add the frozen sums to the known
profile once (it remembers whom it has merged), and drop the frozen copy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.profile import identify, merge, opt
from schemas.events import Aliased, Fact, Identified, PrivacyRequested
from schemas.ids import outbound_id
from streams.effects import Effects, Out
from streams.exports import EXPORT_TTL_S, Held, about, write_export
from streams.people import People, Person, alias_bytes
from streams.reporting import forget
from streams.store import DecisionWrite, Timer, UserWrite
from streams.waits import Waiting, arm

BLOCKED = re.compile(r"^(?:0+|-1|null|none|nil|undefined|unknown|anonymous|guest|n/?a|test)$", re.IGNORECASE)
ALIAS_TTL_S = 180 * 86400.0


@dataclass(frozen=True, kw_only=True)
class PrivacyState:
    people: People
    waiting: Waiting = field(default_factory=Waiting)
    held: Mapping[str, Mapping[str, Held]] = field(default_factory=dict)  # who asked for an export -> id -> what is stored


def people_of(fact: Fact) -> list[str]:
    """Everybody whose value this fact may read or change."""
    ids = [fact.person]
    if isinstance(fact.body, Aliased):
        ids.append(fact.body.previous_id)
    elif fact.known and fact.anonymous_id:
        ids.append(fact.anonymous_id)
    return ids


async def privacy(facts: Sequence[Fact], state: PrivacyState, *, now: float) -> Effects:
    """Identify, alias, erase, opt out and in, export. An export changes nothing but that it is kept, for `headrace privacy export`."""
    effects = Effects()
    for fact in facts:
        person = state.people.get(fact.person)
        body = fact.body
        if isinstance(body, PrivacyRequested) and body.kind == "erase":
            _erase(effects, state, fact)
            continue
        if person is None:
            if not (isinstance(body, Identified) and (body.email_consent or body.push_consent)):
                effects.count("erased")
                continue
            person = state.people.revive(fact.person)  # new consent after an erasure: a new, empty profile
        if isinstance(body, PrivacyRequested) and body.kind == "export":
            _export(effects, state, person, body.request_id, now=now)
            continue
        source = (fact.source.topic, fact.source.partition)
        profile = person.profile
        if isinstance(body, Aliased):
            _link(effects, state, body.previous_id, person)
        elif isinstance(body, Identified) and fact.known and fact.anonymous_id:
            _link(effects, state, fact.anonymous_id, person)
        if fact.source.offset <= profile.fences.get(source, -1):
            effects.count("replayed")
            continue
        profile.fences[source] = fact.source.offset
        person.changed = True
        effects.count("applied")
        if isinstance(body, Identified):
            identify(profile, body, at=fact.at, context=fact.context)
            arm(effects, state.waiting, person, fact)
        elif isinstance(body, PrivacyRequested) and body.kind in ("opt_out", "opt_in"):
            opt(profile, scope=body.scope or "personalization", out=body.kind == "opt_out", at=fact.at)
    effects.users = state.people.writes()
    return effects


def _link(effects: Effects, state: PrivacyState, other_id: str, person: Person) -> None:
    """Merge `other_id` into `person`, unless it is nobody's own id, or already the same person."""
    if BLOCKED.match(other_id) or BLOCKED.match(person.user_id):
        effects.count("blocked_id")
        return
    frozen = state.people.frozen.get(other_id)
    if state.people.resolve(other_id) == person.user_id:
        if frozen is None:
            return
    else:
        other = state.people.by_id.get(other_id)
        if other is None:
            return  # erased
        effects.freeze.append(
            UserWrite(ref=other.ref, expected=other.version, data=alias_bytes(person.user_id, other.profile), ttl_s=ALIAS_TTL_S)
        )
        other.version += 1
        other.changed = False
        frozen = state.people.freeze(other_id, person.user_id, other)
    if frozen.ref not in person.profile.merged:
        merge(person.profile, frozen.profile, ref=frozen.ref)
        person.changed = True
        effects.count("merged")
        effects.timers += [Timer(ref=person.ref, name=name, due=wait.due) for name, wait in person.profile.pending.items()]
    effects.thaw.append(
        UserWrite(ref=frozen.ref, expected=frozen.version, data=alias_bytes(person.user_id, None), ttl_s=ALIAS_TTL_S)
    )


def _export(effects: Effects, state: PrivacyState, person: Person, request_id: str, *, now: float) -> None:
    """Keep what is held of a shopper at this moment. Repeated, the first answer stays, so no fence is needed."""
    told = about(person.user_id, state.held.get(person.user_id, {}), request_id=request_id, at=now, profile=person.profile)
    effects.exports.append(DecisionWrite(ref=person.ref, decision_id=request_id, data=write_export(told), ttl_s=EXPORT_TTL_S))
    effects.count("export")


def _erase(effects: Effects, state: PrivacyState, fact: Fact) -> None:
    """Forget a shopper under every id that is known to be theirs; tombstone the compacted topic."""
    user_id = state.people.resolve(fact.person)
    person = state.people.by_id.get(user_id)
    ids = {user_id, fact.person, *(person.profile.aliases if person is not None else ())}
    if person is not None:
        for name in sorted(person.profile.pending):
            forget(effects, person.ref, name, fact.source, at=fact.at)  # what was on its way to them
    for ordinal, one in enumerate(sorted(ids)):
        effects.erase.append((state.people.refs(one), fact.at))
        effects.out.append(
            Out(topic="profiles", key=one, id=outbound_id("erase", fact.source, one, ordinal), at=fact.at, message=None)
        )
        state.people.forget(one)
    effects.count("erasure")
