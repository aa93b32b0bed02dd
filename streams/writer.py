"""The writer: a process of its own that keeps the pool of copy warm, so that no message ever waits for a language model."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence

from models.catalog import Catalogue
from models.copy.nouns import noun_of
from models.copy.pool import TONES, Key, Variant, decode_variant, encode_variant
from models.copy.segments import SEGMENTS
from models.copy.write import Ask, Breaker, Written, write_variants
from models.encoder import Encoder
from models.generator import TextGenerator, generator_for
from models.hashing import HashEncoder
from schemas.errors import PipelineError, TransientError
from streams.aside import aside, leave
from streams.commit import back_off
from streams.connect import Unreachable, connect_store
from streams.definitions import DefinitionsWatch
from streams.ops.health import Health
from streams.ops.logging import configure
from streams.ops.metrics import Metrics
from streams.ops.supervise import GIVE_UP, end_with_parent
from streams.ops.web import application, serve
from streams.pipeline import DIM, VERSION
from streams.settings import Settings
from streams.store import Store
from streams.store.redis import RedisStore
from streams.wording import occasions

log = logging.getLogger(__name__)

LANGUAGE = "en"
KEEP = 3  # variants of one key for any reader
KEEP_FOR = 2  # variants of one key for readers of one segment
THINGS = 1  # things written about in one turn: all their keys share one drawing of pieces
BUDGET_S = 45.0  # of model time in one turn
IDLE_S = 5.0
TRY_AGAIN_S = 3600.0  # before a key for which nothing good came is asked for again


def run_writer(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT."""
    configure(level=settings.log_level, style=settings.log_format)
    end_with_parent()
    os.nice(10)  # the event path goes first
    try:
        settings.require("redis")
        return leave(asyncio.run(Writer(settings).run()))
    except PipelineError as error:
        print(f"headrace writer: {error}", file=sys.stderr, flush=True)
        return 1 if isinstance(error, Unreachable) else GIVE_UP


class Writer:
    """Writes for the categories that are looked at most, then for the rest."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics, self.health = Metrics(), Health(stuck_s=max(settings.stuck_s, 600.0))
        self.store: Store = RedisStore(settings.redis_url, prefix=settings.prefix)
        self.generator: TextGenerator | None = generator_for(
            settings.generator, cache_dir=settings.cache_dir, key=settings.generator_key, voice=settings.voice
        )
        self.encoder = HashEncoder(dim=DIM) if settings.encoder == "hash" else Encoder(settings.encoder)
        self.definitions = DefinitionsWatch(settings.campaigns)
        self.catalogue = Catalogue(DIM)
        self.breaker = Breaker()
        self.loaded = False
        self.why_not = "loading"
        self.tried: dict[str, float] = {}
        self.turns = 0
        self.stop = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        async with contextlib.AsyncExitStack() as stack:
            await connect_store(self.store, self.settings)
            stack.push_async_callback(self.store.close)
            self.metrics.build_info.labels(VERSION, self.settings.encoder, self.settings.generator).set(1)
            self.health.needs("redis", self.store.ping)
            self.health.needs("generator", self._model_ready)
            server = await serve(
                application(self.health, self.metrics, token=self.settings.token),
                host=self.settings.web_host,
                port=self.settings.web_port,
            )
            stack.push_async_callback(server.stop)
            self.health.start()
            work, stopped = asyncio.create_task(self._work()), asyncio.create_task(self.stop.wait())
            await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
            for task in (work, stopped):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
        return 0

    async def _work(self) -> None:
        """Turn after turn, until cancelled: what is half done then is written another time."""
        await self._load()
        attempt = 0
        while True:
            try:
                wrote = await self.turn(now=asyncio.get_running_loop().time())
                attempt = 0
            except TransientError as error:
                attempt += 1
                log.warning("waiting: %s", error)
                await back_off(attempt)
                continue
            self.health.progress()
            if not wrote:
                await asyncio.sleep(IDLE_S)

    async def _load(self) -> None:
        """Load the model. Where it cannot be had, messages use templates, marked so, and /ready says why."""
        if self.generator is None:
            self.why_not = "no generator is configured: messages use templates"
            return
        try:
            await aside(self.generator.load)
            self.loaded = True
            log.info("generator ready", extra={"model": self.generator.name})
        except PipelineError as error:
            self.why_not = str(error)
            log.error("the generator does not load, messages use templates: %s", error)

    async def _model_ready(self) -> None:
        if not self.loaded:
            raise TransientError(self.why_not)

    async def turn(self, *, now: float) -> int:
        """Write for the keys that need it most. Returns how many variants were added."""
        while changes := (await self.store.read([], catalog_seq=self.catalogue.seq)).changes:
            self.catalogue.apply(changes)
        asks = await self._wanted(now=now)
        if not asks or not self.loaded:
            return 0
        taken = await self._held([ask.key for ask in asks])
        self.turns += 1
        written = await aside(
            write_variants,
            self.generator,
            self.encoder,
            asks,
            seed=self.turns,  # what was refused once would only be refused again
            taken=taken,
            keep=KEEP,
            budget_s=BUDGET_S,
            breaker=self.breaker,
        )
        added = 0
        for ask in asks:
            made = [variant for variant in written.variants.get(ask.key, []) if variant.source == "model"]
            self.tried[str(ask.key)] = now
            if made:
                kept = made[: max(0, enough(ask.key) - len(taken[ask.key]))]
                await self.store.put_variants(str(ask.key), {variant.id: encode_variant(variant) for variant in kept})
                added += len(kept)
        self._tell(written)
        return added

    async def _wanted(self, *, now: float) -> list[Ask]:
        """Keys with too few variants, of the category that is looked at most among those with such keys."""
        by_category = Counter(item.category for item in self.catalogue.items() if item.category)
        heat = Counter[str]()
        for product_id, weight in await self.store.hot(None, 200):
            item = self.catalogue.get(product_id)
            if item is not None and item.category:
                heat[item.category] += weight  # type: ignore[assignment]
        asks: list[Ask] = []
        things = 0
        for category in sorted(by_category, key=lambda name: (-heat[name], -by_category[name], name)):
            noun = noun_of(category, LANGUAGE)
            if not noun:
                continue  # the template speaks
            due = [key for key in self._keys(category) if now - self.tried.get(str(key), -TRY_AGAIN_S) >= TRY_AGAIN_S]
            held = await self._held(due) if due else {}
            short = [key for key in due if len(held[key]) < enough(key)]
            self.tried.update({str(key): now for key in due if key not in short})
            asks += [Ask(key=key, noun=noun) for key in short]
            things += bool(short)
            if things == THINGS:
                break
        return asks

    def _keys(self, category: str) -> list[Key]:
        """Every pool about a category: each campaign's occasions and channels, in every tone, for every reader."""
        return [
            Key(
                kind=one.content,
                channel=channel,
                tone=tone,
                language=LANGUAGE,
                segment=occasion,
                about=category,
                audience=audience,
            )
            for one in self.definitions.current(asyncio.get_running_loop().time()).campaigns.values()
            for occasion in occasions(one)
            for channel in one.channels
            for tone in TONES
            for audience in SEGMENTS
        ]

    async def _held(self, keys: Sequence[Key]) -> dict[Key, list[Variant]]:
        pools = await self.store.variants([str(key) for key in keys])
        return {key: [decode_variant(data) for data in pools.get(str(key), {}).values()] for key in keys}

    def _tell(self, written: Written) -> None:
        report, metrics = written.report, self.metrics
        metrics.model_requests.labels("generator", "ok").inc(report.samples)
        metrics.model_tokens.labels("generator").inc(report.tokens)
        metrics.model_seconds.labels("generator").observe(report.seconds)
        for reason, n in report.why_template.items():
            metrics.model_fallbacks.labels("generator", reason).inc(n)
        log.info(
            "copy written",
            extra={
                "samples": report.samples,
                "accepted": report.accepted,
                "variants": report.by_model,
                "seconds": round(report.seconds, 1),
            },
        )


def enough(key: Key) -> int:
    """How many variants a pool wants."""
    return KEEP if key.audience == "any" else KEEP_FOR
