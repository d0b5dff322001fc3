"""The peers that can be awaited, as their documentation says it is done.

Where a documentation leaves a choice, the faster one is taken, in favor of the peer. A store of
bytes gets JSON from orjson, the fastest module for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import aiosqlite
import lmdb
import lmdb.aio
import orjson
import pickledb

from bench.state import State
from bench.stores import CREATE_ITEMS, SET_ITEM, Defaults, Item


class PickledbStore(Defaults):
    """pickleDB through its coroutines. Its own `get`: it looks into a dict."""

    def __init__(self, path: Path) -> None:
        self._database: Any = pickledb.PickleDB(str(path))
        self.get: Callable[[str], Awaitable[Any]] = self._database.get

    async def open(self) -> None:
        await self._database.load()

    async def set(self, key: str, value: Any) -> None:
        """Change memory, then save: without that a change is gone with the process."""
        await self._database.set(key, value)
        await self._database.save()

    async def set_at_once(self, items: Sequence[Item]) -> None:
        for key, value in items:
            await self._database.set(key, value)
        await self._database.save()

    async def delete(self, key: str) -> None:
        await self._database.remove(key)
        await self._database.save()

    async def get_all(self) -> State:
        """Copy the dict, which is public."""
        return dict(self._database.db)


class AiosqliteStore(Defaults):
    """SQLite through aiosqlite, in the mode that SQLite recommends for it: a log written ahead."""

    def __init__(self, path: Path, synchronous: str) -> None:
        self._path = path
        self._synchronous = synchronous

    async def open(self) -> None:
        """Connect, so that a statement outside of a transaction is one of its own.

        That spares aiosqlite the call of `commit`, and with it two changes of thread.
        """
        self._connection = await aiosqlite.connect(self._path, isolation_level=None)
        await self._connection.execute("PRAGMA journal_mode = WAL")
        await self._connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        await self._connection.execute(CREATE_ITEMS)
        self._lock = asyncio.Lock()

    async def get(self, key: str) -> Any:
        """Fetch with the one call that needs no second for its cursor."""
        ((value,),) = await self._connection.execute_fetchall(
            "SELECT value FROM items WHERE key = ?", (key,)
        )
        return orjson.loads(value)

    async def set(self, key: str, value: Any) -> None:
        await self._connection.execute(SET_ITEM, (key, orjson.dumps(value)))

    async def set_at_once(self, items: Sequence[Item]) -> None:
        await self._connection.execute("BEGIN")
        rows = [(key, orjson.dumps(value)) for key, value in items]
        await self._connection.executemany(SET_ITEM, rows)
        await self._connection.commit()

    async def add(self, key: str, value: Any) -> bool:
        row = key, orjson.dumps(value)
        inserted = await self._connection.execute("INSERT OR IGNORE INTO items VALUES (?, ?)", row)
        return bool(inserted.rowcount == 1)

    async def increment(self, key: str) -> None:
        statement = (
            "INSERT INTO items VALUES (?, '1')"
            " ON CONFLICT DO UPDATE SET value = CAST(value + 1 AS TEXT)"
        )
        await self._connection.execute(statement, (key,))

    async def get_many(self, keys: Sequence[str]) -> State:
        places = ", ".join("?" * len(keys))
        rows = await self._connection.execute_fetchall(
            f"SELECT key, value FROM items WHERE key IN ({places})", keys
        )
        return {key: orjson.loads(value) for key, value in rows}

    async def keys(self, prefix: str) -> list[str]:
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        rows = await self._connection.execute_fetchall(
            "SELECT key FROM items WHERE key >= ? AND key < ?", (prefix, end)
        )
        return [key for (key,) in rows]

    async def transact(self, key: str) -> None:
        """Read, add one and write. A connection has one transaction at a time."""
        async with self._lock:
            await self._connection.execute("BEGIN IMMEDIATE")
            rows = await self._connection.execute_fetchall(
                "SELECT value FROM items WHERE key = ?", (key,)
            )
            value = sum(orjson.loads(value) for (value,) in rows)
            await self.set(key, value + 1)
            await self._connection.commit()

    async def delete(self, key: str) -> None:
        await self._connection.execute("DELETE FROM items WHERE key = ?", (key,))

    async def get_all(self) -> State:
        """Fetch all rows with one call, and decode them where that stops no loop."""
        rows = await self._connection.execute_fetchall("SELECT key, value FROM items")
        return await asyncio.to_thread(lambda: {key: orjson.loads(value) for key, value in rows})

    async def close(self) -> None:
        await self._connection.close()


class LmdbStore(Defaults):
    """LMDB through `lmdb.aio`, except for `get`.

    Its documentation calls a read on the event loop safe while the database is in memory, as it is
    here, and that spares it three changes of thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> None:
        """Open the environment, with room for far more than is stored."""
        self._environment = await asyncio.to_thread(lmdb.open, str(self._path), map_size=2**32)
        self._asynchronous = lmdb.aio.wrap(self._environment)

    async def get(self, key: str) -> Any:
        return self.get_blocking(key)

    async def get_many(self, keys: Sequence[str]) -> State:
        encoded = [key.encode() for key in keys]
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            pairs: Any = cursor.getmulti(encoded)
        return {key.decode(): orjson.loads(value) for key, value in pairs}

    async def keys(self, prefix: str) -> list[str]:
        start = prefix.encode()
        with self._environment.begin() as transaction, transaction.cursor() as cursor:
            cursor.set_range(start)
            keys: Any = cursor.iternext(keys=True, values=False)
            return [key.decode() for key in takewhile(lambda key: key.startswith(start), keys)]

    async def add(self, key: str, value: Any) -> bool:
        async with self._asynchronous.begin(write=True) as transaction:
            added: bool = await transaction.put(key.encode(), orjson.dumps(value), overwrite=False)
        return added

    async def transact(self, key: str) -> None:
        """Read, add one and write, with one change of thread."""
        await asyncio.to_thread(self._transact, key.encode())

    def _transact(self, key: bytes) -> None:
        with self._environment.begin(write=True) as transaction:
            value: Any = transaction.get(key, b"0")
            transaction.put(key, orjson.dumps(orjson.loads(value) + 1))

    def get_blocking(self, key: str) -> Any:
        with self._environment.begin() as transaction:
            value: Any = transaction.get(key.encode())
        return orjson.loads(value)

    def set_blocking(self, key: str, value: Any) -> None:
        with self._environment.begin(write=True) as transaction:
            transaction.put(key.encode(), orjson.dumps(value))

    async def set(self, key: str, value: Any) -> None:
        """Write in a transaction, which is a thread of its own in `lmdb.aio`."""
        async with self._asynchronous.begin(write=True) as transaction:
            await transaction.put(key.encode(), orjson.dumps(value))

    async def set_at_once(self, items: Sequence[Item]) -> None:
        pairs = [(key.encode(), orjson.dumps(value)) for key, value in items]
        async with (
            self._asynchronous.begin(write=True) as transaction,
            transaction.cursor() as cursor,
        ):
            await cursor.putmulti(pairs)

    async def delete(self, key: str) -> None:
        async with self._asynchronous.begin(write=True) as transaction:
            await transaction.delete(key.encode())

    async def get_all(self) -> State:
        """Read all in one call, and decode it where that stops no loop."""
        async with self._asynchronous.begin() as transaction, transaction.cursor() as cursor:
            pairs = await cursor.iternext()
        return await asyncio.to_thread(
            lambda: {key.decode(): orjson.loads(value) for key, value in pairs}
        )

    async def close(self) -> None:
        await self._asynchronous.close()
