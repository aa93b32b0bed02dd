"""What the demo prints, in words, from what it found. Whatever it could not find it names, and the demo fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.shop import Shop
from examples.shoppers import CLICKS
from models.bandit import FACTORS, Posterior, Stats, merge
from models.profile import Profile
from schemas.topics import TOPICS
from streams.firing import prior

SHOWN = 5
WORTH_SAYING = 0.1  # of a sentiment from -1 to 1


@dataclass(frozen=True, kw_only=True)
class Found:
    """Everything a run left behind."""

    shop: Shop
    user_id: str | None
    profile: Profile | None
    out: Mapping[str, Sequence[Any]]
    counts: Mapping[str, int]
    lag: int
    policy: Mapping[tuple[str, int], bytes]
    broken: int
    erased: str  # who asked to be forgotten
    left_of_erased: Sequence[str]  # what the store still holds of them, the tombstone aside
    now: float


def tell(found: Found, *, out: Path) -> list[str]:
    """Print all of it; the list of what should have been there and was not."""
    problems: list[str] = []
    _profile(found, problems)
    _recommendations(found, problems)
    _email(found, problems, out=out)
    _push(found, problems)
    _suppressions(found, problems)
    _privacy(found, problems)
    _optimiser(found, problems)
    _topics(found, problems)
    return problems


def _head(title: str) -> None:
    print(f"\n== {title} " + "=" * max(0, 100 - len(title)))


def _latest(found: Found, topic: str) -> Any:
    own = [message for message in found.out[topic] if message["user_id"] == found.user_id]
    return own[-1] if own else None


def _profile(found: Found, problems: list[str]) -> None:
    _head("one shopper")
    update = _latest(found, "profiles") if found.user_id else None
    if update is None or found.profile is None:
        problems.append("a profile on headrace.profiles and in Redis for a shopper with recommendations, e-mail and push")
        return
    names = {wire.key: (wire.value or {})["name"] for wire in found.shop.catalogue}
    band, rfm = update["price_band"], update["rfm"] or {"orders": 0, "revenue": 0.0}
    print(f"Shopper {found.user_id}: a real household; name, consents and browsing simulated. Version {update['version']}.")
    print(f"Most interested in {_shares(update['top_categories'])}; brands {_shares(update['top_brands'])}.")
    if band:
        print(f"Usually pays about {band['typical']:.2f}, between {band['low']:.2f} and {band['high']:.2f}.")
    print(f"{rfm['orders']} orders for {rfm['revenue']:.2f} in all; lately {_recent(found.profile, names)}.")
    for category, value in sorted(update["sentiment"].items(), key=lambda pair: -abs(pair[1]))[:2]:
        if abs(value) >= WORTH_SAYING:
            print(f"Spoke {'well' if value > 0 else 'badly'} of {category} ({value:+.2f}).")
    if not update["top_categories"]:
        problems.append("an interest in at least one category")


def _shares(affinities: Sequence[Any]) -> str:
    return ", ".join(f"{one['name']} ({one['share']:.0%})" for one in affinities[:3]) or "none yet"


def _recent(profile: Profile, names: Mapping[str, str]) -> str:
    latest = sorted(profile.bought.items(), key=lambda pair: -pair[1][2])[:3]
    return "; ".join(names.get(product_id, product_id) for product_id, _ in latest) or "nothing"


def _recommendations(found: Found, problems: list[str]) -> None:
    _head("recommended, with reasons")
    recommended = _latest(found, "recommendations") if found.user_id else None
    items = recommended["items"][:SHOWN] if recommended else []
    for place, item in enumerate(items, 1):
        print(
            f"{place}. {item['name']}, {item['price']:.2f} {item['currency']}  [{item['source']}, {item['score']:.2f}]  {item['reason']['text']}"
        )
    if recommended:
        print(f"(after {recommended['trigger']['type']}; encoder {recommended['model']['encoder']})")
    if len(items) < SHOWN or not all(item["reason"]["text"] for item in items):
        problems.append(f"{SHOWN} recommendations with reasons for one shopper, got {len(items)}")


def _email(found: Found, problems: list[str], *, out: Path) -> None:
    _head("an e-mail")
    email = _latest(found, "content.email") if found.user_id else None
    if email is None:
        problems.append("an e-mail on headrace.content.email for the shopper shown")
        return
    content = email["content"]
    path = out / "demo-email.html"
    path.write_text(content["html"], encoding="utf-8")
    print(f"Subject: {content['subject']}\nPreheader: {content['preheader']}\n\n{content['text'].strip()}")
    print(f"\n({_origin(email)}; as a page: {path})")
    problems += _facts(email, found)


def _push(found: Found, problems: list[str]) -> None:
    _head("a push")
    push = _latest(found, "content.push") if found.user_id else None
    if push is None:
        problems.append("a push on headrace.content.push for the shopper shown")
        return
    print(f"{push['content']['title']}\n{push['content']['body']}\n({_origin(push)})")
    problems += _facts(push, found)


def _origin(message: Any) -> str:
    made = message["generation"]
    written = {
        "model": "written by the language model",
        "pool": "from the pool of verified copy",
        "template": "hand-written template",
    }
    by = f" by {made['model']}" if made.get("model") else ""
    return f"{message['campaign']}; {written[made['source']]}{by}; sent with probability {message['propensity']:.3f}"


def _facts(message: Any, found: Found) -> list[str]:
    """Every product of a message must be as in the catalogue."""
    known = {wire.key: wire.value or {} for wire in found.shop.catalogue}
    wrong = [
        item["product_id"]
        for item in message["items"]
        if (item["name"], item["price"], item["currency"])
        != tuple(known.get(item["product_id"], {}).get(field) for field in ("name", "price", "currency"))
    ]
    return [f"facts equal to the catalogue for {product_id} in message {message['message_id']}" for product_id in wrong]


def _suppressions(found: Found, problems: list[str]) -> None:
    _head("not sent, and why")
    held = found.out["suppressions"]
    for reason, n in Counter(one["reason"] for one in held).most_common():
        print(f"{n:5}  {reason}")
    if not held:
        problems.append("a suppression with its reason")
        return
    one = held[-1]
    by = f" by {one['channel']}" if one["channel"] else ""
    print(f"For example {one['user_id']}: {one['campaign']}{by} was not sent: {one['reason']}.")


def _privacy(found: Found, problems: list[str]) -> None:
    _head("forgotten")
    print(f"Shopper {found.erased} asked to be erased (simulated): {len(found.left_of_erased)} values left in Redis.")
    if found.left_of_erased:
        problems.append(f"an erasure that leaves nothing; left: {', '.join(found.left_of_erased)}")


def _optimiser(found: Found, problems: list[str]) -> None:
    _head("what the optimiser learned from the simulated answers")
    total = merge([Stats.decode(data) for data in found.policy.values()])
    decided = [one for one in found.out["decisions"] if one["policy"] == "thompson" and one["context"]]
    if not total.arms or not decided:
        problems.append("decisions, and rewards joined to them")
        return
    posterior = Posterior(merge([total, prior(found.now)]), now=found.now)  # as the worker has it
    fade = 1.0 / total.weight(found.now)
    context = decided[-1]["context"]
    print(f"{'factor':<10}{'arm':<12}{'decided':>9}{'chosen next':>13}")
    for factor, arms in FACTORS.items():
        for arm, share in zip(arms, posterior.propensities(factor, context), strict=True):
            sums = total.arms.get((factor, arm))
            n = sums.n * fade if sums is not None else 0.0  # no mean reward: the policy chose who got which arm
            print(f"{factor:<10}{arm:<12}{n:>9.0f}{share:>13.2f}")
    taste = ", ".join(f"{tone} {share:.0%}" for tone, share in CLICKS.items())
    print(
        f"(Simulated shoppers click by tone: {taste}. A few dozen answers only begin to show it. `chosen next`: for the shopper decided last.)"
    )
    if sum(sums.sum_r for sums in total.arms.values()) <= 0:
        problems.append("at least one rewarded decision")


def _topics(found: Found, problems: list[str]) -> None:
    _head("records by topic")
    for name, topic in TOPICS.items():
        print(f"{found.counts.get(name, 0):7,}  {topic.direction:<8}  {topic.name}")
    print(f"consumer lag {found.lag}")
    silent = [name for name in found.out if not found.counts.get(name)]
    if silent:
        problems.append(f"records on {', '.join(silent)}")
    letters = found.out["dead-letters"]
    for letter in letters[:5]:
        print(f"dead letter: {letter['dlq.topic']}[{letter['dlq.partition']}]@{letter['dlq.offset']}: {letter['dlq.reason']}")
    if len({(one["dlq.topic"], one["dlq.partition"], one["dlq.offset"]) for one in letters}) != found.broken:
        problems.append(f"exactly the {found.broken} records broken on purpose in dead letters, got {len(letters)}")
    if found.lag:
        problems.append(f"lag zero, got {found.lag}")
