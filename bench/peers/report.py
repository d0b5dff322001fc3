"""The page that shows a run: docs/peers.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from measurement import format_number, format_time

from peers.bounds import judge
from peers.contestants import AIOKV, AIOKV_WITHOUT_FSYNC, CONTESTANTS, OWN, POWER, Contestant
from peers.results import (
    ADD,
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
    Results,
    stop_during,
)
from peers.stores import Store

INTRODUCTION = """\
# aiokv beside its peers

`make bench-peers` wrote this page: every figure comes from one run on one machine. Read the ratios,
and only those between equals: *survives* is what an acknowledged change survives, the loss of
power or only the kill of the process. A ratio says how many times as much a contestant needs as
aiokv with the same durability does, or as aiokv does where nothing is written; below 1 the peer is
better.

![Time of a call over the number of keys, aiokv and its peers](peers.svg)"""

METHOD = """\
Keys are `rate_limit:` or `last_command:` and 18 digits, values are numbers and short text; a
million of them are about 50 MB of JSON. A store of bytes gets JSON from orjson. The contestants of
a workload take turns, back and forth. A time is the median over the turns, and ± is half the
distance between its quartiles; a ratio is the median over the turns of two contestants side by
side. A slow contestant misses turns: every sample is in `target/peers/results.json`. In the end
`get_all` of every contestant returned every value that had been set."""

EXPLANATIONS = {
    GET: "Random keys that are there, one after another, in a new order in every turn.",
    SET: "One after another. *raw append* is the loop that no durable `set` can beat: a line added "
    "to a file with `pwrite`, then `fdatasync`, on the event loop. aiokv makes its checkpoints "
    "between the turns, so that its contestants do not find the disk busy with it.",
    KV_GET: "Without `asyncio`: random keys, one after another, in a thread without an event loop.",
    KV_SET: "The same for changes. A peer is called as in the tables above, but without the detour "
    "through its thread.",
    GET_MANY: "100 random keys with one call; time for the call. Those stores take part that have "
    "one.",
    ADD: "A key that is absent is stored only if it is, one after another: the `add` of diskcache, "
    "`INSERT OR IGNORE`, `put` without `overwrite`.",
    TRANSACT: "A number is read, and the next one written, only if nothing else changed it; one "
    "after another.",
    TRANSACTS: "The same 200 times at once, all on one key; time for each. SQLite has one "
    "transaction at a time on a connection, so they wait for each other.",
    INCREMENTS: "1 is added 200 times at once to one key; time for each. `incr` of diskcache, one "
    "statement of SQLite.",
    KEYS: "100 keys that start alike, among all others; time for the list.",
    AT_ONCE: "1,000 changes of random keys, in the way that the documentation of the store names "
    "for many, a single batch or transaction if it can be had; time for each change.",
    TASKS_AT_ONCE: "The same from 1,000 tasks that know nothing of each other: "
    "`asyncio.gather` of `set`s, for all contestants.",
    OPEN: "From nothing to the answer of the first `get`, in a new process, files in the cache.",
    GET_ALL: "Everything as one dict.",
    MEMORY: "Memory in RAM after the first `get`, less what the process held before it, "
    "with all modules imported.",
    BYTES_PER_SET: "What a process writes to disk for a `set` with nothing else to do, by "
    "`write_bytes` of `/proc/self/io`, in whole pages. What still waits to be written is "
    "written before each, and aiokv gets no time for a checkpoint: that is in the next table.",
    BYTES_AT_CLOSE: "What `close` writes after those `set`s: the whole file of aiokv, brought up "
    "to date with its journal; a log of SQLite moved into the database.",
}


def format_report(results: Results, rust: Sequence[Cell]) -> str:
    """Return the page."""
    packages = ", ".join(f"{name} {version}" for name, version in results.packages.items())
    parts = [
        INTRODUCTION,
        f"```\n{results.machine}\n{packages}\n```",
        "## What is promised\n\nMeasured, with the peer that comes closest.",
        format_verdicts(results),
        "## Contestants",
        format_contestants(results),
        METHOD,
    ]
    for workload, explanation in EXPLANATIONS.items():
        parts += [f"## {title(workload)}", explanation, format_workload(results, workload)]
    parts += [
        f"## Stops of the event loop, {results.sizes[-1]:,} keys",
        "The longest time between two rounds of a loop that has nothing else to do. The median of "
        f"some repetitions; *{IDLE}* is what the machine itself adds.",
        format_stops(results),
    ]
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
    for verdict in judge(results):
        findings = [verdict.findings.get(keys) for keys in results.sizes]
        measured = [finding.measured if finding else "" for finding in findings]
        rows.append([verdict.promise.text, *measured, str(verdict)])
    return format_table(["", *size_headings(results.sizes), ""], rows)


def format_contestants(results: Results) -> str:
    """Return how each of them is called."""
    rows = []
    for contestant in CONTESTANTS:
        version = results.packages.get(contestant.package, "")
        rows.append(
            [name_of(contestant), version, contestant.survives, contestant.calls, contestant.many]
        )
    return format_table(["", "version", "survives", "called", "1,000 at once"], rows)


def format_workload(results: Results, workload: str) -> str:
    """Return a row for each contestant, then one for each reference."""
    rows = []
    for contestant in CONTESTANTS:
        cells = [results.cell(workload, keys, contestant.name) for keys in results.sizes]
        if not any(cells):
            continue
        ratios = [ratio_to_own(results, workload, keys, contestant) for keys in results.sizes]
        rows.append(
            [
                name_of(contestant),
                contestant.survives if workload in WRITING else "",
                *(format_cell(cell, ratio) for cell, ratio in zip(cells, ratios, strict=True)),
            ]
        )
    for reference in (RAW_APPEND, JSON_LOAD):
        cells = [results.cell(workload, keys, reference) for keys in results.sizes]
        if any(cells):
            survives = POWER if reference == RAW_APPEND else ""
            rows.append([f"*{reference}*", survives, *(format_cell(cell, None) for cell in cells)])
    headings = ["", "survives" if workload in WRITING else "", *size_headings(results.sizes)]
    return format_table(headings, rows)


def format_stops(results: Results) -> str:
    """Return a row for each contestant and a column for each operation."""
    keys = results.sizes[-1]
    rows = []
    for contestant in CONTESTANTS:
        cells = [
            results.cell(stop_during(operation), keys, contestant.name) for operation in WATCHED
        ]
        rows.append([name_of(contestant), *(format_cell(cell, None) for cell in cells)])
    idle = format_cell(results.cell(IDLE, keys, IDLE), None)
    rows.append([f"*{IDLE}*", *[idle for _ in WATCHED]])
    return format_table(["", *(title(operation) for operation in WATCHED)], rows)


def format_rust(rust: Sequence[Cell]) -> str:
    """Return a row for each workload and contestant."""
    sizes = sorted({cell.keys for cell in rust})
    times = {(cell.workload, cell.contestant, cell.keys): format_cell(cell, None) for cell in rust}
    rows = [
        [workload, contestant, *(times.get((workload, contestant, keys), "") for keys in sizes)]
        for workload, contestant in dict.fromkeys((cell.workload, cell.contestant) for cell in rust)
    ]
    return format_table(["", "", *size_headings(sizes)], rows)


def ratio_to_own(
    results: Results, workload: str, keys: int, contestant: Contestant
) -> float | None:
    """Return the ratio to the aiokv that makes the same promise.

    There is none for aiokv itself, nor for what `close` makes up for: that need not be anything.
    """
    if contestant.name in OWN or workload == BYTES_AT_CLOSE:
        return None
    durable = contestant.survives == POWER or workload not in WRITING
    return results.ratio(workload, keys, contestant.name, AIOKV if durable else AIOKV_WITHOUT_FSYNC)


def format_cell(cell: Cell | None, ratio: float | None) -> str:
    """Return the median with the ratio, or why there is none."""
    if cell is None:
        return ""
    median = cell.median()
    if median is None:
        return cell.note
    in_bytes = cell.workload in (MEMORY, BYTES_PER_SET, BYTES_AT_CLOSE)
    text = format_bytes(median) if in_bytes else format_time(median)
    spread = cell.spread()
    if spread is not None:
        text += f" ±{spread:.0%}"
    return text if ratio is None else f"{text} ({format_ratio(ratio)})"


def format_ratio(ratio: float) -> str:
    """Return the ratio, a small one with the digits that say something."""
    return f"{ratio:.1g} x" if ratio < 0.1 else f"{format_number(ratio)} x"


def format_bytes(size: float) -> str:
    """Return the size in the unit that keeps it short."""
    for unit in ("B", "KiB"):
        if abs(size) < 1024:
            return f"{size:,.4g} {unit}"
        size /= 1024
    return f"{format_number(size)} MiB"


def title(workload: str) -> str:
    """Return the name of the workload, as code if it is a method of every store."""
    is_code = hasattr(Store, workload) or workload in (ADD, TRANSACT, KV_GET, KV_SET)
    return f"`{workload}`" if is_code else workload[0].upper() + workload[1:]


def name_of(contestant: Contestant) -> str:
    """Return the name, in bold if it is aiokv."""
    return f"**{contestant.name}**" if contestant.name in OWN else contestant.name


def size_headings(sizes: Iterable[int]) -> list[str]:
    """Return the heading of the column of each size."""
    return [f"{keys:,} keys" for keys in sizes]


def format_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the table in Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
