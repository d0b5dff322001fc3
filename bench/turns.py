"""Contestants that take turns, so that a noisy disk and a busy machine are the same for all."""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from bench.results import Cell


@dataclass(frozen=True)
class Limits:
    """How much is measured. `PEERS` and `ALONE` are what published tables come from.

    The last three are for the processes that share a file, write in the background or have many
    stores.
    """

    sizes: Sequence[int]
    turns: int = 15
    turns_of_slow_calls: int = 5
    stretch_seconds: float = 0.1
    cell_seconds: float = 2.5
    process_seconds: float = 60
    loop_seconds: float = 4
    background_seconds: float = 25
    stores: int = 10_000


PEERS = Limits(sizes=(100, 10_000, 1_000_000))
ALONE = Limits(sizes=(100, 100_000, 1_000_000))
QUICK = Limits(
    sizes=(100, 10_000),
    turns=3,
    turns_of_slow_calls=2,
    stretch_seconds=0.03,
    cell_seconds=0.5,
    loop_seconds=1,
    background_seconds=2,
    stores=500,
)


@dataclass(frozen=True)
class Subject:
    """One of those that take turns.

    `stretch` makes that many calls and answers the cost of one, in microseconds. `afterwards` is
    awaited after each stretch and not measured.
    """

    name: str
    stretch: Callable[[int], Awaitable[float]]
    afterwards: Callable[[], Awaitable[None]] | None = None


async def take_turns(
    workload: str,
    keys: int,
    subjects: Sequence[Subject],
    limits: Limits,
    turns: int,
    calls_max: int = 1,
) -> list[Cell]:
    """Let the subjects take turns, back and forth so that neighbors stay neighbors.

    A subject makes as many calls in a turn as fit into a stretch, and one at least. It misses the
    turns after its time for the cell is used up.
    """
    report_progress(f"{keys:,} keys: {workload}" if keys else workload)
    runs = [Run(subject, limits) for subject in subjects]
    for run in runs:
        await run.warm_up(calls_max)
    for turn in range(turns):
        gc.collect()
        for run in runs if turn % 2 == 0 else reversed(runs):
            await run.take_turn(turn)
    return [Cell(workload, keys, run.subject.name, run.samples, run.calls) for run in runs]


class Run:
    """One subject on its way through the turns of a cell."""

    def __init__(self, subject: Subject, limits: Limits) -> None:
        self.subject = subject
        self.samples: list[float | None] = []
        self.calls = 1
        self._limits = limits
        self._seconds_left = limits.cell_seconds

    async def warm_up(self, calls_max: int) -> None:
        """Open files and fill caches with the first call, then see how many fit into a stretch.

        A call that needs all the time there is counts: there will be no other.
        """
        sample, seconds = await self._stretch()
        if seconds >= self._seconds_left:
            self.samples.append(sample)
            self._seconds_left = 0
        elif calls_max > 1:
            sample, _seconds = await self._stretch()
            self.calls = max(1, min(calls_max, int(self._limits.stretch_seconds * 1e6 / sample)))

    async def take_turn(self, turn: int) -> None:
        """Add a sample for the turn, or None if there is no time left."""
        if turn < len(self.samples):
            return
        if self._seconds_left <= 0:
            self.samples.append(None)
            return
        sample, seconds = await self._stretch()
        self._seconds_left -= seconds
        self.samples.append(sample)

    async def _stretch(self) -> tuple[float, float]:
        """Return the cost of a call in microseconds, and how many seconds the stretch took."""
        start = perf_counter()
        sample = await self.subject.stretch(self.calls)
        seconds = perf_counter() - start
        if self.subject.afterwards is not None:
            await self.subject.afterwards()
        return sample, seconds


_START = perf_counter()


def report_progress(message: str) -> None:
    """Tell whoever waits what is being measured, and since when."""
    print(f"{perf_counter() - _START:5.0f} s  {message}", file=sys.stderr, flush=True)
