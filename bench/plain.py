"""The interface of aiokv written the plain way, as the peer the benchmarks compare with.

It is what a careful program does without a library: the whole file through `json`, a temporary
file, `os.replace`, one `asyncio.Lock`, and a thread for everything that touches the disk. It loads
the file on every call, so it sees what others wrote. It does not do the rest of what aiokv
promises: permissions, links, cancellation, more than one object or process on a file.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

State = dict[str, Any]

_NOW = object()


class PlainKV:
    """A key-value store in one JSON file. With `fsync` a change survives a loss of power."""

    def __init__(self, path: str | os.PathLike[str], fsync: bool = True) -> None:
        self._path = Path(path).absolute()
        self._fsync = fsync
        self._lock = asyncio.Lock()

    async def get(self, key: str, default: Any = None) -> Any:
        """Return the value of the key."""
        return (await self.get_all()).get(key, default)

    async def get_all(self) -> State:
        """Return everything in the file."""
        async with self._lock:
            return await asyncio.to_thread(self._load)

    async def set(self, key: str, value: Any = _NOW) -> None:
        """Store the value, or the present second if it is omitted."""
        stored = int(time.time()) if value is _NOW else value
        await self._change(lambda state: state.update({key: stored}))

    async def delete(self, key: str) -> bool:
        """Remove the key if it is there."""
        await self._change(lambda state: state.pop(key, None))
        return True

    async def close(self) -> None:
        """Do nothing: nothing stays open between two calls."""

    async def _change(self, change: Callable[[State], object]) -> None:
        def load_change_save() -> None:
            state = self._load()
            change(state)
            self._save(state)

        async with self._lock:
            await asyncio.to_thread(load_change_save)

    def _load(self) -> State:
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return {}
        state: State = json.loads(content)
        return state

    def _save(self, state: State) -> None:
        temporary = self._path.with_suffix(".temporary")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(state, indent=2))
            if self._fsync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(self._path)
        if self._fsync:
            flush_directory(self._path.parent)


def flush_directory(path: Path) -> None:
    """Make a rename in the directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
