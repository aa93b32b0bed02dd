"""Who is kept out to measure what the rest gained: sticky, salted, and the same on every worker and in every year."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache


def bucket(user_id: str, *, salt: str) -> float:
    """A number in [0, 1) that never changes for this shopper and salt, and says nothing about another salt.

    >>> round(bucket("u1", salt="global"), 6) == round(bucket("u1", salt="global"), 6)
    True
    """
    digest = _salted(salt).copy()
    digest.update(user_id.encode())
    return (int.from_bytes(digest.digest(), "big") >> 11) / 2**53


@lru_cache(maxsize=256)  # salts are few, and asked for at every event; ids are not kept
def _salted(salt: str) -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=8, key=hashlib.blake2b(salt.encode(), digest_size=32).digest())


@dataclass(frozen=True, kw_only=True)
class Holdouts:
    """Shares of shoppers who get nothing at all, or nothing of one campaign."""

    salt: str
    global_share: float = 0.05  # 0-1
    campaign_shares: Mapping[str, float] = field(default_factory=dict)  # campaign -> 0-1

    def __post_init__(self) -> None:
        for name, share in (("global", self.global_share), *self.campaign_shares.items()):
            if not 0 <= share < 1:
                raise ValueError(f"holdout share of {name} must be in [0, 1), got {share}")

    def is_global(self, user_id: str) -> bool:
        return bucket(user_id, salt=f"{self.salt}:global") < self.global_share

    def is_campaign(self, user_id: str, campaign: str) -> bool:
        return bucket(user_id, salt=f"{self.salt}:campaign:{campaign}") < self.campaign_shares.get(campaign, 0.0)

    def of(self, user_id: str, campaign: str) -> str | None:
        """`"global"`, `"campaign"` or None, as the decision record says it. Always ask for the canonical id."""
        if self.is_global(user_id):
            return "global"
        return "campaign" if self.is_campaign(user_id, campaign) else None
