"""Servers for the tests that need real ones, started once for a run on free loopback ports. Missing: a skip, in CI a failure."""

import os
from collections.abc import Iterator

import pytest

from tests.kafka_server import KafkaServer
from tests.redis_server import binary, running_cluster, running_redis


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of an Apache Kafka. A test that stops it starts a KafkaServer of its own."""
    with KafkaServer() as server:
        yield server.address


def need_redis() -> None:
    if binary() is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say("redis-server is not on the PATH")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis with a password. Shared: use keys of your own."""
    need_redis()
    with running_redis(tmp_path_factory.mktemp("redis"), password="of-the-tests") as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of one node of a Redis Cluster of three masters."""
    need_redis()
    with running_cluster(tmp_path_factory.mktemp("redis-cluster")) as servers:
        yield servers[0].url
