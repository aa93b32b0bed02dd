"""Every Redis key of Headrace. Nothing else in the repository spells one.

| key, after `h1:<prefix>:`         | type   | holds                                            | lives     |
|-----------------------------------|--------|--------------------------------------------------|-----------|
| `meta`                            | hash   | salt of the refs, number of counter shards       | for ever  |
| `{uXX}:profile:<ref>`             | string | version (8 bytes) and profile, alias, tombstone  | TTL       |
| `{uXX}:decisions:<ref>`           | hash   | decision id -> record                            | TTL       |
| `{uXX}:order:<ref>`               | list   | decision ids, oldest first                       | TTL       |
| `{uXX}:lists:<ref>`               | hash   | decision id -> recommended list, its answers     | TTL       |
| `{uXX}:lists-order:<ref>`         | list   | fields of the above, oldest first                | TTL       |
| `{uXX}:exports:<ref>`             | hash   | request id -> what was held then                 | TTL       |
| `{uXX}:exports-order:<ref>`       | list   | request ids, oldest first                        | TTL       |
| `{tN}:due`                        | zset   | ref and timer name, by when to fire              | while set |
| `{tN}:timers`                     | hash   | ref -> msgpack map of timer name -> due          | while set |
| `{cN}:fences`                     | hash   | topic NUL partition -> offset counted            | for ever  |
| `{cN}:events`                     | hash   | product id -> five 5-byte integers               | per item  |
| `{cN}:statistics`                 | hash   | product id -> when, fading sums (8-byte floats)  | per item  |
| `{cN}:heat`, `{cN}:heat:<categ.>` | zset   | product id by forward-decayed weight             | per item  |
| `{cN}:pairs:<product id>`         | zset   | other product id by forward-decayed weight       | per item  |
| `{items}:data`                    | hash   | product id -> item                               | per item  |
| `{items}:log`                     | zset   | product id by sequence number of its last change | per item  |
| `{items}:seq`                     | string | last sequence number                             | for ever  |
| `{policy:<name>}:stats`           | hash   | topic NUL partition -> statistics                | for ever  |
| `{policy:<name>}:offsets`         | hash   | topic NUL partition -> offset they include       | for ever  |
| `{policy:<name>}:rules`           | string | who decides, and how it came to be               | for ever  |
| `{policy:<name>}:snapshot:<v>`    | string | what was believed under version v                | TTL       |
| `{pool:<pool key>}:variants`      | hash   | variant id -> text                               | per pool  |
| `{uXX}:watching:<ref>`            | zset   | product id by when the shopper turned to it last | TTL       |
| `{wN}:watchers:<product id>`      | hash   | ref -> interest, packed                          | TTL       |
| `{wN}:times:<product id>`         | zset   | ref by when they turned to it last               | TTL       |
| `{wN}:alert:<kind>:<product id>`  | string | offset (8 bytes) and what is to be told          | TTL       |

Braces are Redis Cluster hash tags. `uXX` is the first byte of the ref: everything of one shopper lies in one slot, and a batch of
600 shoppers needs some 230 commands there, not 600.
"""

from __future__ import annotations

import re
import zlib
from hashlib import blake2b

LAYOUT = "h1"  # of keys and values; another number is another layout, side by side with this one


def ref(salt: bytes, user_id: str) -> str:
    """A salted hash of a user id, 32 hex digits."""
    return blake2b(salt + user_id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def source_field(topic: str, partition: int) -> str:
    return f"{topic}\0{partition}"


def read_source(field: bytes) -> tuple[str, int]:
    topic, _, partition = field.decode().rpartition("\0")
    return topic, int(partition)


def user_tag(ref: str) -> str:
    """Shoppers of one tag share a slot."""
    return ref[:2]


def timer_shard(ref: str, shards: int) -> int:
    return int(ref[2:4], 16) % shards


WATCH_SHARDS = 16


def product_shard(product_id: str) -> int:
    """Products of one shard share a slot, as far as interests in them go."""
    return zlib.crc32(product_id.encode()) % WATCH_SHARDS


class Keys:
    """Key names under one prefix."""

    def __init__(self, prefix: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", prefix):
            raise ValueError(f"prefix must be 1 to 64 letters, digits, dots, dashes or underscores, got {prefix!r}")
        self.root = f"{LAYOUT}:{prefix}:"
        self.meta = f"{self.root}meta"
        self.items = f"{self.root}{{items}}:data"
        self.item_log = f"{self.root}{{items}}:log"
        self.item_seq = f"{self.root}{{items}}:seq"

    def profile(self, ref: str) -> str:
        return f"{self.root}{{u{ref[:2]}}}:profile:{ref}"

    def decisions(self, ref: str) -> str:
        return f"{self.root}{{u{ref[:2]}}}:decisions:{ref}"

    def order(self, ref: str) -> str:
        return f"{self.root}{{u{ref[:2]}}}:order:{ref}"

    def lists(self, ref: str) -> str:
        return f"{self.root}{{u{ref[:2]}}}:lists:{ref}"

    def lists_order(self, ref: str) -> str:
        return f"{self.root}{{u{ref[:2]}}}:lists-order:{ref}"

    def exports(self, ref: str) -> str:
        return f"{self.root}{{u{ref[:2]}}}:exports:{ref}"

    def exports_order(self, ref: str) -> str:
        return f"{self.root}{{u{ref[:2]}}}:exports-order:{ref}"

    def due(self, shard: int) -> str:
        return f"{self.root}{{t{shard}}}:due"

    def timers(self, shard: int) -> str:
        return f"{self.root}{{t{shard}}}:timers"

    def fences(self, shard: int) -> str:
        return f"{self.root}{{c{shard}}}:fences"

    def events(self, shard: int) -> str:
        return f"{self.root}{{c{shard}}}:events"

    def statistics(self, shard: int) -> str:
        return f"{self.root}{{c{shard}}}:statistics"

    def heat(self, shard: int, category: str | None = None) -> str:
        return f"{self.root}{{c{shard}}}:heat" if category is None else f"{self.root}{{c{shard}}}:heat:{category}"

    def pairs(self, shard: int, product_id: str) -> str:
        return f"{self.root}{{c{shard}}}:pairs:{product_id}"

    def policy_stats(self, name: str) -> str:
        return f"{self.root}{{policy:{name}}}:stats"

    def policy_offsets(self, name: str) -> str:
        return f"{self.root}{{policy:{name}}}:offsets"

    def policy_rules(self, name: str) -> str:
        return f"{self.root}{{policy:{name}}}:rules"

    def policy_snapshot(self, name: str, version: str) -> str:
        return f"{self.root}{{policy:{name}}}:snapshot:{version}"

    def variants(self, pool_key: str) -> str:
        return f"{self.root}{{pool:{pool_key}}}:variants"

    def watching(self, ref: str) -> str:
        return f"{self.root}{{u{ref[:2]}}}:watching:{ref}"

    def watchers(self, product_id: str) -> str:
        return f"{self.root}{{w{product_shard(product_id)}}}:watchers:{product_id}"

    def watch_times(self, product_id: str) -> str:
        return f"{self.root}{{w{product_shard(product_id)}}}:times:{product_id}"

    def alert(self, kind: str, product_id: str) -> str:
        return f"{self.root}{{w{product_shard(product_id)}}}:alert:{kind}:{product_id}"
