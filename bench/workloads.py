"""The workloads, one function each. Each raises if a value that was stored is not there."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter_ns
from typing import Any, Protocol

from aiokv import AioKV
from measurement import Bound, Measurement, Run, Subject
from plain import PlainKV, State
from several_processes import time_processes
from sqlite import SqliteKV

NOW = 1_763_834_400
FRESH_PROCESS = Path(__file__).with_name("fresh_process.py")


class Gets(Protocol):
    """What `get` is measured on."""

    async def get(self, key: str) -> Any:
        """Return the value of the key."""


class Sets(Protocol):
    """What `set` is measured on."""

    async def set(self, key: str, value: Any) -> Any:
        """Store the value."""


class Floor:
    """The least that an awaited call can cost: a dict and nothing else."""

    def __init__(self, items: State) -> None:
        self._items = items

    async def get(self, key: str) -> Any:
        """Return the value of the key."""
        return self._items[key]

    async def set(self, key: str, value: Any) -> None:
        """Store the value."""
        self._items[key] = value


async def get(run: Run, keys: int) -> list[Measurement]:
    """Measure one `get` after another, of keys in random order, while nothing changes."""
    state = bot_state(keys)
    path = run.directory / f"get-{keys}.json"
    write_json(path, state)
    order = random.Random(1).choices(list(state), k=20_000)
    plain_order = order[: 100 if keys <= 1_000 else 2]

    aiokv = AioKV(path)
    floor = Floor(state)
    plain = PlainKV(path)
    measurements = await run.compare(
        f"get, {keys:,} keys",
        15,
        [
            Subject(
                "aiokv",
                lambda: time_gets(aiokv, order),
                calls=len(order),
                reference="floor",
                bound=Bound(microseconds_max=1.0, ratio_max=6),
            ),
            Subject("floor", lambda: time_gets(floor, order), calls=len(order)),
            Subject(
                "plain",
                lambda: time_gets(plain, plain_order),
                calls=len(plain_order),
                reference="aiokv",
            ),
        ],
    )
    for key in state:
        check(await aiokv.get(key), state[key])
    await aiokv.close()
    return measurements


async def set_one_by_one(run: Run, raw_replace: Path) -> list[Measurement]:
    """Measure one `set` after another, beside a raw loop that writes the same bytes."""
    aiokv = FilledStore(AioKV, run.directory / "one-by-one.json", keys=100)
    plain = FilledStore(PlainKV, run.directory / "one-by-one-plain.json", keys=100)
    raw_path = run.directory / "one-by-one-raw.json"
    calls = 40
    measurements = await run.compare(
        "set one by one, 100 keys",
        31,
        [
            Subject(
                "aiokv",
                lambda: aiokv.set_one_by_one(calls),
                calls,
                durability="power",
                reference="raw loop",
                bound=Bound(ratio_max=1.25),
            ),
            Subject(
                "raw loop",
                lambda: run_raw_replace(raw_replace, raw_path, calls, aiokv.path.read_bytes()),
                calls,
                durability="power",
            ),
            Subject(
                "plain",
                lambda: plain.set_one_by_one(calls),
                calls,
                durability="power",
                reference="aiokv",
            ),
        ],
    )
    await aiokv.store.close()
    return measurements


async def set_one_by_one_without_fsync(run: Run) -> list[Measurement]:
    """Measure one `set` after another where nothing is flushed."""
    aiokv = FilledStore(AioKV, run.directory / "no-fsync.json", keys=100, fsync=False)
    plain = FilledStore(PlainKV, run.directory / "no-fsync-plain.json", keys=100, fsync=False)
    calls = 40
    measurements = await run.compare(
        "set one by one, 100 keys, fsync=False",
        31,
        [
            Subject("aiokv", lambda: aiokv.set_one_by_one(calls), calls, durability="kill"),
            Subject(
                "plain",
                lambda: plain.set_one_by_one(calls),
                calls,
                durability="kill",
                reference="aiokv",
            ),
        ],
    )
    await aiokv.store.close()
    return measurements


async def set_at_once(run: Run) -> list[Measurement]:
    """Measure 1,000 `set`s of different keys, started together and awaited together."""
    keys = 1_000
    aiokv = FilledStore(AioKV, run.directory / "at-once.json", keys)
    many = FilledStore(AioKV, run.directory / "set-many.json", keys)
    plain = FilledStore(PlainKV, run.directory / "at-once-plain.json", keys)
    plain_without_fsync = FilledStore(
        PlainKV, run.directory / "at-once-plain-no-fsync.json", keys, fsync=False
    )
    floor_changes = dict.fromkeys(bot_state(keys), NOW)
    floor = Floor({})
    measurements = await run.compare(
        "1,000 sets at once, each",
        11,
        [
            Subject(
                "aiokv",
                lambda: aiokv.set_at_once(keys),
                calls=keys,
                durability="power",
                reference="floor",
                bound=Bound(microseconds_max=15),
            ),
            Subject(
                "aiokv set_many",
                lambda: many.set_many(keys),
                calls=keys,
                durability="power",
                reference="aiokv",
            ),
            Subject("floor", lambda: time_sets_at_once(floor, floor_changes), calls=keys),
            Subject(
                "plain",
                lambda: plain.set_at_once(keys),
                calls=keys,
                durability="power",
                reference="aiokv",
            ),
            Subject(
                "plain, fsync=False",
                lambda: plain_without_fsync.set_at_once(keys),
                calls=keys,
                durability="kill",
                reference="aiokv",
            ),
        ],
    )
    await aiokv.store.close()
    return measurements


async def set_from_several_processes(run: Run) -> list[Measurement]:
    """Measure 4 processes that write to one file at once, each one `set` after another.

    Every process has its own keys, and every stretch new values, so that a value which was lost to
    another process is not there at the end.
    """
    processes = 4
    keys = list(bot_state(1_000))
    values = count(NOW)

    async def stretch(store: str, path: Path, read: Callable[[], Awaitable[object]]) -> float:
        changes = {key: next(values) for key in keys}
        shares = [
            {key: changes[key] for key in keys[process::processes]} for process in range(processes)
        ]
        microseconds = await asyncio.to_thread(time_processes, store, path, shares)
        check(await read(), changes)
        return microseconds / len(changes)

    async def read_json(path: Path) -> object:
        return json.loads(await asyncio.to_thread(path.read_bytes))

    json_path = run.directory / "several-processes.json"
    journal_path = run.directory / "several-processes-journal.json"
    sqlite_path = run.directory / "several-processes.sqlite"
    # It stays open, or SQLite would have to start with a new log in every stretch.
    sqlite = SqliteKV(sqlite_path)
    measurements = await run.compare(
        f"set from {processes} processes at once, each",
        5,
        [
            Subject(
                "aiokv",
                partial(stretch, "aiokv", json_path, partial(read_json, json_path)),
                calls=len(keys),
                durability="power",
                reference="SQLite",
            ),
            Subject(
                "aiokv journal",
                partial(stretch, "aiokv-journal", journal_path, partial(read_json, journal_path)),
                calls=len(keys),
                durability="power",
                reference="SQLite",
            ),
            Subject(
                "SQLite",
                partial(stretch, "sqlite", sqlite_path, sqlite.get_all),
                calls=len(keys),
                durability="power",
            ),
        ],
    )
    await sqlite.close()
    return measurements


async def open_large_file(run: Run) -> list[Measurement]:
    """Measure the first `get` of a process, of a file in the page cache, beside `json.load`.

    The file comes in two layouts: on one line, as `json.dump` writes it, and one entry a line, as
    aiokv writes it (and `json.dump` with `indent=2`, as long as values are no lists or objects).
    """
    keys = 100_000
    state = bot_state(keys)
    one_line = run.directory / "open-one-line.json"
    write_json(one_line, state, indent=None)
    own = FilledStore(AioKV, run.directory / "open-own.json", keys)
    await own.set_one_by_one(1)
    await own.store.close()

    key, expected = list(state.items())[-1]
    return [
        *await open_beside_json(run, "one line", one_line, key, expected),
        *await open_beside_json(run, "own layout", own.path, key, expected),
    ]


async def open_beside_json(
    run: Run, layout: str, path: Path, key: str, expected: str
) -> list[Measurement]:
    """Measure one layout of the large file."""
    return await run.compare(
        f"open 100,000 keys and get, {layout}",
        15,
        [
            Subject(
                "aiokv",
                lambda: run_fresh_process("open_with_aiokv", path, key, expected),
                calls=1,
                reference="json.load",
                bound=Bound(ratio_max=0.5),
            ),
            Subject(
                "json.load",
                lambda: run_fresh_process("open_with_json", path, key, expected),
                calls=1,
            ),
        ],
    )


async def import_package(run: Run) -> list[Measurement]:
    """Measure `import aiokv` in new processes that have imported `asyncio`."""
    return await run.compare(
        "import aiokv beyond asyncio",
        31,
        [
            Subject(
                "aiokv",
                lambda: run_fresh_process("import_aiokv"),
                calls=1,
                bound=Bound(microseconds_max=5_000),
            )
        ],
    )


class FilledStore:
    """A store on a file that holds something already, and what the file must hold by now."""

    def __init__(
        self, kind: type[AioKV] | type[PlainKV], path: Path, keys: int, fsync: bool = True
    ) -> None:
        self.path = path
        self.store = kind(path, fsync=fsync)
        self._expected = bot_state(keys)
        self._changes = zip(cycle(list(self._expected)), count(NOW))
        write_json(path, self._expected)

    async def set_one_by_one(self, calls: int) -> float:
        """Return the median microseconds of a `set` that waits for the one before."""
        return await self._set(time_sets_one_by_one, calls)

    async def set_at_once(self, calls: int) -> float:
        """Return the microseconds of all `set`s together, divided by their number."""
        return await self._set(time_sets_at_once, calls)

    async def set_many(self, calls: int) -> float:
        """Return the microseconds of one `set_many`, divided by its changes."""
        return await self._set(time_set_many, calls)

    async def _set(self, time_sets: Callable[[Sets, State], Awaitable[float]], calls: int) -> float:
        """Time the next changes, then make sure that the file holds every one of them."""
        changes = dict(islice(self._changes, calls))
        self._expected.update(changes)
        microseconds = await time_sets(self.store, changes)
        check(json.loads(self.path.read_bytes()), self._expected)
        return microseconds


async def time_gets(store: Gets, keys: list[str]) -> float:
    """Return the mean: a single `get` is too short for the clock."""
    start = perf_counter_ns()
    for key in keys:
        await store.get(key)
    return microseconds_since(start) / len(keys)


async def time_sets_one_by_one(store: Sets, changes: State) -> float:
    """Return the median: single flushes take many times as long when the disk is busy."""
    durations = []
    for key, value in changes.items():
        start = perf_counter_ns()
        await store.set(key, value)
        durations.append(microseconds_since(start))
    return median(durations)


async def time_sets_at_once(store: Sets, changes: State) -> float:
    """Return the time from the first start to the last answer, divided by the changes."""
    start = perf_counter_ns()
    await asyncio.gather(*(store.set(key, value) for key, value in changes.items()))
    return microseconds_since(start) / len(changes)


async def time_set_many(store: Sets, changes: State) -> float:
    """Return the time of the one call, divided by the changes."""
    assert isinstance(store, AioKV)
    start = perf_counter_ns()
    await store.set_many(changes)
    return microseconds_since(start) / len(changes)


async def run_raw_replace(program: Path, path: Path, rounds: int, content: bytes) -> float:
    """Return the median round, as for the `set`s it is compared with."""
    output = await run_program([program, path, str(rounds)], content)
    return median(int(nanoseconds) / 1_000 for nanoseconds in output.split())


async def run_fresh_process(function: str, *arguments: str | Path) -> float:
    """Return what a function of `fresh_process.py` measured."""
    output = await run_program([sys.executable, FRESH_PROCESS, function, *arguments])
    return int(output) / 1_000


async def run_program(command: Sequence[str | Path], content: bytes = b"") -> bytes:
    """Run a program and return what it printed."""
    completed = await asyncio.to_thread(
        subprocess.run, command, input=content, stdout=subprocess.PIPE, check=True
    )
    return completed.stdout


def microseconds_since(start: int) -> float:
    """Return the time since a moment of the clock that counts nanoseconds."""
    return (perf_counter_ns() - start) / 1_000


def bot_state(keys: int) -> State:
    """Return numbers and short text under keys of a usual length; 100,000 are about 5 MB."""
    user = 118_420_337_764_001_234
    state: State = {}
    for number in range(keys):
        if number % 2 == 0:
            state[f"rate_limit:{user + number}"] = NOW + number
        else:
            state[f"last_command:{user + number}"] = "remind me 10m"
    return state


def write_json(path: Path, state: State, indent: int | None = 2) -> None:
    """Write the file as `json.dump` would."""
    path.write_text(json.dumps(state, indent=indent), encoding="utf-8")


def check(found: object, expected: object) -> None:
    """Raise if something is not what was stored."""
    if found != expected:
        raise RuntimeError(f"found {found!r:.200} instead of {expected!r:.200}")
