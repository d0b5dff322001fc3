"""The class that people import. What it does is in the native module; this is its interface."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import time
from typing import TYPE_CHECKING, Any, Final, Literal

from aiokv._aiokv import (
    Pending,
    Store,
    after_fork_in_child,
    after_fork_in_parent,
    before_fork,
    finish,
)

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

_logger = logging.getLogger("aiokv")

# A process that ends on its own finishes what it started to write.
atexit.register(finish)

os.register_at_fork(
    before=before_fork,
    after_in_parent=after_fork_in_parent,
    after_in_child=after_fork_in_child,
)


class _Now:
    """The type of the default of ``AioKV.set``, which no value can be mistaken for."""

    def __repr__(self) -> str:
        return "<now>"


_NOW: Final = _Now()


class AioKV:
    """A key-value store in one JSON file.

    ``path`` is the file. Creating a store touches no file: a missing file is an empty store, and
    the first write creates it, its directory included. A relative path is taken from the working
    directory of this moment.

    With ``fsync=False`` a change is acknowledged before it is flushed to disk. It still survives
    the death of the process, but a loss of power may undo it. The file stays complete either way
    on file systems that order a rename after the data, as ext4 and btrfs do by default.

    A change waits at most ``lock_timeout`` seconds for another process that holds the lock of the
    file, and then raises ``TimeoutError``. Reads do not wait for it.

    While the file has at most ``journal_threshold`` bytes, every change replaces it. Above that,
    changes are appended to ``state.json.journal``, and that is folded into the file after a second
    without changes, at the latest 5 seconds after a change, and by ``close``. With
    ``journal="always"`` changes are appended whatever the size, with ``journal="never"`` every
    change replaces the file. Either way nothing that was acknowledged is lost.

    One store may be used from several tasks, threads and event loops, and any number of stores
    may use one file. Operations take effect in the order in which they were started.
    """

    __slots__ = ("__weakref__", "_get", "_store")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fsync: bool = True,
        lock_timeout: float = 10.0,
        journal: Literal["auto", "always", "never"] = "auto",
        journal_threshold: int = 1 << 20,
    ) -> None:
        self._store = Store(path, fsync, lock_timeout, journal, journal_threshold)
        self._get = self._store.get

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default`` if there is none.

        Every call returns a new object: changing it changes nothing that is stored.

        Raises ``json.JSONDecodeError`` if the file is damaged, ``OSError`` if it cannot be read
        and ``TypeError`` if the key is not a ``str``.
        """
        try:
            return self._get(key, default)
        except Pending as pending:
            (value,) = pending.args
        return await value

    async def set(self, key: str, value: Any = _NOW) -> None:
        """Set ``key`` to ``value``, or to the current time in whole seconds since 1970.

        The value is taken as it is at this moment. When this returns, the change is on disk.

        Raises ``TypeError`` or ``ValueError``, with the place inside the value, if JSON has no
        text for it; ``json.JSONDecodeError`` if the file is damaged; ``OSError`` if it cannot be
        read or replaced. The file then holds what it held before.
        """
        await self._store.set(key, int(time.time()) if value is _NOW else value)

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

    async def get_all(self) -> dict[str, Any]:
        """Return every key with its value, in the order of insertion, all of one moment.

        Raises as ``get`` does.
        """
        builder = await self._store.get_all()
        while (result := builder.step()) is None:  # noqa: ASYNC110 - each step does some work
            await asyncio.sleep(0)
        return result

    async def clear(self) -> bool:
        """Delete everything, remove the file, be it readable or not, and return True.

        If that fails, the exception is logged and the result is False.
        """
        try:
            await self._store.clear()
        except Exception:
            _logger.exception("cannot clear %s", self._store.path)
            return False
        return True

    async def close(self) -> None:
        """Wait until everything that was started is decided, then let go of the file.

        The file holds every change then, and its journal is gone. Raises ``OSError`` if the file
        cannot be brought up to date, and ``json.JSONDecodeError`` if it and its journal do not go
        together any more; the changes stay in the journal then, and nothing is lost.

        May be called any number of times. A closed store can be used again: the next operation
        opens the file again.
        """
        await self._store.settle()
        self._store.let_go()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AioKV({self._store.path!r})"
