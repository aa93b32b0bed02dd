"""What the workers published, judged: one id for one effect, nothing twice, nothing missing, every broken record explained."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Message

from benchmarks.cluster import PREFIX
from schemas.events import Source
from schemas.ids import outbound_id
from schemas.messages import ProfileUpdated
from schemas.topics import short_name
from streams.effects import Out

DECIDING = ("content.email", "content.push", "suppressions")
Place = tuple[str, int, int]  # short topic, partition, offset


def messages(records: Mapping[str, Sequence[Message]]) -> dict[str, list[Any]]:
    """Each message once, by short topic, repeats dropped by their id as a consumer would. Profile updates are left out: too many."""
    out: dict[str, list[Any]] = defaultdict(list)
    for topic, held in records.items():
        name = short_name(topic, PREFIX)
        if name not in ("dead-letters", "profiles"):
            out[name] = [json.loads(message.value()) for message in unique(held) if message.value() is not None]
    return out


def unique(held: Sequence[Message]) -> list[Message]:
    """The first record of each id; dead letters by where the original lay, tombstones by key."""
    seen: dict[object, Message] = {}
    for message in held:
        seen.setdefault(name_of(message), message)
    return list(seen.values())


def name_of(message: Message) -> object:
    head = dict(message.headers() or ())
    if "dlq.topic" in head:
        return place_of(head)
    return head.get("ce_id") or ("tombstone", message.key())


def place_of(head: Mapping[str, bytes]) -> Place:
    topic = head["dlq.topic"].decode()
    name = topic.removeprefix(f"{PREFIX}.")
    return name, int(head["dlq.partition"]), int(head["dlq.offset"])


def undecided(wanted: Mapping[tuple[str, str], str], out: Mapping[str, Sequence[Any]]) -> list[str]:
    """Waits, (shopper, campaign) -> decision id, that ended in no message, no reason, and no decision to write later."""
    ends = {(message["user_id"], message["campaign"]) for topic in DECIDING for message in out.get(topic, ())}
    taken = {choice["decision_id"] for choice in out.get("decisions", ())}
    return [
        f"{user}: {campaign} was due and nothing was decided"
        for (user, campaign), decision_id in sorted(wanted.items())
        if (user, campaign) not in ends and decision_id not in taken
    ]


def check(
    records: Mapping[str, Sequence[Message]],
    *,
    due_recommendations: Sequence[Out],
    wanted: Mapping[tuple[str, str], str],
    broken: Mapping[Place, str],
) -> list[str]:
    """Everything that is wrong with the outbound topics."""
    by_name = {short_name(topic, PREFIX): held for topic, held in records.items()}
    out = messages(records)
    problems = one_id_each(out)
    due = {
        outbound_id("recommendation", Source(topic=t.topic, partition=t.partition, offset=t.offset), one.key)
        for one in due_recommendations
        if isinstance(one.message, ProfileUpdated)
        for t in one.message.triggers
    }
    got = {message["recommendation_id"] for message in out["recommendations"]}
    problems += [f"recommendation {one} is due and missing" for one in sorted(due - got)]
    problems += [f"recommendation {one} was not due" for one in sorted(got - due)]
    problems += undecided(wanted, out)
    problems += dead_letters(by_name.get("dead-letters", ()), broken)
    return problems


def one_id_each(out: Mapping[str, Sequence[Any]]) -> list[str]:
    """After dropping repeats, one trigger gives a shopper one recommendation, and one message or one reason."""
    problems = []
    lists = Counter((m["user_id"], m["trigger"]["message_id"]) for m in out["recommendations"])
    problems += [f"{user}: {n} recommendations for {trigger}" for (user, trigger), n in lists.items() if n > 1]
    ends = Counter((m["user_id"], m["campaign"], m["trigger"]["message_id"]) for topic in DECIDING for m in out[topic])
    problems += [
        f"{user}: {n} messages or reasons of {campaign} for {trigger}" for (user, campaign, trigger), n in ends.items() if n > 1
    ]
    choices = Counter(m["decision_id"] for m in out["decisions"])
    problems += [f"decision {one} was taken {n} times" for one, n in choices.items() if n > 1]
    return problems


def dead_letters(held: Sequence[Message], broken: Mapping[Place, str]) -> list[str]:
    found = {place_of(dict(message.headers() or ())): dict(message.headers() or ()) for message in held}
    problems = [
        f"broken record {place} ({broken[place]}) is not in dead letters" for place in sorted(broken.keys() - found.keys())
    ]
    for place in sorted(found.keys() - broken.keys()):
        head = found[place]
        problems.append(f"good record {place} is in dead letters: {head['dlq.reason'].decode()} {head['dlq.detail'].decode()}")
    problems += [f"dead letter {place} has no reason" for place, head in found.items() if not head.get("dlq.reason")]
    return problems
