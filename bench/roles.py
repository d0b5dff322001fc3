"""Processes that take a part in a measurement, and the side of them that holds the clock.

Run with the name of a function below and its arguments, it is one of these processes. It prepares,
says that it is ready, waits to be told to start, and prints what it found as JSON. It closes its
store when its standard input ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import resource
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, CalledProcessError, Popen
from time import perf_counter, perf_counter_ns, sleep, thread_time_ns
from typing import Any, Literal, cast

Journal = Literal["auto", "always", "never"]

KEY = "tick"


class Role:
    """One of the processes, as it is seen from the one that holds the clock."""

    def __init__(self, function: str, *arguments: str | Path | float) -> None:
        command = [sys.executable, __file__, function, *map(str, arguments)]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, text=True)

    def __enter__(self) -> Role:
        if self._read() != "ready":
            raise RuntimeError("a process is not ready")
        return self

    def __exit__(self, error_type: object, error: object, traceback: object) -> None:
        """Wait for the end of the process, which comes early if it was never told to start."""
        with self._process:
            pass
        if error is None and self._process.returncode != 0:
            raise CalledProcessError(self._process.returncode, self._process.args)

    def start(self) -> None:
        """Let it do what it is there for."""
        assert self._process.stdin is not None
        print("start", file=self._process.stdin, flush=True)

    def found(self) -> Any:
        """Wait for what it found."""
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a process died")
        return json.loads(line)


async def get_in_a_loop(path: str, journal: str, seconds: str) -> None:
    """Measure one `get` after another of the key that another process sets.

    Only those count that found a new value: between two of them the others find that nothing has
    changed, and take no longer than if no other process was there.
    """
    store = new_store(path, journal)
    await in_a_loop(lambda _number: store.get(KEY, 0), float(seconds))
    await store.close()


async def set_in_a_loop(path: str, journal: str, seconds: str) -> None:
    """Measure one `set` after another of that key."""
    store = new_store(path, journal)
    await in_a_loop(lambda number: store.set(KEY, number), float(seconds))
    await store.close()


async def append_in_a_loop(path: str, seconds: str) -> None:
    """Measure what the disk takes for a line at the end of a file, and a flush."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)

    async def append(number: int) -> None:
        os.pwrite(descriptor, b"x" * 79 + b"\n", 80 * number)
        os.fdatasync(descriptor)

    await in_a_loop(append, float(seconds))
    os.close(descriptor)


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
    emit_durations(durations)
    wait_for_end()


async def set_the_time(path: str, journal: str, sets: str, pause: str) -> None:
    """Set a key to the time when the `set` began, again and again after a pause, then to 0."""
    store = new_store(path, journal)
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
    store = new_store(path)
    durations: list[float] = []
    async with store.watch(KEY) as watched:
        wait_for_start()
        async for change in watched:
            if change.new == 0:
                break
            durations.append((perf_counter_ns() - change.new) / 1_000)
    emit_durations(durations)
    wait_for_end()
    await store.close()


async def set_now_and_then(path: str, sets: str, seconds: str) -> None:
    """Measure how much is written for sets that are spread over some time, before `close`.

    What `write_bytes` of `/proc/self/io` counts: every page of a file that this process made dirty,
    each time it had been clean. That includes what is written in the background.
    """
    store = new_store(path)
    names = list(await store.get_all())
    wait_for_start()
    before = written_bytes()
    start = perf_counter()
    source = random.Random(1)
    for number in range(int(sets)):
        await store.set(source.choice(names), number)
        due = start + (number + 1) * float(seconds) / int(sets)
        await asyncio.sleep(max(0.0, due - perf_counter()))
    emit({"written": written_bytes() - before, "seconds": perf_counter() - start})
    wait_for_end()
    await store.close()


async def use_many_stores(directory: str, stores: str, journal: str, sets: str) -> None:
    """Measure a process that uses many stores: each is written, then all are dropped."""
    from ticker import Ticker

    root = Path(directory)
    paths = [root / str(number // 100) / f"{number}.json" for number in range(int(stores))]
    for parent in {path.parent for path in paths}:
        parent.mkdir(parents=True)
    # What the package and the loop need once.
    warm = new_store(str(root / "warm.json"))
    await warm.set(KEY)
    del warm
    wait_for_start()
    gc.collect()
    gc.freeze()
    resident = resident_bytes()
    with watching() as most:
        kept = [new_store(str(path), journal) for path in paths]
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
    emit(
        {
            "seconds": seconds,
            "stop when idle": idle,
            "stop when used": used,
            "stop when dropped": dropped,
            "work when used": work_in_use,
            "work when dropped": work_when_dropped,
            "memory": memory,
            **most,
        }
    )
    wait_for_end()


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


def emit_durations(durations: list[float]) -> None:
    """Hand over what is asked about the durations of many calls."""
    durations.sort()
    emit(
        {
            "calls": len(durations),
            "median": durations[len(durations) // 2],
            "99 %": durations[len(durations) * 99 // 100],
            "longest": durations[-1],
        }
    )


def entries_of(directory: str) -> int:
    """Return how many entries a directory has."""
    return sum(1 for _ in Path(directory).iterdir())


def new_store(path: str, journal: str = "auto") -> Any:
    """Return a store. The module is imported here: the process that holds the clock needs none.

    It waits long for a lock: a busy disk may take long for a flush.
    """
    from aiokv import AioKV

    return AioKV(path, journal=cast(Journal, journal), lock_timeout=30)


def resident_bytes() -> int:
    """Return how much memory of this process is in RAM."""
    _size, resident, *_rest = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(resident) * resource.getpagesize()


def written_bytes() -> int:
    """Return how much this process has caused to be written to a disk, in whole pages."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    counters = dict(line.split(": ") for line in lines)
    return int(counters["write_bytes"])


def wait_for_start() -> None:
    """Say that everything is ready, and wait for a line; raise if nobody is there any more."""
    emit("ready")
    input()


def wait_for_end() -> None:
    """Wait until the process that holds the clock wants no more of this one."""
    sys.stdin.read()


def emit(found: object) -> None:
    """Hand something to the process that holds the clock."""
    print(json.dumps(found), flush=True)


FUNCTIONS = {
    function.__name__: function
    for function in (
        append_in_a_loop,
        get_in_a_loop,
        set_in_a_loop,
        set_now_and_then,
        set_the_time,
        use_many_stores,
        watch_the_time,
    )
}

if __name__ == "__main__":
    asyncio.run(FUNCTIONS[sys.argv[1]](*sys.argv[2:]))
