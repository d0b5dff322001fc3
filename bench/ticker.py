"""How long the event loop stands still while something else happens on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter_ns


class Ticker:
    """A callback that runs in every round of the loop, and knows the longest time between two."""

    def __init__(self, clock: Callable[[], int] = perf_counter_ns) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._longest = 0
        self._last = clock()
        self._handle = self._loop.call_soon(self._tick)

    def restart(self) -> float:
        """Return the longest time in microseconds, and forget it."""
        self._note()
        longest = self._longest / 1_000
        self._longest = 0
        return longest

    def stop(self) -> float:
        """End it, and return the longest time in microseconds."""
        self._handle.cancel()
        return self.restart()

    def _tick(self) -> None:
        self._note()
        self._handle = self._loop.call_soon(self._tick)

    def _note(self) -> None:
        now = self._clock()
        self._longest = max(self._longest, now - self._last)
        self._last = now


async def longest_stop(
    operation: Callable[[], Awaitable[object]], calls: int, seconds: float
) -> float:
    """Await the operation that often, or until the time is over, and return the longest stop.

    Between two calls the loop gets a round, for a coroutine that never waits gives it none. What
    the last call returned is kept until the end: to free it is not the work of the operation.
    """
    ticker = Ticker()
    deadline = perf_counter_ns() + seconds * 1e9
    for _ in range(calls):
        kept = await operation()
        await asyncio.sleep(0)
        if perf_counter_ns() > deadline:
            break
    longest = ticker.stop()
    del kept
    return longest
