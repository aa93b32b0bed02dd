"""A Faust app with Faust's traps closed. Why each setting: ARCHITECTURE.md and the comments here."""

from collections.abc import Callable, Sequence
from ssl import SSLContext
from typing import Any

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.events import Event
from faust.serializers.schemas import Schema
from faust.tables.manager import TableManager
from faust.transport.drivers import TRANSPORTS
from faust.types import ConsumerMessage, EventT

from streams.record import Batch
from streams.transport.batching import Batching

__all__ = ["URGENT", "App", "BatchSchema", "install", "new_app"]

SCHEME = "headrace"
URGENT = ("privacy", "identity", "conversion", "catalog")  # short names of the topics that go first


class BatchSchema(Schema[bytes, Batch]):
    """Nothing to decode: the value of an event is the Batch itself."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Any]:
        async def decode(message: ConsumerMessage, *, propagate: bool = False) -> EventT[Batch]:
            return Event(app, None, message.value, None, message)

        return decode


class NoTables(TableManager):
    """Faust waits a second for tables that might still be declared. There are none: a worker is ready a second earlier."""

    async def on_start(self) -> None:
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


class App(faust.App):
    """A Faust app that reads batches and keeps nothing on disk."""

    batching: Batching = Batching()

    def _create_directories(self) -> None:
        """No tables, so no data directory."""


def install() -> None:
    """Teach Faust the scheme of `headrace://host:port`. Once or often."""
    TRANSPORTS.aliases[SCHEME] = "streams.transport.consumer:Transport"


def credentials(
    *, mechanism: str = "", username: str = "", password: str = "", ssl_context: SSLContext | None = None
) -> SASLCredentials | SSLCredentials | None:
    """What Faust wants for SASL, TLS or both; None for a plain broker."""
    if mechanism:
        return SASLCredentials(mechanism=mechanism, username=username, password=password, ssl_context=ssl_context)
    return SSLCredentials(context=ssl_context) if ssl_context is not None else None


def new_app(
    group: str,
    *,
    bootstrap: str | Sequence[str],
    prefix: str = "headrace",
    urgent: Sequence[str] = URGENT,
    instance_id: str = "",
    auth: SASLCredentials | SSLCredentials | None = None,
    batch_records: int = 1000,
    batch_bytes: int = 4 * 1024 * 1024,
    buffer_bytes: int = 64 * 1024 * 1024,
    session_timeout_s: float = 30.0,
    heartbeat_s: float | None = None,
    commit_interval_s: float = 0.3,
    request_timeout_s: float = 90.0,
    drain_s: float = 20.0,
    web: bool = False,
    web_port: int = 0,
) -> App:
    """An app of consumer group `group` on `bootstrap` ("host:port,host:port"), whose events are Batches.

    Agents take a topic of raw batches and let `async for` ack: a batch is acked when the next one is asked for, so finish its
    effects inside the loop body, and never raise out of it (Faust would ack what failed).
    To leave a batch unacked, end the process.

        topic = app.topic("headrace.click", schema=BatchSchema())

        @app.agent(topic)
        async def click(stream):
            async for batch in stream:          # Batch(topic, partition, records)
                await commit(await interest(batch))

    Where the ack must come by hand: `async for event in stream.noack().events(): ...; event.ack()`, in the event loop.
    """
    install()
    servers = bootstrap.split(",") if isinstance(bootstrap, str) else list(bootstrap)
    app = App(
        group,
        broker=[f"{SCHEME}://{server.strip()}" for server in servers],
        broker_credentials=auth,
        consumer_group_instance_id=instance_id or None,  # static membership: a quick restart moves no partitions
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=heartbeat_s or min(3.0, session_timeout_s / 5),
        broker_request_timeout=max(request_timeout_s, session_timeout_s),
        broker_rebalance_timeout=60.0,
        broker_max_poll_interval=300.0,
        broker_commit_interval=commit_interval_s,  # the replay window after a crash
        broker_max_poll_records=None,  # the transport bounds what it fetches
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=True,  # a rebalance waits for the batches in work
        stream_buffer_maxsize=64,  # never reached: a lane holds `Batching.open` batches
        stream_processing_timeout=120.0,
        broker_commit_livelock_soft_timeout=120.0,
        producer_acks=-1,
        producer_linger=0.005,
        producer_max_batch_size=64 * 1024,
        producer_request_timeout=60.0,  # Faust's default holds sends for 20 minutes in an outage
        producer_threaded=False,  # its flush and stop are broken
        table_standby_replicas=0,  # no tables: no recovery, no standby, no changelog
        topic_disable_leader=True,  # no __assignor-__leader topic
        topic_allow_declare=False,  # topics are made by ensure_topics
        TableManager=NoTables,
        store="memory://",
        web_enabled=web,
        web_bind="127.0.0.1",
        web_port=web_port or None,
        web_in_thread=False,
        debug=False,
    )
    app.batching = Batching(
        records=batch_records,
        bytes=batch_bytes,
        buffer_bytes=buffer_bytes,
        drain_s=drain_s,
        urgent=frozenset(f"{prefix}.{short}" for short in urgent),
    )
    return app
