"""A worker that cannot start says in one line what to do, and ends with a status that its supervisor understands."""

import json
import logging
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams import connect
from streams.api.process import run_api
from streams.app import run_worker
from streams.cli import main
from streams.embedded import EmbeddedKafka, EmbeddedRedis, free_port
from streams.ops.supervise import GIVE_UP
from streams.settings import Settings
from streams.up import up
from tests.conftest import need_redis
from tests.redis_server import running_redis

AGAIN = 1  # another start may go better
BASE = {"HEADRACE_SECRET": "a secret of the tests", "HEADRACE_ENCODER": "hash"}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    need_redis()
    with EmbeddedKafka() as kafka, EmbeddedRedis() as redis:
        yield {**BASE, "HEADRACE_KAFKA": kafka.address, "HEADRACE_REDIS": redis.url}


@pytest.fixture(scope="module")
def silent() -> Iterator[int]:
    """A port where somebody takes the call and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)


def start(
    env: dict[str, str], capsys: pytest.CaptureFixture[str], *, stages: tuple[str, ...] = ("interest",)
) -> tuple[int, list[str]]:
    """Exit status of a worker, and what it said on stderr beside its log."""
    status = run_worker(Settings.read(env), stages=stages)
    return status, [line for line in capsys.readouterr().err.splitlines() if not line.startswith('{"time"')]


@pytest.mark.redis
@pytest.mark.parametrize("broker", ["silent", "absent"])
def test_a_broker_that_does_not_answer(servers, silent, broker, capsys, monkeypatch):
    monkeypatch.setattr(connect, "CONNECT_TIMEOUT_S", 0.5)
    port = silent if broker == "silent" else free_port()

    status, (line,) = start(servers | {"HEADRACE_KAFKA": f"127.0.0.1:{port}"}, capsys)

    assert line.startswith(f"headrace worker: Kafka at 127.0.0.1:{port} does not answer")
    assert line.endswith("check HEADRACE_KAFKA")
    assert status == AGAIN


@pytest.mark.redis
@pytest.mark.parametrize("server", ["silent", "absent"])
def test_a_redis_that_does_not_answer(servers, silent, server, capsys, monkeypatch):
    monkeypatch.setattr(connect, "CONNECT_TIMEOUT_S", 0.5)
    port = silent if server == "silent" else free_port()

    status, (line,) = start(servers | {"HEADRACE_REDIS": f"redis://127.0.0.1:{port}/0"}, capsys)

    assert line.startswith("headrace worker: Redis at ") and "does not answer" in line
    assert "HEADRACE_REDIS" in line
    assert status == AGAIN


@pytest.mark.redis
def test_an_api_whose_redis_is_away_may_be_started_again_as_a_worker_may(servers, capsys, monkeypatch):
    monkeypatch.setattr(connect, "CONNECT_TIMEOUT_S", 0.5)

    status = run_api(Settings.read(servers | {"HEADRACE_REDIS": f"redis://127.0.0.1:{free_port()}/0"}))

    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith('{"time"')]
    assert line.startswith("headrace api: Redis at ") and "does not answer" in line
    assert status == AGAIN


@pytest.mark.redis
def test_nobody_waits_longer_than_ten_seconds_for_a_server():
    assert connect.CONNECT_TIMEOUT_S <= 8  # two for the interpreter


@pytest.mark.redis
def test_a_wrong_password_is_not_tried_again(servers, capsys):
    status, (line,) = start(servers | {"HEADRACE_REDIS_PASSWORD": "wrong"}, capsys)

    assert "refused the user or password: correct HEADRACE_REDIS or HEADRACE_REDIS_PASSWORD" in line
    assert status == GIVE_UP


@pytest.mark.redis
@pytest.mark.parametrize("used", [False, True])
def test_a_full_redis(servers, used, tmp_path, capsys):
    with running_redis(tmp_path, "--maxmemory-policy", "noeviction") as full, full.client() as behind:
        if used:  # it was there before, and only now is full
            behind.hset("h1:headrace:meta", mapping={"salt": b"s" * 32, "shards": 1})
        behind.config_set("maxmemory", 1)
        status, (line,) = start(servers | {"HEADRACE_REDIS": full.url}, capsys)

    assert "is full: raise maxmemory, or erase what is no longer needed" in line
    assert status == AGAIN


@pytest.mark.redis
def test_a_missing_encoder(servers, capsys):
    status, (line,) = start(servers | {"HEADRACE_ENCODER": "/no/such/model"}, capsys)

    assert "no model at '/no/such/model': give an existing folder, or a Hugging Face name" in line
    assert status == GIVE_UP


@pytest.mark.redis
def test_a_port_in_use(servers, silent, capsys):
    status, (line,) = start(servers | {"HEADRACE_WEB_PORT": str(silent)}, capsys)

    assert line.endswith(f"127.0.0.1:{silent} is in use: set HEADRACE_WEB_PORT to another port, or to 0 for any free one")
    assert status == GIVE_UP


def test_without_any_setting_a_worker_names_the_two_that_it_needs(capsys):
    status, lines = start(BASE, capsys)

    assert [line.removeprefix("headrace worker: ").split()[0] for line in lines] == ["HEADRACE_KAFKA", "HEADRACE_REDIS"]
    assert status == GIVE_UP


def test_every_wrong_setting_is_named_at_once(capsys, monkeypatch):
    for name, value in {"HEADRACE_KAFKAA": "x", "HEADRACE_PARTITIONS": "many"}.items():
        monkeypatch.setenv(name, value)

    assert main(["worker"]) == 2

    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("headrace: ").split()[0] for line in lines] == ["HEADRACE_KAFKAA", "HEADRACE_PARTITIONS"]
    assert "did you mean HEADRACE_KAFKA?" in lines[0]


@pytest.mark.redis
def test_up_says_it_once_instead_of_starting_workers_again_and_again(servers):
    with pytest.raises(connect.Unreachable, match="HEADRACE_REDIS"):
        up(Settings.read(servers | {"HEADRACE_REDIS": f"redis://127.0.0.1:{free_port()}/0"}))


@pytest.mark.redis
def test_a_writer_whose_model_is_missing_stays_and_its_readiness_says_why(servers: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    env = {**os.environ, **servers, "HEADRACE_GENERATOR": "/no/such/model", "HEADRACE_WEB_PORT": str(port)}
    with (tmp_path / "log").open("wb") as log:
        writer = subprocess.Popen([sys.executable, "-m", "streams.cli", "writer"], env=env, stderr=log)
    try:
        ready: dict = {}
        deadline = time.monotonic() + 30.0
        while "/no/such/model" not in str(ready) and time.monotonic() < deadline:
            time.sleep(0.05)
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=3)
            except urllib.error.HTTPError as error:
                ready = json.loads(error.read())
                error.close()
            except OSError:
                continue  # it does not serve yet

        assert ready["missing"] == ["generator"]
        assert "give an existing folder, or a Hugging Face name" in ready["checks"]["generator"]["detail"]
        assert writer.poll() is None
    finally:
        writer.terminate()
        writer.wait(10)
