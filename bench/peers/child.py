"""What needs a process of its own: a first opening, memory, bytes written, stops of the loop.

Run with the name of a function below and its arguments. Every line it prints is a JSON list of the
name of a workload and a sample, and is there as soon as it is measured: what a process has printed
counts, even if it takes too long for the rest.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter_ns

from plain import State
from ticker import longest_stop
from workloads import NOW, bot_state, check

from peers.contestants import contestant_named
from peers.results import (
    AT_ONCE,
    BYTES_AT_CLOSE,
    BYTES_PER_SET,
    GET,
    GET_ALL,
    IDLE,
    MEMORY,
    OPEN,
    SET,
    stop_during,
)
from peers.stores import Item, Store

SETS_ALONE = 20
CALLS_WATCHED = 20
REPETITIONS = 9
IDLE_SECONDS = 0.1

Operation = Callable[[], Awaitable[object]]


async def fill(contestant: str, path: str, keys: str) -> None:
    """Store the first state."""
    store = new_store(contestant, path)
    await store.open()
    await store.fill(bot_state(int(keys)))
    await store.close()


async def open_and_get(contestant: str, path: str, key: str, expected: str) -> None:
    """Measure the first `get` of a process, and what the process holds afterwards."""
    before = resident_bytes()
    start = perf_counter_ns()
    store = new_store(contestant, path)
    await store.open()
    value = await store.get(key)
    emit(OPEN, (perf_counter_ns() - start) / 1_000)
    emit(MEMORY, resident_bytes() - before)
    check(value, expected)
    await store.close()


async def load_json(path: str, key: str, expected: str) -> None:
    """Measure the same with nothing but `json.load`."""
    before = resident_bytes()
    start = perf_counter_ns()
    state = read_json(Path(path))
    value = state[key]
    emit(OPEN, (perf_counter_ns() - start) / 1_000)
    emit(MEMORY, resident_bytes() - before)
    check(value, expected)


async def set_alone(contestant: str, path: str, keys: str, seconds: str) -> None:
    """Measure what one `set` writes while nothing else happens, then what is written at the end.

    Whatever waits to be written is written before each of them. A page that still waits would
    otherwise be counted once for several of them.
    """
    store = new_store(contestant, path)
    await store.open()
    changes = random_changes(list(bot_state(int(keys))))
    deadline = perf_counter_ns() + float(seconds) * 1e9
    for key, value in changes(SETS_ALONE):
        flush_files(Path(path).parent)
        before = written_bytes()
        await store.set(key, value)
        emit(BYTES_PER_SET, written_bytes() - before)
        if perf_counter_ns() > deadline:
            break
    before = written_bytes()
    await store.close()
    emit(BYTES_AT_CLOSE, written_bytes() - before)


async def watch(contestant: str, path: str, keys: str, seconds: str) -> None:
    """Measure the longest stop of the event loop during each operation."""
    names = list(bot_state(int(keys)))
    # To look for garbage in what only the benchmark holds would be a stop of its own making.
    gc.collect()
    gc.freeze()
    changes = random_changes(names)
    random_names = random.Random(3)
    number_at_once = 10 if contestant_named(contestant).writes_each_alone else 1_000

    async def measure(
        name: str, operation: Operation, calls: int = 1, repetitions: int = REPETITIONS
    ) -> None:
        deadline = perf_counter_ns() + float(seconds) * 1e9
        for _ in range(repetitions):
            emit(stop_during(name), await longest_stop(operation, calls, float(seconds)))
            if perf_counter_ns() > deadline:
                break

    async def open_first() -> None:
        await store.open()
        await store.get(names[-1])

    store = new_store(contestant, path)
    await measure("open", open_first, repetitions=1)
    await measure(GET, lambda: store.get(random_names.choice(names)), CALLS_WATCHED)
    await measure(SET, lambda: store.set(*changes(1)[0]), CALLS_WATCHED)
    # Each key once, and half of the keys stay.
    deletions = min(CALLS_WATCHED, len(names) // (2 * REPETITIONS))
    await measure("delete", lambda: store.delete(names.pop()), deletions)
    await measure(GET_ALL, store.get_all)
    await measure(AT_ONCE, lambda: store.set_at_once(changes(number_at_once)))
    await store.set(*changes(1)[0])  # Something to do for `close`.
    await measure("close", store.close, repetitions=1)


async def watch_nothing() -> None:
    """Measure how long the machine itself stops a loop that has nothing to do."""
    for _ in range(REPETITIONS):
        emit(IDLE, await longest_stop(partial(asyncio.sleep, 0), 1_000_000, IDLE_SECONDS))


def read_json(path: Path) -> State:
    """Return what a file of JSON holds."""
    with path.open(encoding="utf-8") as file:
        state: State = json.load(file)
    return state


def new_store(contestant: str, path: str) -> Store:
    """Return the store of the contestant, not opened yet."""
    return contestant_named(contestant).store(Path(path))


def random_changes(names: Sequence[str]) -> Callable[[int], list[Item]]:
    """Return a function that makes that many changes of keys that are there."""
    source = random.Random(2)
    values = count(NOW)
    return lambda number: [(source.choice(names), next(values)) for _ in range(number)]


def resident_bytes() -> int:
    """Return how much memory of this process is in RAM, without what waits to be collected."""
    gc.collect()
    _size, resident, *_rest = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(resident) * resource.getpagesize()


def flush_files(directory: Path) -> None:
    """Write what waits to be written of the files below a directory."""
    for path in directory.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def written_bytes() -> int:
    """Return how much this process has caused to be written to a disk, in whole pages."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    counters = dict(line.split(": ") for line in lines)
    return int(counters["write_bytes"])


def emit(workload: str, sample: float) -> None:
    """Hand a sample to the process that asked for it."""
    print(json.dumps([workload, sample]), flush=True)


FUNCTIONS = {
    function.__name__: function
    for function in (fill, open_and_get, load_json, set_alone, watch, watch_nothing)
}

if __name__ == "__main__":
    asyncio.run(FUNCTIONS[sys.argv[1]](*sys.argv[2:]))
