"""Real Redis servers for tests: one, or a cluster, in a temporary folder, on free ports of this machine.

`REDIS_SERVER` names another binary (Valkey, an older Redis).
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import redis

SLOTS = 16384
START_S = 20.0


def binary() -> str | None:
    """Where a server is, None if there is none."""
    return os.environ.get("REDIS_SERVER") or shutil.which("redis-server") or shutil.which("valkey-server")


class RedisServer:
    """One server process that can be killed, stopped for a while and started again with its data."""

    def __init__(self, folder: Path, *options: str, password: str = "") -> None:
        self.folder, self.options, self.password = folder, options, password
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://{f':{self.password}@' if self.password else ''}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A plain client, for looking behind the store's back. Close it after use."""
        return redis.Redis.from_url(self.url, protocol=2)

    def start(self) -> None:
        command = [
            *(
                binary() or "redis-server",
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                str(self.folder),
            ),
            *(("--requirepass", self.password, "--masterauth", self.password) if self.password else ()),
            *self.options,
        ]
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self.answers, f"a Redis on port {self.port}; see {self.folder / 'redis.log'}")

    def answers(self) -> bool:
        try:
            with contextlib.closing(self.client()) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def stop(self) -> None:
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            if number in {signal.SIGKILL, signal.SIGTERM}:
                self.process.wait(START_S)
                self.process = None


@contextlib.contextmanager
def running_redis(folder: Path, *options: str, password: str = "") -> Iterator[RedisServer]:
    """A server for the length of a block."""
    folder.mkdir(parents=True, exist_ok=True)
    server = RedisServer(folder, *options, password=password)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def running_cluster(folder: Path, *, nodes: int = 3, options: Sequence[str] = ()) -> Iterator[list[RedisServer]]:
    """A Redis Cluster of masters, every slot served, for the length of a block."""
    with contextlib.ExitStack() as stack:
        cluster = ("--cluster-enabled", "yes", "--cluster-node-timeout", "3000", *options)
        servers = [stack.enter_context(running_redis(folder / str(i), *cluster)) for i in range(nodes)]
        clients = [stack.enter_context(contextlib.closing(server.client())) for server in servers]
        for i, client in enumerate(clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
            client.execute_command("CLUSTER", "ADDSLOTS", *range(i * SLOTS // nodes, (i + 1) * SLOTS // nodes))
        for server in servers[1:]:
            clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port)

        def whole() -> bool:
            states = [client.execute_command("CLUSTER INFO") for client in clients]
            return all(state["cluster_state"] == "ok" and int(state["cluster_known_nodes"]) == nodes for state in states)

        wait_until(whole, "the cluster to be whole")
        yield servers


def wait_until(true: Callable[[], bool], what: str, *, seconds: float = START_S) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.05)


def free_port() -> int:
    """A free port whose cluster bus port, 10,000 above, is free too."""
    while True:
        port = random.randint(20000, 32000)  # below the range from which the system gives out ports itself
        with socket.socket() as one, socket.socket() as bus, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            bus.bind(("127.0.0.1", port + 10000))
            return port
