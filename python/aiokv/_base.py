"""What both classes have in common: the options, namespaces, copies and a name to show.

The operations are not here: each class has its own way to wait for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from aiokv._aiokv import Store, log_to_python
from aiokv._change import Changes

if TYPE_CHECKING:
    from typing_extensions import Self

log_to_python()


class Base:
    """A store of the native module, which several objects may share."""

    __slots__ = ("__weakref__", "_changes", "_get", "_store")

    _blocks: ClassVar[bool] = False
    """Whether the calling thread waits for the engine, rather than an event loop."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fsync: bool = True,
        lock_timeout: float = 10.0,
        journal: Literal["auto", "always", "never"] = "auto",
        journal_threshold: int = 65536,
        checkpoint_pace: int = 65536,
        default: Callable[[Any], Any] | None = None,
        object_hook: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        options = fsync, lock_timeout, journal, journal_threshold, checkpoint_pace
        self._use(Store(path, *options, default, object_hook, self._blocks), Changes())

    def _use(self, store: Store, changes: Changes) -> Self:
        self._store, self._changes, self._get = store, changes, store.get
        return self

    def _below(self, parts: tuple[str | int, ...]) -> Self:
        """Return the store of a namespace, with what a derived class keeps beside it."""
        store = self._store
        for part in parts:
            if isinstance(part, bool) or not isinstance(part, (str, int)):
                raise TypeError(
                    f"a part of a namespace is a str or an int, not {type(part).__name__}"
                )
            name = str(int(part)) if isinstance(part, int) else part
            if not name or ":" in name:
                raise ValueError(
                    f"a part of a namespace is not empty and has no colon, unlike {part!r}; give "
                    "the parts one by one"
                )
            store = store.namespace(name)
        below = object.__new__(type(self))
        if hasattr(self, "__dict__"):
            vars(below).update(vars(self))
        return below._use(store, self._changes)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"cannot pickle {self!r}: send its path, and open a store of that path where it "
            "arrives; both work on the same file"
        )

    def __repr__(self) -> str:
        name = "KV" if self._blocks else "AioKV"
        below = ", ".join(map(repr, self._store.prefix.split(":")[:-1]))
        return f"{name}({self._store.path!r})" + (f".namespace({below})" if below else "")
