"""What is promised of aiokv's speed and use of resources, and whether a run bears it out.

A promise that a run did not measure, because a peer or the number of keys was not part of it, is
not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from bench import workloads
from bench.contestants import (
    AIOKV,
    AIOKV_JOURNAL,
    AIOKV_WITHOUT_FSYNC,
    FLOOR,
    KILL,
    OWN,
    POWER,
)
from bench.processes import BESIDE, JOURNALS, beside, of_stores
from bench.results import Results
from bench.rust import RUST_BLOCKING, RUST_PEERS, RUST_SET
from bench.units import format_measured, format_number

BLOCKING_PEERS = ("shelve", "diskcache", "sqlitedict", "lmdb")
MEASURED_ONCE = 0
BESIDE_LOOPS = [beside(operation, journal) for journal in JOURNALS for operation in BESIDE]


class Where(Enum):
    """The numbers of keys that a promise speaks of."""

    EVERY = auto()
    FEWEST = auto()
    MOST = auto()
    MANY = auto()
    ONCE = auto()

    def chosen_from(self, sizes: Sequence[int]) -> Sequence[int]:
        """Return those of a run."""
        choices = {
            Where.EVERY: sizes,
            Where.FEWEST: sizes[:1],
            Where.MOST: sizes[-1:],
            Where.MANY: [keys for keys in sizes if keys >= 100_000],
            Where.ONCE: [MEASURED_ONCE],
        }
        return choices[self]


@dataclass(frozen=True)
class Finding:
    """What was measured for a promise with one number of keys."""

    measured: str
    held: bool


Find = Callable[[Results, int], Finding | None]


@dataclass(frozen=True)
class Promise:
    """A promise, where it holds, and how to find out."""

    text: str
    where: Where
    find: Find


@dataclass(frozen=True)
class Verdict:
    """What was found for each number of keys that a promise speaks of."""

    promise: Promise
    findings: dict[int, Finding]

    def __str__(self) -> str:
        return "held" if all(finding.held for finding in self.findings.values()) else "**MISSED**"


def judge(results: Results) -> list[Verdict]:
    """Return a verdict on every promise that was measured."""
    verdicts = []
    for promise in PROMISES:
        sizes = promise.where.chosen_from(results.sizes)
        found = ((keys, promise.find(results, keys)) for keys in sizes)
        findings = {keys: finding for keys, finding in found if finding}
        if findings:
            verdicts.append(Verdict(promise, findings))
    return verdicts


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


def at_most(
    limit: float, unit: str, titles: Sequence[str], contestant: str = AIOKV, part: float = 0.5
) -> Find:
    """Return how to find out whether all of the workloads stay below a limit.

    It is the median that must, or what another part of the samples does not exceed.
    """

    def find(results: Results, keys: int) -> Finding | None:
        found = [
            (results.part_below(part, workload, keys, contestant), workload) for workload in titles
        ]
        measured = [(value, workload) for value, workload in found if value is not None]
        if not measured:
            return None
        value, workload = max(measured)
        which = f" ({workload})" if len(titles) > 1 else ""
        return Finding(format_measured(value, unit) + which, value <= limit)

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
    Promise("`get`: at most 1 us", Where.EVERY, at_most(1, "us", [workloads.GET])),
    Promise(
        f"`get`: at most 6 times an `async def` that looks into a dict ({FLOOR})",
        Where.EVERY,
        ratio_at_most(6, workloads.GET, AIOKV, FLOOR),
    ),
    Promise(
        "`get`: faster than every peer; as many times as long takes",
        Where.EVERY,
        faster_than(1, workloads.GET, every_peer(AIOKV, POWER, KILL)),
    ),
    Promise(
        "`KV.get`: faster than shelve, diskcache, sqlitedict and lmdb",
        Where.EVERY,
        faster_than(1, workloads.KV_GET, named(AIOKV, *BLOCKING_PEERS)),
    ),
    Promise(
        "100 keys of a prefix: at most 1 ms", Where.EVERY, at_most(1_000, "us", [workloads.KEYS])
    ),
    Promise(
        "`set`: at most 1.25 times a file replaced in Rust",
        Where.FEWEST,
        ratio_at_most(1.25, workloads.SET, AIOKV, workloads.RAW_REPLACE),
    ),
    Promise(
        f"`set`, {AIOKV_JOURNAL}: at most 1.4 times a raw append and flush",
        Where.EVERY,
        ratio_at_most(1.4, workloads.SET, AIOKV_JOURNAL, workloads.RAW_APPEND),
    ),
    Promise(
        "the same `set`: faster than every durable peer; as many times as long takes",
        Where.EVERY,
        faster_than(1, workloads.SET, every_peer(AIOKV_JOURNAL, POWER)),
    ),
    Promise(
        "the same `set`: at most twice its cost with the fewest keys",
        Where.MOST,
        growth_at_most(2, workloads.SET, AIOKV_JOURNAL),
    ),
    Promise(
        "the same `set`, alone: at most 8 KiB written, checkpoints aside",
        Where.MOST,
        at_most(8 * 1024, "bytes", [workloads.BYTES_PER_SET], AIOKV_JOURNAL),
    ),
    Promise(
        f"`KV.set`, {AIOKV_JOURNAL}: at most 1.15 times a raw append and flush",
        Where.EVERY,
        ratio_at_most(1.15, workloads.KV_SET, AIOKV_JOURNAL, workloads.RAW_APPEND),
    ),
    Promise(
        f"`KV.set`, {AIOKV_JOURNAL} beside lmdb, {AIOKV_WITHOUT_FSYNC} beside peers that survive "
        "a kill only: faster than shelve, diskcache, sqlitedict and lmdb",
        Where.EVERY,
        faster_than(1, workloads.KV_SET, equally_durable(*BLOCKING_PEERS)),
    ),
    Promise(
        "1,000 at once: faster than a synchronous `WriteBatch` of rocksdict and TinyDB's `update`",
        Where.EVERY,
        faster_than(1, workloads.AT_ONCE, named(AIOKV, "rocksdict sync", "TinyDB")),
    ),
    Promise(
        "1,000 at once: 10 times the throughput of every durable peer, given one batch",
        Where.EVERY,
        faster_than(10, workloads.AT_ONCE, every_peer(AIOKV, POWER)),
    ),
    Promise(
        "1,000 at once: 10 times the throughput of every durable peer, given a task each",
        Where.EVERY,
        faster_than(10, workloads.TASKS_AT_ONCE, every_peer(AIOKV, POWER)),
    ),
    Promise(
        "1,000 tasks at once: at most 15 us each",
        Where.EVERY,
        at_most(15, "us", [workloads.TASKS_AT_ONCE]),
    ),
    Promise(
        "200 increments of one key at once: at most 1.5 times 200 `set`s at once",
        Where.EVERY,
        ratio_at_most(1.5, workloads.INCREMENTS, AIOKV, workloads.SETS_BESIDE),
    ),
    Promise(
        "open and first `get`: at most half of `json.load`",
        Where.MANY,
        ratio_at_most(0.5, workloads.OPEN, AIOKV, FLOOR),
    ),
    Promise(
        "the same of a file on one line",
        Where.MANY,
        ratio_at_most(0.5, workloads.OPEN_ONE_LINE, AIOKV, FLOOR),
    ),
    Promise(
        "open and first `get`: at most a third of `json.load`",
        Where.MOST,
        ratio_at_most(1 / 3, workloads.OPEN, AIOKV, FLOOR),
    ),
    Promise(
        "memory: at most 60 % of `json.load`",
        Where.MOST,
        ratio_at_most(0.6, workloads.MEMORY, AIOKV, FLOOR),
    ),
    Promise(
        "no operation stops the event loop for more than 5 ms",
        Where.MOST,
        at_most(5_000, "us", [workloads.stop_during(operation) for operation in workloads.WATCHED]),
    ),
    Promise("`import aiokv`: at most 5 ms", Where.ONCE, at_most(5_000, "us", [workloads.IMPORT])),
    Promise(
        "beside a process in a tight loop: at most 5 ms",
        Where.ONCE,
        at_most(5_000, "us", BESIDE_LOOPS),
    ),
    Promise(
        "beside a process in a tight loop: 99 % at most 50 ms",
        Where.ONCE,
        at_most(50_000, "us", BESIDE_LOOPS, part=0.99),
    ),
    Promise(
        "`watch`: a change of another process after at most 10 ms",
        Where.ONCE,
        at_most(10_000, "us", [beside(workloads.WATCH, journal) for journal in JOURNALS]),
    ),
    Promise(
        "50 `set`s on a state of 5 MB: at most 3 MB written, checkpoints included",
        Where.ONCE,
        at_most(3_000_000, "bytes", [workloads.BACKGROUND]),
    ),
    Promise("10,000 stores: at most 64 threads", Where.ONCE, at_most(64, "", stores("threads"))),
    Promise(
        "10,000 stores: at most 600 open files", Where.ONCE, at_most(600, "", stores("open files"))
    ),
    Promise(
        "10,000 stores: at most 12,000 bytes of memory each",
        Where.ONCE,
        at_most(12_000, "bytes", stores("memory of each")),
    ),
    Promise(
        "10,000 stores: no stop of the event loop for more than 50 ms",
        Where.ONCE,
        at_most(50_000, "us", stores("longest stop in use") + stores("longest stop when dropped")),
    ),
    Promise(
        "in Rust, `blocking` `set` with journal=always: faster than fjall, redb and SQLite, all "
        "of them durable",
        Where.EVERY,
        faster_than(1, RUST_SET, named(RUST_BLOCKING, *RUST_PEERS)),
    ),
)
