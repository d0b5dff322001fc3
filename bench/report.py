"""The page that shows a run: docs/peers.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench import workloads
from bench.contestants import AIOKV, AIOKV_WITHOUT_FSYNC, FLOOR, KILL, OWN, POWER, Contestant
from bench.promises import MEASURED_ONCE, judge
from bench.results import Cell, Results
from bench.stores import AiokvStore
from bench.units import format_measured, format_ratio, format_table

PEERS_PAGE = """\
# aiokv beside its peers

`make bench-peers` wrote this page: every figure comes from one run on one machine.

![Time of a call over the number of keys, aiokv and its peers](peers.svg)"""

ALONE_PAGE = "# What is promised of aiokv, in one run of `make bench`"

METHOD = f"""\
Read the ratios, and only those between equals: *survives* is what an acknowledged change survives,
the loss of power or only the kill of the process. A ratio says how many times as much a contestant
needs as aiokv with the same durability does, or as aiokv does where nothing is written; below 1 the
contestant is better. *{FLOOR}* stores nothing: it is the least that a call can
cost, and what a program does that only reads.

Keys are `rate_limit:` or `last_command:` and 18 digits, values are numbers and short text; a
million of them are about 50 MB of JSON. A peer that stores bytes gets JSON from orjson. The
contestants of a workload take turns, back and forth. A time is the median over the turns, and ± is
half the distance between the quartiles; a ratio is the median over the turns of two contestants
side by side. A slow contestant misses turns. After each turn of changes the last one was read, and
in the end `get_all` of every contestant returned every value that had been set; so did `json` from
the file of aiokv."""

PROCESSES_EXPLAINED = """\
Two processes in tight loops work on one key of one file with 100 keys. *watch* counts from the
beginning of the `set` in one process to the change in the loop of another. What is written is
`write_bytes` of `/proc/self/io`, with what is written in the background, without `close`. Of many
stores, each with a file of its own, it shows most threads and open files at any time, memory in RAM
beyond that of the process before, and the longest time without a round of the event loop while they
are set, a hundred at a time, and when all are dropped at once; *work* is the time that the
processor spent on the loop between two of its rounds."""


def format_report(
    results: Results, heading: str, contestants: Sequence[Contestant], rust: Sequence[Cell] = ()
) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in results.packages.items())
    parts = [
        heading,
        f"```\n{results.machine}\n{packages}\n```",
        "## What is promised\n\nMeasured, with the peer or the workload that comes closest.",
        format_verdicts(results),
        "## Contestants",
        format_contestants(results, contestants),
        METHOD,
    ]
    for workload, explanation in workloads.EXPLANATIONS.items():
        parts += [f"## {title(workload)}", explanation, format_workload(results, workload)]
    parts += [
        f"## Stops of the event loop, {results.sizes[-1]:,} keys",
        "The longest time between two rounds of a loop that has nothing else to do. The median of "
        f"some repetitions; *{workloads.IDLE}* is what the machine itself adds.",
        format_stops(results),
    ]
    if any(cell.keys == MEASURED_ONCE for cell in results.cells):
        parts += ["## Imports, processes and many stores", PROCESSES_EXPLAINED]
        parts.append(format_processes(results))
    if rust:
        parts += [
            "## The same in Rust",
            "Medians of criterion; of 1,000 at once, that of each. What a change survives is in "
            "the name.",
            format_rust(rust),
        ]
    return "\n\n".join(parts) + "\n"


def format_verdicts(results: Results) -> str:
    """Return a row for each promise."""
    rows = []
    for promise, findings in judge(results):
        found = [findings.get(keys) for keys in (MEASURED_ONCE, *results.sizes)]
        measured = [finding.measured if finding else "" for finding in found]
        held = all(finding.held for finding in findings.values())
        rows.append([promise, *measured, "held" if held else "**MISSED**"])
    headings = ["", "", *size_headings(results.sizes), ""]
    if not any(row[1] for row in rows):
        headings, rows = headings[1:], [[row[0], *row[2:]] for row in rows]
    return format_table(headings, rows)


def format_contestants(results: Results, contestants: Sequence[Contestant]) -> str:
    rows = []
    for contestant in contestants:
        version = results.packages.get(contestant.package, "")
        name = name_of(contestant.name)
        rows.append([name, version, contestant.survives, contestant.calls, contestant.many])
    return format_table(["", "version", "survives", "called", "1,000 at once"], rows)


def format_workload(results: Results, workload: str) -> str:
    """Return a row for each contestant, then one for each reference."""
    is_writing = workload in workloads.WRITING
    rows = []
    references = dict.fromkeys(workloads.REFERENCES, POWER)
    for name, survives in (results.survives | references).items():
        cells = [results.cell(workload, keys, name) for keys in results.sizes]
        if not any(cells):
            continue
        ratios = [ratio_to_own(results, workload, keys, name) for keys in results.sizes]
        found = map(format_cell, cells, ratios)
        rows.append([name_of(name), survives if is_writing else "", *found])
    headings = ["", "survives" if is_writing else "", *size_headings(results.sizes)]
    return format_table(headings, rows)


def format_stops(results: Results) -> str:
    """Return a row for each contestant and a column for each operation."""
    keys = results.sizes[-1]
    rows = []
    during = [workloads.stop_during(operation) for operation in workloads.WATCHED]
    for name in results.survives:
        cells = [results.cell(workload, keys, name) for workload in during]
        if any(cells):
            rows.append([name_of(name), *map(format_cell, cells)])
    idle = format_cell(results.cell(workloads.IDLE, keys, workloads.IDLE))
    rows.append([f"*{workloads.IDLE}*", *[idle for _ in workloads.WATCHED]])
    return format_table(["", *(title(operation) for operation in workloads.WATCHED)], rows)


def format_processes(results: Results) -> str:
    """Return a row for each workload that has nothing to do with a number of keys."""
    rows = []
    for cell in results.cells:
        if cell.keys == MEASURED_ONCE:
            parts = map(cell.part_below, (0.5, 0.99, 1) if len(cell.samples) > 1 else (0.5,))
            found = [format_measured(part, cell.unit) for part in parts if part is not None]
            found += [""] * (3 - len(found))
            rows.append([cell.workload, cell.contestant, *found, f"{len(cell.samples):,}"])
    return format_table(["", "", "median", "99 %", "most", "samples"], rows)


def format_rust(rust: Sequence[Cell]) -> str:
    """Return a row for each workload and contestant."""
    sizes = sorted({cell.keys for cell in rust})
    times = {(cell.workload, cell.contestant, cell.keys): format_cell(cell) for cell in rust}
    rows = [
        [workload, contestant, *(times.get((workload, contestant, keys), "") for keys in sizes)]
        for workload, contestant in dict.fromkeys((cell.workload, cell.contestant) for cell in rust)
    ]
    return format_table(["", "", *size_headings(sizes)], rows)


def ratio_to_own(results: Results, workload: str, keys: int, name: str) -> float | None:
    """Return the ratio to the aiokv that makes the same promise.

    There is none for aiokv itself, nor for what `close` makes up for: that need not be anything.
    """
    if name in OWN or workload == workloads.BYTES_AT_CLOSE:
        return None
    if name not in results.survives:
        return None
    is_beside_kill = workload in workloads.WRITING and results.survives[name] == KILL
    return results.ratio(workload, keys, name, AIOKV_WITHOUT_FSYNC if is_beside_kill else AIOKV)


def format_cell(cell: Cell | None, ratio: float | None = None) -> str:
    """Return the median with its spread and the ratio, or why there is none."""
    if cell is None:
        return ""
    median = cell.median()
    if median is None:
        return cell.note
    text = format_measured(median, cell.unit)
    spread = cell.spread()
    if spread is not None:
        text += f" ±{spread:.0%}"
    return text if ratio is None else f"{text} ({format_ratio(ratio)})"


def title(workload: str) -> str:
    """Return the name of the workload, its first word as code if it is an operation."""
    first, *rest = workload.split(" ")
    is_code = hasattr(AiokvStore, first) or first in (workloads.KV_GET, workloads.KV_SET)
    return " ".join([f"`{first}`" if is_code else first[0].upper() + first[1:], *rest])


def name_of(contestant: str) -> str:
    """Return the name, in bold if it is aiokv, slanted if it is no store."""
    if contestant in OWN:
        return f"**{contestant}**"
    is_store = contestant not in (FLOOR, *workloads.REFERENCES)
    return contestant if is_store else f"*{contestant}*"


def size_headings(sizes: Iterable[int]) -> list[str]:
    return [f"{keys:,} keys" for keys in sizes]
