"""The stores that are open side by side, and what they are asked to do when it is their turn."""

from __future__ import annotations

import asyncio
import json
import os
import random
import zlib
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

from plain import State
from workloads import NOW, bot_state, check, microseconds_since

from peers.contestants import Contestant
from peers.stores import AiokvStore, Item

ITEMS_AT_ONCE = 1_000


class Entrant:
    """A contestant with an open store, and what that store must hold by now."""

    def __init__(
        self,
        contestant: Contestant,
        path: Path,
        state: State,
        names: Sequence[str],
        seconds_at_once: float,
    ) -> None:
        self.name = contestant.name
        self.store = contestant.store(path)
        self._contestant = contestant
        self._seconds_at_once = seconds_at_once
        self._state = state
        self._names = names
        self._random = random.Random(1)
        self._values = count(NOW)
        self._changes: State = {}
        self._seconds_of_set = 0.0

    async def get(self, calls: int) -> float:
        """Return the mean of one `get` after another: a single one is too short for the clock."""
        names = self._random.choices(self._names, k=calls)
        get = self.store.get
        start = perf_counter_ns()
        for name in names:
            await get(name)
        microseconds = microseconds_since(start) / calls
        name = names[-1]
        check(await get(name), self._changes.get(name, self._state[name]))
        return microseconds

    async def set(self, calls: int) -> float:
        """Return the median of one `set` after another: single flushes take many times as long."""
        items = self._next_items(calls)
        microseconds = await time_sets(self.store.set, items)
        self._seconds_of_set = microseconds / 1e6
        check(await self.store.get(items[-1][0]), items[-1][1])
        return microseconds

    async def set_at_once(self, _calls: int) -> float:
        """Return the time of a batch, divided by its changes."""
        number = self._number_at_once(self._contestant.writes_each_alone)
        items = self._next_items(number)
        start = perf_counter_ns()
        await self.store.set_at_once(items)
        return microseconds_since(start) / len(items)

    async def set_from_tasks(self, _calls: int) -> float:
        """Return the time from the first start to the last answer, divided by the changes."""
        items = self._next_items(self._number_at_once(not self._contestant.combines))
        start = perf_counter_ns()
        await asyncio.gather(*(self.store.set(key, value) for key, value in items))
        return microseconds_since(start) / len(items)

    async def get_all(self, _calls: int) -> float:
        """Return the time for everything, and make sure that it is everything."""
        start = perf_counter_ns()
        state = await self.store.get_all()
        microseconds = microseconds_since(start)
        check(state, self._state | self._changes)
        return microseconds

    async def settle(self) -> None:
        """Let aiokv make its checkpoint now, not while somebody else is measured.

        No peer offers to hurry what it does later.
        """
        if isinstance(self.store, AiokvStore):
            await self.store.settle()

    def _number_at_once(self, alone: bool) -> int:
        """Return how many changes to make: as many as the time allows if each is written alone."""
        if not alone:
            return ITEMS_AT_ONCE
        return max(1, min(ITEMS_AT_ONCE, int(self._seconds_at_once / self._seconds_of_set)))

    def _next_items(self, number: int) -> list[Item]:
        names = self._random.choices(self._names, k=number)
        items = list(zip(names, self._values, strict=False))
        self._changes.update(items)
        return items


class RawAppend:
    """The least that a durable change can cost: a line added to a file, and a flush."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        self._offset = 0
        self._values = count(NOW)

    async def set(self, calls: int) -> float:
        """Return the median, as for the `set`s it is compared with."""
        (name,) = bot_state(1)
        items = [(name, next(self._values)) for _ in range(calls)]
        return await time_sets(self._append, items)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    async def _append(self, key: str, value: Any) -> None:
        """Add a line with a checksum, as a journal needs it."""
        entry = json.dumps([key, value])
        line = f"{zlib.crc32(entry.encode()):08x} {entry}\n".encode()
        self._offset += os.pwrite(self._descriptor, line, self._offset)
        os.fdatasync(self._descriptor)


async def time_sets(
    set_value: Callable[[str, Any], Awaitable[Any]], items: Sequence[Item]
) -> float:
    """Return the median of one call after another."""
    durations = []
    for key, value in items:
        start = perf_counter_ns()
        await set_value(key, value)
        durations.append(microseconds_since(start))
    return median(durations)
