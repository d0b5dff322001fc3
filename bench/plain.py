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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.state import State, read_json


class PlainKV:
    """A key-value store in one JSON file. A change survives a loss of power."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()

    async def get(self, key: str) -> Any:
        return (await self.get_all())[key]

    async def get_all(self) -> State:
        async with self._lock:
            return await asyncio.to_thread(self._load)

    async def set(self, key: str, value: Any) -> None:
        await self._change(lambda state: state.update({key: value}))

    async def delete(self, key: str) -> None:
        await self._change(lambda state: state.pop(key))

    async def _change(self, change: Callable[[State], object]) -> None:
        def load_change_save() -> None:
            state = self._load()
            change(state)
            self._save(state)

        async with self._lock:
            await asyncio.to_thread(load_change_save)

    def _load(self) -> State:
        return read_json(self._path) if self._path.exists() else {}

    def _save(self, state: State) -> None:
        temporary = self._path.with_suffix(".temporary")
        with temporary.open("w", encoding="utf-8") as file:
            file.write(json.dumps(state, indent=2))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        # The rename is durable when the directory is.
        directory = os.open(self._path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
