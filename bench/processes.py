"""What is measured whatever the number of keys: imports, processes that share a file, many stores.

Every cell has 0 keys. Several processes that write to one file have keys of their own, and the file
must hold every value at the end.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

from bench import workloads
from bench.children import (
    DURATIONS,
    WRITTEN,
    append_in_a_loop,
    get_in_a_loop,
    set_in_a_loop,
    set_now_and_then,
    set_share,
    set_the_time,
    use_many_stores,
    watch_the_time,
)
from bench.contestants import AIOKV, AIOKV_JOURNAL, ALWAYS, SQLITE_ALONE, Contestant
from bench.results import Cell
from bench.spawn import Child, run, run_alone
from bench.state import NOW, bot_state, check, write_json
from bench.stores import Store
from bench.turns import Limits, Subject, report_progress, take_turns

WRITERS = 4
SETS_OF_ALL = 1_000
SETS_IN_BACKGROUND = 50
SECONDS_MAX = 600
IMPORT_TIMED = """
import asyncio, time
start = time.perf_counter_ns()
import aiokv
print(time.perf_counter_ns() - start)
"""
JOURNALS = ("never", "always")
# What one process measures, and what the other one does.
Pairs = dict[str, tuple[Callable[..., object], Callable[..., object]]]
LOOPS: Pairs = {
    "get of a new value beside a process that sets": (get_in_a_loop, set_in_a_loop),
    "set beside a process that gets": (set_in_a_loop, get_in_a_loop),
    "set beside a process that sets": (set_in_a_loop, set_in_a_loop),
}
WATCH: Pairs = {workloads.WATCH: (watch_the_time, set_the_time)}


async def measure_processes(directory: Path, limits: Limits) -> list[Cell]:
    return [
        *await import_aiokv(limits),
        *await several_writers(directory, limits),
        *await append_alone(directory, limits),
        *await beside_a_process(directory, limits, LOOPS),
        *await beside_a_process(directory, limits, WATCH),
        *await written_in_background(directory, limits),
        *await many_stores(directory, limits),
    ]


async def import_aiokv(limits: Limits) -> list[Cell]:
    """Measure the import in new processes that have imported `asyncio`."""

    async def stretch(_calls: int) -> float:
        command = [sys.executable, "-c", IMPORT_TIMED]
        completed = await asyncio.to_thread(
            subprocess.run, command, stdout=subprocess.PIPE, check=True
        )
        return int(completed.stdout) / 1_000

    return await take_turns(workloads.IMPORT, 0, [Subject(AIOKV, stretch)], limits, limits.turns)


async def several_writers(directory: Path, limits: Limits) -> list[Cell]:
    """Measure processes that write to one file at once, each one `set` after another."""
    keys = list(bot_state(SETS_OF_ALL))
    values = count(NOW)

    def subject(contestant: Contestant, path: Path, store: Store) -> Subject:
        async def stretch(_calls: int) -> float:
            changes = {key: next(values) for key in keys}
            shares = [
                {key: changes[key] for key in keys[writer::WRITERS]} for writer in range(WRITERS)
            ]
            children = [Child(set_share, contestant, path, share) for share in shares]
            microseconds, _in_time = await asyncio.to_thread(run, children, SECONDS_MAX)
            check(await store.get_all(), changes)
            return microseconds / len(changes)

        return Subject(contestant.name, stretch)

    stores = []
    subjects = []
    for contestant in (*ALWAYS, SQLITE_ALONE):
        if contestant.name in (AIOKV, AIOKV_JOURNAL, SQLITE_ALONE.name):
            path = directory / f"several-writers-{contestant.name}"
            # It stays open, or SQLite would have to start with a new log in every stretch.
            stores.append(contestant.store(path))
            subjects.append(subject(contestant, path, stores[-1]))
    patient = replace(limits, cell_seconds=SECONDS_MAX)
    turns = limits.turns_of_slow_calls
    cells = await take_turns(workloads.PROCESSES, 0, subjects, patient, turns)
    for store in stores:
        await store.close()
    return cells


def beside(operation: str, journal: str) -> str:
    """Return the name of the workload of two processes."""
    return f"{operation}, journal={journal}"


async def append_alone(directory: Path, limits: Limits) -> list[Cell]:
    """Measure in a tight loop what the disk takes."""
    arguments = directory / "beside-nothing", limits.loop_seconds
    samples, _ = await run_alone(append_in_a_loop, *arguments, seconds=SECONDS_MAX)
    return [Cell("a line and a flush in a loop", 0, workloads.RAW_APPEND, samples[DURATIONS])]


async def beside_a_process(directory: Path, limits: Limits, pairs: Pairs) -> list[Cell]:
    """Let two processes use one key of one file, with and without a journal."""
    cells = []
    for journal in JOURNALS:
        for operation, functions in pairs.items():
            name = beside(operation, journal)
            report_progress(name)
            path = directory / f"{name}.json"
            write_json(path, bot_state(100))
            children = [
                Child(function, path, journal, limits.loop_seconds) for function in functions
            ]
            await asyncio.to_thread(run, children, SECONDS_MAX)
            cells.append(Cell(name, 0, AIOKV, children[0].samples[DURATIONS]))
    return cells


async def written_in_background(directory: Path, limits: Limits) -> list[Cell]:
    """Measure how much is written when a few small changes are made to a large state."""
    report_progress("written in the background")
    path = directory / "background.json"
    write_json(path, bot_state(100_000))
    arguments = path, SETS_IN_BACKGROUND, limits.background_seconds
    samples, _ = await run_alone(set_now_and_then, *arguments, seconds=SECONDS_MAX)
    return [Cell(workloads.BACKGROUND, 0, AIOKV, samples[WRITTEN], unit="bytes")]


async def many_stores(directory: Path, limits: Limits) -> list[Cell]:
    """Use many stores in one process. The second change of a store begins a journal."""
    report_progress("many stores")
    units = {"threads": "", "open files": "", "memory of each": "bytes"}
    cells = []
    for journal, times in (("auto", 1), ("always", 2)):
        arguments = directory / f"many-{journal}", limits.stores, journal, times
        samples, _ = await run_alone(use_many_stores, *arguments, seconds=SECONDS_MAX)
        cells += [
            Cell(of_stores(what, journal), 0, AIOKV, found, unit=units.get(what, "us"))
            for what, found in samples.items()
        ]
    return cells


def of_stores(what: str, journal: str) -> str:
    """Return the name of the workload of many stores that are written once, or twice."""
    return f"many stores, journal={journal}: {what}"
