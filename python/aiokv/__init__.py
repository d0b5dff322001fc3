"""A program's own small state in one JSON file."""

import atexit
import os

from aiokv._aiokv import (
    MAX_DEPTH,
    __version__,
    after_fork_in_child,
    after_fork_in_parent,
    before_fork,
    finish,
)

# A program that ends by itself finishes what it started to write.
atexit.register(finish)

os.register_at_fork(
    before=before_fork,
    after_in_parent=after_fork_in_parent,
    after_in_child=after_fork_in_child,
)

__all__ = [
    "KV",
    "MAX_DEPTH",
    "AioKV",
    "Change",
    "Conflict",
    "Transaction",
    "__version__",
    "aiocache",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aiokv._public import KV, AioKV, Change, Conflict, Transaction, aiocache
else:
    # The classes need asyncio, which takes several times as long to import as all of the command
    # `aiokv` takes to run. So they are imported when a program asks for one of them first.
    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from aiokv import _public

        value = globals()[name] = getattr(_public, name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
