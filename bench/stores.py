"""What a store does in a measurement, and the stores that need nothing but Python and aiokv."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from aiokv import KV, AioKV, Transaction

from bench.plain import PlainKV
from bench.state import State, read_json, write_json

Item = tuple[str, Any]
Result = TypeVar("Result")

CREATE_ITEMS = "CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, value)"
SET_ITEM = "INSERT INTO items VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"


class Store(Protocol):
    """What a program does with every store.

    Some have more: `add(key, value)`, `increment(key)`, `get_many(keys)`, `keys(prefix)`,
    `transact(key)`, which reads a number and writes the next one in a transaction, and the calls
    of code without `asyncio`, `get_blocking(key)` and `set_blocking(key, value)`, which must be
    made where `in_thread(function, *arguments)` calls a function.
    """

    async def open(self) -> None:
        """Do what has to be done before the first operation."""

    def get(self, key: str, /) -> Awaitable[Any]:
        """Return the value of a key that is there."""

    def set(self, key: str, value: Any, /) -> Awaitable[Any]:
        """Store the value; when this returns, it is as durable as the store makes it."""

    async def set_at_once(self, items: Sequence[Item], /) -> None:
        """Store all of them, in the way that the documentation names for many."""

    def delete(self, key: str, /) -> Awaitable[Any]:
        """Remove a key that is there, as durably as `set` stores."""

    def get_all(self) -> Awaitable[State]:
        """Return everything."""

    async def fill(self, state: State) -> None:
        """Store the first state, in whichever way is fast."""

    def close(self) -> Awaitable[Any]:
        """Let go of everything."""


class Defaults:
    """What stores that can be awaited do, where nothing else is better."""

    __slots__ = ()

    async def open(self) -> None:
        """Do nothing: it is open, or the first operation opens it."""

    async def set_at_once(self, items: Sequence[Item]) -> None:
        raise NotImplementedError

    async def fill(self, state: State) -> None:
        await self.set_at_once(list(state.items()))

    async def close(self) -> None:
        """Do nothing: everything is stored."""

    def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Awaitable[Result]:
        return asyncio.to_thread(function, *arguments)


class AiokvStore(AioKV, Defaults):
    """aiokv itself: nothing stands between it and the clock."""

    __slots__ = ("_path", "get_blocking", "set_blocking")

    def __init__(self, path: Path, **options: Any) -> None:
        # A busy disk may take long for a flush, and SQLite waits as long for a lock.
        super().__init__(path, lock_timeout=30, **options)
        self._path = path
        blocking = KV(path, lock_timeout=30, **options)
        self.get_blocking, self.set_blocking = blocking.get, blocking.set

    async def set_at_once(self, items: Sequence[Item]) -> None:
        await self.set_many(dict(items))

    async def transact(self, key: str) -> None:  # type: ignore[override]
        def add_one(transaction: Transaction) -> None:
            transaction.set(key, transaction.get(key, 0) + 1)

        await super().transact(add_one)

    async def fill(self, state: State) -> None:
        """Write the file as `json` does, then let aiokv use it."""
        write_json(self._path, state)
        key, value = next(iter(state.items()))
        await self.set(key, value)

    async def settle(self) -> None:
        """Bring the file up to date with its journal, and open the file again."""
        await self.close()
        await self.get("")


class PlainStore(PlainKV, Defaults):
    """The same interface in plain Python."""

    async def set_at_once(self, items: Sequence[Item]) -> None:
        await asyncio.gather(*(self.set(key, value) for key, value in items))

    async def fill(self, state: State) -> None:
        write_json(self._path, state)


class SqliteStore(Defaults):
    """SQLite from the standard library: its log written ahead, flushed for each change.

    It is called directly, not through `asyncio.to_thread`. That stops the event loop at every
    flush, which aiokv does not, but it spares SQLite two changes of thread a call: the comparison
    is in its favor.
    """

    def __init__(self, path: Path) -> None:
        # Without an isolation level every statement is a transaction of its own.
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        (mode,) = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise RuntimeError(f"SQLite stays in mode {mode!r}: it cannot write ahead here")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(CREATE_ITEMS)

    async def get(self, key: str) -> Any:
        rows = self._connection.execute("SELECT value FROM items WHERE key = ?", (key,))
        return json.loads(rows.fetchone()[0])

    async def set(self, key: str, value: Any) -> None:
        self._connection.execute(SET_ITEM, (key, json.dumps(value)))

    async def set_at_once(self, items: Sequence[Item]) -> None:
        rows = [(key, json.dumps(value)) for key, value in items]
        self._connection.execute("BEGIN")
        self._connection.executemany(SET_ITEM, rows)
        self._connection.execute("COMMIT")

    async def delete(self, key: str) -> None:
        self._connection.execute("DELETE FROM items WHERE key = ?", (key,))

    async def get_all(self) -> State:
        rows = self._connection.execute("SELECT key, value FROM items")
        return {key: json.loads(value) for key, value in rows}

    async def close(self) -> None:
        """Close the connection; the last one of all processes removes the log."""
        self._connection.close()


class DictStore(Defaults):
    """The floor: `async def`s on a dict, which `json.load` fills."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._items: State = {}

    async def open(self) -> None:
        """Load the file, if there is one."""
        if self._path.exists():
            self._items = read_json(self._path)

    async def get(self, key: str) -> Any:
        return self._items[key]

    async def set(self, key: str, value: Any) -> None:
        self._items[key] = value

    async def set_at_once(self, items: Sequence[Item]) -> None:
        self._items.update(items)

    async def delete(self, key: str) -> None:
        del self._items[key]

    async def get_many(self, keys: Sequence[str]) -> State:
        return {key: self._items[key] for key in keys}

    async def keys(self, prefix: str) -> list[str]:
        return [key for key in self._items if key.startswith(prefix)]

    async def get_all(self) -> State:
        return dict(self._items)

    async def fill(self, state: State) -> None:
        write_json(self._path, state)

    def get_blocking(self, key: str) -> Any:
        return self._items[key]
