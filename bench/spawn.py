"""How a process of its own is started, told when to begin, and listened to.

A `Child` is a new interpreter that runs a coroutine function. That tells its `Parent` when it is
ready, begins when it is told to, and emits samples, each with the name of a workload. What it has
emitted counts, even if it takes too long for the rest.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from time import perf_counter, perf_counter_ns
from typing import Any

from bench.timing import microseconds_since

Samples = dict[str, list[float]]

READY, DONE = "ready", "done"


class Parent:
    """The process that holds the clock, as it is seen from one of the others."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def wait_for_start(self) -> None:
        """Say that everything is ready, and wait; raise if nobody is there any more."""
        self.emit(READY)
        self._pipe.recv()

    def wait_for_end(self) -> None:
        """Say that everything is done, and wait until the others are done too."""
        self.emit(DONE)
        with suppress(EOFError):
            self._pipe.recv()

    def emit(self, name: str, *samples: float) -> None:
        self._pipe.send((name, samples))


class Child:
    """One of the processes, as it is seen from the one that holds the clock."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pipe, pipe_of_child = spawn.Pipe()
        self._process = spawn.Process(target=be_child, args=(pipe_of_child, function, *arguments))
        self._process.start()
        pipe_of_child.close()
        self.samples: Samples = {}

    def start(self) -> None:
        with suppress(BrokenPipeError):  # It died, which `end` tells.
            self._pipe.send(None)

    def wait(self, event: str, deadline: float) -> bool:
        """Collect samples until it is ready or has done everything; tell if that came in time."""
        try:
            while self._pipe.poll(max(0.0, deadline - perf_counter())):
                name, samples = self._pipe.recv()
                if name == event:
                    return True
                self.samples.setdefault(name, []).extend(samples)
        except (EOFError, ConnectionResetError):
            return True
        return False

    def end(self, in_time: bool) -> None:
        """Let it close its store and end, or kill it if it takes too long."""
        if not in_time:
            self._process.kill()
        self._pipe.close()
        self._process.join()
        if in_time and self._process.exitcode != 0:
            raise RuntimeError(f"{self._process.name} ended with {self._process.exitcode}")


def be_child(pipe: Connection, function: Callable[..., Any], *arguments: object) -> None:
    asyncio.run(function(Parent(pipe), *arguments))


def run(children: Sequence[Child], seconds: float) -> tuple[float, bool]:
    """Let children begin together; return the microseconds until all were done, and if in time."""
    deadline = perf_counter() + seconds
    are_ready = all(child.wait(READY, deadline) for child in children)
    start = perf_counter_ns()
    for child in children:
        child.start()
    in_time = all(child.wait(DONE, deadline) for child in children) and are_ready
    microseconds = microseconds_since(start)
    for child in children:
        child.end(in_time)
    return microseconds, in_time


async def run_alone(
    function: Callable[..., object], *arguments: object, seconds: float
) -> tuple[Samples, bool]:
    """Return what a child of its own emitted, and whether it came to its end in time."""
    child = Child(function, *arguments)
    _microseconds, in_time = await asyncio.to_thread(run, [child], seconds)
    return child.samples, in_time
