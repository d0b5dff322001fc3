"""Redis through redis-py, where the system has a server: it takes part only then.

The server is started for the store, in a directory of its own, and ends with it. Every change is
flushed to its log before it answers.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import redis
import redis.asyncio

from bench.state import State
from bench.stores import Defaults, Item

SERVER = shutil.which("redis-server")
FILLED_AT_ONCE = 10_000


class RedisStore(Defaults):
    """A server on the loopback interface, and two clients: one for each kind of call."""

    def __init__(self, path: Path) -> None:
        self._directory = path

    async def open(self) -> None:
        """Start the server and wait until it has read its log."""
        self._directory.mkdir(exist_ok=True)
        port = free_port()
        # It must not outlive a process that is killed because it takes too long.
        command = ["setpriv", "--pdeathsig", "KILL", str(SERVER), "--save", ""]
        command += ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(self._directory)]
        command += ["--appendonly", "yes", "--appendfsync", "always"]
        quiet = asyncio.subprocess.DEVNULL
        self._server = await asyncio.create_subprocess_exec(*command, stdout=quiet)
        self._blocking = redis.Redis(port=port)
        # Tasks at once wait for one of some connections, where the usual pool refuses them.
        pool = redis.asyncio.BlockingConnectionPool(port=port, timeout=None)
        self._client: Any = redis.asyncio.Redis.from_pool(pool)
        while not await self._is_ready():
            if self._server.returncode is not None:
                raise RuntimeError("redis-server ended by itself")

    async def get(self, key: str) -> Any:
        return orjson.loads(await self._client.get(key))

    async def set(self, key: str, value: Any) -> None:
        await self._client.set(key, orjson.dumps(value))

    async def set_at_once(self, items: Sequence[Item]) -> None:
        await self._client.mset({key: orjson.dumps(value) for key, value in items})

    async def delete(self, key: str) -> None:
        await self._client.delete(key)

    async def add(self, key: str, value: Any) -> bool:
        return bool(await self._client.set(key, orjson.dumps(value), nx=True))

    async def increment(self, key: str) -> None:
        await self._client.incr(key)

    async def get_many(self, keys: Sequence[str]) -> State:
        values = await self._client.mget(keys)
        return {key: orjson.loads(value) for key, value in zip(keys, values, strict=True)}

    async def get_all(self) -> State:
        """Ask for the keys, then for the values, and decode them where that stops no loop."""
        keys = await self._client.keys()
        values = await self._client.mget(keys)
        return await asyncio.to_thread(
            lambda: {
                key.decode(): orjson.loads(value) for key, value in zip(keys, values, strict=True)
            }
        )

    async def fill(self, state: State) -> None:
        items = list(state.items())
        for start in range(0, len(items), FILLED_AT_ONCE):
            await self.set_at_once(items[start : start + FILLED_AT_ONCE])

    async def close(self) -> None:
        """End the server."""
        await self._client.aclose()
        self._blocking.close()
        self._server.terminate()
        await self._server.wait()

    def get_blocking(self, key: str) -> Any:
        value: Any = self._blocking.get(key)
        return orjson.loads(value)

    def set_blocking(self, key: str, value: Any) -> None:
        self._blocking.set(key, orjson.dumps(value))

    async def _is_ready(self) -> bool:
        try:
            return bool(await self._client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            return False


def free_port() -> int:
    """Return a port that nobody uses at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
