"""The same store for code without an event loop."""

from __future__ import annotations

import os
import time
from asyncio import _get_running_loop
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from aiokv._aiokv import Pending, Store
from aiokv._base import Base
from aiokv._change import Changes
from aiokv._store import AioKV
from aiokv._values import JSON, MISSING, NOW

if TYPE_CHECKING:
    from typing_extensions import Self

    from aiokv._transaction import Transaction
    from aiokv._watch import Change, Watch

_T = TypeVar("_T")


class KV(Base, MutableMapping[str, Any]):
    """A key-value store in one JSON file, for code without an event loop.

    It is the same store as ``AioKV``, with the same options, operations and errors, without
    ``await``, and a mapping: ``kv["a"] = 1``, ``del kv["a"]``, ``"a" in kv``, ``len(kv)``. ``for
    key in kv`` goes through the keys of the moment when it begins. ``kv.update(mapping)`` is
    ``kv.set_many(mapping)``.

    Any number of threads may use one store. They wait without the GIL. On a thread with a running
    event loop a write raises RuntimeError, because the loop would stand still.
    """

    __slots__ = ("_kv",)

    _blocks = True

    def _use(self, store: Store, changes: Changes) -> Self:
        self._kv = object.__new__(_BlockingAioKV)._use(store, changes)
        return super()._use(store, changes)

    # --- a mapping ---

    def __getitem__(self, key: str) -> Any:
        value = self.get(key, MISSING)
        if value is MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: JSON) -> None:
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.contains(key)

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self, prefix: str = "") -> KeysView[str]:
        """See ``AioKV.keys``. The keys are those of this moment."""
        return dict.fromkeys(_run(self._kv.keys(prefix))).keys()

    def items(self, prefix: str = "") -> ItemsView[str, Any]:
        """See ``AioKV.get_all``. The items are those of this moment."""
        return self.get_all(prefix).items()

    def values(self, prefix: str = "") -> ValuesView[Any]:
        """See ``AioKV.get_all``. The values are those of this moment."""
        return self.get_all(prefix).values()

    # --- the operations of AioKV ---

    @overload
    def get(self, key: str) -> Any: ...
    @overload
    def get(self, key: str, default: None) -> Any: ...
    @overload
    def get(self, key: str, default: _T) -> _T: ...
    def get(self, key: str, default: Any = None) -> Any:
        """See ``AioKV.get``."""
        try:
            return self._get(key, default)
        except Pending as pending:
            (value,) = pending.args
        return _run(value)

    def set(self, key: str, value: JSON = NOW) -> None:
        """See ``AioKV.set``."""
        _refuse_running_loop("set")
        _run(self._store.set(key, int(time.time()) if value is NOW else value))

    def delete(self, key: str) -> bool:
        """See ``AioKV.delete``. A failure is logged, unlike that of ``del kv[key]``."""
        return _write("delete", self._kv.delete(key))

    def get_all(self, prefix: str = "") -> dict[str, Any]:
        """See ``AioKV.get_all``."""
        return _run(self._kv.get_all(prefix))

    def clear(self) -> bool:  # type: ignore[override]
        """See ``AioKV.clear``. A failure is logged."""
        return _write("clear", self._kv.clear())

    def add(self, key: str, value: JSON = NOW) -> bool:
        """See ``AioKV.add``."""
        return _write("add", self._kv.add(key, value))

    def setdefault(self, key: str, default: JSON = None) -> Any:
        """See ``AioKV.setdefault``."""
        return _write("setdefault", self._kv.setdefault(key, default))

    def pop(self, key: str, default: Any = MISSING) -> Any:
        """See ``AioKV.pop``."""
        return _write("pop", self._kv.pop(key, default))

    @overload
    def increment(self, key: str, by: int = 1, default: int = 0) -> int: ...
    @overload
    def increment(self, key: str, by: float = 1, default: float = 0) -> float: ...
    def increment(self, key: str, by: float = 1, default: float = 0) -> float:
        """See ``AioKV.increment``."""
        return _write("increment", self._kv.increment(key, by, default))

    @overload  # type: ignore[override]
    def update(self, mapping: Mapping[str, JSON], /) -> None: ...
    @overload
    def update(self, key: str, function: Callable[[Any], _T], default: Any = None) -> _T: ...
    def update(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, key: Any, function: Any = MISSING, default: Any = None
    ) -> Any:
        """See ``AioKV.update``, and ``AioKV.set_many`` for a mapping."""
        if function is MISSING and not isinstance(key, str):
            return self.set_many(key)
        return _write("update", self._kv.update(key, function, default))

    @overload
    def edit(self, key: str) -> AbstractContextManager[Any]: ...
    @overload
    def edit(self, key: str, default: _T) -> AbstractContextManager[_T]: ...
    def edit(self, key: str, default: Any = MISSING) -> AbstractContextManager[Any]:
        """See ``AioKV.edit``. Edits of a key in one process wait for each other."""
        return _Edit(self._kv.edit(key, default))

    def contains(self, key: str) -> bool:
        """See ``AioKV.contains``."""
        return _run(self._kv.contains(key))

    def age(self, key: str) -> float | None:
        """See ``AioKV.age``."""
        return _run(self._kv.age(key))

    def cooldown(self, key: str, seconds: float, uses: int = 1) -> float:
        """See ``AioKV.cooldown``."""
        return _write("cooldown", self._kv.cooldown(key, seconds, uses))

    def set_many(self, mapping: Mapping[str, JSON]) -> None:
        """See ``AioKV.set_many``."""
        _write("set_many", self._kv.set_many(mapping))

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """See ``AioKV.get_many``."""
        return _run(self._kv.get_many(keys))

    def delete_many(self, keys: Iterable[str]) -> int:
        """See ``AioKV.delete_many``."""
        return _write("delete_many", self._kv.delete_many(keys))

    def transact(self, function: Callable[[Transaction], _T]) -> _T:
        """See ``AioKV.transact``. The function is a plain one."""
        return _write("transact", self._kv.transact(function))

    def count(self, prefix: str = "") -> int:
        """See ``AioKV.count``."""
        return _run(self._kv.count(prefix))

    def delete_prefix(self, prefix: str) -> int:
        """See ``AioKV.delete_prefix``."""
        return _write("delete_prefix", self._kv.delete_prefix(prefix))

    def prune(self, prefix: str, *, older_than: float) -> int:
        """See ``AioKV.prune``."""
        return _write("prune", self._kv.prune(prefix, older_than=older_than))

    def namespace(self, *parts: str | int) -> Self:
        """See ``AioKV.namespace``."""
        return self._below(parts)

    def watch(self, prefix: str = "") -> WatchedChanges:
        """See ``AioKV.watch``: ``for change in kv.watch():``."""
        return WatchedChanges(self._kv.watch(prefix))

    def backup(self, path: str | os.PathLike[str]) -> None:
        """See ``AioKV.backup``."""
        _run(self._kv.backup(path))

    def close(self) -> None:
        """See ``AioKV.close``."""
        _run(self._kv.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _BlockingAioKV(AioKV):
    """The operations of a ``KV`` as coroutines, which wait for the engine and for nothing else."""

    __slots__ = ()

    _blocks = True


class WatchedChanges:
    """The changes of a store. See ``KV.watch``.

    ``with`` watches from the beginning of the block, ``for`` from the first round on.
    """

    __slots__ = ("_watch",)

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Change:
        """Wait for the next change."""
        try:
            return _run(self._watch.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        _run(self._watch.__aenter__())
        return self

    def __exit__(self, *error: object) -> None:
        _run(self._watch.aclose())


class _Edit(AbstractContextManager[_T], Generic[_T]):
    __slots__ = ("_edit",)

    def __init__(self, edit: AbstractAsyncContextManager[_T]) -> None:
        self._edit = edit

    def __enter__(self) -> _T:
        _refuse_running_loop("edit")
        return _run(self._edit.__aenter__())

    def __exit__(self, *error: Any) -> bool | None:
        return _run(self._edit.__aexit__(*error))


def _write(operation: str, coroutine: Coroutine[Any, Any, _T]) -> _T:
    try:
        _refuse_running_loop(operation)
    except RuntimeError:
        coroutine.close()
        raise
    return _run(coroutine)


def _refuse_running_loop(operation: str) -> None:
    if _get_running_loop() is not None:
        raise RuntimeError(
            f"KV.{operation} would hold up the event loop that runs on this thread: use AioKV, as "
            f"in `await kv.{operation}(...)`; both work on the same file"
        )


def _run(awaitable: Awaitable[_T]) -> _T:
    """Return what an awaitable returns that waits for nothing."""
    steps: Generator[Any, None, _T] = awaitable.__await__()
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            value: _T = stop.value
            return value
