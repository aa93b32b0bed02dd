"""Logs, metrics, probes and lag: what ops see is true, and names no shopper."""

import asyncio
import io
import json
import logging
import time
import warnings

import aiohttp
import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.errors import FatalError, TransientError
from streams.ops.health import Health, Watchdog
from streams.ops.lag import LagPoller
from streams.ops.logging import configure
from streams.ops.metrics import Metrics
from streams.ops.web import application, serve
from streams.settings import Settings


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines():
    """Configures JSON logs; returns a function that gives the lines so far."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure(level="info", style="json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)


# Logs


def test_a_log_line_is_one_json_object_with_what_the_call_gave(lines):
    logging.getLogger("streams.app").info("batch done", extra={"topic": "click", "records": 12})

    (line,) = lines()
    assert line.pop("time").endswith("Z")
    assert line == {"level": "info", "logger": "streams.app", "event": "batch done", "topic": "click", "records": 12}


def test_an_exception_that_may_quote_a_shopper_is_logged_without_its_words(lines):
    try:
        int("ana@example.com")
    except ValueError:
        logging.getLogger("x").exception("batch failed")

    (line,) = lines()
    assert line["error"] == "ValueError"
    assert "test_ops.py" in line["at"][0]
    assert "ana@" not in json.dumps(line)


def test_our_own_errors_keep_their_words_and_name_their_cause_by_type(lines):
    try:
        try:
            raise KeyError("ana@example.com")
        except KeyError as error:
            raise TransientError("redis cache:6379 does not answer") from error
    except TransientError:
        logging.getLogger("x").exception("batch failed")

    (line,) = lines()
    assert line["error"] == "TransientError: redis cache:6379 does not answer"
    assert line["cause"] == "KeyError"


def test_text_logs_keep_one_line_for_one_event():
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    configure(level="info", style="text", stream=stream)
    logging.getLogger("x").warning("two\nlines", extra={"n": 3})
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)

    assert stream.getvalue().count("\n") == 1
    assert "warning x: two\\nlines n=3" in stream.getvalue()


def test_python_warnings_become_log_lines(lines):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", DeprecationWarning, stacklevel=1)

    assert "old way" in lines()[0]["event"]


# Metrics


def test_two_workers_in_one_process_do_not_share_metrics():
    one, other = Metrics(), Metrics()
    one.events_in.labels("click").inc(3)

    assert b'headrace_events_in_total{topic="click"} 3.0' in one.text()
    assert b'headrace_events_in_total{topic="click"}' not in other.text()


def test_no_metric_has_a_label_that_could_hold_a_shopper():
    labels = {label for metric in vars(Metrics()).values() for label in getattr(metric, "_labelnames", ())}

    allowed = {"topic", "reason", "step", "group", "partition", "kind", "campaign", "factor", "arm", "model", "outcome", "timer"}
    assert labels == allowed | {"version", "encoder", "generator"}


# Health


def health_of(clock: Clock) -> Health:
    health = Health(stuck_s=60, clock=clock)
    health.start()
    return health


def test_a_quiet_worker_is_not_stuck():
    clock = Clock()
    health = health_of(clock)
    clock.now += 3600
    health.saw_lag(0)

    assert health.stuck() is None


def test_the_first_record_after_a_quiet_hour_does_not_look_like_a_standstill():
    clock = Clock()
    health = health_of(clock)
    clock.now += 3600
    health.saw_lag(5)

    assert health.stuck() is None


def test_lag_without_progress_is_stuck_after_the_limit_and_progress_clears_it():
    clock = Clock()
    health = health_of(clock)
    health.saw_lag(5)
    clock.now += 59
    health.saw_lag(5)
    assert health.stuck() is None
    clock.now += 2
    health.saw_lag(7)
    assert health.stuck() == "7 records wait and none was finished for 61 s"
    health.progress()

    assert health.stuck() is None


def test_unknown_or_old_lag_is_no_reason_to_restart():
    clock = Clock()
    health = health_of(clock)
    health.saw_lag(5)
    clock.now += 100  # the poller was not heard of since
    assert health.stuck() is None
    health.saw_lag(None)

    assert health.stuck() is None


def test_waiting_for_redis_is_not_stuck_but_not_ready_either():
    clock = Clock()
    health = health_of(clock)
    health.saw_lag(5)
    health.back_off("redis does not answer")
    clock.now += 100
    health.saw_lag(5)

    assert health.stuck() is None
    assert asyncio.run(health.ready()).missing == ["progress"]


def test_a_rebalance_is_not_stuck_unless_it_never_ends():
    clock = Clock()
    health = health_of(clock)
    health.saw_lag(5)
    health.rebalance_started()
    clock.now += 200
    health.saw_lag(5)
    assert health.stuck() is None
    clock.now += 41

    assert health.stuck() == "rebalancing for 241 s"


async def test_ready_says_what_is_missing():
    async def answers() -> None: ...

    async def refuses() -> None:
        raise ConnectionError("redis cache:6379 refused")

    health = Health(stuck_s=60)
    health.needs("kafka", answers)
    health.needs("redis", refuses)

    before = await health.ready()
    health.start()
    after = await health.ready()

    assert before.missing == ["started", "redis"]
    assert after.missing == ["redis"]
    assert after.checks["redis"].detail == "ConnectionError: redis cache:6379 refused"


async def test_a_probe_that_hangs_is_not_waited_for():
    health = Health(stuck_s=60)
    health.start()
    health.needs("redis", lambda: asyncio.sleep(60))
    started = time.monotonic()

    assert (await health.ready()).checks["redis"].detail == "no answer within 2 s"
    assert time.monotonic() - started < 5


def test_a_fatal_failure_turns_readiness_off_for_good():
    health = Health(stuck_s=60)
    health.start()
    health.fail("redis is full: raise maxmemory")
    health.progress()

    assert asyncio.run(health.ready()).missing == ["fatal"]


async def test_the_watchdog_ends_a_worker_whose_loop_is_blocked():
    ended: list[str] = []
    health = Health(stuck_s=0.2)
    health.start()
    dog = Watchdog(health, end=ended.append, every_s=0.02)
    beating = asyncio.create_task(dog.keep_beating())
    dog.start()
    await asyncio.sleep(0.4)
    assert ended == []
    time.sleep(0.6)  # noqa: ASYNC251 - blocking the loop is the point
    beating.cancel()
    dog.join(5)

    assert ended[0].startswith("event loop silent for")


# Web


async def get(url: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.text()


async def served(health: Health, *, token: str = "", routes: list[web.RouteDef] | None = None):
    return await serve(application(health, Metrics(), token=token, routes=routes or []), host="127.0.0.1", port=0)


async def test_the_probes_answer_with_status_and_reasons():
    clock = Clock()
    health = health_of(clock)
    server = await served(health)
    url = f"http://127.0.0.1:{server.port}"
    try:
        assert (await get(url + "/health"))[0] == 200
        assert json.loads((await get(url + "/ready"))[1])["ok"]
        assert "headrace_ready 1.0" in (await get(url + "/metrics"))[1]
        health.saw_lag(9)
        clock.now += 50
        health.saw_lag(9)
        clock.now += 20
        status, body = await get(url + "/health")
        assert (status, json.loads(body)) == (503, {"ok": False, "detail": "9 records wait and none was finished for 70 s"})
        status, body = await get(url + "/ready")
        assert (status, json.loads(body)["missing"]) == (503, ["progress"])
    finally:
        await server.stop()


async def test_a_port_in_use_is_one_clear_line():
    first = await served(Health(stuck_s=60))
    try:
        with pytest.raises(FatalError, match=rf"127.0.0.1:{first.port} is in use: set HEADRACE_WEB_PORT") as caught:
            await serve(application(Health(stuck_s=60), Metrics()), host="127.0.0.1", port=first.port)
    finally:
        await first.stop()

    assert "\n" not in str(caught.value)


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="console")


async def test_other_pages_need_the_token_and_probes_do_not():
    server = await served(Health(stuck_s=60), token="open-sesame-1234", routes=[web.get("/console", hello)])
    url = f"http://127.0.0.1:{server.port}"
    try:
        assert (await get(url + "/console"))[0] == 401
        assert (await get(url + "/console", Authorization="Bearer wrong"))[0] == 401
        assert await get(url + "/console", Authorization="Bearer open-sesame-1234") == (200, "console")
        assert (await get(url + "/health"))[0] == 200
    finally:
        await server.stop()


async def test_without_a_token_pages_answer_this_machine_only_by_its_own_name():
    server = await served(Health(stuck_s=60), routes=[web.get("/console", hello)])
    url = f"http://127.0.0.1:{server.port}"
    try:
        assert (await get(url + "/console"))[0] == 200
        assert (await get(url + "/console", Host="evil.example"))[0] == 403
    finally:
        await server.stop()


# Lag


@pytest.mark.kafka
async def test_lag_is_what_kafka_says_in_records_and_in_seconds(kafka):
    settings = Settings(kafka=kafka, prefix="lagtest")
    topic, group = "lagtest.click", "lagtest.interest"
    options = settings.kafka_client()
    admin, producer = AIOKafkaAdminClient(**options), AIOKafkaProducer(**options)
    consumer = AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **options)
    metrics, health = Metrics(), Health(stuck_s=60)
    poller = LagPoller(
        settings,
        groups={group: [topic, "lagtest.search"]},  # search does not exist: it must not be created by asking
        metrics=metrics,
        health=health,
        assigned=lambda: [(topic, 0)],
    )
    await admin.start()
    await producer.start()
    await consumer.start()
    try:
        await admin.create_topics([NewTopic(topic, 2, 1)])
        old_ms = int((time.time() - 100) * 1000)
        for i in range(10):
            await producer.send_and_wait(topic, b"x", partition=i % 2, timestamp_ms=old_ms + 10_000 * (i // 2))
        here, there = TopicPartition(topic, 0), TopicPartition(topic, 1)
        consumer.assign([here, there])
        await consumer.commit({here: 3})

        lags = {lag.partition: lag for lag in await poller.poll()}
        assert (lags[0].records, lags[1].records) == (2, 5)
        assert lags[0].seconds == pytest.approx(70, abs=10)  # the fourth record was written 70 s ago
        assert lags[1].seconds == pytest.approx(100, abs=10)

        await poller.once()
        assert health.lag == 2  # its own partition only
        assert b'headrace_consumer_lag{group="lagtest.interest",partition="1",topic="click"} 5.0' in metrics.text()

        await consumer.commit({here: 5, there: 5})
        assert [(lag.records, lag.seconds) for lag in await poller.poll()] == [(0, 0.0), (0, 0.0)]
        assert "lagtest.search" not in await admin.list_topics()
    finally:
        await poller.close()
        await consumer.stop()
        await producer.stop()
        await admin.close()


async def test_lag_that_cannot_be_read_is_unknown_not_old():
    metrics, health = Metrics(), Health(stuck_s=60)
    health.saw_lag(7)
    poller = LagPoller(Settings(kafka="127.0.0.1:1"), groups={"g": ["headrace.click"]}, metrics=metrics, health=health)
    await poller.once()

    assert (health.lag, poller.lags) == (None, [])
    assert b"headrace_lag_poll_errors_total 1.0" in metrics.text()
