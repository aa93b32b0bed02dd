"""`headrace api`: a process that answers, and nothing else. It reads the same Redis as the workers and writes the same topics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

from aiohttp import web

from schemas.errors import PipelineError
from streams.api.routes import Api, in_json
from streams.connect import check_kafka, connect_store
from streams.encoding import Encoding
from streams.ops.health import Health
from streams.ops.metrics import Metrics
from streams.ops.web import application, serve
from streams.pipeline import VERSION, Pipeline
from streams.publish import Publisher
from streams.running import run_to_end
from streams.settings import Settings
from streams.store.redis import RedisStore

log = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.5  # the catalogue is followed between requests too, so that the first one after a pause finds it


def web_application(pipeline: Pipeline, health: Health, *, token: str) -> web.Application:
    """Probes, document and recommendations, behind the token."""
    app = application(
        health,
        pipeline.metrics,
        token=token,
        routes=Api(pipeline, secured=bool(token)).routes(),
        variable="HEADRACE_API_TOKEN",
        public=("/openapi.json",),
    )
    app.middlewares.insert(0, in_json)
    return app


def run_api(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit status."""
    return run_to_end("api", settings, lambda: ApiProcess(settings))


class ApiProcess:
    """Everything of one process. Nothing is connected before `run`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.health = Health(stuck_s=settings.stuck_s)
        self.store = RedisStore(settings.redis_url, prefix=settings.prefix)
        self.publisher = Publisher(settings)
        self.pipeline = Pipeline(
            settings, store=self.store, publisher=self.publisher, encoding=Encoding(settings.encoder), metrics=self.metrics
        )
        self.metrics.build_info.labels(VERSION, settings.encoder, settings.generator).set(1)

    async def run(self) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        async with contextlib.AsyncExitStack() as stack:
            await connect_store(self.store, self.settings)
            stack.push_async_callback(self.store.close)
            await check_kafka(self.settings)
            await self.publisher.open()
            stack.push_async_callback(self.publisher.close)
            await self.pipeline.warm()
            self.health.needs("redis", self.store.ping)
            self.health.needs("kafka", self.publisher.ping)
            server = await serve(
                web_application(self.pipeline, self.health, token=self.settings.api_token),
                host=self.settings.api_host,
                port=self.settings.api_port,
            )
            stack.push_async_callback(server.stop)
            self.health.start()
            log.info("answering with recommendations", extra={"url": f"http://{server.host}:{server.port}"})
            follower = asyncio.create_task(self._follow())
            await stop.wait()
            follower.cancel()
            await asyncio.gather(follower, return_exceptions=True)
        return 0

    async def _follow(self) -> None:
        """Keep the catalogue and the ranker near, so that no shopper waits for them."""
        while True:
            try:
                await self.pipeline.warm()
                await self.pipeline.ranker.refresh(self.pipeline.clock())
                self.health.progress()
            except PipelineError as error:
                log.warning("waiting: %s", error)
                self.health.back_off(str(error))
            self.health.beat()
            await asyncio.sleep(FOLLOW_EVERY_S)
