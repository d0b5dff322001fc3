"""The interface of aiokv on SQLite, as the measure for several processes that write to one file.

It is what the standard library offers to a program that needs just that: the log that SQLite
writes ahead, a flush for each change, and waiting while another process writes.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from typing import Any


class SqliteKV:
    """A key-value store in one SQLite database. A change survives a loss of power.

    SQLite is called directly, not through `asyncio.to_thread`. That stops the event loop at every
    flush, which aiokv does not, but it spares SQLite two changes of thread a call: the comparison
    is in its favor.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # Without an isolation level every statement is a transaction of its own.
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        (mode,) = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise RuntimeError(f"SQLite stays in mode {mode!r}: it cannot write ahead here")
        self._connection.execute("PRAGMA synchronous = FULL")
        # On macOS a flush would otherwise end in the disk's cache. Elsewhere this changes nothing.
        self._connection.execute("PRAGMA fullfsync = ON")
        self._connection.execute("CREATE TABLE IF NOT EXISTS items (key TEXT PRIMARY KEY, value)")

    async def get_all(self) -> dict[str, Any]:
        """Return everything in the database."""
        rows = self._connection.execute("SELECT key, value FROM items")
        return {key: json.loads(value) for key, value in rows}

    async def get(self, key: str) -> Any:
        """Return the value of a key that is there."""
        (value,) = self._connection.execute(
            "SELECT value FROM items WHERE key = ?", (key,)
        ).fetchone()
        return json.loads(value)

    async def set(self, key: str, value: Any) -> None:
        """Store the value."""
        self._connection.execute(self._SET, (key, json.dumps(value)))

    async def delete(self, key: str) -> None:
        """Remove the key if it is there."""
        self._connection.execute("DELETE FROM items WHERE key = ?", (key,))

    def set_many(self, items: Sequence[tuple[str, Any]]) -> None:
        """Store several values in one transaction."""
        rows = [(key, json.dumps(value)) for key, value in items]
        self._connection.execute("BEGIN")
        self._connection.executemany(self._SET, rows)
        self._connection.execute("COMMIT")

    async def close(self) -> None:
        """Close the connection; the last one of all processes removes the log."""
        self._connection.close()

    _SET = "INSERT INTO items VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value"
