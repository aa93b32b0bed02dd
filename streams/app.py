"""A worker: the Faust app with one agent a topic, the timers of the content stage, and what ops look at."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Sequence
from typing import Any

from aiokafka.errors import KafkaConnectionError, NodeNotReadyError

from models.encoder import weights
from models.weights import place
from schemas.errors import FatalError, PipelineError
from schemas.topics import full_name
from streams.connect import Unreachable, check_kafka, connect_store, together
from streams.encoding import Encoding
from streams.firing import Firing
from streams.ops.health import Health, Watchdog
from streams.ops.lag import LagPoller
from streams.ops.metrics import Metrics
from streams.ops.web import application, serve
from streams.pipeline import VERSION, Pipeline
from streams.publish import Publisher
from streams.running import run_to_end
from streams.settings import Settings
from streams.store.redis import RedisStore
from streams.transport import App, Batch, BatchSchema, credentials, new_app

log = logging.getLogger(__name__)

TOPICS_OF = {  # stage -> input topics, in the order of the picture
    "interest": ("click", "search", "social"),
    "catalog": ("catalog",),
    "recommend": ("profiles",),
    "content": (),  # woken by timers
    "feedback": ("conversion", "content.email", "content.push", "suppressions"),
    "privacy": ("identity", "privacy"),
    "learn": ("examples",),
}


def run_worker(settings: Settings, *, stages: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit status."""
    return run_to_end("worker", settings, lambda: Worker(settings, stages=stages))


class Worker:
    """Everything of one process. Nothing is connected before `run`."""

    def __init__(self, settings: Settings, *, stages: Sequence[str]) -> None:
        self.settings, self.stages = settings, tuple(stages)
        self.metrics = Metrics()
        self.health = Health(stuck_s=settings.stuck_s)
        self.store = RedisStore(settings.redis_url, prefix=settings.prefix)
        self.publisher = Publisher(settings)
        self.encoding = Encoding(settings.encoder)
        self.metrics.build_info.labels(VERSION, settings.encoder, settings.generator).set(1)
        self.pipeline = Pipeline(
            settings,
            store=self.store,
            publisher=self.publisher,
            encoding=self.encoding,
            metrics=self.metrics,
        )
        self.pipeline.waiting, self.pipeline.progressed = self.health.back_off, self.health.progress
        self.stop = asyncio.Event()
        self.fatal: BaseException | None = None

    @property
    def topics(self) -> list[str]:
        return [full_name(topic, self.settings.prefix) for stage in self.stages for topic in TOPICS_OF[stage]]

    @property
    def group(self) -> str:
        """One consumer group for each set of stages, so that every member reads the same topics."""
        return f"{self.settings.group}-{'-'.join(self.stages)}"

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.pipeline.definitions.reload)
        async with contextlib.AsyncExitStack() as stack:
            await self._connect(stack)
            self._probes()
            server = await serve(
                application(self.health, self.metrics, token=self.settings.token),
                host=self.settings.web_host,
                port=self.settings.web_port,
            )
            stack.push_async_callback(server.stop)
            watchdog = Watchdog(self.health)
            watchdog.start()
            stack.callback(watchdog.stop)
            tasks = [asyncio.create_task(watchdog.keep_beating())]
            app = self.build() if self.topics else None
            if app is not None:
                try:
                    await app.start()
                except (KafkaConnectionError, NodeNotReadyError) as error:  # it answered a moment ago
                    name = type(error).__name__
                    raise Unreachable(f"Kafka at {self.settings.kafka} does not answer ({name}): check HEADRACE_KAFKA") from None
                poller = LagPoller(
                    self.settings,
                    groups={self.group: self.topics},
                    metrics=self.metrics,
                    health=self.health,
                    assigned=lambda: [(tp.topic, tp.partition) for tp in app.consumer.assignment()],
                )
                tasks.append(asyncio.create_task(poller.run()))
            if "content" in self.stages:
                tasks.append(asyncio.create_task(self._guard(Firing(self.pipeline).run(self.stop))))
            self.health.start()
            log.info("worker ready", extra={"stages": ",".join(self.stages)})
            await self.stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if app is not None:
                await app.stop()
        if self.fatal is not None:
            raise self.fatal
        return 0

    async def _connect(self, stack: contextlib.AsyncExitStack) -> None:
        """Redis and Kafka, each with a clear word within ten seconds when it is not there. So for a model that is not."""
        if self.settings.encoder != "hash" and {"interest", "catalog"} & set(self.stages):
            weights(self.settings.encoder)  # it is loaded at the first text, and a text is no time to find that it is missing
        if self.settings.image_encoder and "catalog" in self.stages:
            place(self.settings.image_encoder)
        stack.push_async_callback(self.store.close)
        await together(connect_store(self.store, self.settings), check_kafka(self.settings))
        await self.publisher.open()
        stack.push_async_callback(self.publisher.close)
        stack.push_async_callback(self.encoding.close)
        stack.push_async_callback(self.pipeline.imaging.close)
        await self.pipeline.warm()

    def _probes(self) -> None:
        self.health.needs("redis", self.store.ping)
        self.health.needs("kafka", self.publisher.ping)
        if {"interest", "catalog"} & set(self.stages):
            self.health.needs("encoder", self.encoding.ping)

    def build(self) -> App:
        """The Faust app: the same three lines for every topic."""
        settings = self.settings
        app = new_app(
            self.group,
            bootstrap=settings.kafka,
            prefix=settings.prefix,
            instance_id=settings.instance_id,
            auth=credentials(
                mechanism=settings.kafka_mechanism,
                username=settings.kafka_username,
                password=settings.kafka_password,
                ssl_context=settings.kafka_ssl(),
            ),
            batch_records=settings.batch_records,
            batch_bytes=settings.batch_bytes,
            session_timeout_s=settings.session_timeout_s,
        )
        for name in self.topics:
            app.agent(app.topic(name, schema=BatchSchema()), name=name)(self.process)
        app.on_partitions_revoked.connect(self._rebalancing)
        app.on_rebalance_complete.connect(self._rebalanced)
        return app

    async def process(self, batches: Any) -> None:
        """An agent: effects first, then the ack, which is asking for the next batch."""
        async for batch in batches:
            await self._handle(batch)

    async def _handle(self, batch: Batch) -> None:
        try:
            await self.pipeline.handle(batch.topic, batch.partition, batch.records)
        except Exception as error:
            self._die(error)
            await asyncio.Event().wait()  # never ack this batch: the process ends
        self.health.progress()

    async def _guard(self, work: Any) -> None:
        try:
            await work
        except Exception as error:
            self._die(error)

    def _die(self, error: Exception) -> None:
        """Fatal: not ready any more, and the process ends with the batch unacked."""
        said = str(error) if isinstance(error, PipelineError) else type(error).__name__  # other words may hold personal data
        log.critical("fatal: %s", said, exc_info=not isinstance(error, PipelineError))
        self.health.fail(said)
        self.fatal = error if isinstance(error, PipelineError) else FatalError(f"{type(error).__name__}: see the log")
        self.stop.set()
        asyncio.get_running_loop().call_later(10.0, _leave)

    async def _rebalancing(self, *_: Any, **__: Any) -> None:
        self.health.rebalance_started()

    async def _rebalanced(self, *_: Any, **__: Any) -> None:
        self.metrics.rebalances.inc()
        self.health.rebalance_ended()


def _leave() -> None:
    """A fatal worker that cannot stop cleanly (a held batch blocks Faust's shutdown) leaves all the same."""
    import os

    logging.shutdown()
    os._exit(70)
