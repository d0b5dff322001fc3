"""Who takes part: how each is named, what its acknowledged changes survive, how it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from peers.blocking_stores import (
    DiskcacheStore,
    RocksdictStore,
    ShelveStore,
    SqlitedictStore,
    TinydbStore,
    shelve_backend,
)
from peers.stores import AiokvStore, AiosqliteStore, LmdbStore, PickledbStore, PlainStore, Store

POWER = "power"
KILL = "kill"

AIOKV = "aiokv"
AIOKV_JOURNAL = "aiokv journal=always"
AIOKV_WITHOUT_FSYNC = "aiokv fsync=False"
OWN = (AIOKV, AIOKV_JOURNAL, AIOKV_WITHOUT_FSYNC)

IN_THREAD = "in a thread of its own"
GATHER = "`asyncio.gather`"
SET_MANY = "`set_many`"


@dataclass(frozen=True)
class Contestant:
    """A store in one configuration.

    `survives` is what an acknowledged change survives: the loss of POWER, or only the KILL of the
    process. `calls` says in a few words how the store is called, and `many` how for 1,000 at once.
    `combines` those do that write what is started together together, without being told.
    """

    name: str
    package: str
    survives: str
    calls: str
    many: str
    store: Callable[[Path], Store]
    combines: bool = False

    @property
    def writes_each_alone(self) -> bool:
        """Tell whether 1,000 at once cost as much as 1,000 one after another."""
        return self.many == GATHER and not self.combines


# What shelve's `sync` amounts to depends on what is below it. SQLite in its default mode flushes
# with every change, GNU dbm flushes in `sync`; of the others, none flushes at all.
SHELVE_BACKEND = shelve_backend()
SHELVE_SURVIVES = POWER if SHELVE_BACKEND in ("dbm.sqlite3", "dbm.gnu") else KILL

CONTESTANTS: Sequence[Contestant] = (
    Contestant(AIOKV, "aiokv", POWER, "as it is", SET_MANY, AiokvStore, combines=True),
    Contestant(
        AIOKV_JOURNAL,
        "aiokv",
        POWER,
        "as it is",
        SET_MANY,
        partial(AiokvStore, journal="always"),
        combines=True,
    ),
    Contestant(
        "plain json",
        "",
        POWER,
        "`bench/plain.py`: json, a temporary file, flush, rename, flush, a lock, threads",
        GATHER,
        PlainStore,
    ),
    Contestant(
        "TinyDB",
        "tinydb",
        POWER,
        f"{IN_THREAD}; overwrites its file in place, so a crash during a write destroys it",
        "one `update` with a function",
        TinydbStore,
    ),
    Contestant(
        "aiosqlite FULL",
        "aiosqlite",
        POWER,
        "its coroutines, WAL, `synchronous=FULL`",
        "`executemany` in a transaction",
        partial(AiosqliteStore, synchronous="FULL"),
    ),
    Contestant(
        "lmdb",
        "lmdb",
        POWER,
        "writes through `lmdb.aio`, `get` directly on the event loop",
        "`putmulti` in a transaction",
        LmdbStore,
    ),
    Contestant(
        "rocksdict sync",
        "rocksdict",
        POWER,
        f"{IN_THREAD}, `WriteOptions.sync = True`",
        "`WriteBatch`",
        partial(RocksdictStore, sync=True),
    ),
    Contestant(
        AIOKV_WITHOUT_FSYNC,
        "aiokv",
        KILL,
        "as it is",
        SET_MANY,
        partial(AiokvStore, fsync=False),
        combines=True,
    ),
    Contestant(
        "pickleDB",
        "pickledb",
        KILL,
        "its coroutines, `save` after each change",
        "`set` for each, then one `save`",
        PickledbStore,
    ),
    Contestant(
        "shelve",
        "",
        SHELVE_SURVIVES,
        f"{IN_THREAD}, `sync` after each change; on `{SHELVE_BACKEND}`",
        "`update`, then one `sync`",
        ShelveStore,
    ),
    Contestant(
        "diskcache",
        "diskcache",
        KILL,
        f"{IN_THREAD}, `Index`",
        "`update` in `transact`",
        DiskcacheStore,
    ),
    Contestant(
        "sqlitedict",
        "sqlitedict",
        KILL,
        f"{IN_THREAD}, `commit` after each change, `outer_stack=False`",
        "`update`, then one `commit`",
        SqlitedictStore,
    ),
    Contestant(
        "aiosqlite NORMAL",
        "aiosqlite",
        KILL,
        "its coroutines, WAL, `synchronous=NORMAL`",
        "`executemany` in a transaction",
        partial(AiosqliteStore, synchronous="NORMAL"),
    ),
    Contestant(
        "rocksdict",
        "rocksdict",
        KILL,
        IN_THREAD,
        "`WriteBatch`",
        partial(RocksdictStore, sync=False),
    ),
)


def contestant_named(name: str) -> Contestant:
    """Return the one with this name."""
    return next(contestant for contestant in CONTESTANTS if contestant.name == name)
