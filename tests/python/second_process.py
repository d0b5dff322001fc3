"""A process that uses the same files as the tests, and does what they say, one call at a time."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from aiokv import KV

_stores: dict[str, KV] = {}


def _do(path: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    store = _stores.setdefault(path, KV(path, fsync=False))
    return call(store, *arguments)


def _close(path: str) -> None:
    _stores.pop(path).close()


class SecondProcess:
    """Keeps a store open for each path until it is closed."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def start(self, path: str, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._pool.submit(_do, path, call, arguments)

    def close(self, path: str) -> None:
        self._pool.submit(_close, path).result()

    def end(self) -> None:
        self._pool.shutdown()
