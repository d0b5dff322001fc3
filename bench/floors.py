"""The floors under a durable change, with nothing around them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import zlib
from pathlib import Path
from statistics import median
from typing import Any

from bench.state import NOW
from bench.timing import median_blocking


class RawAppend:
    """A line is added to a file, and flushed."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        self._offset = 0

    def set(self, key: str, value: Any) -> None:
        """Add a line with a checksum, as a journal needs it."""
        entry = json.dumps([key, value])
        line = f"{zlib.crc32(entry.encode()):08x} {entry}\n".encode()
        self._offset += os.pwrite(self._descriptor, line, self._offset)
        os.fdatasync(self._descriptor)

    async def set_some(self, calls: int) -> float:
        """Return the time of a change, on the event loop."""
        return median_blocking(self.set, [("rate_limit:118420337764001234", NOW)] * calls)

    def close(self) -> None:
        os.close(self._descriptor)


class RawReplace:
    """A file is replaced, in a program of its own."""

    def __init__(self, program: Path, path: Path, content: Path) -> None:
        self._program = program
        self._path = path
        self._content = content

    async def set_some(self, calls: int) -> float:
        """Return the median of one change after another."""
        command = [str(self._program), str(self._path), str(calls)]
        content = self._content.read_bytes()

        def run() -> bytes:
            return subprocess.run(command, input=content, capture_output=True, check=True).stdout

        output = await asyncio.to_thread(run)
        return median(int(nanoseconds) / 1_000 for nanoseconds in output.split())
