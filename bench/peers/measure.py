"""What is measured, with one number of keys after another."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from measurement import report_progress
from plain import State
from workloads import bot_state

from peers.contestants import AIOKV, AIOKV_JOURNAL, CONTESTANTS, Contestant
from peers.entrants import Entrant, Floor
from peers.results import (
    ADD,
    ALL,
    AT_ONCE,
    BYTES_AT_CLOSE,
    BYTES_PER_SET,
    GET,
    GET_ALL,
    GET_MANY,
    IDLE,
    INCREMENTS,
    JSON_LOAD,
    KEYS,
    KV_GET,
    KV_SET,
    MEMORY,
    OPEN,
    RAW_APPEND,
    SET,
    TASKS_AT_ONCE,
    TRANSACT,
    TRANSACTS,
    WATCHED,
    WRITING,
    Cell,
    stop_during,
)
from peers.turns import Limits, Subject, take_turns

GETS_MAX = 20_000
SETS_MAX = 40
# From so many keys on, aiokv makes no checkpoint by itself within the minutes of a workload.
SETTLED_ONCE_KEYS_MIN = 1_000_000


@dataclass(frozen=True)
class Joint:
    """A workload for the stores that are open side by side.

    Those take part that have a `method`; at most `calls_max` calls make a stretch.
    With `many_turns` it is measured more often than others.
    """

    workload: str
    method: str
    measure: Callable[[Entrant, int], Awaitable[float]]
    calls_max: int = 1
    many_turns: bool = False


JOINTS = (
    Joint(GET, "get", Entrant.get, GETS_MAX, many_turns=True),
    Joint(KV_GET, "get_blocking", Entrant.get_blocking, GETS_MAX),
    Joint(GET_MANY, "get_many", Entrant.get_many, GETS_MAX),
    Joint(SET, "set", Entrant.set, SETS_MAX, many_turns=True),
    Joint(KV_SET, "set_blocking", Entrant.set_blocking, SETS_MAX, many_turns=True),
    Joint(AT_ONCE, "set_at_once", Entrant.set_at_once),
    Joint(TASKS_AT_ONCE, "set", Entrant.set_from_tasks),
    Joint(ADD, "add", Entrant.add, SETS_MAX),
    Joint(TRANSACT, "transact", Entrant.transact, SETS_MAX),
    Joint(INCREMENTS, "increment", Entrant.increment_at_once),
    Joint(TRANSACTS, "transact", Entrant.transact_at_once),
    Joint(KEYS, "keys", Entrant.keys, SETS_MAX),
    Joint(GET_ALL, "get_all", Entrant.get_all),
)


async def measure_size(parent: Path, keys: int, limits: Limits) -> list[Cell]:
    """Measure every workload with this number of keys, in a directory that is removed at the end.

    Processes of their own come first and last: some stores can be open in one process only.
    """
    state = bot_state(keys)
    names = list(state)
    with TemporaryDirectory(prefix="stores-", dir=parent) as directory_name:
        directory = Path(directory_name)
        filled, cells = await fill(directory, keys, limits)
        cells += await measure_opening(directory, state, filled, limits)
        seconds = limits.cell_seconds / limits.turns_of_slow_calls
        entrants = [
            Entrant(contestant, path_of(directory, contestant), state, names, seconds)
            for contestant in filled
        ]
        cells += await measure_together(directory, keys, entrants, limits)
        del entrants
        cells += await measure_alone(directory, keys, filled, limits)
    return cells


async def fill(directory: Path, keys: int, limits: Limits) -> tuple[list[Contestant], list[Cell]]:
    """Return who could store the first state in time, and a cell about each who could not."""
    filled = []
    cells = []
    for contestant in CONTESTANTS:
        report_progress(f"{keys:,} keys: fill {contestant.name}")
        path = path_of(directory, contestant)
        _samples, in_time = await run_child(limits, "fill", contestant.name, path, keys)
        if in_time:
            filled.append(contestant)
        else:
            note = f"not filled in {limits.process_seconds:.0f} s"
            cells += [Cell(workload, keys, contestant.name, [], note=note) for workload in ALL]
    os.sync()
    return filled, cells


async def measure_opening(
    directory: Path, state: State, filled: Sequence[Contestant], limits: Limits
) -> list[Cell]:
    """Measure the first `get` of a new process beside `json.load` of the file of aiokv."""
    key, expected = list(state.items())[-1]
    memory: dict[str, list[float | None]] = {}

    def subject(name: str, *command: str | Path) -> Subject:
        memory[name] = []

        async def stretch(_calls: int) -> float:
            samples, in_time = await run_child(limits, *command, key, expected)
            if not in_time:
                return limits.process_seconds * 1e6
            memory[name] += samples[MEMORY]
            (microseconds,) = samples[OPEN]
            return microseconds

        return Subject(name, stretch)

    subjects = [
        subject(contestant.name, "open_and_get", contestant.name, path_of(directory, contestant))
        for contestant in filled
    ]
    own = next(contestant for contestant in CONTESTANTS if contestant.name == AIOKV)
    subjects.insert(1, subject(JSON_LOAD, "load_json", path_of(directory, own)))
    cells = await take_turns(OPEN, len(state), subjects, limits, limits.turns_of_slow_calls)
    return cells + [Cell(MEMORY, len(state), name, samples) for name, samples in memory.items()]


async def measure_together(
    directory: Path, keys: int, entrants: Sequence[Entrant], limits: Limits
) -> list[Cell]:
    """Measure, with all stores open in this process, what they take turns with."""
    for entrant in entrants:
        await entrant.store.open()
    raw = Floor(directory / RAW_APPEND)
    cells = []
    for joint in JOINTS:
        taking_part = [entrant for entrant in entrants if hasattr(entrant.store, joint.method)]
        is_writing = joint.workload in WRITING
        subjects = [
            Subject(
                entrant.name,
                partial(joint.measure, entrant),
                entrant.settle if is_writing and keys < SETTLED_ONCE_KEYS_MIN else None,
            )
            for entrant in taking_part
        ]
        if joint.workload in (SET, KV_SET):
            names = [subject.name for subject in subjects]
            subjects.insert(names.index(AIOKV_JOURNAL) + 1, Subject(RAW_APPEND, raw.set))
        turns = limits.turns if joint.many_turns else limits.turns_of_slow_calls
        cells += await take_turns(joint.workload, keys, subjects, limits, turns, joint.calls_max)
        if is_writing:
            for entrant in taking_part:
                await entrant.settle()
    raw.close()
    for entrant in entrants:
        await entrant.store.close()
    return cells


async def measure_alone(
    directory: Path, keys: int, filled: Sequence[Contestant], limits: Limits
) -> list[Cell]:
    """Measure in a process for each what it writes and, with most keys, how it stops the loop."""
    cells = []
    for contestant in filled:
        command = (contestant.name, path_of(directory, contestant), keys, limits.cell_seconds)
        functions = {"set_alone": [BYTES_PER_SET, BYTES_AT_CLOSE]}
        if keys == max(limits.sizes):
            functions["watch"] = [stop_during(operation) for operation in WATCHED]
        for function, workloads in functions.items():
            report_progress(f"{keys:,} keys: {function} {contestant.name}")
            samples, in_time = await run_child(limits, function, *command)
            note = "" if in_time else f"more than {limits.process_seconds:.0f} s"
            cells += [
                Cell(workload, keys, contestant.name, samples.get(workload, []), note=note)
                for workload in workloads
            ]
    samples, _in_time = await run_child(limits, "watch_nothing")
    return [*cells, Cell(IDLE, keys, IDLE, samples[IDLE])]


def path_of(directory: Path, contestant: Contestant) -> Path:
    """Return where the contestant keeps its state, in a directory of its own."""
    own = directory / contestant.name
    own.mkdir(exist_ok=True)
    return own / "state"


async def run_child(
    limits: Limits, function: str | Path, *arguments: str | int | float | Path
) -> tuple[dict[str, list[float]], bool]:
    """Return the samples that a function of `child.py` printed, and whether it came to its end."""
    command = [sys.executable, "-m", "peers.child", *map(str, (function, *arguments))]
    in_time = True
    try:
        completed = await asyncio.to_thread(
            subprocess.run,
            command,
            stdout=subprocess.PIPE,
            timeout=limits.process_seconds,
            check=True,
        )
        output = completed.stdout
    except subprocess.TimeoutExpired as error:
        output = error.stdout or b""
        in_time = False
    samples: dict[str, list[float]] = {}
    for line in output.splitlines():
        workload, sample = json.loads(line)
        samples.setdefault(workload, []).append(sample)
    return samples, in_time
