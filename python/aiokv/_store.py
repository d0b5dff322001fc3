"""The class that people import. What it does is in the native module; this is its interface."""

from __future__ import annotations

import atexit
import logging
import os
import time
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

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

# A program that ends by itself finishes what it started to write.
atexit.register(finish)

os.register_at_fork(
    before=before_fork,
    after_in_parent=after_fork_in_parent,
    after_in_child=after_fork_in_child,
)


class _Now:
    """The type of the default of ``AioKV.set``, which is no value that JSON has."""

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
    """

    __slots__ = ("__weakref__", "_get", "_store")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fsync: bool = True,
        lock_timeout: float = 10.0,
        journal: Literal["auto", "always", "never"] = "auto",
        journal_threshold: int = 65536,
        checkpoint_pace: int = 65536,
    ) -> None:
        self._store = Store(path, fsync, lock_timeout, journal, journal_threshold, checkpoint_pace)
        self._get = self._store.get

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default`` if there is none.

        Every call returns a new object: changing it changes nothing that is stored.

        Raises ``json.JSONDecodeError`` if the file is damaged, ``OSError`` if it cannot be read,
        ``TimeoutError`` if another process holds its lock for too long, and ``TypeError`` if the
        key is not a ``str``.
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
        return await self._store.get_all()

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

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle {self!r}: send its path, and create an AioKV of that path where it "
            "arrives; both work on the same file"
        )

    def __repr__(self) -> str:
        return f"AioKV({self._store.path!r})"
