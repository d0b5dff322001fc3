"""The stores that are open side by side, and what they are asked to do when it is their turn."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from bench.contestants import Contestant
from bench.state import NOW, State, check, read_json
from bench.stores import AiokvStore, Item
from bench.timing import (
    at_once,
    mean,
    mean_blocking,
    median_blocking,
    median_each,
    microseconds_since,
)

ITEMS_AT_ONCE = 1_000
CHANGES_OF_ONE_KEY = 200
KEYS_READ_AT_ONCE = 100
PREFIX = "quote:"
PREFIXED_KEYS = [f"{PREFIX}{number:02}" for number in range(100)]


class Entrant:
    """A contestant with an open store, and what that store must hold by now.

    Each workload is a method that makes that many calls and returns the cost of one in
    microseconds. Then it makes sure that the store does what it is measured for.
    """

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
        # Not every store has all of what is called here: see `Store`.
        self.store: Any = contestant.store(path)
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

    async def get(self, calls: int) -> float:
        names = self._random.choices(self._names, k=calls)
        microseconds, found = await mean(self.store.get, names)
        check(found, self._held(names[-1]))
        return microseconds

    async def get_blocking(self, calls: int) -> float:
        names = self._random.choices(self._names, k=calls)
        return await self._in_thread(mean_blocking, self.store.get_blocking, names)

    async def get_many(self, calls: int) -> float:
        choices = [self._random.choices(self._names, k=KEYS_READ_AT_ONCE) for _ in range(calls)]
        microseconds, found = await mean(self.store.get_many, choices)
        check(found, {name: self._held(name) for name in choices[-1]})
        return microseconds

    async def keys(self, calls: int) -> float:
        """List the keys of a prefix, which the first stretch stores."""
        if PREFIXED_KEYS[0] not in self._changes:
            items = [(key, "brevity is the soul of wit") for key in PREFIXED_KEYS]
            await self.store.set_at_once(items)
            self._changes.update(items)
        microseconds, found = await mean(self.store.keys, [PREFIX] * calls)
        check(found, PREFIXED_KEYS)
        return microseconds

    async def get_all(self, _calls: int) -> float:
        start = perf_counter_ns()
        state = await self.store.get_all()
        microseconds = microseconds_since(start)
        check(state, self._state | self._changes)
        return microseconds

    async def set(self, calls: int) -> float:
        items = self._next_items(calls)
        microseconds = await median_each(self.store.set, items)
        self._seconds_of_set = microseconds / 1e6
        await self._check_last(items)
        return microseconds

    async def set_blocking(self, calls: int) -> float:
        items = self._next_items(calls)
        microseconds = await self._in_thread(median_blocking, self.store.set_blocking, items)
        await self._check_last(items)
        return microseconds

    async def add(self, calls: int) -> float:
        """Add keys that are absent."""
        items = [(f"seen:{next(self._added)}", next(self._values)) for _ in range(calls)]
        microseconds = await median_each(self.store.add, items)
        self._changes.update(items)
        await self._check_last(items)
        return microseconds

    async def transact(self, calls: int) -> float:
        """Make one transaction after another, which nothing disturbs."""
        microseconds = await median_each(self.store.transact, [("transacted",)] * calls)
        await self._check_counted("transacted", calls)
        return microseconds

    async def set_at_once(self, _calls: int) -> float:
        """Store a batch; the time is that of each change."""
        items = self._next_items(self._number_at_once(self._contestant.writes_each_alone))
        start = perf_counter_ns()
        await self.store.set_at_once(items)
        return microseconds_since(start) / len(items)

    async def set_from_tasks(self, _calls: int) -> float:
        """Store one value from many tasks: not every store keeps the order of two changes."""
        number = self._number_at_once(not self._contestant.combines)
        value = next(self._values)
        items = [(name, value) for name in self._random.choices(self._names, k=number)]
        self._changes.update(items)
        return await at_once(self.store.set, items)

    async def set_beside_increments(self, _calls: int) -> float:
        """Store under different keys, as often as `increment_at_once` changes one."""
        items = [(f"set:{number}", next(self._values)) for number in range(CHANGES_OF_ONE_KEY)]
        self._changes.update(items)
        return await at_once(self.store.set, items)

    async def increment_at_once(self, _calls: int) -> float:
        return await self._change_at_once(self.store.increment, "incremented")

    async def transact_at_once(self, _calls: int) -> float:
        return await self._change_at_once(self.store.transact, "contended")

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

    async def _in_thread(self, function: Callable[..., float], *arguments: Any) -> float:
        """Call it where the store may be called without an event loop."""
        microseconds: float = await self.store.in_thread(function, *arguments)
        return microseconds

    async def _change_at_once(self, change: Callable[[str], Awaitable[Any]], key: str) -> float:
        microseconds = await at_once(change, [(key,)] * CHANGES_OF_ONE_KEY)
        await self._check_counted(key, CHANGES_OF_ONE_KEY)
        return microseconds

    async def _check_counted(self, key: str, calls: int) -> None:
        self._counted[key] += calls
        self._changes[key] = self._counted[key]
        check(await self.store.get(key), self._counted[key])

    async def _check_last(self, items: Sequence[Item]) -> None:
        key, value = items[-1]
        check(await self.store.get(key), value)

    def _held(self, name: str) -> Any:
        return self._changes.get(name, self._state[name])

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
