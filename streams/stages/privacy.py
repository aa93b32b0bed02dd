"""Stage 6, privacy and identity: who somebody is, what they agreed to, and what must be forgotten.

Merging an anonymous profile into a known one takes three steps that each may be repeated: freeze the anonymous value as an
alias that still holds its profile (from then on its events count for the known shopper), add the frozen sums to the known
profile once (it remembers whom it has merged), and drop the frozen copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from models.identity import IdentityRules
from models.profile import identify, merge, opt
from schemas.events import Aliased, Fact, Identified, PrivacyRequested
from schemas.ids import outbound_id
from streams.effects import Effects, Out
from streams.exports import EXPORT_TTL_S, Held, about, write_export
from streams.people import People, Person, alias_bytes
from streams.reporting import forget
from streams.store import DecisionWrite, Timer, UserWrite
from streams.waits import Waiting, arm

ALIAS_TTL_S = 180 * 86400.0


@dataclass(frozen=True, kw_only=True)
class PrivacyState:
    people: People
    waiting: Waiting = field(default_factory=Waiting)
    rules: IdentityRules = field(default_factory=IdentityRules)
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
        if not isinstance(body, PrivacyRequested) and state.rules.nobody(fact.person):
            effects.count("applied")
            effects.count("blocked_id")  # what is said about "null" is said about nobody
            continue
        if person is None:
            if not _agrees_anew(state, fact):
                _forget_too(effects, state, fact)
                effects.count("erased")
                continue
            person = state.people.revive(fact.person)  # new consent after an erasure: a new, empty profile
        if isinstance(body, PrivacyRequested) and body.kind == "export":
            _export(effects, state, person, body.request_id, now=now)
            continue
        source = (fact.source.topic, fact.source.partition)
        profile = person.profile
        other_id = _other_id(fact)
        if other_id is not None:
            _link(effects, state, other_id, person, fact)
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


def _other_id(fact: Fact) -> str | None:
    """The id that this fact says is the same shopper's."""
    if isinstance(fact.body, Aliased):
        return fact.body.previous_id
    return fact.anonymous_id if isinstance(fact.body, Identified) and fact.known else None


def _agrees(fact: Fact) -> bool:
    return isinstance(fact.body, Identified) and bool(fact.body.email_consent or fact.body.push_consent)


def _agrees_anew(state: PrivacyState, fact: Fact) -> bool:
    """Does an erased shopper come back? A consent from before the erasure that is heard late, or again, is none."""
    return _agrees(fact) and fact.at > state.people.erased_at.get(state.people.resolve(fact.person), 0.0)


def _link(effects: Effects, state: PrivacyState, other_id: str, person: Person, fact: Fact) -> None:
    """Merge `other_id` into `person`, unless it is nobody's own id, somebody else, one too many, or already the same person."""
    people = state.people
    if state.rules.nobody(other_id) or state.rules.nobody(person.user_id):
        effects.count("blocked_id")
        return
    frozen = people.frozen.get(other_id)
    if people.resolve(other_id) == person.user_id:
        if frozen is None:
            if other_id in people.aliases:  # it lapses when nobody has said it for as long as profiles are kept
                effects.thaw.append(_alias(people, other_id, person.user_id))
            return
    elif other_id in people.aliases:
        effects.count("claimed_id")  # another shopper's: a shared device makes nobody the same person
        return
    else:
        other = people.by_id.get(other_id)
        if other is None:
            if not (_agrees(fact) and fact.at > people.erased_at.get(other_id, 0.0)):
                return  # erased
            other = people.revive(other_id)  # what the shopper agrees to anew holds for the browser that says so
        if isinstance(fact.body, Identified) and other.profile.known:
            effects.count("claimed_id")  # somebody who signed in under that id: only an alias event says that two such are one
            return
        if len({*person.profile.aliases, other_id, *other.profile.aliases} - {person.user_id}) > state.rules.most_ids:
            effects.count("too_many_ids")
            return
        effects.freeze.append(
            UserWrite(ref=other.ref, expected=other.version, data=alias_bytes(person.user_id, other.profile), ttl_s=ALIAS_TTL_S)
        )
        other.version += 1
        other.changed = False
        if other.ref in person.profile.merged:  # the alias had lapsed, and the browser came again: that is new
            person.profile.merged.remove(other.ref)
        frozen = people.freeze(other_id, person.user_id, other)
    if frozen.ref not in person.profile.merged:
        merge(person.profile, frozen.profile, ref=frozen.ref)
        person.changed = True
        effects.count("merged")
        effects.timers += [Timer(ref=person.ref, name=name, due=wait.due) for name, wait in person.profile.pending.items()]
    effects.thaw.append(
        UserWrite(ref=frozen.ref, expected=frozen.version, data=alias_bytes(person.user_id, None), ttl_s=ALIAS_TTL_S)
    )


def _alias(people: People, other_id: str, user_id: str) -> UserWrite:
    """An alias said again: it lives on, and leads straight to the shopper, however long the way was. Losing the write is harmless."""
    write = UserWrite(
        ref=people.refs(other_id), expected=people.versions[other_id], data=alias_bytes(user_id, None), ttl_s=ALIAS_TTL_S
    )
    people.versions[other_id] += 1
    return write


def _forget_too(effects: Effects, state: PrivacyState, fact: Fact) -> None:
    """An id that is an erased shopper's, as only this late fact says, or whose merging the erasure overtook: erased too."""
    people, other_id = state.people, _other_id(fact)
    if other_id is None or state.rules.nobody(other_id):
        return
    user_id = people.resolve(fact.person)
    if people.resolve(other_id) != user_id:
        other = people.by_id.get(other_id)
        if other is None or other.profile.known or fact.at > people.erased_at.get(user_id, 0.0):
            return  # somebody else's, gone already, or a visit after the erasure
        _clear(effects, other, fact)
    elif other_id == user_id:
        return
    _tombstone(effects, state, fact, [other_id])


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
        _clear(effects, person, fact)
    _tombstone(effects, state, fact, sorted(ids))
    effects.count("erasure")


def _clear(effects: Effects, person: Person, fact: Fact) -> None:
    for name in sorted(person.profile.pending):
        forget(effects, person.ref, name, fact.source, at=fact.at)  # what was on its way to them


def _tombstone(effects: Effects, state: PrivacyState, fact: Fact, ids: Sequence[str]) -> None:
    for ordinal, one in enumerate(ids):
        effects.erase.append((state.people.refs(one), fact.at))
        effects.out.append(
            Out(topic="profiles", key=one, id=outbound_id("erase", fact.source, one, ordinal), at=fact.at, message=None)
        )
        state.people.forget(one, at=fact.at)
