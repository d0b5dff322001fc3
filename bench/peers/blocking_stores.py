"""The peers that know nothing of asyncio.

Each gets one thread of its own. That is `asyncio.to_thread` with a little less to do, and it is
right for those too that tie a connection to a thread or that bear only one thread at a time.
"""

from __future__ import annotations

import asyncio
import dbm
import shelve
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import diskcache
import rocksdict
import sqlitedict
import tinydb

from bench.state import State
from bench.stores import Defaults, Item, Result


class InThread(Defaults):
    """A blocking store in its thread: whatever that can do can be awaited here."""

    def __init__(self, path: Path, blocking: Callable[[Path], Any]) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._new_store = partial(blocking, path)

    async def open(self) -> None:
        """Open in the thread that does everything else too."""
        self._store = await self.in_thread(self._new_store)
        for name in dir(self._store):
            if not name.startswith("_") and name != "close":
                setattr(self, name, partial(self.in_thread, getattr(self._store, name)))
        self.get_blocking, self.set_blocking = self._store.get, self._store.set

    async def close(self) -> None:
        """Close in the thread, then end it."""
        await self.in_thread(self._store.close)
        self._thread.shutdown()

    def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Awaitable[Result]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def in_thread(blocking: Callable[..., Any], **options: Any) -> Callable[[Path], Any]:
    """Return how such a store is made."""
    return partial(InThread, blocking=partial(blocking, **options))


class Mapping:
    """A store that is called like a dict. `flush` makes changes as durable as they can be."""

    def __init__(self, mapping: Any) -> None:
        self._mapping = mapping

    def get(self, key: str) -> Any:
        return self._mapping[key]

    def set(self, key: str, value: Any) -> None:
        self._mapping[key] = value
        self._flush()

    def set_at_once(self, items: Sequence[Item]) -> None:
        self._mapping.update(items)
        self._flush()

    def delete(self, key: str) -> None:
        del self._mapping[key]
        self._flush()

    def get_all(self) -> State:
        return dict(self._mapping.items())

    def close(self) -> None:
        self._mapping.close()

    def _flush(self) -> None:
        """Do nothing: each change is as durable as it can be."""


class Tinydb:
    """TinyDB with a document for each key, found with a query: it has no index to find it with."""

    def __init__(self, path: Path) -> None:
        self._database: Any = tinydb.TinyDB(path)

    def get(self, key: str) -> Any:
        return self._database.get(tinydb.where("key") == key)["value"]

    def set(self, key: str, value: Any) -> None:
        self._database.upsert({"key": key, "value": value}, tinydb.where("key") == key)

    def set_at_once(self, items: Sequence[Item]) -> None:
        # One pass over the documents, where `update_multiple` would make one for each item.
        changes = dict(items)

        def change(document: dict[str, Any]) -> None:
            document["value"] = changes[document["key"]]

        self._database.update(change, tinydb.where("key").test(changes.__contains__))

    def delete(self, key: str) -> None:
        self._database.remove(tinydb.where("key") == key)

    def get_all(self) -> State:
        return {document["key"]: document["value"] for document in self._database}

    def fill(self, state: State) -> None:
        documents = ({"key": key, "value": value} for key, value in state.items())
        self._database.insert_multiple(documents)

    def close(self) -> None:
        self._database.close()


class Shelve(Mapping):
    """shelve on the best `dbm` that this Python has."""

    def __init__(self, path: Path) -> None:
        super().__init__(shelve.open(str(path)))  # noqa: SIM115 - it stays open

    def _flush(self) -> None:
        """Without this the change may be found only after an orderly end."""
        self._mapping.sync()


def shelve_backend() -> str:
    """Return the module that `shelve` makes a new shelf with."""
    with TemporaryDirectory() as directory:
        path = f"{directory}/shelf"
        shelve.open(path).close()
        return str(dbm.whichdb(path))


class Sqlitedict(Mapping):
    """sqlitedict, without the look at the stack that its documentation says costs time.

    It does not `autocommit`, which makes a transaction of each item.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(sqlitedict.SqliteDict(str(path), outer_stack=False))

    def _flush(self) -> None:
        self._mapping.commit()


class Diskcache(Mapping):
    """The class of DiskCache that is a mapping and forgets nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__(diskcache.Index(str(path)))
        self.add = self._mapping.cache.add
        self.increment = self._mapping.cache.incr

    def set_at_once(self, items: Sequence[Item]) -> None:
        with self._mapping.transact():
            self._mapping.update(items)

    def transact(self, key: str) -> None:
        with self._mapping.transact():
            self._mapping[key] = self._mapping.get(key, 0) + 1

    def close(self) -> None:
        self._mapping.cache.close()


class Rocksdict(Mapping):
    """RocksDB through rocksdict, with or without a flush of its log after each write."""

    def __init__(self, path: Path, sync: bool) -> None:
        super().__init__(rocksdict.Rdict(str(path)))
        self._options = rocksdict.WriteOptions()
        self._options.sync = sync
        self._mapping.set_write_options(self._options)

    def get_many(self, keys: Sequence[str]) -> State:
        return dict(zip(keys, self._mapping.get(list(keys)), strict=True))

    def keys(self, prefix: str) -> list[str]:
        keys: Any = self._mapping.keys(from_key=prefix)
        return list(takewhile(lambda key: key.startswith(prefix), keys))

    def set_at_once(self, items: Sequence[Item]) -> None:
        batch = rocksdict.WriteBatch()
        for key, value in items:
            batch[key] = value
        self._mapping.write(batch, self._options)
