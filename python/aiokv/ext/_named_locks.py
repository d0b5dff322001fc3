"""Locks with names that tasks and processes share, for as long as a handler takes.

The kernel keeps them: a lock is a byte of a file, chosen by a hash of the name, that one open file
description may lock. So a lock costs no writing, and ends with its process. Two names with one hash
share a lock.

They guard no data, and a process that holds one may hold it for ever: who waits is not told.
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

from aiokv._locks import locked_in_loop

_SECONDS_MIN, _SECONDS_MAX = 0.001, 0.05
"""The first and the longest pause between two looks at a lock that another process holds."""

_NAME_BYTES_MAX = 255

_open_files: set[int] = set()


def _after_fork_in_child() -> None:
    """Leave the locks to the parent, which would otherwise keep them until the child ends, too."""
    for file in _open_files:
        os.close(file)
    _open_files.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


class NamedLocks:
    """The locks that belong to the store at ``path``."""

    def __init__(self, path: str) -> None:
        if not hasattr(fcntl, "F_OFD_SETLK"):
            raise NotImplementedError(
                "locks that several processes share need Linux here; within one process use the "
                "isolation of the framework, such as aiogram's SimpleEventIsolation"
            )
        self._path = path

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        """Hold a lock. Raises RuntimeError if the task holds it already, OSError if it cannot."""
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
                _close(file)

    def close(self) -> None:
        """Remove the file, unless a task or a process holds a lock."""
        path = self._lock_path()
        try:
            file = _opened(path, 0)
        except FileNotFoundError:
            return
        try:
            # Who opened the file before and locks it afterwards finds that it has no name.
            if _try(fcntl.F_WRLCK, file, 0, 0) and _has_name(file):
                path.unlink()
        finally:
            _close(file)

    def _lock_path(self) -> Path:
        """Return the path of the file of the locks, the same for every path of the store."""
        path = Path(os.path.realpath(self._path))
        name = f".{path.name}.aiokv-locks"
        if len(os.fsencode(name)) > _NAME_BYTES_MAX:
            name = f".{hashlib.blake2b(os.fsencode(path.name)).hexdigest()}.aiokv-locks"
        return path.with_name(name)


async def _locked(path: Path, offset: int) -> int:
    """Return an open file that holds a lock. It opens the file itself: so threads are kept out."""
    seconds = _SECONDS_MIN
    while True:
        file = _opened(path, os.O_CREAT)
        try:
            while not _try(fcntl.F_WRLCK, file, offset, 1):
                await asyncio.sleep(seconds)
                seconds = min(2 * seconds, _SECONDS_MAX)
            if _has_name(file):
                return file
        except BaseException:
            _close(file)
            raise
        _close(file)


def _opened(path: Path, flags: int) -> int:
    file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o666)
    _open_files.add(file)
    return file


def _close(file: int) -> None:
    _open_files.discard(file)
    os.close(file)


def _has_name(file: int) -> bool:
    return os.fstat(file).st_nlink > 0


def _try(kind: int, file: int, start: int, length: int) -> bool:
    """Change the lock of some bytes, or return False because another open file has a lock there."""
    # struct flock: kind, whence, start, length, process, which has to be 0 here.
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True
