"""The stores that are open side by side, and what they are asked to do when it is their turn."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any

from bench.contestants import Contestant
from bench.plain import State
from bench.state import NOW, check, microseconds_since, read_json
from bench.stores import AiokvStore, Item

ITEMS_AT_ONCE = 1_000
CHANGES_OF_ONE_KEY = 200
KEYS_READ_AT_ONCE = 100
PREFIX = "quote:"
PREFIXED_KEYS = [f"{PREFIX}{number:02}" for number in range(100)]


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
        self.path = path
        self.store = contestant.store(path)
        self._contestant = contestant
        self._seconds_at_once = seconds_at_once
        self._state = state
        self._names = names
        self._random = random.Random(1)
        self._values = count(NOW)
        self._changes: State = {}
        self._seconds_of_set = 0.0
        self._added = count()
        self._counted = Counter[str]()
        # Not every store has all of these: see `Store`.
        self.more: Any = self.store

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
        """Return the time from the first start to the last answer, divided by the changes.

        All of them store one value: not every store keeps the order of two changes of a key.
        """
        number = self._number_at_once(not self._contestant.combines)
        value = next(self._values)
        items = [(name, value) for name in self._random.choices(self._names, k=number)]
        self._changes.update(items)
        return await self._set_from_tasks(items)

    async def _set_from_tasks(self, items: Sequence[Item]) -> float:
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

    async def add(self, calls: int) -> float:
        """Return the median of one `add` of an absent key after another."""
        items = [(f"seen:{next(self._added)}", next(self._values)) for _ in range(calls)]
        microseconds = await time_sets(self.more.add, items)
        self._changes.update(items)
        check(await self.store.get(items[-1][0]), items[-1][1])
        return microseconds

    async def increment_at_once(self, _calls: int) -> float:
        """Return the time of many increments of one key, divided by their number."""
        return await self._change_at_once(self.more.increment, "incremented")

    async def set_beside_increments(self, _calls: int) -> float:
        """Return the time of as many `set`s of different keys at once, divided by their number."""
        items = [(f"set:{number}", next(self._values)) for number in range(CHANGES_OF_ONE_KEY)]
        microseconds = await self._set_from_tasks(items)
        self._changes.update(items)
        return microseconds

    async def transact(self, calls: int) -> float:
        """Return the median of one transaction after another, which nothing disturbs."""
        durations = []
        for _ in range(calls):
            start = perf_counter_ns()
            await self.more.transact("transacted")
            durations.append(microseconds_since(start))
        await self._check_counted("transacted", calls)
        return median(durations)

    async def transact_at_once(self, _calls: int) -> float:
        """Return the time of many transactions on one key, divided by their number."""
        return await self._change_at_once(self.more.transact, "contended")

    async def _change_at_once(self, change: Callable[[str], Awaitable[Any]], key: str) -> float:
        calls = CHANGES_OF_ONE_KEY
        start = perf_counter_ns()
        await asyncio.gather(*(change(key) for _ in range(calls)))
        microseconds = microseconds_since(start) / calls
        await self._check_counted(key, calls)
        return microseconds

    async def _check_counted(self, key: str, calls: int) -> None:
        self._counted[key] += calls
        self._changes[key] = self._counted[key]
        check(await self.store.get(key), self._counted[key])

    async def get_many(self, calls: int) -> float:
        """Return the mean of reading many keys with one call."""
        choices = [self._random.choices(self._names, k=KEYS_READ_AT_ONCE) for _ in range(calls)]
        get_many = self.more.get_many
        start = perf_counter_ns()
        for names in choices:
            found = await get_many(names)
        microseconds = microseconds_since(start) / calls
        expected = {name: self._changes.get(name, self._state[name]) for name in choices[-1]}
        check(found, expected)
        return microseconds

    async def keys(self, calls: int) -> float:
        """Return the mean of listing the keys of a prefix, which the first stretch stores."""
        if PREFIXED_KEYS[0] not in self._changes:
            items = [(key, "brevity is the soul of wit") for key in PREFIXED_KEYS]
            await self.store.set_at_once(items)
            self._changes.update(items)
        keys = self.more.keys
        start = perf_counter_ns()
        for _ in range(calls):
            found = await keys(PREFIX)
        microseconds = microseconds_since(start) / calls
        check(found, PREFIXED_KEYS)
        return microseconds

    async def get_blocking(self, calls: int) -> float:
        """Return the mean of one `get` after another, without an event loop."""
        names = self._random.choices(self._names, k=calls)
        get = self.more.get_blocking

        def time_gets() -> float:
            start = perf_counter_ns()
            for name in names:
                get(name)
            return microseconds_since(start) / calls

        microseconds: float = await self.more.in_thread(time_gets)
        return microseconds

    async def set_blocking(self, calls: int) -> float:
        """Return the median of one `set` after another, without an event loop."""
        items = self._next_items(calls)
        set_value = self.more.set_blocking
        microseconds: float = await self.more.in_thread(time_blocking, set_value, items)
        check(await self.store.get(items[-1][0]), items[-1][1])
        return microseconds

    async def settle(self) -> None:
        """Let aiokv make its checkpoint now, not while somebody else is measured.

        No peer offers to hurry what it does later.
        """
        if isinstance(self.store, AiokvStore):
            await self.store.settle()

    async def check_file(self) -> None:
        """Make sure that the file of aiokv alone holds everything when the store is closed."""
        if isinstance(self.store, AiokvStore):
            check(await asyncio.to_thread(read_json, self.path), self._state | self._changes)

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


def time_blocking(set_value: Callable[[str, Any], None], items: Sequence[Item]) -> float:
    """Return the median of one call after another, without an event loop."""
    durations = []
    for key, value in items:
        start = perf_counter_ns()
        set_value(key, value)
        durations.append(microseconds_since(start))
    return median(durations)
