"""Transactions: reads of one moment and changes that happen only if what was read is unchanged.

The function of a transaction reads without waiting. A plain function reads what memory holds, and
what transactions before it are about to write. When it reads something that is not at hand, it ends
with an exception that only ``transact`` sees, which fetches that, together with everything that the
function read before, and calls it again.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar, overload

from aiokv._aiokv import Found, Listing, Store
from aiokv._change import ATTEMPTS_MAX, Changes
from aiokv._errors import Conflict
from aiokv._values import JSON, NOW, require_number

_T = TypeVar("_T")

_OPTIMISTIC_ATTEMPTS = 3
"""After how many failures a transaction waits for the lock."""

_holds_lock: ContextVar[bool] = ContextVar("aiokv_holds_lock", default=False)
"""Whether a transaction around this one holds the lock, which then must not be waited for."""


class _NotFetched(BaseException):
    """Ends a function that reads something that is not at hand."""


class Transaction:
    """The store at one moment, with the changes that the function made."""

    __slots__ = (
        "_changes",
        "_epoch",
        "_fetched",
        "_is_certain",
        "_is_in_one_go",
        "_listed",
        "_misses",
        "_read",
        "_store",
        "_written",
    )

    def __init__(self, store: Store, changes: Changes, fetched: _Fetched | None = None) -> None:
        self._store, self._changes, self._epoch = store, changes, changes.epoch
        self._fetched = fetched
        # What the function read, None if it was not at hand.
        self._read: dict[str, Found | None] = {}
        self._listed: dict[str, Listing | None] = {}
        self._written: dict[str, Found] = {}
        # Whether nothing else runs in this event loop between two reads.
        self._is_in_one_go = True
        # Whether what was read was there at one moment.
        self._is_certain = True
        self._misses = False

    @overload
    def get(self, key: str) -> Any: ...
    @overload
    def get(self, key: str, default: None) -> Any: ...
    @overload
    def get(self, key: str, default: _T) -> _T: ...
    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of ``key``, or ``default`` if there is none."""
        return self._find(key).value(default)

    def set(self, key: str, value: JSON = NOW) -> None:
        """Set ``key`` to ``value``, or to the current time in whole seconds since 1970."""
        self._written[key] = self._store.encode(key, int(time.time()) if value is NOW else value)

    def delete(self, key: str) -> None:
        """Delete ``key``, whether it is there or not."""
        self._store.peek(key)
        self._written[key] = self._store.nothing()

    def increment(self, key: str, by: float = 1, default: float = 0) -> Any:
        """Add a number to the value of ``key``, and return the sum. See ``AioKV.increment``."""
        value = self.get(key, default)
        for what, number in (("by", by), ("the value", value), ("default", default)):
            require_number(key, what, number)
        try:
            value += by
        except OverflowError:
            raise ValueError(
                f"cannot increment {key!r}: the sum of an int and a float is too large for a float"
            ) from None
        self.set(key, value)
        return value

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys that start with ``prefix``. Those that are new come last."""
        listing = self._fetched.listings.get(prefix) if self._fetched else None
        self._listed[prefix] = listing
        if listing is None:
            self._store.peek(prefix)
            raise self._miss()
        there = dict.fromkeys(listing.keys())
        for key, found in self._written.items():
            if found and key.startswith(prefix):
                there.setdefault(key)
            elif not found:
                there.pop(key, None)
        return list(there)

    def _find(self, key: str) -> Found:
        found = self._written.get(key)
        if found is None:
            found = self._read.get(key)
        if found is None:
            found = self._read[key] = self._at_hand(key)
        if found is None:
            raise self._miss()
        return found

    def _at_hand(self, key: str) -> Found | None:
        if self._fetched is not None:
            return self._fetched.entries.get(key)
        if self._read and not self._is_in_one_go:
            return None
        found = self._store.peek(key)
        link = self._changes.links.get(self._store.prefix + key)
        # Another process may write between two looks, and a transaction before this one may fail.
        self._is_certain = self._is_certain and link is None and not self._read
        return found if link is None else link

    def _miss(self) -> _NotFetched:
        self._misses = True
        return _NotFetched("it was not at hand, and is fetched")

    async def _commit(self) -> bool:
        """Make the changes if what was read is unchanged, and say whether it was."""
        committing = self._store.commit(self._read, self._listed, self._written)
        prefix = self._store.prefix
        links = {prefix + key: found for key, found in self._written.items()}
        is_committed = await self._changes.write(committing, links)
        if not is_committed:
            self._changes.end(self._epoch)
        return is_committed

    async def _fetch(self) -> Transaction:
        """Begin anew with everything at hand that was read."""
        keys, prefixes = list(self._read), list(self._listed)
        entries, listings = await self._store.survey(keys, prefixes)
        fetched = _Fetched(
            dict(zip(keys, entries, strict=True)), dict(zip(prefixes, listings, strict=True))
        )
        return Transaction(self._store, self._changes, fetched)


class _Fetched(NamedTuple):
    """What is at hand, all of one moment."""

    entries: dict[str, Found]
    listings: dict[str, Listing]


async def transact(
    store: Store,
    changes: Changes,
    function: Callable[[Transaction], Any],
    lock: AbstractAsyncContextManager[None],
    *,
    may_await: bool,
) -> Any:
    """Call the function until its changes are made, and return its result.

    A transaction that fails again and again waits for the lock, so that many at once do not undo
    each other's work for ever.
    """
    transaction = Transaction(store, changes)
    async with AsyncExitStack() as stack:
        for attempt in range(ATTEMPTS_MAX):
            result, failure = None, None
            try:
                result = function(transaction)
                if inspect.iscoroutine(result):
                    transaction._is_in_one_go = False
                    result = await _result(result, may_await=may_await)
            except _NotFetched:
                pass
            except Exception as error:
                failure = error
            # The function may have caught the exception.
            if transaction._misses:
                transaction = await transaction._fetch()
                continue
            if failure is not None:
                transaction._written.clear()
            is_done = transaction._is_certain and not transaction._written
            if is_done or await transaction._commit():
                if failure is not None:
                    raise failure
                return result
            if attempt < _OPTIMISTIC_ATTEMPTS:
                transaction = Transaction(store, changes)
                continue
            if not _holds_lock.get():
                await stack.enter_async_context(lock)
                stack.callback(_holds_lock.reset, _holds_lock.set(True))
            transaction = await transaction._fetch()
    raise Conflict("gave up, because others changed each time what the transaction had read")


async def _result(coroutine: Coroutine[Any, Any, Any], *, may_await: bool) -> Any:
    if may_await:
        return await coroutine
    coroutine.close()
    raise TypeError("KV.transact calls a plain function: write `def`, or use AioKV")
