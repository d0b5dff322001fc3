"""What a store does in a measurement, and the stores that need nothing but Python and aiokv."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from aiokv import KV, AioKV, Transaction

from bench.plain import PlainKV, State
from bench.sqlite import SqliteKV
from bench.state import read_json, write_json

Item = tuple[str, Any]
Result = TypeVar("Result")


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

    async def open(self) -> None:
        """Do nothing: it is open, or the first operation opens it."""

    async def set_at_once(self, items: Sequence[Item]) -> None:
        raise NotImplementedError

    async def fill(self, state: State) -> None:
        await self.set_at_once(list(state.items()))

    async def close(self) -> None:
        """Do nothing: everything is stored."""

    async def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.to_thread(function, *arguments)


class AiokvStore(AioKV):
    """aiokv itself: nothing stands between it and the clock."""

    __slots__ = ("_path", "get_blocking", "set_blocking")

    def __init__(
        self, path: Path, fsync: bool = True, journal: Literal["auto", "always"] = "auto"
    ) -> None:
        # A busy disk may take long for a flush, and SQLite waits as long for a lock.
        super().__init__(path, fsync=fsync, journal=journal, lock_timeout=30)
        self._path = path
        blocking = KV(path, fsync=fsync, journal=journal, lock_timeout=30)
        self.get_blocking, self.set_blocking = blocking.get, blocking.set

    async def open(self) -> None:
        """Do nothing: the first operation opens the file."""

    async def set_at_once(self, items: Sequence[Item]) -> None:
        await self.set_many(dict(items))

    async def transact(self, key: str) -> None:  # type: ignore[override]
        def add_one(transaction: Transaction) -> None:
            transaction.set(key, transaction.get(key, 0) + 1)

        await super().transact(add_one)

    async def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a function in a thread, where no event loop runs."""
        return await asyncio.to_thread(function, *arguments)

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


class SqliteStore(SqliteKV, Defaults):
    """SQLite from the standard library, called on the event loop."""

    async def set_at_once(self, items: Sequence[Item]) -> None:
        self.set_many(items)


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
