"""The peers: what each one's acknowledged changes survive, and how it is called."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bench.contestants import KILL, POWER, Contestant
from bench.peers.blocking_stores import (
    Diskcache,
    Rocksdict,
    Shelve,
    Sqlitedict,
    Tinydb,
    in_thread,
    shelve_backend,
)
from bench.peers.redis_store import SERVER, RedisStore
from bench.peers.stores import AiosqliteStore, LmdbStore, PickledbStore

IN_THREAD = "in a thread of its own"

# What shelve's `sync` amounts to depends on what is below it. SQLite in its default mode flushes
# with every change, GNU dbm flushes in `sync`; of the others, none flushes at all.
SHELVE_BACKEND = shelve_backend()
SHELVE_SURVIVES = POWER if SHELVE_BACKEND in ("dbm.sqlite3", "dbm.gnu") else KILL

INSTALLED: Sequence[Contestant] = (
    Contestant(
        "TinyDB",
        "tinydb",
        POWER,
        f"{IN_THREAD}; overwrites its file in place, so a crash during a write destroys it",
        "one `update` with a function",
        in_thread(Tinydb),
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
        in_thread(Rocksdict, sync=True),
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
        in_thread(Shelve),
    ),
    Contestant(
        "diskcache",
        "diskcache",
        KILL,
        f"{IN_THREAD}, `Index`",
        "`update` in `transact`",
        in_thread(Diskcache),
    ),
    Contestant(
        "sqlitedict",
        "sqlitedict",
        KILL,
        f"{IN_THREAD}, `commit` after each change, `outer_stack=False`",
        "`update`, then one `commit`",
        in_thread(Sqlitedict),
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
        in_thread(Rocksdict, sync=False),
    ),
)
REDIS = Contestant(
    "Redis",
    "redis",
    POWER,
    "redis-py, a server on loopback, `appendfsync always`; opening starts the server",
    "`MSET`",
    RedisStore,
    is_server=True,
)
PEERS = (*INSTALLED, REDIS) if SERVER else INSTALLED
