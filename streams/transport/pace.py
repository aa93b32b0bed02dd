"""aiokafka asks for the leaders of partitions again at once when nobody answered, for as long as the producer has something to send.

While a broker is away that is thousands of connection attempts a second (`Sender._sender_routine` says that it waits a back-off
time, and does not). Here the wait is put where every question goes through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata

WAIT_S = 0.1


def pace(client: AIOKafkaClient, *, wait_s: float = WAIT_S) -> None:
    """From now on a question that nobody answered, or that left a partition without a leader, is asked again after `wait_s`."""
    ask = client._metadata_update

    async def update(cluster: ClusterMetadata, topics: Iterable[str] | None) -> bool:
        answered = bool(await ask(cluster, topics))
        if not answered or not led(cluster, topics or ()):  # None: of all topics
            await asyncio.sleep(wait_s)
        return answered

    client._metadata_update = update


def led(cluster: ClusterMetadata, topics: Iterable[str]) -> bool:
    """Does every partition of these topics have a leader?"""
    for topic in topics:
        known = cluster.partitions_for_topic(topic)
        if known is None or cluster.available_partitions_for_topic(topic) != known:
            return False
    return True
