"""Whatever needs a process of its own: how it is started, and what it does there.

A `Child` runs one of the functions below, whose arguments are strings. It says when it is
ready, begins when it is told to, and emits samples, each with the name of a workload. What it has
emitted counts, even if it takes too long for the rest. Modules are imported where a function needs
them, so that none of them is there too early.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter, perf_counter_ns, sleep, thread_time_ns
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from bench.stores import Item, Store

Samples = dict[str, list[float]]

KEY = "tick"
DURATIONS = "durations"
WRITTEN = "written"
READY, DONE = "ready", "done"

SETS_ALONE = 20
CALLS_WATCHED = 20
REPETITIONS = 9
IDLE_SECONDS = 0.1


class Child:
    """One of the processes, as it is seen from the one that holds the clock."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        command = [sys.executable, "-m", __name__, function.__name__, *map(str, arguments)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self._events = {READY: threading.Event(), DONE: threading.Event()}
        self.samples: Samples = {}
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def start(self) -> None:
        """Let it begin."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # It died, which `end` tells.
            print("start", file=self._process.stdin, flush=True)

    def wait(self, event: str, seconds: float) -> bool:
        """Wait until it is ready or has done everything, and tell whether that came in time."""
        return self._events[event].wait(seconds)

    def end(self, in_time: bool) -> None:
        """Let it close its store and end, or kill it if it takes too long."""
        assert self._process.stdin is not None
        if not in_time:
            self._process.kill()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._reader.join()
        self._process.wait()
        if in_time and self._process.returncode != 0:
            raise subprocess.CalledProcessError(self._process.returncode, self._process.args)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            name, samples = json.loads(line)
            if name in self._events:
                self._events[name].set()
            else:
                self.samples.setdefault(name, []).extend(samples)
        for event in self._events.values():
            event.set()


def run(children: Sequence[Child], seconds: float) -> tuple[float, bool]:
    """Let children begin together; return the microseconds until all were done, and if in time."""
    deadline = perf_counter() + seconds

    def wait_for_all(event: str) -> bool:
        return all(child.wait(event, deadline - perf_counter()) for child in children)

    are_ready = wait_for_all(READY)
    start = perf_counter_ns()
    for child in children:
        child.start()
    in_time = wait_for_all(DONE) and are_ready
    microseconds = (perf_counter_ns() - start) / 1_000
    for child in children:
        child.end(in_time)
    return microseconds, in_time


async def run_in_thread(
    function: Callable[..., object], *arguments: object, seconds: float
) -> tuple[Samples, bool]:
    """Return what a child of its own emitted, and whether it came to its end in time."""
    child = Child(function, *arguments)
    _microseconds, in_time = await asyncio.to_thread(run, [child], seconds)
    return child.samples, in_time


# --- what they do: one store, with nothing beside it ---


async def fill(contestant: str, path: str, keys: str) -> None:
    """Store the first state."""
    from bench.state import bot_state

    store = new_store(contestant, path)
    state = bot_state(int(keys))
    wait_for_start()
    await store.open()
    await store.fill(state)
    await store.close()


async def open_and_get(contestant: str, path: str, key: str, expected: str) -> None:
    """Measure the first `get` of a process, and what the process holds afterwards."""
    from bench import workloads
    from bench.contestants import contestant_named
    from bench.state import check

    new_store = contestant_named(contestant).store
    wait_for_start()
    before = resident_bytes()
    start = perf_counter_ns()
    store = new_store(Path(path))
    await store.open()
    value = await store.get(key)
    emit(workloads.OPEN, (perf_counter_ns() - start) / 1_000)
    emit(workloads.MEMORY, resident_bytes() - before)
    check(value, expected)
    await store.close()


async def set_alone(contestant: str, path: str, keys: str, seconds: str) -> None:
    """Measure what one `set` writes while nothing else happens, then what is written at the end.

    Whatever waits to be written is written before each of them. A page that still waits would
    otherwise be counted once for several of them.
    """
    from bench import workloads
    from bench.state import bot_state

    store = new_store(contestant, path)
    changes = random_changes(list(bot_state(int(keys))))
    wait_for_start()
    await store.open()
    deadline = perf_counter_ns() + float(seconds) * 1e9
    for key, value in changes(SETS_ALONE):
        flush_files(Path(path).parent)
        before = written_bytes()
        await store.set(key, value)
        emit(workloads.BYTES_PER_SET, written_bytes() - before)
        if perf_counter_ns() > deadline:
            break
    before = written_bytes()
    await store.close()
    emit(workloads.BYTES_AT_CLOSE, written_bytes() - before)


async def stops(contestant: str, path: str, keys: str, seconds: str) -> None:
    """Measure the longest stop of the event loop during each operation."""
    from bench import workloads
    from bench.contestants import contestant_named
    from bench.state import bot_state
    from bench.ticker import longest_stop

    names = list(bot_state(int(keys)))
    # To look for garbage in what only the benchmark holds would be a stop of its own making.
    gc.collect()
    gc.freeze()
    changes = random_changes(names)
    random_names = random.Random(3)
    number_at_once = 10 if contestant_named(contestant).writes_each_alone else 1_000

    async def measure(
        name: str,
        operation: Callable[[], Awaitable[object]],
        calls: int = 1,
        repetitions: int = REPETITIONS,
    ) -> None:
        deadline = perf_counter_ns() + float(seconds) * 1e9
        for _ in range(repetitions):
            emit(workloads.stop_during(name), await longest_stop(operation, calls, float(seconds)))
            if perf_counter_ns() > deadline:
                break

    async def open_first() -> None:
        await store.open()
        await store.get(names[-1])

    store = new_store(contestant, path)
    wait_for_start()
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


async def stops_of_nothing() -> None:
    """Measure how long the machine itself stops a loop that has nothing to do."""
    from bench import workloads
    from bench.ticker import longest_stop

    wait_for_start()
    for _ in range(REPETITIONS):
        emit(workloads.IDLE, await longest_stop(partial(asyncio.sleep, 0), 1_000_000, IDLE_SECONDS))


# --- several processes that use one file, and one that uses many ---


async def set_share(contestant: str, path: str, share: str) -> None:
    """Set one key after another, whatever the other processes do."""
    changes: dict[str, Any] = json.loads(share)
    store = new_store(contestant, path)
    await store.open()
    await store.get_all()  # Opens the file, which is not what is measured.
    wait_for_start()
    for key, value in changes.items():
        await store.set(key, value)
    wait_for_end()
    await store.close()


async def get_in_a_loop(path: str, journal: str, seconds: str) -> None:
    """Measure one `get` after another of the key that another process sets.

    Only those count that found a new value: between two of them the others find that nothing has
    changed, and take no longer than if no other process was there.
    """
    store = new_aiokv(path, journal)
    await in_a_loop(lambda _number: store.get(KEY, 0), float(seconds))
    await store.close()


async def set_in_a_loop(path: str, journal: str, seconds: str) -> None:
    """Measure one `set` after another of that key."""
    store = new_aiokv(path, journal)
    await in_a_loop(lambda number: store.set(KEY, number), float(seconds))
    await store.close()


async def append_in_a_loop(path: str, seconds: str) -> None:
    """Measure what the disk takes for a line at the end of a file, and a flush."""
    from bench.floors import RawAppend

    raw = RawAppend(Path(path))

    async def append(number: int) -> None:
        raw.set(KEY, number)

    await in_a_loop(append, float(seconds))
    raw.close()


async def in_a_loop(operation: Callable[[int], Awaitable[object]], seconds: float) -> None:
    """Measure one call after another for a while."""
    await operation(0)
    wait_for_start()
    durations: list[float] = []
    last: object = wait_for_start
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
    emit(DURATIONS, *durations)
    wait_for_end()


async def set_the_time(path: str, journal: str, sets: str, pause: str) -> None:
    """Set a key to the time when the `set` began, again and again after a pause, then to 0."""
    store = new_aiokv(path, journal)
    await store.get(KEY)
    wait_for_start()
    for _ in range(int(sets)):
        await asyncio.sleep(float(pause))
        await store.set(KEY, perf_counter_ns())
    await store.set(KEY, 0)
    wait_for_end()
    await store.close()


async def watch_the_time(path: str) -> None:
    """Measure how long after the beginning of each `set` the change is told here, until it is 0.

    The clock is one for all processes of a Linux system. Two changes that come together because
    the machine is busy are told as one.
    """
    store = new_aiokv(path)
    durations: list[float] = []
    async with store.watch(KEY) as watched:
        wait_for_start()
        async for change in watched:
            if change.new == 0:
                break
            durations.append((perf_counter_ns() - change.new) / 1_000)
    emit(DURATIONS, *durations)
    wait_for_end()
    await store.close()


async def set_now_and_then(path: str, sets: str, seconds: str) -> None:
    """Measure how much is written for sets that are spread over some time, before `close`.

    What `write_bytes` of `/proc/self/io` counts: every page of a file that this process made dirty,
    each time it had been clean. That includes what is written in the background.
    """
    store = new_aiokv(path)
    names = list(await store.get_all())
    wait_for_start()
    before = written_bytes()
    start = perf_counter()
    source = random.Random(1)
    for number in range(int(sets)):
        await store.set(source.choice(names), number)
        due = start + (number + 1) * float(seconds) / int(sets)
        await asyncio.sleep(max(0.0, due - perf_counter()))
    emit(WRITTEN, written_bytes() - before)
    wait_for_end()
    await store.close()


async def use_many_stores(directory: str, stores: str, journal: str, sets: str) -> None:
    """Measure a process that uses many stores: each is written, then all are dropped."""
    from bench.ticker import Ticker

    root = Path(directory)
    paths = [root / str(number // 100) / f"{number}.json" for number in range(int(stores))]
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True)
    # What the package and the loop need once.
    warm = new_aiokv(str(root / "warm.json"))
    await warm.set(KEY)
    del warm
    wait_for_start()
    gc.collect()
    gc.freeze()
    resident = resident_bytes()
    with watching() as most:
        kept = [new_aiokv(str(path), journal) for path in paths]
        ticker = Ticker()
        # What the thread of the loop did, whoever else wants the processor.
        work = Ticker(thread_time_ns)
        await asyncio.sleep(2)
        idle = ticker.restart()
        start = perf_counter()
        # A round of the loop for each hundred: a program does not start all of them at once.
        for number in range(int(sets)):
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
    emit("time", seconds * 1e6)
    emit("threads", most["threads"])
    emit("open files", most["files"])
    emit("memory of each", memory)
    emit("stop of a loop with nothing to do", idle)
    emit("longest stop in use", used)
    emit("longest stop when dropped", dropped)
    emit("longest work in use", work_in_use)
    emit("longest work when dropped", work_when_dropped)


@contextmanager
def watching() -> Iterator[dict[str, int]]:
    """Watch from a thread how many threads and open files there are, without those of the watch."""
    most = {"threads": 0, "files": 0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            most["threads"] = max(most["threads"], entries_of("/proc/self/task") - 1)
            most["files"] = max(most["files"], entries_of("/proc/self/fd") - 1)
            sleep(0.01)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield most
    finally:
        ended.set()
        thread.join()


# --- what they use ---


def entries_of(directory: str) -> int:
    """Return how many entries a directory has."""
    return sum(1 for _ in Path(directory).iterdir())


def new_store(contestant: str, path: str) -> Store:
    """Return the store of the contestant, not opened yet."""
    from bench.contestants import contestant_named

    return contestant_named(contestant).store(Path(path))


def new_aiokv(path: str, journal: str = "auto") -> Any:
    """Return aiokv. It waits long for a lock: a busy disk may take long for a flush."""
    from aiokv import AioKV

    return AioKV(path, journal=cast(Literal["auto", "always", "never"], journal), lock_timeout=30)


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


def wait_for_start() -> None:
    """Say that everything is ready, and wait for a line; raise if nobody is there any more."""
    emit(READY)
    input()


def wait_for_end() -> None:
    """Say that everything is done, and wait until the others are done too."""
    emit(DONE)
    sys.stdin.read()


def emit(name: str, *samples: float) -> None:
    """Hand samples to the process that asked for them."""
    print(json.dumps([name, samples]), flush=True)


FUNCTIONS = {
    function.__name__: function
    for function in (
        *(fill, open_and_get, set_alone, stops, stops_of_nothing, set_share),
        *(append_in_a_loop, get_in_a_loop, set_in_a_loop, set_now_and_then),
        *(set_the_time, watch_the_time, use_many_stores),
    )
}

if __name__ == "__main__":
    asyncio.run(FUNCTIONS[sys.argv[1]](*sys.argv[2:]))
