"""The floor under a durable change: a line is added to a file and flushed, with nothing around."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any


class RawAppend:
    """A file that only grows. A change survives a loss of power."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        self._offset = 0

    def set(self, key: str, value: Any) -> None:
        """Add a line with a checksum, as a journal needs it."""
        entry = json.dumps([key, value])
        line = f"{zlib.crc32(entry.encode()):08x} {entry}\n".encode()
        self._offset += os.pwrite(self._descriptor, line, self._offset)
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
