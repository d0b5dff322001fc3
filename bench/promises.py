"""What is promised of aiokv's speed and use of resources, and whether a run bears it out.

A promise that a run did not measure, because a peer or the number of keys was not part of it, is
not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bench import workloads
from bench.contestants import AIOKV, AIOKV_JOURNAL, AIOKV_WITHOUT_FSYNC, FLOOR, KILL, OWN, POWER
from bench.processes import JOURNALS, LOOPS, beside, of_stores
from bench.results import Results
from bench.rust import RUST_BLOCKING, RUST_PEERS, RUST_SET
from bench.units import format_measured, format_number

BLOCKING_PEERS = ("shelve", "diskcache", "sqlitedict", "lmdb")
MEASURED_ONCE = 0
BESIDE_LOOPS = [beside(operation, journal) for journal in JOURNALS for operation in LOOPS]


@dataclass(frozen=True)
class Finding:
    """What was measured for a promise with one number of keys."""

    measured: str
    held: bool


Find = Callable[[Results, int], Finding | None]


@dataclass(frozen=True)
class Promise:
    """A promise, the numbers of keys of a run that it speaks of, and how to find out."""

    chosen_from: Callable[[Sequence[int]], Sequence[int]]
    text: str
    find: Find


every = partial(Promise, lambda sizes: sizes)
fewest = partial(Promise, lambda sizes: sizes[:1])
most = partial(Promise, lambda sizes: sizes[-1:])
many = partial(Promise, lambda sizes: [keys for keys in sizes if keys >= 100_000])
once = partial(Promise, lambda _sizes: [MEASURED_ONCE])


def judge(results: Results) -> list[tuple[str, dict[int, Finding]]]:
    """Return every promise that was measured, and what was found for each number of keys."""
    judged = []
    for promise in PROMISES:
        sizes = promise.chosen_from(results.sizes)
        found = ((keys, promise.find(results, keys)) for keys in sizes)
        findings = {keys: finding for keys, finding in found if finding}
        if findings:
            judged.append((promise.text, findings))
    return judged


def ratio_at_most(limit: float, workload: str, contestant: str, reference: str) -> Find:
    """Return how to find out whether the contestant needs at most that many times as much."""

    def find(results: Results, keys: int) -> Finding | None:
        return limited_ratio(limit, results.ratio(workload, keys, contestant, reference))

    return find


def growth_at_most(limit: float, workload: str, contestant: str) -> Find:
    """Return how to find out how many times as much it costs as with the fewest keys."""

    def find(results: Results, keys: int) -> Finding | None:
        few = results.median(workload, results.sizes[0], contestant)
        many = results.median(workload, keys, contestant)
        return limited_ratio(limit, many / few if few and many else None)

    return find


def limited_ratio(limit: float, ratio: float | None) -> Finding | None:
    """Return what was found where a ratio must not be higher."""
    return None if ratio is None else Finding(f"{format_number(ratio)} x", ratio <= limit)


def at_most(limit: float, *titles: str, contestant: str = AIOKV, part: float = 0.5) -> Find:
    """Return how to find out whether all of the workloads stay below a limit.

    It is the median that must, or what another part of the samples does not exceed.
    """

    def find(results: Results, keys: int) -> Finding | None:
        measured = [
            (value, cell)
            for cell in (results.cell(workload, keys, contestant) for workload in titles)
            if cell and (value := cell.part_below(part)) is not None
        ]
        if not measured:
            return None
        value, cell = max(measured, key=lambda one: one[0])
        which = f" ({cell.workload})" if len(titles) > 1 else ""
        return Finding(format_measured(value, cell.unit) + which, value <= limit)

    return find


Peers = Callable[[Results], Mapping[str, str]]


def faster_than(factor: float, workload: str, beside_peers: Peers) -> Find:
    """Return how to find out whether each peer takes that many times as long as its aiokv."""

    def find(results: Results, keys: int) -> Finding | None:
        ratios = [
            (results.ratio(workload, keys, peer, own), peer)
            for peer, own in beside_peers(results).items()
        ]
        measured = [(ratio, peer) for ratio, peer in ratios if ratio is not None]
        if not measured:
            return None
        ratio, peer = min(measured)
        return Finding(f"{format_number(ratio)} x ({peer})", ratio >= factor)

    return find


def named(own: str, *peers: str) -> Peers:
    """Return those peers, with the same aiokv beside each."""
    return lambda _results: dict.fromkeys(peers, own)


def every_peer(own: str, *survives: str) -> Peers:
    """Return the peers whose changes survive one of these, with the same aiokv beside each."""
    return lambda results: {
        name: own
        for name, survived in results.survives.items()
        if name not in OWN and survived in survives
    }


def equally_durable(*peers: str) -> Peers:
    """Return those peers, and beside each the aiokv that makes the same promise."""
    return lambda results: {
        name: AIOKV_JOURNAL if results.survives[name] == POWER else AIOKV_WITHOUT_FSYNC
        for name in peers
        if name in results.survives
    }


def stores(what: str) -> list[str]:
    """Return the workloads of many stores, for each journal."""
    return [of_stores(what, journal) for journal in ("auto", "always")]


PROMISES = (
    every("`get`: at most 1 us", at_most(1, workloads.GET)),
    every(
        f"`get`: at most 6 times an `async def` that looks into a dict ({FLOOR})",
        ratio_at_most(6, workloads.GET, AIOKV, FLOOR),
    ),
    every(
        "`get`: faster than every peer; as many times as long takes",
        faster_than(1, workloads.GET, every_peer(AIOKV, POWER, KILL)),
    ),
    every(
        "`KV.get`: faster than shelve, diskcache, sqlitedict and lmdb",
        faster_than(1, workloads.KV_GET, named(AIOKV, *BLOCKING_PEERS)),
    ),
    every("100 keys of a prefix: at most 1 ms", at_most(1_000, workloads.KEYS)),
    fewest(
        "`set`: at most 1.25 times a file replaced in Rust",
        ratio_at_most(1.25, workloads.SET, AIOKV, workloads.RAW_REPLACE),
    ),
    every(
        f"`set`, {AIOKV_JOURNAL}: at most 1.4 times a raw append and flush",
        ratio_at_most(1.4, workloads.SET, AIOKV_JOURNAL, workloads.RAW_APPEND),
    ),
    every(
        "the same `set`: faster than every durable peer; as many times as long takes",
        faster_than(1, workloads.SET, every_peer(AIOKV_JOURNAL, POWER)),
    ),
    most(
        "the same `set`: at most twice its cost with the fewest keys",
        growth_at_most(2, workloads.SET, AIOKV_JOURNAL),
    ),
    most(
        "the same `set`, alone: at most 8 KiB written, checkpoints aside",
        at_most(8 * 1024, workloads.BYTES_PER_SET, contestant=AIOKV_JOURNAL),
    ),
    every(
        f"`KV.set`, {AIOKV_JOURNAL}: at most 1.15 times a raw append and flush",
        ratio_at_most(1.15, workloads.KV_SET, AIOKV_JOURNAL, workloads.RAW_APPEND),
    ),
    every(
        f"`KV.set`, {AIOKV_JOURNAL} beside lmdb, {AIOKV_WITHOUT_FSYNC} beside peers that survive "
        "a kill only: faster than shelve, diskcache, sqlitedict and lmdb",
        faster_than(1, workloads.KV_SET, equally_durable(*BLOCKING_PEERS)),
    ),
    every(
        "1,000 at once: faster than a synchronous `WriteBatch` of rocksdict and TinyDB's `update`",
        faster_than(1, workloads.AT_ONCE, named(AIOKV, "rocksdict sync", "TinyDB")),
    ),
    every(
        "1,000 at once: 10 times the throughput of every durable peer, given one batch",
        faster_than(10, workloads.AT_ONCE, every_peer(AIOKV, POWER)),
    ),
    every(
        "1,000 at once: 10 times the throughput of every durable peer, given a task each",
        faster_than(10, workloads.TASKS_AT_ONCE, every_peer(AIOKV, POWER)),
    ),
    every("1,000 tasks at once: at most 15 us each", at_most(15, workloads.TASKS_AT_ONCE)),
    every(
        "200 increments of one key at once: at most 1.5 times 200 `set`s at once",
        ratio_at_most(1.5, workloads.INCREMENTS, AIOKV, workloads.SETS_BESIDE),
    ),
    many(
        "open and first `get`: at most half of `json.load`",
        ratio_at_most(0.5, workloads.OPEN, AIOKV, FLOOR),
    ),
    many(
        "the same of a file on one line", ratio_at_most(0.5, workloads.OPEN_ONE_LINE, AIOKV, FLOOR)
    ),
    most(
        "open and first `get`: at most a third of `json.load`",
        ratio_at_most(1 / 3, workloads.OPEN, AIOKV, FLOOR),
    ),
    most("memory: at most 60 % of `json.load`", ratio_at_most(0.6, workloads.MEMORY, AIOKV, FLOOR)),
    most(
        "no operation stops the event loop for more than 5 ms",
        at_most(5_000, *map(workloads.stop_during, workloads.WATCHED)),
    ),
    once("`import aiokv`: at most 5 ms", at_most(5_000, workloads.IMPORT)),
    once("beside a process in a tight loop: at most 5 ms", at_most(5_000, *BESIDE_LOOPS)),
    once(
        "beside a process in a tight loop: 99 % at most 50 ms",
        at_most(50_000, *BESIDE_LOOPS, part=0.99),
    ),
    once(
        "`watch`: a change of another process after at most 10 ms",
        at_most(10_000, *(beside(workloads.WATCH, journal) for journal in JOURNALS)),
    ),
    once(
        "50 `set`s on a state of 5 MB: at most 3 MB written, checkpoints included",
        at_most(3_000_000, workloads.BACKGROUND),
    ),
    once("10,000 stores: at most 64 threads", at_most(64, *stores("threads"))),
    once("10,000 stores: at most 600 open files", at_most(600, *stores("open files"))),
    once(
        "10,000 stores: at most 12,000 bytes of memory each",
        at_most(12_000, *stores("memory of each")),
    ),
    once(
        "10,000 stores: no stop of the event loop for more than 50 ms",
        at_most(50_000, *stores("longest stop in use"), *stores("longest stop when dropped")),
    ),
    every(
        "in Rust, `blocking` `set` with journal=always: faster than fjall, redb and SQLite, all "
        "of them durable",
        faster_than(1, RUST_SET, named(RUST_BLOCKING, *RUST_PEERS)),
    ),
)
