"""What is done in a process of its own, by the coroutine functions that `spawn` is given."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter, perf_counter_ns, sleep, thread_time_ns
from typing import Literal

from aiokv import AioKV

from bench import workloads
from bench.contestants import Contestant
from bench.floors import RawAppend
from bench.spawn import Parent
from bench.state import State, bot_state, check
from bench.stores import Item
from bench.ticker import Ticker, longest_stop
from bench.timing import microseconds_since

Journal = Literal["auto", "always", "never"]

KEY = "tick"
DURATIONS = "durations"
WRITTEN = "written"

SETS_ALONE = 20
CALLS_WATCHED = 20
REPETITIONS = 9
IDLE_SECONDS = 0.1
PAUSE_SECONDS = 0.02
# A busy disk may take long for a flush, and another process waits for the lock as long.
new_aiokv = partial(AioKV, lock_timeout=30)


# --- what they do: one store, with nothing beside it ---


async def fill(parent: Parent, contestant: Contestant, path: Path, keys: int) -> None:
    store = contestant.store(path)
    state = bot_state(keys)
    parent.wait_for_start()
    await store.open()
    await store.fill(state)
    await store.close()


async def open_and_get(
    parent: Parent, contestant: Contestant, path: Path, key: str, expected: object
) -> None:
    """Measure the first `get` of a process, and what the process holds afterwards."""
    parent.wait_for_start()
    before = resident_bytes()
    start = perf_counter_ns()
    store = contestant.store(path)
    await store.open()
    value = await store.get(key)
    parent.emit(workloads.OPEN, microseconds_since(start))
    parent.emit(workloads.MEMORY, resident_bytes() - before)
    check(value, expected)
    await store.close()


async def set_alone(
    parent: Parent, contestant: Contestant, path: Path, keys: int, seconds: float
) -> None:
    """Measure what one `set` writes while nothing else happens, then what is written at the end.

    Whatever waits to be written is written before each of them. A page that still waits would
    otherwise be counted once for several of them.
    """
    store = contestant.store(path)
    changes = random_changes(list(bot_state(keys)))
    parent.wait_for_start()
    await store.open()
    deadline = perf_counter_ns() + seconds * 1e9
    for key, value in changes(SETS_ALONE):
        flush_files(path.parent)
        before = written_bytes()
        await store.set(key, value)
        parent.emit(workloads.BYTES_PER_SET, written_bytes() - before)
        if perf_counter_ns() > deadline:
            break
    before = written_bytes()
    await store.close()
    parent.emit(workloads.BYTES_AT_CLOSE, written_bytes() - before)


async def stops(
    parent: Parent, contestant: Contestant, path: Path, keys: int, seconds: float
) -> None:
    """Measure the longest stop of the event loop during each operation."""
    names = list(bot_state(keys))
    # To look for garbage in what only the benchmark holds would be a stop of its own making.
    gc.collect()
    gc.freeze()
    changes = random_changes(names)
    random_names = random.Random(3)
    number_at_once = 10 if contestant.writes_each_alone else 1_000

    async def measure(
        name: str,
        operation: Callable[[], Awaitable[object]],
        calls: int = 1,
        repetitions: int = REPETITIONS,
    ) -> None:
        deadline = perf_counter_ns() + seconds * 1e9
        for _ in range(repetitions):
            parent.emit(workloads.stop_during(name), await longest_stop(operation, calls, seconds))
            if perf_counter_ns() > deadline:
                break

    async def open_first() -> None:
        await store.open()
        await store.get(names[-1])

    store = contestant.store(path)
    parent.wait_for_start()
    await measure("open", open_first, repetitions=1)
    await measure(workloads.GET, lambda: store.get(random_names.choice(names)), CALLS_WATCHED)
    await measure(workloads.SET, lambda: store.set(*changes(1)[0]), CALLS_WATCHED)
    # Each key once, and half of the keys stay.
    deletions = min(CALLS_WATCHED, len(names) // (2 * REPETITIONS))
    await measure("delete", lambda: store.delete(names.pop()), deletions)
    await measure(workloads.GET_ALL, store.get_all)
    await measure(workloads.AT_ONCE, lambda: store.set_at_once(changes(number_at_once)))
    await store.set(*changes(1)[0])  # Something to do for `close`.
    await measure("close", store.close, repetitions=1)


async def stops_of_nothing(parent: Parent) -> None:
    """Measure how long the machine itself stops a loop that has nothing to do."""
    parent.wait_for_start()
    for _ in range(REPETITIONS):
        parent.emit(
            workloads.IDLE, await longest_stop(partial(asyncio.sleep, 0), 1_000_000, IDLE_SECONDS)
        )


# --- several processes that use one file, and one that uses many ---


async def set_share(parent: Parent, contestant: Contestant, path: Path, changes: State) -> None:
    """Set one key after another, whatever the other processes do."""
    store = contestant.store(path)
    await store.open()
    await store.get_all()  # Opens the file, which is not what is measured.
    parent.wait_for_start()
    for key, value in changes.items():
        await store.set(key, value)
    parent.wait_for_end()
    await store.close()


async def get_in_a_loop(parent: Parent, path: Path, journal: Journal, seconds: float) -> None:
    """Measure one `get` after another of the key that another process sets.

    Only those count that found a new value: between two of them the others find that nothing has
    changed, and take no longer than if no other process was there.
    """
    store = new_aiokv(path, journal=journal)
    await in_a_loop(parent, lambda _number: store.get(KEY, 0), seconds)
    await store.close()


async def set_in_a_loop(parent: Parent, path: Path, journal: Journal, seconds: float) -> None:
    """Measure one `set` after another of that key."""
    store = new_aiokv(path, journal=journal)
    await in_a_loop(parent, lambda number: store.set(KEY, number), seconds)
    await store.close()


async def append_in_a_loop(parent: Parent, path: Path, seconds: float) -> None:
    """Measure what the disk takes for a line at the end of a file, and a flush."""
    raw = RawAppend(path)

    async def append(number: int) -> None:
        raw.set(KEY, number)

    await in_a_loop(parent, append, seconds)
    raw.close()


async def in_a_loop(
    parent: Parent, operation: Callable[[int], Awaitable[object]], seconds: float
) -> None:
    """Measure one call after another for a while."""
    await operation(0)
    parent.wait_for_start()
    durations: list[float] = []
    last: object = object()  # Equal to nothing that is found.
    number = 0
    deadline = perf_counter_ns() + seconds * 1e9
    before = perf_counter_ns()
    while before < deadline:
        number += 1
        found = await operation(number)
        now = perf_counter_ns()
        if found is None or found != last:
            durations.append((now - before) / 1_000)
            last = found
        before = now
    parent.emit(DURATIONS, *durations)
    parent.wait_for_end()


async def set_the_time(parent: Parent, path: Path, journal: Journal, seconds: float) -> None:
    """Set a key to the time when the `set` began, again and again after a pause, then to 0."""
    store = new_aiokv(path, journal=journal)
    await store.get(KEY)
    parent.wait_for_start()
    end = perf_counter() + seconds
    while perf_counter() < end:
        await asyncio.sleep(PAUSE_SECONDS)
        await store.set(KEY, perf_counter_ns())
    await store.set(KEY, 0)
    parent.wait_for_end()
    await store.close()


async def watch_the_time(parent: Parent, path: Path, journal: Journal, _seconds: float) -> None:
    """Measure how long after the beginning of each `set` the change is told here, until it is 0.

    The clock is one for all processes of a Linux system. Two changes that come together because
    the machine is busy are told as one.
    """
    store = new_aiokv(path, journal=journal)
    durations: list[float] = []
    async with store.watch(KEY) as watched:
        parent.wait_for_start()
        async for change in watched:
            if change.new == 0:
                break
            durations.append(microseconds_since(change.new))
    parent.emit(DURATIONS, *durations)
    parent.wait_for_end()
    await store.close()


async def set_now_and_then(parent: Parent, path: Path, sets: int, seconds: float) -> None:
    """Measure how much is written for sets that are spread over some time, before `close`.

    What `write_bytes` of `/proc/self/io` counts: every page of a file that this process made dirty,
    each time it had been clean. That includes what is written in the background.
    """
    store = new_aiokv(path)
    names = list(await store.get_all())
    parent.wait_for_start()
    before = written_bytes()
    start = perf_counter()
    source = random.Random(1)
    for number in range(sets):
        await store.set(source.choice(names), number)
        due = start + (number + 1) * seconds / sets
        await asyncio.sleep(max(0.0, due - perf_counter()))
    parent.emit(WRITTEN, written_bytes() - before)
    parent.wait_for_end()
    await store.close()


async def use_many_stores(
    parent: Parent, root: Path, stores: int, journal: Journal, sets: int
) -> None:
    """Measure a process that uses many stores: each is written, then all are dropped."""
    paths = [root / str(number // 100) / f"{number}.json" for number in range(stores)]
    for directory in {path.parent for path in paths}:
        directory.mkdir(parents=True)
    # What the package and the loop need once.
    warm = new_aiokv(root / "warm.json")
    await warm.set(KEY)
    del warm
    parent.wait_for_start()
    gc.collect()
    gc.freeze()
    resident = resident_bytes()
    with watching() as most:
        kept = [new_aiokv(path, journal=journal) for path in paths]
        ticker = Ticker()
        # What the thread of the loop did, whoever else wants the processor.
        work = Ticker(thread_time_ns)
        await asyncio.sleep(2)
        idle = ticker.restart()
        start = perf_counter()
        # A round of the loop for each hundred: a program does not start all of them at once.
        for number in range(sets):
            for first in range(0, len(kept), 100):
                some = kept[first : first + 100]
                await asyncio.gather(*(store.set(KEY, number) for store in some))
        seconds = perf_counter() - start
        used = ticker.restart()
        work_in_use = work.restart()
        gc.collect()
        memory = (resident_bytes() - resident) / len(kept)
        ticker.restart()
        work.restart()
        kept.clear()
        await asyncio.sleep(0.5)
        dropped = ticker.stop()
        work_when_dropped = work.stop()
    parent.emit("time", seconds * 1e6)
    parent.emit("threads", most["threads"])
    parent.emit("open files", most["files"])
    parent.emit("memory of each", memory)
    parent.emit("stop of a loop with nothing to do", idle)
    parent.emit("longest stop in use", used)
    parent.emit("longest stop when dropped", dropped)
    parent.emit("longest work in use", work_in_use)
    parent.emit("longest work when dropped", work_when_dropped)


@contextmanager
def watching() -> Iterator[dict[str, int]]:
    """Watch from a thread how many threads and open files there are, without those of the watch."""
    most = {"threads": 0, "files": 0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            most["threads"] = max(most["threads"], len(list(Path("/proc/self/task").iterdir())) - 1)
            most["files"] = max(most["files"], len(list(Path("/proc/self/fd").iterdir())) - 1)
            sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


# --- what they use ---


def random_changes(names: Sequence[str]) -> Callable[[int], list[Item]]:
    """Return a function that makes that many changes of keys that are there."""
    source = random.Random(2)
    values = count(1)
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
