"""What is promised of aiokv that is no time of a call, one function for each promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from measurement import Run, format_number, format_time, report_progress
from roles import Role
from workloads import bot_state, write_json

MEDIAN_MAX = 5_000
TAIL_MAX = 50_000
STOP_MAX = 50_000
SECONDS_BESIDE = 4
WATCH_MAX = 10_000
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


def beside_a_writer(run: Run) -> list[Reading]:
    """Let two processes use one key of one file in tight loops, with and without a journal."""
    report_progress("two processes in tight loops")
    seconds = run.at_most(SECONDS_BESIDE, 1)
    with Role("append_in_a_loop", run.directory / "beside-nothing", seconds) as role:
        role.start()
        readings = durations("raw append, alone", role.found(), bounded=False)
    for journal in ("never", "always"):
        for other, own in [
            ("set_in_a_loop", "get_in_a_loop"),
            ("get_in_a_loop", "set_in_a_loop"),
            ("set_in_a_loop", "set_in_a_loop"),
        ]:
            path = run.directory / f"beside-{journal}-{own}-{other}.json"
            write_json(path, bot_state(100))
            with ExitStack() as stack:
                roles = [
                    stack.enter_context(Role(name, path, journal, seconds)) for name in (own, other)
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


def written_in_background(run: Run) -> list[Reading]:
    """Make a few small changes to a large state."""
    report_progress("written in the background")
    path = run.directory / "background.json"
    write_json(path, bot_state(run.at_most(100_000, 10_000)))
    sets, seconds = 50, run.at_most(25, 2)
    with Role("set_now_and_then", path, sets, seconds) as role:
        role.start()
        found = role.found()
    size = path.stat().st_size / 1e6
    workload = f"{sets} sets in {seconds} s, a state of {size:.1f} MB"
    return [Reading(workload, "written", found["written"], WRITTEN_MAX, "bytes")]


def watch(run: Run) -> list[Reading]:
    """Let a process watch a key that another one sets, again and again after a pause."""
    report_progress("watch")
    readings = []
    sets, pause = run.at_most(200, 20), 0.02
    for journal in ("never", "always"):
        path = run.directory / f"watch-{journal}.json"
        write_json(path, bot_state(100))
        with (
            Role("watch_the_time", path) as watcher,
            Role("set_the_time", path, journal, sets, pause) as writer,
        ):
            watcher.start()
            writer.start()
            found = watcher.found()
        workload = f"watch: a change of another process, journal={journal}"
        readings += [
            Reading(workload, "median", found["median"], WATCH_MAX, "us"),
            *durations(workload, found, bounded=False)[1:],
        ]
    return readings


def many_stores(run: Run) -> list[Reading]:
    """Use many stores in one process. The second change of a store begins a journal."""
    report_progress("many stores")
    readings = []
    stores = run.at_most(STORES, 500)
    for journal, sets in (("auto", 1), ("always", 2)):
        times = {1: "once", 2: "twice"}[sets]
        workload = f"{stores:,} stores, each written {times}, journal={journal}"
        path = run.directory / f"many-{journal}"
        with Role("use_many_stores", path, stores, journal, sets) as role:
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
