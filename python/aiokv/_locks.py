"""Fair locks with names, one set of them for each event loop, and one for threads.

A lock exists while it is used. It makes those who want to change the same thing wait for each
other, where they would otherwise do their work in vain. It protects nothing: that is the business
of the engine, among processes too.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary


class _Lock:
    __slots__ = ("lock", "owner", "users")

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.owner: object = None
        self.users = 0


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Lock]] = WeakKeyDictionary()
_of_threads: dict[Hashable, _Lock] = {}
_threads = threading.Lock()


def _after_fork_in_child() -> None:
    """Forget the locks of threads that the child does not have."""
    global _threads
    _threads = threading.Lock()
    _of_threads.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


@asynccontextmanager
async def locked_in_loop(name: Hashable) -> AsyncGenerator[None]:
    """Hold the lock of this event loop. RuntimeError if the task holds it already."""
    locks = _of_loops.setdefault(asyncio.get_running_loop(), {})
    lock = locks.setdefault(name, _Lock(asyncio.Lock()))
    task = asyncio.current_task()
    if task is not None and lock.owner is task:
        raise RuntimeError("this task is at work on it already, and would wait for itself")
    lock.users += 1
    try:
        async with lock.lock:
            lock.owner = task
            try:
                yield
            finally:
                lock.owner = None
    finally:
        lock.users -= 1
        if not lock.users:
            del locks[name]


@asynccontextmanager
async def locked_among_threads(name: Hashable) -> AsyncGenerator[None]:
    """Hold the lock of all threads. Blocks. RuntimeError if the thread holds it already."""
    thread = threading.get_ident()
    with _threads:
        lock = _of_threads.setdefault(name, _Lock(threading.Lock()))
        if lock.owner == thread:
            raise RuntimeError("this thread is at work on it already, and would wait for itself")
        lock.users += 1
    try:
        with lock.lock:
            lock.owner = thread
            try:
                yield
            finally:
                lock.owner = None
    finally:
        with _threads:
            lock.users -= 1
            if not lock.users and _of_threads.get(name) is lock:
                del _of_threads[name]
