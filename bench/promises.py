"""What is promised of aiokv that is no time of a call, one function for each promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from measurement import format_number, format_time
from roles import Role
from workloads import bot_state, write_json

MEDIAN_MAX = 5_000
TAIL_MAX = 50_000
STOP_MAX = 50_000
SECONDS_BESIDE = 4
WRITTEN_MAX = 3_000_000
STORES = 10_000
THREADS_MAX = 64
FILES_MAX = 600
MEMORY_MAX = 12_000


@dataclass(frozen=True)
class Reading:
    """What was found, and what it may be at most; a time in microseconds, or a plain number."""

    workload: str
    what: str
    found: float
    at_most: float | None
    unit: str = ""

    def row(self) -> list[str]:
        """Return the cells of the row, in the order of the headings."""
        bound, verdict = "", ""
        if self.at_most is not None:
            bound = f"<= {self._format(self.at_most)}"
            verdict = "ok" if self.found <= self.at_most else "MISSED"
        return [self.workload, self.what, self._format(self.found), bound, verdict]

    def _format(self, number: float) -> str:
        if self.unit == "us":
            return format_time(number)
        number_text = f"{number:,.0f}" if number == int(number) else format_number(number)
        return f"{number_text} {self.unit}".rstrip()


HEADINGS = ["workload", "what", "found", "bound", "verdict"]


def beside_a_writer(directory: Path) -> list[Reading]:
    """Let two processes use one key of one file in tight loops, with and without a journal."""
    with Role("append_in_a_loop", directory / "beside-nothing", SECONDS_BESIDE) as role:
        role.start()
        readings = durations("raw append, alone", role.found(), bounded=False)
    for journal in ("never", "always"):
        for other, own in [
            ("set_in_a_loop", "get_in_a_loop"),
            ("get_in_a_loop", "set_in_a_loop"),
            ("set_in_a_loop", "set_in_a_loop"),
        ]:
            path = directory / f"beside-{journal}-{own}-{other}.json"
            write_json(path, bot_state(100))
            with ExitStack() as stack:
                roles = [
                    stack.enter_context(Role(name, path, journal, SECONDS_BESIDE))
                    for name in (own, other)
                ]
                for role in roles:
                    role.start()
                found, _of_other = [role.found() for role in roles]
            calls = {"get_in_a_loop": "get", "set_in_a_loop": "set"}
            measured = {"get_in_a_loop": "get of a new value", "set_in_a_loop": "set"}
            workload = f"{measured[own]} beside a process that {calls[other]}s, journal={journal}"
            readings += durations(workload, found, bounded=True)
    return readings


def durations(workload: str, found: Mapping[str, float], bounded: bool) -> list[Reading]:
    """Return how long the calls of a loop took."""
    return [
        Reading(workload, "median", found["median"], MEDIAN_MAX if bounded else None, "us"),
        Reading(workload, "99 %", found["99 %"], TAIL_MAX if bounded else None, "us"),
        Reading(workload, "longest", found["longest"], None, "us"),
        Reading(workload, "calls", found["calls"], None),
    ]


def written_in_background(directory: Path) -> list[Reading]:
    """Make a few small changes to a large state."""
    path = directory / "background.json"
    write_json(path, bot_state(100_000))
    sets, seconds = 50, 25
    with Role("set_now_and_then", path, sets, seconds) as role:
        role.start()
        found = role.found()
    size = path.stat().st_size / 1e6
    workload = f"{sets} sets in {seconds} s, a state of {size:.1f} MB"
    return [Reading(workload, "written", found["written"], WRITTEN_MAX, "bytes")]


def many_stores(directory: Path) -> list[Reading]:
    """Use many stores in one process. The second change of a store begins a journal."""
    readings = []
    for journal, sets in (("auto", 1), ("always", 2)):
        times = {1: "once", 2: "twice"}[sets]
        workload = f"{STORES:,} stores, each written {times}, journal={journal}"
        with Role("use_many_stores", directory / f"many-{journal}", STORES, journal, sets) as role:
            role.start()
            found = role.found()
        idle, used, dropped = (found[f"stop when {when}"] for when in ("idle", "used", "dropped"))
        readings += [
            Reading(workload, "time", found["seconds"] * 1e6, None, "us"),
            Reading(workload, "threads", found["threads"], THREADS_MAX),
            Reading(workload, "open files", found["files"], FILES_MAX),
            Reading(workload, "memory of each", found["memory"], MEMORY_MAX, "bytes"),
            Reading(workload, "stop of a loop with nothing to do", idle, None, "us"),
            Reading(workload, "longest stop in use", used, STOP_MAX, "us"),
            Reading(workload, "longest stop when dropped", dropped, STOP_MAX, "us"),
            Reading(workload, "longest work in use", found["work when used"], None, "us"),
            Reading(workload, "longest work when dropped", found["work when dropped"], None, "us"),
        ]
    return readings


def rows(readings: Sequence[Reading]) -> list[list[str]]:
    """Return the cells of all rows."""
    return [reading.row() for reading in readings]
