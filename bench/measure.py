"""What is measured, with one number of keys after another."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import workloads
from bench.children import fill, open_and_get, set_alone, stops, stops_of_nothing
from bench.contestants import AIOKV, AIOKV_JOURNAL, FLOOR, NOTHING, Contestant
from bench.entrants import Entrant
from bench.floors import RawAppend, RawReplace
from bench.results import Cell
from bench.spawn import run_alone
from bench.state import State, bot_state, write_json
from bench.turns import Limits, Subject, report_progress, take_turns

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
    Joint(workloads.GET, "get", Entrant.get, GETS_MAX, many_turns=True),
    Joint(workloads.KV_GET, "get_blocking", Entrant.get_blocking, GETS_MAX),
    Joint(workloads.GET_MANY, "get_many", Entrant.get_many, GETS_MAX),
    Joint(workloads.SET, "set", Entrant.set, SETS_MAX, many_turns=True),
    Joint(workloads.KV_SET, "set_blocking", Entrant.set_blocking, SETS_MAX, many_turns=True),
    Joint(workloads.AT_ONCE, "set_at_once", Entrant.set_at_once),
    Joint(workloads.TASKS_AT_ONCE, "set", Entrant.set_from_tasks),
    Joint(workloads.ADD, "add", Entrant.add, SETS_MAX),
    Joint(workloads.TRANSACT, "transact", Entrant.transact, SETS_MAX),
    Joint(workloads.INCREMENTS, "increment", Entrant.increment_at_once),
    Joint(workloads.TRANSACTS, "transact", Entrant.transact_at_once),
    Joint(workloads.KEYS, "keys", Entrant.keys, SETS_MAX),
    Joint(workloads.GET_ALL, "get_all", Entrant.get_all),
)


@dataclass(frozen=True)
class Size:
    """What is measured with one number of keys, in a directory that is removed at the end.

    `raw_replace` is the program that replaces a file in Rust, if there is one.
    """

    directory: Path
    keys: int
    limits: Limits
    contestants: Sequence[Contestant]
    raw_replace: Path | None

    async def measure(self) -> list[Cell]:
        """Measure every workload.

        Processes of their own come first and last: some stores can be open in one process only.
        """
        state = bot_state(self.keys)
        filled, cells = await self.fill()
        cells += await self.measure_opening(state, filled)
        cells += await self.measure_together(state, filled)
        cells += await self.measure_alone(filled)
        return cells

    async def fill(self) -> tuple[list[Contestant], list[Cell]]:
        """Return who could store the first state in time, and cells about each who could not."""
        filled = []
        cells = []
        for contestant in self.contestants:
            report_progress(f"{self.keys:,} keys: fill {contestant.name}")
            arguments = contestant, self.path_of(contestant), self.keys
            seconds = self.limits.process_seconds
            _samples, in_time = await run_alone(fill, *arguments, seconds=seconds)
            if in_time:
                filled.append(contestant)
                continue
            note = f"not filled in {seconds:.0f} s"
            cells += [
                Cell(name, self.keys, contestant.name, [], note=note) for name in workloads.ALL
            ]
        os.sync()
        return filled, cells

    async def measure_opening(self, state: State, filled: Sequence[Contestant]) -> list[Cell]:
        """Measure the first `get` of a new process, and what it holds then.

        aiokv and `json.load` also open a file that is written on one line.
        """
        key, expected = list(state.items())[-1]
        seconds = self.limits.process_seconds
        memory: dict[str, list[float]] = {contestant.name: [] for contestant in filled}

        def subject(contestant: Contestant, path: Path) -> Subject:
            async def stretch(_calls: int) -> float:
                arguments = contestant, path, key, expected
                samples, in_time = await run_alone(open_and_get, *arguments, seconds=seconds)
                if not in_time:
                    return seconds * 1e6
                memory[contestant.name] += samples[workloads.MEMORY]
                (microseconds,) = samples[workloads.OPEN]
                return microseconds

            return Subject(contestant.name, stretch)

        subjects = [subject(contestant, self.path_of(contestant)) for contestant in filled]
        cells = await self.take_turns(workloads.OPEN, subjects)
        cells += [
            Cell(workloads.MEMORY, self.keys, one.name, list(memory[one.name]), unit="bytes")
            for one in filled
            if not one.is_server
        ]
        one_line = self.directory / "one-line.json"
        write_json(one_line, state, indent=None)
        subjects = [subject(one, one_line) for one in filled if one.name in (AIOKV, FLOOR)]
        return cells + await self.take_turns(workloads.OPEN_ONE_LINE, subjects)

    async def measure_together(self, state: State, filled: Sequence[Contestant]) -> list[Cell]:
        """Measure, with all stores open in this process, what they take turns with."""
        names = list(state)
        seconds = self.limits.cell_seconds / self.limits.turns_of_slow_calls
        entrants = [
            Entrant(contestant, self.path_of(contestant), state, names, seconds)
            for contestant in filled
        ]
        cells = []
        async with AsyncExitStack() as stack:
            raw = stack.enter_context(closing(RawAppend(self.directory / workloads.RAW_APPEND)))
            for entrant in entrants:
                await entrant.store.open()
                # After an error too: some have threads that would keep this process.
                stack.push_async_callback(entrant.store.close)
            for joint in JOINTS:
                cells += await self.measure_joint(joint, entrants, raw)
        for entrant in entrants:
            await entrant.check_file()
        return cells

    async def measure_joint(
        self, joint: Joint, entrants: Sequence[Entrant], raw: RawAppend
    ) -> list[Cell]:
        taking_part = [entrant for entrant in entrants if hasattr(entrant.store, joint.method)]
        is_writing = joint.workload in workloads.WRITING
        settles_each = is_writing and self.keys < SETTLED_ONCE_KEYS_MIN
        subjects = [
            Subject(
                entrant.name,
                partial(joint.measure, entrant),
                entrant.settle if settles_each else None,
            )
            for entrant in taking_part
        ]
        subjects = self.with_references(joint.workload, subjects, entrants, raw)
        turns = self.limits.turns if joint.many_turns else self.limits.turns_of_slow_calls
        cells = await self.take_turns(joint.workload, subjects, turns, joint.calls_max)
        if is_writing:
            for entrant in taking_part:
                await entrant.settle()
        return cells

    def with_references(
        self,
        workload: str,
        subjects: Sequence[Subject],
        entrants: Sequence[Entrant],
        raw: RawAppend,
    ) -> list[Subject]:
        """Put beside aiokv what it is measured by."""
        (aiokv,) = (entrant for entrant in entrants if entrant.name == AIOKV)
        references = {}
        if workload in (workloads.SET, workloads.KV_SET):
            references[AIOKV_JOURNAL] = Subject(workloads.RAW_APPEND, raw.set_some)
        are_few = self.keys == min(self.limits.sizes)
        if workload == workloads.SET and are_few and self.raw_replace is not None:
            raw_replace = RawReplace(self.raw_replace, self.directory / "replaced", aiokv.path)
            references[AIOKV] = Subject(workloads.RAW_REPLACE, raw_replace.set_some)
        if workload == workloads.INCREMENTS:
            references[AIOKV] = Subject(workloads.SETS_BESIDE, aiokv.set_beside_increments)
        beside = ((subject, references.get(subject.name)) for subject in subjects)
        return [subject for pair in beside for subject in pair if subject is not None]

    async def measure_alone(self, filled: Sequence[Contestant]) -> list[Cell]:
        """Measure in a process for each what it writes and, with most keys, how it stops a loop."""
        functions = {set_alone: [workloads.BYTES_PER_SET, workloads.BYTES_AT_CLOSE]}
        if self.keys == max(self.limits.sizes):
            functions[stops] = [workloads.stop_during(name) for name in workloads.WATCHED]
        seconds = self.limits.process_seconds
        cells = []
        for contestant in filled:
            if contestant.survives == NOTHING:
                continue
            name = contestant.name
            for function, measured in functions.items():
                if contestant.is_server and function is set_alone:
                    continue
                report_progress(f"{self.keys:,} keys: {function.__name__} {name}")
                path, cell_seconds = self.path_of(contestant), self.limits.cell_seconds
                arguments = contestant, path, self.keys, cell_seconds
                samples, in_time = await run_alone(function, *arguments, seconds=seconds)
                note = "" if in_time else f"more than {seconds:.0f} s"
                unit = "bytes" if function is set_alone else "us"
                cells += [
                    Cell(workload, self.keys, name, samples.get(workload, []), note=note, unit=unit)
                    for workload in measured
                ]
        samples, _in_time = await run_alone(stops_of_nothing, seconds=seconds)
        return [*cells, Cell(workloads.IDLE, self.keys, workloads.IDLE, samples[workloads.IDLE])]

    async def take_turns(
        self, workload: str, subjects: Sequence[Subject], turns: int = 0, calls_max: int = 1
    ) -> list[Cell]:
        """Let them take turns, as few as slow calls take if no number is given."""
        turns = turns or self.limits.turns_of_slow_calls
        return await take_turns(workload, self.keys, subjects, self.limits, turns, calls_max)

    def path_of(self, contestant: Contestant) -> Path:
        """Return where the contestant keeps its state, in a directory of its own."""
        own = self.directory / contestant.name
        own.mkdir(exist_ok=True)
        return own / "state"
