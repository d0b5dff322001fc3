from asyncio import Future
from os import PathLike
from typing import Any, Final, Literal, final

__all__ = [
    "MAX_DEPTH",
    "Pending",
    "Store",
    "__version__",
    "after_fork_in_child",
    "after_fork_in_parent",
    "before_fork",
    "finish",
]

MAX_DEPTH: Final[int]
__version__: Final[str]

class Pending(Exception):  # noqa: N818 - see the native module
    args: tuple[Future[Any]]

@final
class Store:
    def __new__(
        cls,
        path: str | PathLike[str],
        fsync: bool,
        lock_timeout: float,
        journal: Literal["auto", "always", "never"],
        journal_threshold: int,
        checkpoint_pace: int,
    ) -> Store: ...
    @property
    def path(self) -> str: ...
    def get(self, key: str, default: Any) -> Any: ...
    def set(self, key: str, value: Any) -> Future[None]: ...
    def delete(self, key: str) -> Future[None]: ...
    def get_all(self) -> Future[dict[str, Any]]: ...
    def clear(self) -> Future[None]: ...
    def close(self) -> Future[None]: ...

def finish() -> None: ...
def before_fork() -> None: ...
def after_fork_in_parent() -> None: ...
def after_fork_in_child() -> None: ...
