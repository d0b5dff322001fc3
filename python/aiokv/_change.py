"""Changes that depend on what is there: found, decided, and made if it is still there."""

from __future__ import annotations

import inspect
from asyncio import Future
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from aiokv._aiokv import Found, Store
from aiokv._errors import Conflict
from aiokv._values import MISSING

_T = TypeVar("_T")

ATTEMPTS_MAX = 10_000
"""How often a change is tried that depends on something which others change meanwhile."""


class Changes:
    """The changes of a store that depend on what is there and are on their way to the file.

    The next change of the same key builds on what the last one leaves, and is written together with
    it, under the condition that it took effect.
    """

    __slots__ = ("epoch", "finding", "links")

    def __init__(self) -> None:
        self.links: dict[str, Found] = {}
        """What the changes leave, by the key as it is in the file."""
        self.epoch = 0
        """How often a change did not take effect, so that those that built on it could not."""
        self.finding = Counter[str]()
        """How many changes wait to see what is there. Later ones wait behind them."""

    async def write(self, writing: Future[_T], links: dict[str, Found]) -> _T:
        """Wait for a change that was started. Until then, others may build on it."""
        self.links.update(links)
        try:
            return await writing
        finally:
            for name, found in links.items():
                if self.links.get(name) is found:
                    del self.links[name]

    def end(self, epoch: int) -> None:
        """Forget what builds on a change of this epoch, which did not take effect."""
        if self.epoch == epoch:
            self.epoch += 1
            self.links.clear()


async def change(
    store: Store, changes: Changes, key: str, decide: Callable[[Found], tuple[Found | None, Any]]
) -> Any:
    """Change a key as ``decide`` says, and return what it returns beside the new value, if any."""
    found = store.peek(key)
    name = store.prefix + key
    link = changes.links.get(name)
    if (found is None and link is None) or name in changes.finding:
        found = await _find(store, changes, key)
        link = changes.links.get(name)
    for _ in range(ATTEMPTS_MAX):
        epoch = changes.epoch
        if link is not None:
            found = link
        assert found is not None
        new, result, failure = None, None, None
        try:
            new, result = decide(found)
        except Exception as error:
            failure = error
        if new is not None or link is not None:
            # Without a new value, it was decided on a change that may still fail.
            writing = store.replace(key, found, new)
            now = await changes.write(writing, {} if new is None else {name: new})
        else:
            now = None
        if now is None:
            if failure is not None:
                raise failure
            return result
        changes.end(epoch)
        found, link = now, changes.links.get(name)
    raise conflict(key)


async def _find(store: Store, changes: Changes, key: str) -> Found:
    finding, name = changes.finding, store.prefix + key
    finding[name] += 1
    try:
        return await store.find(key)
    finally:
        finding[name] -= 1
        if not finding[name]:
            del finding[name]


def conflict(key: str) -> Conflict:
    """Return the error after the last attempt."""
    return Conflict(f"gave up changing {key!r}, because others changed it each time")


def call(function: Callable[[Any], Any], old: Any) -> Any:
    """Call the function of ``update``, which must not be a coroutine function."""
    if not inspect.iscoroutinefunction(function):
        new = function(old)
        if not inspect.iscoroutine(new):
            return new
        new.close()
    raise TypeError(
        "update calls a plain function, because it may have to be called again: write `def`, or "
        "`async with kv.edit(key) as value:` around what is to be awaited"
    )


@asynccontextmanager
async def edit(
    store: Store, key: str, default: Any, lock: AbstractAsyncContextManager[None]
) -> AsyncGenerator[Any]:
    """Show the value of a key, and write it at the end if it has changed."""
    async with lock:
        found = await store.find(key)
        if found:
            value = found.value(None)
            before = store.encode(key, value)
        elif default is MISSING:
            raise KeyError(key)
        else:
            # A copy, so that the block does not change the default.
            before = store.encode(key, default)
            value = before.value(None)
        if value is None or isinstance(value, (bool, int, float, str)):
            raise TypeError(
                f"the value of {key!r} is of the type {type(value).__name__}, which cannot be "
                "changed in place: use `update` or `increment`"
            )
        yield value
        after = store.encode(key, value)
        if not after.is_like(before) and await store.replace(key, found, after) is not None:
            raise Conflict(
                f"{key!r} was changed by somebody else during the edit; nothing was written"
            )
