"""The peers that know nothing of asyncio.

Each gets one thread of its own. That is `asyncio.to_thread` with a little less to do, and it is
right for those too that tie a connection to a thread or that bear only one thread at a time.
"""

from __future__ import annotations

import asyncio
import importlib
import shelve
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile
from pathlib import Path
from typing import Any

import diskcache
import rocksdict
import sqlitedict
import tinydb

from bench.plain import State
from bench.stores import Item, Result


class BlockingStore(ABC):
    """The detour through the thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1)

    async def open(self) -> None:
        """Open in the thread that does everything else too."""
        await self.in_thread(self._open)

    def get(self, key: str) -> Awaitable[Any]:
        return self.in_thread(self.get_blocking, key)

    def set(self, key: str, value: Any) -> Awaitable[Any]:
        return self.in_thread(self.set_blocking, key, value)

    async def set_at_once(self, items: Sequence[Item]) -> None:
        await self.in_thread(self._set_at_once, items)

    def delete(self, key: str) -> Awaitable[Any]:
        return self.in_thread(self._delete, key)

    def get_all(self) -> Awaitable[State]:
        return self.in_thread(self._get_all)

    async def fill(self, state: State) -> None:
        await self.in_thread(self._fill, list(state.items()))

    async def close(self) -> None:
        """Close in the thread, then end it."""
        await self.in_thread(self._close)
        self._thread.shutdown()

    def in_thread(self, function: Callable[..., Result], *arguments: Any) -> Awaitable[Result]:
        """Call a function in the thread."""
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def get_blocking(self, key: str) -> Any: ...

    @abstractmethod
    def set_blocking(self, key: str, value: Any) -> None: ...

    @abstractmethod
    def _set_at_once(self, items: Sequence[Item]) -> None: ...

    @abstractmethod
    def _delete(self, key: str) -> None: ...

    @abstractmethod
    def _get_all(self) -> State: ...

    def _fill(self, items: Sequence[Item]) -> None:
        self._set_at_once(items)

    @abstractmethod
    def _close(self) -> None: ...


class TinydbStore(BlockingStore):
    """TinyDB with a document for each key, found with a query: it has no index to find it with."""

    def _open(self) -> None:
        self._database: Any = tinydb.TinyDB(self._path)

    def get_blocking(self, key: str) -> Any:
        return self._database.get(tinydb.where("key") == key)["value"]

    def set_blocking(self, key: str, value: Any) -> None:
        self._database.upsert({"key": key, "value": value}, tinydb.where("key") == key)

    def _set_at_once(self, items: Sequence[Item]) -> None:
        # One pass over the documents, where `update_multiple` would make one for each item.
        changes = dict(items)

        def change(document: dict[str, Any]) -> None:
            document["value"] = changes[document["key"]]

        self._database.update(change, tinydb.where("key").test(changes.__contains__))

    def _delete(self, key: str) -> None:
        self._database.remove(tinydb.where("key") == key)

    def _get_all(self) -> State:
        return {document["key"]: document["value"] for document in self._database}

    def _fill(self, items: Sequence[Item]) -> None:
        self._database.insert_multiple({"key": key, "value": value} for key, value in items)

    def _close(self) -> None:
        self._database.close()


class ShelveStore(BlockingStore):
    """shelve on the best `dbm` that this Python has."""

    def _open(self) -> None:
        self._shelf = shelve.open(str(self._path))  # noqa: SIM115 - it stays open

    def get_blocking(self, key: str) -> Any:
        return self._shelf[key]

    def set_blocking(self, key: str, value: Any) -> None:
        # Without `sync` the change may be found only after an orderly end.
        self._shelf[key] = value
        self._shelf.sync()

    def _set_at_once(self, items: Sequence[Item]) -> None:
        self._shelf.update(items)
        self._shelf.sync()

    def _delete(self, key: str) -> None:
        del self._shelf[key]
        self._shelf.sync()

    def _get_all(self) -> State:
        return dict(self._shelf.items())

    def _close(self) -> None:
        self._shelf.close()


class DiskcacheStore(BlockingStore):
    """The class of DiskCache that is a mapping and forgets nothing."""

    def _open(self) -> None:
        self._index: Any = diskcache.Index(str(self._path))

    def add(self, key: str, value: Any) -> Awaitable[bool]:
        return self.in_thread(self._index.cache.add, key, value)

    def increment(self, key: str) -> Awaitable[int]:
        return self.in_thread(self._index.cache.incr, key)

    def transact(self, key: str) -> Awaitable[None]:
        return self.in_thread(self._transact, key)

    def _transact(self, key: str) -> None:
        with self._index.transact():
            self._index[key] = self._index.get(key, 0) + 1

    def get_blocking(self, key: str) -> Any:
        return self._index[key]

    def set_blocking(self, key: str, value: Any) -> None:
        self._index[key] = value

    def _set_at_once(self, items: Sequence[Item]) -> None:
        with self._index.transact():
            self._index.update(items)

    def _delete(self, key: str) -> None:
        del self._index[key]

    def _get_all(self) -> State:
        return dict(self._index.items())

    def _close(self) -> None:
        self._index.cache.close()


class SqlitedictStore(BlockingStore):
    """sqlitedict, without the look at the stack that its documentation says costs time."""

    def _open(self) -> None:
        self._database: Any = sqlitedict.SqliteDict(str(self._path), outer_stack=False)

    def get_blocking(self, key: str) -> Any:
        return self._database[key]

    def set_blocking(self, key: str, value: Any) -> None:
        self._database[key] = value
        self._database.commit()

    def _set_at_once(self, items: Sequence[Item]) -> None:
        # Not `autocommit`, which makes a transaction of each item.
        self._database.update(items)
        self._database.commit()

    def _delete(self, key: str) -> None:
        del self._database[key]
        self._database.commit()

    def _get_all(self) -> State:
        return dict(self._database.items())

    def _close(self) -> None:
        self._database.close()


class RocksdictStore(BlockingStore):
    """RocksDB through rocksdict, with or without a flush of its log after each write."""

    def __init__(self, path: Path, sync: bool) -> None:
        super().__init__(path)
        self._sync = sync

    def _open(self) -> None:
        self._database = rocksdict.Rdict(str(self._path))
        options = rocksdict.WriteOptions()
        options.sync = self._sync
        self._database.set_write_options(options)
        self._options = options

    def get_many(self, keys: Sequence[str]) -> Awaitable[State]:
        return self.in_thread(self._get_many, keys)

    def keys(self, prefix: str) -> Awaitable[list[str]]:
        return self.in_thread(self._keys, prefix)

    def _get_many(self, keys: Sequence[str]) -> State:
        values: Any = self._database.get(list(keys))
        return dict(zip(keys, values, strict=True))

    def _keys(self, prefix: str) -> list[str]:
        keys = map(str, self._database.keys(from_key=prefix))
        return list(takewhile(lambda key: key.startswith(prefix), keys))

    def get_blocking(self, key: str) -> Any:
        return self._database[key]

    def set_blocking(self, key: str, value: Any) -> None:
        self._database[key] = value

    def _set_at_once(self, items: Sequence[Item]) -> None:
        batch = rocksdict.WriteBatch()
        for key, value in items:
            batch[key] = value
        self._database.write(batch, self._options)

    def _delete(self, key: str) -> None:
        del self._database[key]

    def _get_all(self) -> State:
        return {str(key): value for key, value in self._database.items()}

    def _close(self) -> None:
        self._database.close()


def shelve_backend() -> str:
    """Return the module that `shelve` uses: the first of those that `dbm` looks for."""
    for name in ("dbm.sqlite3", "dbm.gnu", "dbm.ndbm"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        return name
    return "dbm.dumb"
