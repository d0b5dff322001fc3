"""Who takes part: how each is named, what its acknowledged changes survive, how it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.stores import AiokvStore, DictStore, PlainStore, SqliteStore, Store

POWER = "power"
KILL = "kill"
NOTHING = ""

AIOKV = "aiokv"
AIOKV_JOURNAL = "aiokv journal=always"
AIOKV_WITHOUT_FSYNC = "aiokv fsync=False"
OWN = (AIOKV, AIOKV_JOURNAL, AIOKV_WITHOUT_FSYNC)
SQLITE = "SQLite FULL"
FLOOR = "dict and json.load"

GATHER = "`asyncio.gather`"
SET_MANY = "`set_many`"


@dataclass(frozen=True)
class Contestant:
    """A store in one configuration.

    `survives` is what an acknowledged change survives: the loss of POWER, only the KILL of the
    process, or NOTHING. `calls` says in a few words how the store is called, and `many` how for
    1,000 at once. `combines` those do that write what is started together together, without being
    told. What a server writes and holds is not measured.
    """

    name: str
    package: str
    survives: str
    calls: str
    many: str
    store: Callable[[Path], Store]
    combines: bool = False
    is_server: bool = False

    @property
    def writes_each_alone(self) -> bool:
        """Tell whether 1,000 at once cost as much as 1,000 one after another."""
        return self.many == GATHER and not self.combines


def aiokv(name: str, survives: str, store: Callable[[Path], Store]) -> Contestant:
    """Return aiokv with some options."""
    return Contestant(name, "aiokv", survives, "as it is", SET_MANY, store, combines=True)


ALWAYS: Sequence[Contestant] = (
    aiokv(AIOKV, POWER, AiokvStore),
    aiokv(AIOKV_JOURNAL, POWER, partial(AiokvStore, journal="always")),
    aiokv(AIOKV_WITHOUT_FSYNC, KILL, partial(AiokvStore, fsync=False)),
    Contestant(
        "plain json",
        "",
        POWER,
        "`bench/plain.py`: json, a temporary file, flush, rename, flush, a lock, threads",
        GATHER,
        PlainStore,
    ),
    Contestant(FLOOR, "", NOTHING, "`async def`s on a dict", "`update`", DictStore, combines=True),
)
SQLITE_ALONE = Contestant(
    SQLITE,
    "",
    POWER,
    "`sqlite3` on the event loop, WAL, `synchronous=FULL`",
    "`executemany` in a transaction",
    SqliteStore,
)
