"""One connection to Redis, alone or a cluster: runs calls in one round trip, and turns its errors into two kinds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterError,
    ConnectionError,
    InvalidResponse,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TimeoutError,
    TryAgainError,
)

from schemas.errors import FatalError, TransientError

SCRIPTS = Path(__file__).parent / "lua"
# Redis before 7 wraps what a command said inside a script into a general error.
INSIDE_SCRIPTS = {"-OOM ": OutOfMemoryError, "-READONLY ": ReadOnlyError, "-NOPERM ": NoPermissionError}


class Call(NamedTuple):
    """A command in capitals or the name of a script, its keys (all of one slot in a cluster), its other arguments."""

    name: str
    keys: Sequence[str]
    args: Sequence[bytes | str | int] = ()


class _Packed:
    """What redis-py does for its blocking client and not for this one: commands are put on the wire by hiredis, in C."""

    def pack_command(self, *args: Any) -> list[bytes]:
        packed: list[bytes] = HiredisRespSerializer().pack(*args)
        return packed


class Wire:
    """Finds out by itself whether the server is part of a cluster."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"redis", "rediss", "unix"}:
            raise ValueError(f"a Redis URL starts with redis://, rediss:// or unix://, got {parts.scheme or 'none'}")
        self.where = f"{parts.hostname or 'localhost'}:{parts.port or 6379}" if parts.scheme != "unix" else parts.path
        self.cluster = False
        self._url, self._timeout_s = url, timeout_s
        self._client: Redis | RedisCluster | None = None
        self._scripts: dict[str, tuple[str, str]] = {}  # name -> digest, source

    async def open(self) -> None:
        """Connect, and refuse a server that would silently forget."""
        if self._client is not None:
            return
        for path in sorted(SCRIPTS.glob("*.lua")):
            source = path.read_text()
            self._scripts[path.stem] = (hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(), source)
        # No retries below us, but for a cluster's moved slots: the caller repeats a batch from its read, and then a write that
        # did happen, its answer lost, shows as a conflict or a fence that is already there.
        options: dict[str, Any] = {
            "protocol": 2,
            "decode_responses": False,
            "socket_timeout": self._timeout_s,
            "socket_connect_timeout": self._timeout_s,
        }
        client = Redis.from_url(self._url, retry=Retry(NoBackoff(), 0), **options)
        pool = client.connection_pool
        pool.connection_class = type("Packed", (_Packed, pool.connection_class), {})
        try:
            info = await client.info()
            if info.get("maxmemory") and info.get("maxmemory_policy") != "noeviction":
                raise FatalError(
                    f"Redis at {self.where} evicts profiles when full (maxmemory-policy {info['maxmemory_policy']}): "
                    "set maxmemory-policy to noeviction"
                )
            self.cluster = bool(info.get("cluster_enabled"))
            self._client = await self._join(options) if self.cluster else client
        except (RedisError, OSError) as error:
            raise self.explain(error) from error
        finally:
            if self._client is not client:
                await client.aclose()

    async def _join(self, options: dict[str, Any]) -> RedisCluster:
        cluster = RedisCluster.from_url(self._url, **options)
        try:
            return await cluster.initialize()
        except BaseException:
            await cluster.aclose()
            raise

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def run(self, calls: Sequence[Call]) -> list[Any]:
        """The replies, in order. If the server lost a script (restart), that call is sent once more, with its source."""
        if not calls:
            return []
        replies = await self._send([self._digest(call) for call in calls])
        forgotten = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if forgotten:
            again = await self._send([self._source(calls[i]) for i in forgotten])
            for i, reply in zip(forgotten, again, strict=True):
                replies[i] = reply
        for reply in replies:
            if isinstance(reply, Exception):
                raise self.explain(reply) from reply
        return replies

    async def _send(self, commands: list[list[Any]]) -> list[Any]:
        if self._client is None:
            raise FatalError("the store is not open: call open() first")
        try:
            if len(commands) == 1:
                return [await self._client.execute_command(*commands[0])]
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
            return replies
        except NoScriptError as error:
            return [error]
        except (RedisError, OSError) as error:
            raise self.explain(error) from error

    def _digest(self, call: Call) -> list[Any]:
        if call.name not in self._scripts:
            return [call.name, *call.keys, *call.args]
        return ["EVALSHA", self._scripts[call.name][0], len(call.keys), *call.keys, *call.args]

    def _source(self, call: Call) -> list[Any]:
        return ["EVAL", self._scripts[call.name][1], len(call.keys), *call.keys, *call.args]

    def explain(self, error: Exception) -> TransientError | FatalError:
        """One line: what happened, and, if waiting does not help, what to do."""
        at = f"Redis at {self.where}"
        said = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        inside = next((kind for mark, kind in INSIDE_SCRIPTS.items() if mark in said), None)
        match inside() if inside else error:
            case AuthenticationError() | AuthorizationError():
                return FatalError(f"{at} refused the user or password: correct HEADRACE_REDIS or HEADRACE_REDIS_PASSWORD")
            case NoPermissionError():
                return FatalError(f"{at} forbids a command or key to this user ({said}): extend its ACL")
            case OutOfMemoryError():
                return TransientError(f"{at} is full: raise maxmemory, or erase what is no longer needed")
            case ReadOnlyError():
                return FatalError(f"{at} is a read-only replica: point HEADRACE_REDIS at the primary")
            case InvalidResponse():
                return FatalError(f"{at} does not speak Redis: correct the host and port in HEADRACE_REDIS")
            case BusyLoadingError():
                return TransientError(f"{at} is still loading its data")
            case ClusterError() | RedisClusterException() | TryAgainError():
                return TransientError(f"{at}: the cluster is not whole ({said})")
            case ConnectionError() | TimeoutError() | OSError():
                return TransientError(f"{at} does not answer ({said})")
        if said.startswith(("BUSY ", "NOREPLICAS ")):
            return TransientError(f"{at} cannot take writes now ({said})")
        if "MISCONF" in said:
            return FatalError(f"{at} cannot write to its disk: free space there, then restart it")
        return FatalError(f"{at} refused a command ({said}): check that nothing else writes under this prefix")
