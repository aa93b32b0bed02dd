"""How often a client asks for the leaders of partitions while nobody knows them."""

import asyncio
from collections.abc import Iterable

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata

from streams.embedded import EmbeddedKafka
from streams.publish import Publisher
from streams.settings import Settings
from streams.transport.pace import pace


async def questions(client: AIOKafkaClient, *, seconds: float) -> int:
    """As the sender of aiokafka does while a partition has no leader: ask, and when that is over, ask again."""
    sync = asyncio.create_task(client._md_synchronizer())
    asked = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                await client.force_metadata_update()
                asked += 1
                await asyncio.sleep(0)
    except TimeoutError:
        return asked
    finally:
        sync.cancel()
        await client.close()


async def test_a_broker_that_is_away_is_asked_ten_times_a_second_not_a_thousand_times() -> None:
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    pace(client)

    assert 2 <= await questions(client, seconds=0.45) <= 5


@pytest.mark.parametrize("led", [False, True])
async def test_only_partitions_without_a_leader_make_it_wait(monkeypatch: pytest.MonkeyPatch, led: bool) -> None:
    async def answer(self: AIOKafkaClient, cluster: ClusterMetadata, topics: Iterable[str]) -> bool:
        cluster._partitions = {"t": {0: object()}} if led else {}
        return True

    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", answer)
    monkeypatch.setattr(
        ClusterMetadata, "available_partitions_for_topic", lambda self, topic: set(self._partitions.get(topic, ()))
    )
    client = AIOKafkaClient(bootstrap_servers="127.0.0.1:1")
    client._topics = {"t"}
    pace(client)

    asked = await questions(client, seconds=0.3)
    assert asked > 20 if led else asked <= 4


async def test_the_producer_of_a_worker_is_paced(monkeypatch: pytest.MonkeyPatch) -> None:
    paced = []
    monkeypatch.setattr("streams.publish.pace", paced.append)
    publisher = Publisher(Settings.read({"HEADRACE_KAFKA": "127.0.0.1:1", "HEADRACE_REDIS": "redis://127.0.0.1:1/0"}))
    with pytest.raises(Exception, match="kafka"):
        await publisher.open()

    assert len(paced) == 1


async def test_a_publisher_that_asks_for_all_topics_gets_an_answer() -> None:
    with EmbeddedKafka() as kafka:
        publisher = Publisher(Settings.read({"HEADRACE_KAFKA": kafka.address, "HEADRACE_REDIS": "redis://127.0.0.1:1/0"}))
        await publisher.open()
        await publisher.ping()  # /ready asks this
        await publisher.close()
