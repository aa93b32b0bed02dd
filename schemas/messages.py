"""What others read: every outbound message. Times are ISO 8601 strings (`iso`); new fields have defaults.

No message carries an address: `identifier_key` names the shopper's property that the sender looks up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from schemas.errors import DEAD_LETTER_REASONS
from schemas.fields import IsoTime, Share, one_of
from schemas.limits import MAX_DETAIL_CHARS, MAX_PUSH_BODY_CHARS, MAX_PUSH_TITLE_CHARS
from schemas.times import iso, parse_iso

__all__ = [
    "REASONS",
    "Affinity",
    "Button",
    "ChannelUse",
    "Cta",
    "Decided",
    "EmailContent",
    "EmailReady",
    "Factor",
    "Generation",
    "Message",
    "MessageItem",
    "PriceBand",
    "ProfileUpdated",
    "PushContent",
    "PushReady",
    "Reason",
    "Recommended",
    "RecommendedItem",
    "Rfm",
    "Suppressed",
    "Trigger",
    "TriggerRef",
    "Unsubscribe",
    "dead_letter_headers",
    "iso",
    "parse_iso",
]

REASONS: Final = (
    "duplicate",
    "bot",
    "erased",
    "no_consent",
    "unsubscribed",
    "personalization_opt_out",
    "holdout_global",
    "holdout_campaign",
    "already_converted",
    "out_of_stock",
    "price_changed",
    "frequency_capped",
    "quiet_hours_aborted",
    "expired",
    "content_rejected",
    "send_nothing",
)


class Part(Struct, frozen=True, kw_only=True):
    """Policy of everything inside a message."""


class Outbound(Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Policy of all messages: `type` is the struct's name."""


class TriggerRef(Part, frozen=True, kw_only=True):
    """Which event led to this."""

    type: str
    message_id: str


class Trigger(Part, frozen=True, kw_only=True):
    """An event that is worth a recommendation, with its source, from which all ids follow."""

    type: str
    message_id: str
    topic: str  # short name
    partition: int
    offset: int
    at: IsoTime
    product_id: str | None = None


class Affinity(Part, frozen=True, kw_only=True):
    """How much of a shopper's interest goes to one category or brand."""

    name: str
    share: Share


class PriceBand(Part, frozen=True, kw_only=True):
    """Where the prices lie that a shopper looks at."""

    low: float
    typical: float
    high: float


class Rfm(Part, frozen=True, kw_only=True):
    """Recency, frequency, monetary."""

    orders: int
    revenue: float
    last_order_at: IsoTime | None = None


class ChannelUse(Part, frozen=True, kw_only=True):
    """What a shopper did with the messages of one channel."""

    sent: int = 0
    opened: int = 0
    clicked: int = 0


class ProfileUpdated(Outbound, frozen=True, kw_only=True):
    """A profile moved. The public view: no vectors, nothing that the shopper typed."""

    user_id: str
    version: int
    at: IsoTime
    top_categories: list[Affinity] = []
    top_brands: list[Affinity] = []
    price_band: PriceBand | None = None
    sentiment: dict[str, float] = {}  # category -> -1 to 1
    rfm: Rfm | None = None
    channels: dict[str, ChannelUse] = {}
    locale: str | None = None
    timezone: str | None = None
    triggers: list[Trigger] = []  # what the recommend stage answers


class Reason(Part, frozen=True, kw_only=True):
    """Why an item is shown: true, and in words."""

    code: str
    text: str
    product_id: str | None = None
    category: str | None = None


class RecommendedItem(Part, frozen=True, kw_only=True):
    """One item, with the catalogue's facts at that moment."""

    product_id: str
    score: float
    source: str
    reason: Reason
    decision_token: str
    name: str
    price: float
    currency: str
    url: str | None = None
    image_url: str | None = None


class Recommended(Outbound, frozen=True, kw_only=True):
    """What to show a shopper, best first."""

    recommendation_id: str
    decision_id: str
    user_id: str
    surface: str
    at: IsoTime
    expires_at: IsoTime
    trigger: TriggerRef | None
    propensity: Share
    items: list[RecommendedItem]
    model: dict[str, str]


class Cta(Part, frozen=True, kw_only=True):
    """Call to action."""

    label: str
    url: str


class EmailContent(Part, frozen=True, kw_only=True):
    subject: str
    preheader: str
    html: str
    text: str
    cta: Cta | None = None


class Button(Part, frozen=True, kw_only=True):
    label: str
    url: str


class PushContent(Part, frozen=True, kw_only=True):
    title: Annotated[str, Meta(max_length=MAX_PUSH_TITLE_CHARS)]
    body: Annotated[str, Meta(max_length=MAX_PUSH_BODY_CHARS)]
    image_url: str | None = None
    deep_link: str | None = None
    buttons: list[Button] = []


class MessageItem(Part, frozen=True, kw_only=True):
    """An item that the message is about; `price_as_of` lets the sender refuse an old price."""

    product_id: str
    name: str
    price: float
    currency: str
    url: str | None = None
    image_url: str | None = None
    price_as_of: IsoTime | None = None


class Unsubscribe(Part, frozen=True, kw_only=True):
    """Header values for one-click unsubscribe (RFC 8058)."""

    list_unsubscribe: str
    list_unsubscribe_post: str
    list_id: str


class Generation(Part, frozen=True, kw_only=True):
    """Who wrote it."""

    source: Annotated[Literal["model", "pool", "template"], Meta(description="model: just now; pool: by a model, before.")]
    model: str | None = None
    prompt_version: str | None = None
    verified: bool = True
    ai_generated: bool = False


class Ready(Outbound, frozen=True, kw_only=True):
    """What e-mail and push have in common. `idempotency_key` is the same however often the record comes."""

    message_id: str
    idempotency_key: str
    decision_id: str
    user_id: str
    identifier_key: str
    channel: str
    category: str
    subscription_group: str
    campaign: str
    variant_id: str
    locale: str
    not_before: IsoTime
    send_by: IsoTime
    items: list[MessageItem]
    generation: Generation
    trigger: TriggerRef | None
    propensity: Share


class EmailReady(Ready, frozen=True, kw_only=True):
    """An e-mail to send between `not_before` and `send_by`, or not at all."""

    content: EmailContent
    unsubscribe: Unsubscribe


class PushReady(Ready, frozen=True, kw_only=True):
    """A push notification to send between `not_before` and `send_by`, or not at all."""

    content: PushContent
    collapse_key: str
    ttl_s: int
    priority: Annotated[str, one_of("normal", "high")] = "normal"
    unsubscribe: Unsubscribe | None = None


class Suppressed(Outbound, frozen=True, kw_only=True):
    """A message that was not sent, and why."""

    user_id: str
    decision_id: str | None
    campaign: str
    channel: str | None
    reason: Annotated[str, one_of(*REASONS)]
    at: IsoTime
    trigger: TriggerRef | None
    definitions: str | None = None  # version of the campaign definitions that it was refused under

    def __post_init__(self) -> None:
        if self.reason not in REASONS:
            raise ValueError(f"reason must be one of {', '.join(REASONS)}")


class Factor(Part, frozen=True, kw_only=True):
    """One choice out of several arms, with the probability that it had."""

    arm: str
    propensity: Share
    propensities: dict[str, float]


class Decided(Outbound, frozen=True, kw_only=True):
    """A decision, with enough to compute it again."""

    decision_id: str
    user_id: str
    policy: str
    policy_version: str
    at: IsoTime
    context: list[float]
    factors: dict[str, Factor]
    floor: float
    holdout: str | None = None
    campaign: str | None = None  # which campaign a message belongs to; None: a recommendation
    definitions: str | None = None  # version of the campaign definitions that it was taken under


Message = ProfileUpdated | Recommended | EmailReady | PushReady | Suppressed | Decided


def dead_letter_headers(
    original: Iterable[tuple[str, bytes]],
    *,
    topic: str,
    partition: int,
    offset: int,
    timestamp_s: float,
    stage: str,
    reason: str,
    detail: str,
    attempts: int,
    failed_at: float,
    app_version: str,
) -> list[tuple[str, bytes]]:
    """The record's own headers, then where it came from and why it failed. A second failure replaces the first one's."""
    if reason not in DEAD_LETTER_REASONS:
        raise ValueError(f"reason must be one of {DEAD_LETTER_REASONS}, got {reason!r}")
    kept = [(name, value) for name, value in original if not name.startswith("dlq.")]
    said = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "timestamp": iso(timestamp_s) if timestamp_s > 0 else "",
        "stage": stage,
        "reason": reason,
        "detail": detail[:MAX_DETAIL_CHARS],
        "attempts": str(attempts),
        "failed-at": iso(failed_at),
        "app-version": app_version,
    }
    return kept + [(f"dlq.{name}", text.encode()) for name, text in said.items()]
