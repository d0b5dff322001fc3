"""What is measured whatever the number of keys: imports, processes that share a file, many stores.

Every cell has 0 keys. Several processes that write to one file have keys of their own, and the file
must hold every value at the end.
"""

from __future__ import annotations

import asyncio
import json
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
    Child,
    append_in_a_loop,
    get_in_a_loop,
    run,
    run_in_thread,
    set_in_a_loop,
    set_now_and_then,
    set_share,
    set_the_time,
    use_many_stores,
    watch_the_time,
)
from bench.contestants import AIOKV, AIOKV_JOURNAL, SQLITE, contestant_named
from bench.results import Cell
from bench.state import NOW, bot_state, check, write_json
from bench.stores import Store
from bench.turns import Limits, Subject, report_progress, take_turns

WRITERS = 4
SETS_OF_ALL = 1_000
SETS_IN_BACKGROUND = 50
PAUSE_SECONDS = 0.02
SECONDS_MAX = 600
IMPORT_TIMED = """
import asyncio, time
start = time.perf_counter_ns()
import aiokv
print(time.perf_counter_ns() - start)
"""


async def measure_processes(directory: Path, limits: Limits) -> list[Cell]:
    """Measure everything that this module is about."""
    return [
        *await import_aiokv(limits),
        *await several_writers(directory, limits),
        *await beside_a_process(directory, limits),
        *await watch_a_process(directory, limits),
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

    def subject(name: str, store: Store) -> Subject:
        path = path_of(name)

        async def stretch(_calls: int) -> float:
            changes = {key: next(values) for key in keys}
            shares = [
                json.dumps({key: changes[key] for key in keys[writer::WRITERS]})
                for writer in range(WRITERS)
            ]
            children = [Child(set_share, name, path, share) for share in shares]
            microseconds, _in_time = await asyncio.to_thread(run, children, SECONDS_MAX)
            check(await store.get_all(), changes)
            return microseconds / len(changes)

        return Subject(name, stretch)

    def path_of(name: str) -> Path:
        return directory / f"several-writers-{name}"

    # They stay open, or SQLite would have to start with a new log in every stretch.
    names = (AIOKV, AIOKV_JOURNAL, SQLITE)
    stores = {name: contestant_named(name).store(path_of(name)) for name in names}
    subjects = [subject(name, store) for name, store in stores.items()]
    patient = replace(limits, cell_seconds=SECONDS_MAX)
    turns = limits.turns_of_slow_calls
    cells = await take_turns(workloads.PROCESSES, 0, subjects, patient, turns)
    for store in stores.values():
        await store.close()
    return cells


def beside(operation: str, journal: str) -> str:
    """Return the name of the workload of two processes in tight loops."""
    return f"{operation}, journal={journal}"


BESIDE: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
    "get of a new value beside a process that sets": (get_in_a_loop, set_in_a_loop),
    "set beside a process that gets": (set_in_a_loop, get_in_a_loop),
    "set beside a process that sets": (set_in_a_loop, set_in_a_loop),
}
JOURNALS = ("never", "always")


async def beside_a_process(directory: Path, limits: Limits) -> list[Cell]:
    """Let two processes use one key of one file in tight loops, with and without a journal."""
    report_progress("two processes in tight loops")
    seconds = limits.loop_seconds
    path = directory / "beside-nothing"
    samples, _ = await run_in_thread(append_in_a_loop, path, seconds, seconds=SECONDS_MAX)
    cells = [Cell("a line and a flush in a loop", 0, workloads.RAW_APPEND, samples[DURATIONS])]
    for journal in JOURNALS:
        for operation, (own, other) in BESIDE.items():
            path = directory / f"{operation}-{journal}.json"
            write_json(path, bot_state(100))
            children = [Child(function, path, journal, seconds) for function in (own, other)]
            await asyncio.to_thread(run, children, SECONDS_MAX)
            durations = children[0].samples[DURATIONS]
            cells.append(Cell(beside(operation, journal), 0, AIOKV, durations))
    return cells


async def watch_a_process(directory: Path, limits: Limits) -> list[Cell]:
    """Let a process watch a key that another one sets, again and again after a pause."""
    report_progress("watch")
    cells = []
    for journal in JOURNALS:
        path = directory / f"watch-{journal}.json"
        write_json(path, bot_state(100))
        children = [
            Child(watch_the_time, path),
            Child(set_the_time, path, journal, limits.sets_watched, PAUSE_SECONDS),
        ]
        await asyncio.to_thread(run, children, SECONDS_MAX)
        cells.append(
            Cell(beside(workloads.WATCH, journal), 0, AIOKV, children[0].samples[DURATIONS])
        )
    return cells


async def written_in_background(directory: Path, limits: Limits) -> list[Cell]:
    """Measure how much is written when a few small changes are made to a large state."""
    report_progress("written in the background")
    path = directory / "background.json"
    write_json(path, bot_state(100_000))
    arguments = path, SETS_IN_BACKGROUND, limits.background_seconds
    samples, _ = await run_in_thread(set_now_and_then, *arguments, seconds=SECONDS_MAX)
    return [Cell(workloads.BACKGROUND, 0, AIOKV, samples[WRITTEN], unit="bytes")]


async def many_stores(directory: Path, limits: Limits) -> list[Cell]:
    """Use many stores in one process. The second change of a store begins a journal."""
    report_progress("many stores")
    units = {"threads": "", "open files": "", "memory of each": "bytes"}
    cells = []
    for journal, times in (("auto", 1), ("always", 2)):
        arguments = directory / f"many-{journal}", limits.stores, journal, times
        samples, _ = await run_in_thread(use_many_stores, *arguments, seconds=SECONDS_MAX)
        cells += [
            Cell(of_stores(what, journal), 0, AIOKV, found, unit=units.get(what, "us"))
            for what, found in samples.items()
        ]
    return cells


def of_stores(what: str, journal: str) -> str:
    """Return the name of the workload of many stores that are written once, or twice."""
    return f"many stores, journal={journal}: {what}"
