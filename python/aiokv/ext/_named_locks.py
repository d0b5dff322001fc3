"""Locks with names, for tasks of all processes that use a store.

The kernel keeps them. A lock is one byte of an empty file beside the store, chosen by a hash of the
name, which one open file description at a time may lock. So taking a lock writes nothing, and the
death of a process ends its locks. A process has one file open, however many locks it holds.

They are made to be held for as long as a handler of a bot takes. A task waits without a time limit,
and looks again after pauses if another process has the lock.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

from aiokv._locks import locked_in_loop

_PAUSE_SECONDS_MIN, _PAUSE_SECONDS_MAX = 0.001, 0.05
"""The first and the longest pause between two looks at a lock that another process has."""

_NAME_BYTES_MAX = 255


class NamedLocks:
    """The locks of the store at ``path``."""

    def __init__(self, path: str) -> None:
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise NotImplementedError(
                "locks that several processes share need Linux; for one process take the isolation "
                "of the framework, such as aiogram's SimpleEventIsolation"
            )
        self._path = path

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Hold a lock. Creates the file and its directory.

        Raises RuntimeError if the task holds the lock already, and OSError if the file cannot be
        opened or locked.
        """
        path = self._lock_path()
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        offset = int.from_bytes(digest, "big") >> 1
        async with locked_in_loop((path, name)):
            try:
                file = await _locked(path, offset)
            except FileNotFoundError:
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
                file = await _locked(path, offset)
            try:
                yield
            finally:
                file.unlock(offset)

    def close(self) -> None:
        """Remove the file, unless a task or a process holds a lock."""
        path = self._lock_path()
        try:
            file = _LockFile(path, 0)
        except FileNotFoundError:
            return
        try:
            # A task that opened it before and locks it afterwards sees that it has no name.
            if file.try_lock(0, length=0) and file.has_name():
                path.unlink()
        finally:
            file.close()

    def _lock_path(self) -> Path:
        """Return the path of the file, the same for every path that leads to the store."""
        path = Path(os.path.realpath(self._path))
        name = f".{path.name}.aiokv-locks"
        if len(os.fsencode(name)) > _NAME_BYTES_MAX:
            name = f".{hashlib.blake2b(os.fsencode(path.name)).hexdigest()}.aiokv-locks"
        return path.with_name(name)


class _LockFile:
    """The file of the locks, open. It keeps out other open files, not other users of this one."""

    def __init__(self, path: Path, flags: int) -> None:
        self._path, self._users = path, 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o666)
        _open.add(self)

    def enter(self) -> None:
        """Keep the file open until ``leave``."""
        self._users += 1

    def leave(self) -> None:
        """Close the file if no other task of the event loop needs it."""
        self._users -= 1
        if not self._users:
            self.close()

    def close(self) -> None:
        """Close the file, and with it give back its locks."""
        _open.discard(self)
        os.close(self._descriptor)

    def is_open(self) -> bool:
        """Return whether the file can be used."""
        return self in _open

    def has_name(self) -> bool:
        """Return whether the file has not been removed."""
        return os.fstat(self._descriptor).st_nlink > 0

    def try_lock(self, offset: int, length: int = 1) -> bool:
        """Lock bytes, to the end without a length, unless another open file has locked some."""
        try:
            self._set(fcntl.F_WRLCK, offset, length)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise OSError(error.errno, error.strerror, os.fspath(self._path)) from error
        return True

    def unlock(self, offset: int) -> None:
        """Give a lock back, and leave the file."""
        if not self.is_open():
            return  # in the child of a fork, while the parent goes on
        try:
            self._set(fcntl.F_UNLCK, offset, 1)
        finally:
            self.leave()

    def _set(self, kind: int, offset: int, length: int) -> None:
        # struct flock: kind, whence, start, length, and the process, which has to be 0.
        request = struct.pack("hhqqi4x", kind, os.SEEK_SET, offset, length, 0)
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, request)


_open: set[_LockFile] = set()
"""The files that this process has open."""

_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Path, _LockFile]] = WeakKeyDictionary()
"""The file that the tasks of an event loop share. Tasks of another event loop open it again, so
that the kernel keeps them out."""


async def _locked(path: Path, offset: int) -> _LockFile:
    """Return the file of this event loop with a lock that ``unlock`` gives back."""
    files = _of_loops.setdefault(asyncio.get_running_loop(), {})
    pause = _PAUSE_SECONDS_MIN
    while True:
        file = files.get(path)
        if file is None or not file.is_open() or not file.has_name():
            file = files[path] = _LockFile(path, os.O_CREAT)
        file.enter()
        try:
            while not file.try_lock(offset):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _PAUSE_SECONDS_MAX)
        except BaseException:
            file.leave()
            raise
        if file.has_name():
            return file
        file.unlock(offset)


def _after_fork_in_child() -> None:
    """Leave the locks to the parent. Otherwise they would last until the child ends, too."""
    _of_loops.clear()
    for file in list(_open):
        file.close()


os.register_at_fork(after_in_child=_after_fork_in_child)
