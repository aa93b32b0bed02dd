"""Every topic: the only place where a topic is named.

Inside the program a topic has its short name ("click"); the full name carries the prefix ("headrace.click").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from schemas.limits import MAX_INBOUND_BYTES

DAY_S: Final = 86_400.0
DEFAULT_PREFIX: Final = "headrace"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One Kafka topic, and what others may rely on."""

    name: str  # short
    direction: Literal["in", "out", "internal"]  # internal: between stages, nothing that others may rely on
    key: str  # what the record key is
    partitions: int
    cleanup: Literal["delete", "compact"]
    retention_s: float | None  # None: compacted, kept
    holds: str
    min_compaction_lag_s: float | None = None
    max_message_bytes: int = MAX_INBOUND_BYTES
    fixed: bool = False  # the number of partitions is no setting

    def count(self, partitions: int | None) -> int:
        """How many partitions to create where the setting says `partitions`."""
        return self.partitions if self.fixed or not partitions else partitions

    @property
    def config(self) -> dict[str, str]:
        """Kafka's topic configuration, as strings."""
        config = {"cleanup.policy": self.cleanup, "max.message.bytes": str(self.max_message_bytes)}
        if self.retention_s is not None:
            config["retention.ms"] = str(int(self.retention_s * 1000))
        if self.min_compaction_lag_s is not None:
            config["min.compaction.lag.ms"] = str(int(self.min_compaction_lag_s * 1000))
        return config


def _inbound(name: str, holds: str, *, days: float, key: str = "userId, else anonymousId") -> Topic:
    return Topic(name=name, direction="in", key=key, partitions=12, cleanup="delete", retention_s=days * DAY_S, holds=holds)


def _outbound(name: str, holds: str, *, days: float) -> Topic:
    return Topic(name=name, direction="out", key="userId", partitions=12, cleanup="delete", retention_s=days * DAY_S, holds=holds)


_ALL = (
    _inbound("click", "page and product behaviour: viewed, clicked, impression, wishlist, cart, checkout, promotion", days=7),
    _inbound("search", "Products Searched", days=7),
    _inbound("social", "Product Shared, Product Reviewed, Social Post", days=7),
    _inbound("conversion", "Order Completed, Order Refunded, and delivery feedback of e-mails and pushes", days=30),
    Topic(
        name="catalog",
        direction="in",
        key="product_id",
        partitions=12,
        cleanup="compact",
        retention_s=None,
        holds="Product Upserted; an empty value deletes the product",
    ),
    _inbound("identity", "identify, alias, consent and subscription changes", days=30, key="userId"),
    _inbound("privacy", "Erase, Export, Opt Out, Opt In", days=30, key="userId"),
    Topic(
        name="profiles",
        direction="out",
        key="userId",
        partitions=12,
        cleanup="compact",
        retention_s=None,
        holds="ProfileUpdated",
        min_compaction_lag_s=DAY_S,  # the recommend stage reads the triggers of every update, not only of the last
    ),
    _outbound("recommendations", "Recommended", days=7),
    _outbound("content.email", "an e-mail ready to send", days=7),
    _outbound("content.push", "a push notification ready to send", days=7),
    _outbound("suppressions", "what was not sent, and why", days=30),
    _outbound("decisions", "every choice with its probability", days=90),
    Topic(
        name="examples",
        direction="internal",
        key="example id",
        partitions=1,  # the ranker learns in order: one learner owns it
        cleanup="delete",
        retention_s=7 * DAY_S,
        holds="lists with their answers, without a user id, from which the ranker learns",
        fixed=True,
    ),
    Topic(
        name="dead-letters",
        direction="out",
        key="original key",
        partitions=3,
        cleanup="delete",
        retention_s=30 * DAY_S,
        holds="raw bytes of what failed",
        max_message_bytes=MAX_INBOUND_BYTES + 1024 * 1024,  # the largest inbound record, and the headers that say why
    ),
)

TOPICS: Final[Mapping[str, Topic]] = {topic.name: topic for topic in _ALL}
PUBLISHED: Final = tuple(topic for topic in _ALL if topic.direction != "internal")
INBOUND: Final = tuple(topic.name for topic in _ALL if topic.direction == "in")
OUTBOUND: Final = tuple(topic.name for topic in _ALL if topic.direction == "out")


def full_name(short: str, prefix: str = DEFAULT_PREFIX) -> str:
    """The name on the broker. KeyError for a topic that the table does not hold."""
    return f"{prefix}.{TOPICS[short].name}"


def short_name(full: str, prefix: str = DEFAULT_PREFIX) -> str:
    """The name in the table. KeyError for a topic that the table does not hold."""
    head = f"{prefix}."
    if not full.startswith(head):
        raise KeyError(full)
    return TOPICS[full[len(head) :]].name
