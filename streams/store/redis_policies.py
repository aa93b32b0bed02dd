"""Rules and snapshots of the optimiser, in Redis: what `streams.store.policies` promises."""

from __future__ import annotations

import math

from streams.store import keys as names
from streams.store import values
from streams.store.wire import Call, Wire


class RedisPolicies:
    def __init__(self, wire: Wire, keys: names.Keys) -> None:
        self._wire, self._keys = wire, keys

    async def rules(self, name: str) -> bytes | None:
        return await self._get(self._keys.policy_rules(name))

    async def put_rules(self, name: str, data: bytes, *, expected: bytes | None) -> bool:
        (done,) = await self._wire.run([Call("put_rules", [self._keys.policy_rules(name)], [expected or b"", data])])
        return bool(done)

    async def snapshot(self, name: str, version: str) -> bytes | None:
        return await self._get(self._keys.policy_snapshot(name, version))

    async def put_snapshot(self, name: str, version: str, data: bytes, *, ttl_s: float) -> None:
        args: list[bytes | str | int] = [data] if math.isinf(ttl_s) else [data, "PX", values.milliseconds(ttl_s)]
        await self._wire.run([Call("SET", [self._keys.policy_snapshot(name, version)], args)])

    async def _get(self, key: str) -> bytes | None:
        raw: bytes | None = (await self._wire.run([Call("GET", [key])]))[0]
        return raw
