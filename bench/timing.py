"""How calls are timed: one after another or all at once, with an event loop or without.

A call so short that the clock would be most of it is timed together with others, and the mean
counts. Where each call ends with a flush the median counts: single flushes take many times as long.
All times are microseconds of one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from statistics import median
from time import perf_counter_ns
from typing import Any


def microseconds_since(start: int) -> float:
    """Return the time since a moment of the clock that counts nanoseconds."""
    return (perf_counter_ns() - start) / 1_000


async def mean(
    call: Callable[[Any], Awaitable[Any]], arguments: Sequence[object]
) -> tuple[float, Any]:
    """Return the mean of one call after another, and what the last one returned."""
    start = perf_counter_ns()
    for argument in arguments:
        found = await call(argument)
    return microseconds_since(start) / len(arguments), found


def mean_blocking(call: Callable[[Any], Any], arguments: Sequence[object]) -> float:
    start = perf_counter_ns()
    for argument in arguments:
        call(argument)
    return microseconds_since(start) / len(arguments)


async def median_each(
    call: Callable[..., Awaitable[object]], arguments: Iterable[Sequence[object]]
) -> float:
    """Return the median of one call after another."""
    durations = []
    for some in arguments:
        start = perf_counter_ns()
        await call(*some)
        durations.append(microseconds_since(start))
    return median(durations)


def median_blocking(call: Callable[..., object], arguments: Iterable[Sequence[object]]) -> float:
    durations = []
    for some in arguments:
        start = perf_counter_ns()
        call(*some)
        durations.append(microseconds_since(start))
    return median(durations)


async def at_once(
    call: Callable[..., Awaitable[object]], arguments: Sequence[Sequence[object]]
) -> float:
    """Return the time from the first start to the last answer, divided by the calls."""
    start = perf_counter_ns()
    await asyncio.gather(*(call(*some) for some in arguments))
    return microseconds_since(start) / len(arguments)
