"""The operations, for code with an event loop. What they do is in the native module."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar, overload

from aiokv import _change, _locks, _transaction
from aiokv._aiokv import Found, Pending
from aiokv._base import Base
from aiokv._values import JSON, MISSING, NOW, require_number, require_seconds
from aiokv._watch import Watch

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable

    from typing_extensions import Self

    from aiokv._transaction import Transaction

    class Mistakes:
        """A type checker finds them by itself."""

        __slots__ = ()
else:
    from aiokv._mistakes import Mistakes

_T = TypeVar("_T")

_logger = logging.getLogger("aiokv")


class AioKV(Mistakes, Base):
    """A key-value store in one JSON file.

    ``path`` is the file. Creating a store touches no file: a missing file is an empty store, and
    the first write creates it, its directory included. A relative path is taken from the working
    directory of this moment.

    With ``fsync=False`` a change is acknowledged before it is flushed to disk. It still survives
    the death of the process, but a loss of power may undo it. The file stays complete either way
    on file systems that order a rename after the data, as ext4 and btrfs do by default.

    An operation that needs the lock of the file waits at most ``lock_timeout`` seconds for another
    process that holds it, and then raises ``TimeoutError``. Every change needs the lock; a read
    needs it only if the file may have changed since this process read it.

    While the file has at most ``journal_threshold`` bytes, 64 KiB by default, every change
    replaces it. Above that, changes are appended to ``state.json.journal``. With
    ``journal="always"`` changes are appended whatever the size, with ``journal="never"`` every
    change replaces the file. Either way an acknowledged change is on disk, and every process that
    uses aiokv sees it.

    The file alone may lag behind its journal. A checkpoint brings it up to date in the background.
    ``checkpoint_pace`` is how many bytes per second checkpoints write on average: with the default
    of 64 KiB, a checkpoint comes about a second after a change if the file has 64 KiB, 16 seconds
    if it has 1 MiB, and 13 minutes if it has 50 MiB. It also comes when the journal has outgrown
    the file. ``close()``, the end of the program and ``aiokv checkpoint FILE`` bring the file up to
    date at once.

    One store may be used from several tasks, threads and event loops, and any number of stores
    may use one file. Operations take effect in the order in which they were started. A copy of a
    store, be it made with ``copy.copy`` or ``copy.deepcopy``, is the same store.

    ``default`` and ``object_hook`` are those of ``json.dumps`` and ``json.loads``: the first makes
    something that JSON has of a value that it does not have, the second gets every dict that is
    read and returns what it stands for.
    """

    __slots__ = ()

    # --- what a dict has ---

    @overload
    async def get(self, key: str) -> Any: ...
    @overload
    async def get(self, key: str, default: None) -> Any: ...
    @overload
    async def get(self, key: str, default: _T) -> _T: ...
    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default`` if there is none.

        Every call returns a new object: changing it changes nothing that is stored. A type checker
        takes what is stored to be of the type of ``default``; without one it is ``Any``.

        Raises ``json.JSONDecodeError`` if the file is damaged, ``OSError`` if it cannot be read,
        ``TimeoutError`` if another process holds its lock for too long, and ``TypeError`` if the
        key is not a ``str``.
        """
        try:
            return self._get(key, default)
        except Pending as pending:
            (value,) = pending.args
        return await value

    async def set(self, key: str, value: JSON = NOW) -> None:
        """Set ``key`` to ``value``, or to the current time in whole seconds since 1970.

        The value is taken as it is at this moment. When this returns, the change is on disk.

        Raises ``TypeError`` or ``ValueError``, with the place inside the value, if JSON has no
        text for it; ``json.JSONDecodeError`` if the file is damaged; ``OSError`` if it cannot be
        read or replaced. The file then holds what it held before.
        """
        await self._store.set(key, int(time.time()) if value is NOW else value)

    async def delete(self, key: str) -> bool:
        """Delete ``key``, whether it is there or not, and return True.

        If that fails, the exception is logged and the result is False. Raises ``TypeError`` if
        the key is not a ``str``.
        """
        deleted = self._store.delete(key)
        try:
            await deleted
        except Exception:
            _logger.exception("cannot delete %r from %s", key, self._store.path)
            return False
        return True

    async def get_all(self, prefix: str = "") -> dict[str, Any]:
        """Return every key that starts with ``prefix`` with its value.

        They are in the order of insertion, and all of one moment. Raises as ``get`` does.
        """
        return await self._store.get_all(prefix)

    async def clear(self) -> bool:
        """Delete everything, remove the file, be it readable or not, and return True.

        In a namespace, delete its own keys. If that fails, the exception is logged and the result
        is False.
        """
        store = self._store
        try:
            await (store.delete_prefix("", None) if store.prefix else store.clear())
        except Exception:
            _logger.exception("cannot clear %r", self)
            return False
        return True

    # --- one key: read and changed at once ---
    #
    # These and all that follow raise as ``set`` does, or as ``get`` if they change nothing.

    async def add(self, key: str, value: JSON = NOW) -> bool:
        """Set ``key`` only if it is absent, and return whether it was.

        Without ``value``, to the current time in whole seconds since 1970.
        """
        return await self._store.add(key, int(time.time()) if value is NOW else value)

    async def setdefault(self, key: str, default: JSON) -> Any:
        """Return the value of ``key``; if there is none, set it to ``default`` and return that."""
        return await self._store.setdefault(key, default)

    async def pop(self, key: str, default: Any = MISSING) -> Any:
        """Delete ``key`` and return the value that it had.

        If there was none, return ``default``, or raise KeyError if that is not given.
        """
        value = await self._store.pop(key, default)
        if value is MISSING:
            raise KeyError(key)
        return value

    @overload
    async def increment(self, key: str, by: int = 1, default: int = 0) -> int: ...
    @overload
    async def increment(self, key: str, by: float = 1, default: float = 0) -> float: ...
    async def increment(self, key: str, by: float = 1, default: float = 0) -> float:
        """Add ``by`` to the value of ``key``, which is ``default`` if absent, and return the sum.

        Ints are exact at any size; an int and a float make a float. Raises TypeError if the value
        is anything else, a bool included.
        """
        require_number(key, "by", by)
        require_number(key, "default", default)
        total: float = await self._store.increment(key, by, default)
        return total

    async def update(
        self, key: str, function: Callable[[Any], _T] = MISSING, default: Any = None
    ) -> _T:
        """Set ``key`` to what ``function`` returns for its value, or ``default``; return that.

        The function is called again if the value was changed meanwhile. If it raises, nothing
        changes. Raises ``Conflict`` if others were faster all the time.
        """
        if isinstance(key, Mapping):
            raise TypeError("update changes one key: write `await kv.set_many(mapping)`")
        if not callable(function):
            raise TypeError("update calls a function: write `await kv.update(key, function)`")

        def decide(found: Found) -> tuple[Found, _T]:
            new = _change.call(function, found.value(default))
            return self._store.encode(key, new), new

        changed: _T = await _change.change(self._store, self._changes, key, decide)
        return changed

    @overload
    def edit(self, key: str) -> AbstractAsyncContextManager[Any]: ...
    @overload
    def edit(self, key: str, default: _T) -> AbstractAsyncContextManager[_T]: ...
    def edit(self, key: str, default: Any = MISSING) -> AbstractAsyncContextManager[Any]:
        """Change a list or a dict in place: ``async with kv.edit("seen", default=[]) as seen:``.

        It is written when the block ends, if it has changed, and not if the block raises or is
        cancelled. Edits of a key in one event loop wait for each other. If the key was changed
        otherwise meanwhile, raises ``Conflict`` and writes nothing. Raises KeyError if there is no
        value and no ``default``.
        """
        self._store.peek(key)  # looks whether it is a key
        lock = self._lock(self._store.prefix + key)
        return _change.edit(self._store, key, default, lock)

    async def contains(self, key: str) -> bool:
        """Return whether there is a value."""
        return bool(self._store.peek(key) or await self._store.find(key))

    async def age(self, key: str) -> float | None:
        """Return how many seconds ago the time is that is stored under ``key``, at least 0.

        It is one stored by ``set`` without a value, by ``cooldown``, or any number of seconds since
        1970. None if there is no value; raises TypeError if it is no time.
        """
        return (await self._store.find(key)).age(time.time())

    async def cooldown(self, key: str, seconds: float, uses: int = 1) -> float:
        """Take one of ``uses`` uses that are allowed in any time of ``seconds``.

        Returns 0.0 if it was taken, otherwise how many seconds to wait. What is stored is the time
        of the last use, or for several uses the list of the last times, so it survives restarts.
        """
        require_seconds("seconds", seconds)
        if uses < 1:
            raise ValueError(f"uses is how often something is allowed, at least 1, not {uses!r}")

        def decide(found: Found) -> tuple[Found | None, float]:
            wait, new = self._store.cooldown(key, found, time.time(), seconds, uses)
            return new, wait

        wait: float = await _change.change(self._store, self._changes, key, decide)
        return wait

    # --- several keys: all or none ---

    async def set_many(self, mapping: Mapping[str, JSON]) -> None:
        """Set every key of ``mapping`` to its value."""
        if not isinstance(mapping, Mapping):
            raise TypeError(f"set_many takes a dict, not {type(mapping).__name__}")
        await self._store.set_many(dict(mapping))

    async def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those keys that are there, all of one moment."""
        entries = await self._store.get_many(_listed("get_many", keys))
        values: dict[str, Any] = {}
        entries.move_items(values)
        while entries:
            await asyncio.sleep(0)
            entries.move_items(values)
        return values

    async def delete_many(self, keys: Iterable[str]) -> int:
        """Delete every one of ``keys``, and return how many of them were there."""
        return await self._store.delete_many(_listed("delete_many", keys))

    @overload
    async def transact(self, function: Callable[[Transaction], Awaitable[_T]]) -> _T: ...
    @overload
    async def transact(self, function: Callable[[Transaction], _T]) -> _T: ...
    async def transact(self, function: Callable[[Transaction], Any]) -> Any:
        """Call ``function(t)``, make the changes that it made to ``t``, and return its result.

        The function, plain or ``async``, reads with ``t.get`` and ``t.keys``, and changes with
        ``t.set``, ``t.delete`` and ``t.increment``. What it reads is of one moment, and its changes
        are made only if that is unchanged. Otherwise it is called again, and also when it reads
        something for the first time, so it should do nothing else. If it raises, nothing changes.
        Raises ``Conflict`` if others were faster all the time.
        """
        lock = self._lock(None)
        return await _transaction.transact(
            self._store, self._changes, function, lock, may_await=not self._blocks
        )

    # --- by prefix ---

    async def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that start with ``prefix``, in the order of insertion."""
        entries = await self._store.entries(prefix)
        keys: list[str] = []
        entries.move_keys(keys)
        while entries:
            await asyncio.sleep(0)
            entries.move_keys(keys)
        return keys

    async def count(self, prefix: str = "") -> int:
        """Return how many keys start with ``prefix``."""
        return await self._store.count(prefix)

    async def items(self, prefix: str = "") -> AsyncIterator[tuple[str, Any]]:
        """Go through what ``get_all`` returns, without having all of it at once."""
        entries = await self._store.entries(prefix)
        while entries:
            step: dict[str, Any] = {}
            entries.move_items(step)
            for item in step.items():
                yield item
            await asyncio.sleep(0)

    async def delete_prefix(self, prefix: str) -> int:
        """Delete the keys that start with ``prefix``, all or none, and return how many."""
        return await self._store.delete_prefix(prefix, None)

    async def prune(self, prefix: str, *, older_than: float) -> int:
        """Delete the keys whose value is a time more than ``older_than`` seconds ago.

        Of those that start with ``prefix``, all or none. Values that are no time stay. Returns how
        many there were.
        """
        require_seconds("older_than", older_than)
        return await self._store.delete_prefix(prefix, time.time() - older_than)

    # --- the store ---

    def namespace(self, *parts: str | int) -> Self:
        """Return the store of the keys that start with ``part:part:``, which it does not show.

        It is of the same class, shares everything else with this store, and costs nothing.
        ``namespace("guild", 12)`` has nothing in common with ``namespace("guild", 123)``.
        """
        return self._below(parts)

    def watch(self, prefix: str = "") -> Watch:
        """Tell changes: ``async for change in kv.watch():`` with ``key``, ``old`` and ``new``.

        Those of this store, of other processes and of an editor, from the first round on, or from
        the beginning of ``async with kv.watch() as changes:``. A slow consumer gets the net change
        of each key. Raises what ``get`` raises while the store cannot be read, and may then be
        asked again.
        """
        return Watch(self._store, prefix, is_blocking=self._blocks)

    async def backup(self, path: str | os.PathLike[str]) -> None:
        """Write a copy of the store at one moment to another file, complete and durable.

        Operations go on meanwhile. A file that is there is replaced, but not one of the store
        itself. In a namespace too, the copy is one of the whole store.
        """
        await self._store.backup(path)

    async def close(self) -> None:
        """Wait for every operation that was started, bring the file up to date, and close it.

        The file alone then holds every change, and the journal is gone. Raises ``OSError`` if the
        file cannot be brought up to date, and ``json.JSONDecodeError`` if the file and its journal
        do not belong together any more. In both cases the changes stay in the journal, and nothing
        is lost.

        May be called any number of times. A closed store can be used again: the next operation
        opens the file again.
        """
        await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    def _lock(self, name: str | None) -> AbstractAsyncContextManager[None]:
        """Return the lock of a key, or, without a name, of all transactions."""
        lock = _locks.locked_among_threads if self._blocks else _locks.locked_in_loop
        return lock((self._store.path, name))


def _listed(operation: str, keys: Iterable[str]) -> list[str]:
    if isinstance(keys, str):
        raise TypeError(f"{operation} takes several keys: write `kv.{operation}([{keys!r}])`")
    return list(keys)
