"""What is promised of aiokv in the comparison, and whether the run bears it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from measurement import format_number, format_time

from peers.contestants import (
    AIOKV,
    AIOKV_JOURNAL,
    AIOKV_WITHOUT_FSYNC,
    CONTESTANTS,
    OWN,
    POWER,
    contestant_named,
)
from peers.results import (
    AT_ONCE,
    BYTES_PER_SET,
    GET,
    JSON_LOAD,
    KV_GET,
    KV_SET,
    MEMORY,
    OPEN,
    RAW_APPEND,
    SET,
    TASKS_AT_ONCE,
    WATCHED,
    Results,
    stop_during,
)
from peers.rust import RUST_BLOCKING, RUST_PEERS, RUST_SET

BLOCKING_PEERS = ("shelve", "diskcache", "sqlitedict", "lmdb")
BYTES_PER_SET_MAX = 8 * 1024
STOP_MICROSECONDS_MAX = 5_000.0


@dataclass(frozen=True)
class Finding:
    """What was measured for a promise with one number of keys."""

    measured: str
    held: bool


@dataclass(frozen=True)
class Promise:
    """A promise, and how to find out: for every number of keys, or for the largest only."""

    text: str
    find: Callable[[Results, int], Finding | None]
    at_every_size: bool


@dataclass(frozen=True)
class Verdict:
    """What was found for each number of keys that a promise speaks of."""

    promise: Promise
    findings: dict[int, Finding]

    def __str__(self) -> str:
        if not self.findings:
            return "not measured"
        return "held" if all(finding.held for finding in self.findings.values()) else "**MISSED**"


def judge(results: Results) -> list[Verdict]:
    """Return a verdict on every promise."""
    verdicts = []
    for promise in PROMISES:
        sizes = results.sizes if promise.at_every_size else results.sizes[-1:]
        found = ((keys, promise.find(results, keys)) for keys in sizes)
        verdicts.append(Verdict(promise, {keys: finding for keys, finding in found if finding}))
    return verdicts


def ratio_at_most(
    limit: float, workload: str, contestant: str, reference: str
) -> Callable[[Results, int], Finding | None]:
    """Return how to find out whether the contestant needs at most that many times as much."""

    def find(results: Results, keys: int) -> Finding | None:
        return at_most(limit, results.ratio(workload, keys, contestant, reference))

    return find


def growth_at_most(limit: float, results: Results, keys: int) -> Finding | None:
    """Find out how many times as much a `set` costs as with the fewest keys."""
    few = results.median(SET, results.sizes[0], AIOKV_JOURNAL)
    many = results.median(SET, keys, AIOKV_JOURNAL)
    return at_most(limit, many / few if few and many else None)


def at_most(limit: float, ratio: float | None) -> Finding | None:
    """Return what was found where a ratio must not be higher."""
    return None if ratio is None else Finding(f"{format_number(ratio)} x", ratio <= limit)


def equally_durable(peer: str) -> str:
    """Return the aiokv that makes the same promise as the peer, about what survives."""
    return AIOKV_JOURNAL if contestant_named(peer).survives == POWER else AIOKV_WITHOUT_FSYNC


def durable_peers() -> list[str]:
    """Return the peers whose changes survive a loss of power."""
    return [name for name in all_peers() if contestant_named(name).survives == POWER]


def all_peers() -> list[str]:
    """Return the names of all that are not aiokv."""
    return [contestant.name for contestant in CONTESTANTS if contestant.name not in OWN]


def faster_than(
    factor: float, workload: str, own: str, peers: Sequence[str]
) -> Callable[[Results, int], Finding | None]:
    """Return how to find out whether each peer takes at least that many times as long."""
    return faster_than_each(factor, workload, dict.fromkeys(peers, own))


def faster_than_each(
    factor: float, workload: str, own_by_peer: Mapping[str, str]
) -> Callable[[Results, int], Finding | None]:
    """Return the same where not every peer has the same aiokv beside it."""

    def find(results: Results, keys: int) -> Finding | None:
        ratios = [
            (results.ratio(workload, keys, peer, own), peer) for peer, own in own_by_peer.items()
        ]
        measured = [(ratio, peer) for ratio, peer in ratios if ratio is not None]
        if not measured:
            return None
        ratio, peer = min(measured)
        return Finding(f"{format_number(ratio)} x ({peer})", ratio >= factor)

    return find


def bytes_per_set(results: Results, keys: int) -> Finding | None:
    """Find out how much is written for a `set`."""
    size = results.median(BYTES_PER_SET, keys, AIOKV_JOURNAL)
    return None if size is None else Finding(f"{size:,.0f} bytes", size <= BYTES_PER_SET_MAX)


def longest_stop(results: Results, keys: int) -> Finding | None:
    """Find out which operation stops the loop the longest."""
    stops = [(results.median(stop_during(name), keys, AIOKV), name) for name in WATCHED]
    measured = [(stop, name) for stop, name in stops if stop is not None]
    if not measured:
        return None
    stop, name = max(measured)
    return Finding(f"{format_time(stop)} ({name})", stop <= STOP_MICROSECONDS_MAX)


PROMISES = (
    Promise(
        f"`set`, {AIOKV_JOURNAL}: at most 1.4 times a raw append and flush",
        ratio_at_most(1.4, SET, AIOKV_JOURNAL, RAW_APPEND),
        at_every_size=True,
    ),
    Promise(
        "the same `set`: faster than every durable peer; as many times as long takes",
        faster_than(1, SET, AIOKV_JOURNAL, durable_peers()),
        at_every_size=True,
    ),
    Promise(
        "the same `set`: at most twice its cost with the fewest keys",
        partial(growth_at_most, 2),
        at_every_size=False,
    ),
    Promise(
        f"the same `set`, alone: at most {BYTES_PER_SET_MAX:,} bytes written, checkpoints aside",
        bytes_per_set,
        at_every_size=False,
    ),
    Promise(
        f"`KV.set`, {AIOKV_JOURNAL}: at most 1.15 times a raw append and flush",
        ratio_at_most(1.15, KV_SET, AIOKV_JOURNAL, RAW_APPEND),
        at_every_size=True,
    ),
    Promise(
        f"`KV.set`, {AIOKV_JOURNAL} beside lmdb, {AIOKV_WITHOUT_FSYNC} beside peers that survive "
        "a kill only: faster than shelve, diskcache, sqlitedict and lmdb",
        faster_than_each(1, KV_SET, {peer: equally_durable(peer) for peer in BLOCKING_PEERS}),
        at_every_size=True,
    ),
    Promise(
        "`KV.get`: faster than shelve, diskcache, sqlitedict and lmdb",
        faster_than(1, KV_GET, AIOKV, BLOCKING_PEERS),
        at_every_size=True,
    ),
    Promise(
        "1,000 at once: faster than a synchronous `WriteBatch` of rocksdict and TinyDB's `update`",
        faster_than(1, AT_ONCE, AIOKV, ("rocksdict sync", "TinyDB")),
        at_every_size=True,
    ),
    Promise(
        "1,000 at once: 10 times the throughput of every durable peer, given one batch",
        faster_than(10, AT_ONCE, AIOKV, durable_peers()),
        at_every_size=True,
    ),
    Promise(
        "1,000 at once: 10 times the throughput of every durable peer, given a task each",
        faster_than(10, TASKS_AT_ONCE, AIOKV, durable_peers()),
        at_every_size=True,
    ),
    Promise(
        "`get`: faster than every peer; as many times as long takes",
        faster_than(1, GET, AIOKV, all_peers()),
        at_every_size=True,
    ),
    Promise(
        "open and first `get`: at most a third of `json.load`",
        ratio_at_most(1 / 3, OPEN, AIOKV, JSON_LOAD),
        at_every_size=False,
    ),
    Promise(
        "memory: at most 60 % of `json.load`",
        ratio_at_most(0.6, MEMORY, AIOKV, JSON_LOAD),
        at_every_size=False,
    ),
    Promise(
        f"no operation stops the event loop for more than {format_time(STOP_MICROSECONDS_MAX)}",
        longest_stop,
        at_every_size=False,
    ),
    Promise(
        "in Rust, `blocking` `set` with journal=always: faster than fjall, redb and SQLite, all "
        "of them durable",
        faster_than(1, RUST_SET, RUST_BLOCKING, RUST_PEERS),
        at_every_size=True,
    ),
)
