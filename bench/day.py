"""Measures how much is written to disk in a day, and prints a table in Markdown.

`python -m bench.day`. Needs a release build of `aiokv` in the environment, and Linux.

Nothing runs for a day: every store makes some hundred changes one after another, and what was
written for each is multiplied. aiokv writes its file in the background, at times that follow from
the size of the file; what it writes then is measured once, and the number of times is calculated. A
shorter run in real time says whether the calculation holds.

What is counted is `write_bytes` of `/proc/self/io`: every page of a file that the process made
dirty, each time it had been clean. What the file system writes for itself is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.__main__ import REPOSITORY, machine_facts
from bench.children import WRITTEN, set_now_and_then, written_bytes
from bench.spawn import run_alone
from bench.state import bot_state, write_json
from bench.stores import AiokvStore, PlainStore, SqliteStore, Store
from bench.units import format_bytes, format_table

DAY = 24 * 60 * 60
KEYS = (100, 10_000, 1_000_000)
SECONDS_BETWEEN_SETS = (1, 60)
#: The defaults of aiokv, in bytes and bytes a second.
JOURNAL_THRESHOLD = CHECKPOINT_PACE = 64 << 10
REAL_TIME_KEYS = 10_000
REAL_TIME_SECONDS = 60


@dataclass(frozen=True)
class Cost:
    """What a store writes: for a change, and each time it brings its file up to date."""

    of_set: float
    of_checkpoint: float = 0
    checkpoint_delay: float = 0

    def written(self, seconds: float, seconds_between_sets: float) -> float:
        sets = seconds / seconds_between_sets
        # The delay begins with the first change that the file does not hold.
        sets_between = math.floor(self.checkpoint_delay / seconds_between_sets) + 1
        return sets * self.of_set + sets / sets_between * self.of_checkpoint


def main() -> None:
    """Measure everything in a directory that is removed at the end, then print the table."""
    parser = argparse.ArgumentParser(description="Measure how much is written to disk in a day.")
    parser.add_argument("--directory", type=Path, default=REPOSITORY.parent)
    parser.add_argument("--keys", type=int, nargs="*", default=KEYS)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="aiokv-bench-", dir=arguments.directory) as name:
        directory = Path(name)
        print(machine_facts(directory), end="\n\n")
        rows = [row for keys in arguments.keys for row in asyncio.run(rows_of(directory, keys))]
        calculated, measured = asyncio.run(real_time(directory))
    print(format_table(["keys", "file", "sets", "aiokv", "SQLite", "JSON file"], rows), end="\n\n")
    print(
        f"A run of {REAL_TIME_SECONDS} s in real time, {REAL_TIME_KEYS:,} keys, one set a second: "
        f"aiokv wrote {format_bytes(measured)}, and {format_bytes(calculated)} were calculated."
    )


async def rows_of(directory: Path, keys: int) -> list[list[str]]:
    bytes_of_file, aiokv = await cost_of_aiokv(directory, keys)
    sqlite = await cost_of(SqliteStore(directory / f"{keys}.sqlite"), keys, 3_000)
    plain_calls = 5 if keys > 100_000 else 50
    plain = await cost_of(PlainStore(directory / "plain.json"), keys, plain_calls)
    rows = []
    for seconds in SECONDS_BETWEEN_SETS:
        cells = [
            f"{keys:,}",
            format_bytes(bytes_of_file),
            {1: "one a second", 60: "one a minute"}[seconds],
            *(format_bytes(cost.written(DAY, seconds)) for cost in (aiokv, sqlite, plain)),
        ]
        rows.append(cells)
    return rows


async def cost_of_aiokv(directory: Path, keys: int) -> tuple[int, Cost]:
    """Measure aiokv with its defaults, but that a checkpoint comes when it is asked for."""
    path = directory / "aiokv.json"
    store = AiokvStore(path, checkpoint_pace=0)
    await store.fill(bot_state(keys))
    await store.settle()
    bytes_of_file = path.stat().st_size
    of_set = await mean_of_sets(store, keys, 300)
    before = written_bytes()
    await store.close()
    of_checkpoint = written_bytes() - before
    if bytes_of_file <= JOURNAL_THRESHOLD:
        return bytes_of_file, Cost(of_set)
    return bytes_of_file, Cost(of_set, of_checkpoint, bytes_of_file / CHECKPOINT_PACE)


async def cost_of(store: Store, keys: int, calls: int) -> Cost:
    """Measure a store that writes no more in the background than it does for the changes.

    SQLite moves its log to the database now and then, during a change.
    """
    await store.fill(bot_state(keys))
    cost = Cost(await mean_of_sets(store, keys, calls))
    await store.close()
    return cost


async def mean_of_sets(store: Store, keys: int, calls: int) -> float:
    """Return how much is written for a change of some key."""
    names = list(bot_state(keys))
    source = random.Random(1)
    await store.set(names[0], 0)  # Not counted: the first one may write more.
    before = written_bytes()
    for number in range(calls):
        await store.set(source.choice(names), number)
    return (written_bytes() - before) / calls


async def real_time(directory: Path) -> tuple[float, float]:
    """Return what was calculated and what was written when a store works as it does all day."""
    _bytes_of_file, cost = await cost_of_aiokv(directory, REAL_TIME_KEYS)
    path = directory / "real-time.json"
    write_json(path, bot_state(REAL_TIME_KEYS))
    seconds = REAL_TIME_SECONDS
    samples, _ = await run_alone(set_now_and_then, path, seconds, seconds, seconds=600)
    return cost.written(seconds, 1), samples[WRITTEN][0]


if __name__ == "__main__":
    main()
