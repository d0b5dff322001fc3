"""Watching a store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Self

    from aiokv._aiokv import Changes, Store, Watcher

_STEP = 64
"""How many changes are told at most before the event loop goes on."""


class Change(NamedTuple):
    """A key whose value changed."""

    key: str
    """Without the prefix of the namespace that watches."""
    old: Any
    """The value before, or None if there was none."""
    new: Any
    """The value now, or None if there is none."""


class Watch:
    """The changes of a store. See ``AioKV.watch``.

    ``async with`` watches from the beginning of the block, ``async for`` from the first round on.
    """

    __slots__ = (
        "_changes",
        "_is_blocking",
        "_is_closed",
        "_pending",
        "_prefix",
        "_store",
        "_told",
        "_watcher",
    )

    def __init__(self, store: Store, prefix: str, *, is_blocking: bool) -> None:
        self._store, self._prefix, self._is_blocking = store, prefix, is_blocking
        self._watcher: Watcher | None = None
        self._pending: asyncio.Future[Changes] | None = None
        self._changes: Iterator[tuple[str, Any, Any]] = iter(())
        self._told = 0
        self._is_closed = False

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """Wait for the next change. If that is cancelled, no change is lost."""
        while not self._is_closed:
            self._told += 1
            if self._told % _STEP == 0:
                await asyncio.sleep(0)
            for change in self._changes:
                return Change(*change)
            watcher = await self._open()
            if self._pending is None:
                self._pending = watcher.next_here() if self._is_blocking else watcher.next()
            pending = self._pending
            try:
                # What is cancelled is this wait, not what the engine answers to.
                changes = await (pending if self._is_blocking else asyncio.shield(pending))
            except asyncio.CancelledError:
                if self._is_closed:
                    break
                raise
            except BaseException:
                self._pending = None
                raise
            if self._pending is pending:
                self._pending, self._changes = None, changes
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End it. A task that waits for the next change comes to the end of its loop."""
        self._is_closed = True
        if self._pending is not None and not self._is_blocking:
            self._pending.cancel()
        self._watcher = self._pending = None

    async def _open(self) -> Watcher:
        if self._watcher is None:
            self._watcher = await self._store.watch(self._prefix)
        return self._watcher
