"""What is measured, with one number of keys after another."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from plain import State
from workloads import bot_state

from peers.contestants import AIOKV, AIOKV_JOURNAL, CONTESTANTS, Contestant
from peers.entrants import Entrant, RawAppend
from peers.results import (
    ALL,
    AT_ONCE,
    BYTES_AT_CLOSE,
    BYTES_PER_SET,
    GET,
    GET_ALL,
    IDLE,
    JSON_LOAD,
    MEMORY,
    OPEN,
    RAW_APPEND,
    SET,
    TASKS_AT_ONCE,
    WATCHED,
    Cell,
    stop_during,
)
from peers.turns import Limits, Subject, report_progress, take_turns

GETS_MAX = 20_000
SETS_MAX = 40


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
    raw = RawAppend(directory / RAW_APPEND)
    gets = [Subject(entrant.name, entrant.get) for entrant in entrants]
    sets = [Subject(entrant.name, entrant.set, entrant.settle) for entrant in entrants]
    names = [entrant.name for entrant in entrants]
    sets.insert(names.index(AIOKV_JOURNAL) + 1, Subject(RAW_APPEND, raw.set))
    at_once = [Subject(entrant.name, entrant.set_at_once, entrant.settle) for entrant in entrants]
    tasks = [Subject(entrant.name, entrant.set_from_tasks, entrant.settle) for entrant in entrants]
    get_alls = [Subject(entrant.name, entrant.get_all) for entrant in entrants]
    many, few = limits.turns, limits.turns_of_slow_calls
    cells = [
        *await take_turns(GET, keys, gets, limits, many, GETS_MAX),
        *await take_turns(SET, keys, sets, limits, many, SETS_MAX),
        *await take_turns(AT_ONCE, keys, at_once, limits, few),
        *await take_turns(TASKS_AT_ONCE, keys, tasks, limits, few),
        *await take_turns(GET_ALL, keys, get_alls, limits, few),
    ]
    raw.close()
    for entrant in entrants:
        await entrant.store.close()
    return cells


async def measure_alone(
    directory: Path, keys: int, filled: Sequence[Contestant], limits: Limits
) -> list[Cell]:
    """Measure what each writes and how long each stops the loop, in a process for each."""
    cells = []
    for contestant in filled:
        command = (contestant.name, path_of(directory, contestant), keys, limits.cell_seconds)
        for function, workloads in (
            ("set_alone", [BYTES_PER_SET, BYTES_AT_CLOSE]),
            ("watch", [stop_during(operation) for operation in WATCHED]),
        ):
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
