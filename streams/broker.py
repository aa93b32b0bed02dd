"""What we ask of the broker beside reading and writing: that our topics exist, and how far a group is behind."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, TopicAlreadyExistsError, for_code

from schemas.errors import FatalError, TransientError
from schemas.topics import TOPICS, Topic, full_name

__all__ = ["Client", "Lag", "ensure_topics", "lag"]

Client = str | Mapping[str, Any]  # "host:port,host:port", or keyword arguments of every aiokafka client
Lag = dict[tuple[str, int], tuple[int, int]]  # (topic, partition) -> (end offset, committed offset)


def options(client: Client) -> dict[str, Any]:
    return {"bootstrap_servers": client} if isinstance(client, str) else dict(client)


@asynccontextmanager
async def errors_named(doing: str) -> AsyncIterator[None]:
    """Kafka's errors as ours: TransientError where trying again may help, FatalError else."""
    try:
        yield
    except (KafkaConnectionError, KafkaTimeoutError, ConnectionError, TimeoutError) as error:
        raise TransientError(f"{doing}: {error}") from error
    except KafkaError as error:
        kind = TransientError if error.retriable else FatalError
        raise kind(f"{doing}: {type(error).__name__}: {error}") from error


async def ensure_topics(
    client: Client,
    prefix: str = "headrace",
    partitions: int | None = None,
    *,
    replication: int = 1,
    topics: Sequence[Topic] | None = None,
) -> list[str]:
    """Create the topics that are missing, with their partitions and configuration; returns their full names.

    A topic that exists is left as it is: changing partitions would move keys, and its configuration is the operator's.
    """
    wanted = {full_name(topic.name, prefix): topic for topic in (topics if topics is not None else TOPICS.values())}
    async with errors_named("creating topics"):
        admin = AIOKafkaAdminClient(**options(client))
        await admin.start()
        try:
            existing = set(await admin.list_topics())
            missing = {name: topic for name, topic in wanted.items() if name not in existing}
            if not missing:
                return []
            new = [
                NewTopic(name, topic.count(partitions), replication, topic_configs=dict(topic.config))
                for name, topic in missing.items()
            ]
            answer = await admin.create_topics(new)
        finally:
            await admin.close()
    for name, code, *reason in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # somebody else was faster: as good
            raise FatalError(f"cannot create topic {name}: {error.__name__}: {reason[0] if reason else ''}")
    return sorted(missing)


async def lag(client: Client, group: str, topics: Sequence[str] | None = None) -> Lag:
    """End and committed offset of each partition of `topics` (else of every topic the group has committed in).

    A partition without a commit counts from its first record that is still there, as a group that starts at the earliest would.
    """
    async with errors_named(f"reading the lag of {group}"), AsyncExitStack() as stack:
        admin = AIOKafkaAdminClient(**options(client))
        stack.push_async_callback(admin.close)
        await admin.start()
        partitions = await _partitions(admin, topics)
        # Asked by partition: the question for all of a group has no answer that aiokafka can read from the embedded broker.
        known = await admin.list_consumer_group_offsets(group, partitions=partitions) if partitions else {}
        committed = {tp: at.offset for tp, at in known.items() if at.offset >= 0}
        if topics is None:
            partitions = [tp for tp in partitions if tp.topic in {done.topic for done in committed}]
        if not partitions:
            return {}
        consumer = AIOKafkaConsumer(**options(client), enable_auto_commit=False)
        stack.push_async_callback(consumer.stop)
        await consumer.start()
        ends = await consumer.end_offsets(partitions)
        starts = await consumer.beginning_offsets([tp for tp in partitions if tp not in committed])
    return {(tp.topic, tp.partition): (ends[tp], committed.get(tp, starts.get(tp, 0))) for tp in partitions}


async def _partitions(admin: AIOKafkaAdminClient, topics: Sequence[str] | None) -> list[TopicPartition]:
    """Those of `topics` that exist, or of all but Kafka's own topics."""
    described = await admin.describe_topics()  # all: naming one that does not exist would create it on some brokers
    return [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        if (topic["topic"] in topics if topics is not None else not topic["topic"].startswith("__"))
        for partition in topic["partitions"]
    ]
