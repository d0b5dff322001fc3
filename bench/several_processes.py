"""Several processes that write to one file at once, and the clock that they are measured with.

Run with the name of a store below, a path and a JSON object, it is one of these processes: it opens
the store, says that it is ready and waits to be told to start. Then it awaits one `set` after
another, one for each entry of the object, and says that it is done.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from subprocess import PIPE, CalledProcessError, Popen
from time import perf_counter_ns
from typing import Any

from aiokv import AioKV
from sqlite import SqliteKV

# They wait for each other as long as SQLite does: a busy disk may take long for a flush.
STORES: dict[str, Callable[[str], AioKV | SqliteKV]] = {
    "aiokv": partial(AioKV, lock_timeout=30),
    "aiokv-journal": partial(AioKV, journal="always", lock_timeout=30),
    "sqlite": SqliteKV,
}


def time_processes(store: str, path: Path, shares: Sequence[dict[str, Any]]) -> float:
    """Let a process for each share set it, and return the microseconds until all were done.

    All of them have opened the file before the clock starts.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(WritingProcess(store, path, share)) for share in shares]
        for process in processes:
            process.expect("ready")
        start = perf_counter_ns()
        for process in processes:
            process.tell("start")
        for process in processes:
            process.expect("done")
        return (perf_counter_ns() - start) / 1_000


class WritingProcess:
    """One of the processes, as it is seen from the one that holds the clock."""

    def __init__(self, store: str, path: Path, share: dict[str, Any]) -> None:
        command = [sys.executable, __file__, store, str(path), json.dumps(share)]
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, text=True)

    def __enter__(self) -> WritingProcess:
        return self

    def __exit__(self, error_type: object, error: object, traceback: object) -> None:
        """Wait for the end of the process, which comes early if it was never told to start."""
        with self._process:
            pass
        if error is None and self._process.returncode != 0:
            raise CalledProcessError(self._process.returncode, self._process.args)

    def tell(self, line: str) -> None:
        """Send a line to the process."""
        assert self._process.stdin is not None
        print(line, file=self._process.stdin, flush=True)

    def expect(self, line: str) -> None:
        """Wait for a line from the process, and raise if it is another one or if it died."""
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if said != f"{line}\n":
            raise RuntimeError(f"a process said {said!r} instead of {line!r}")


async def write(name: str, path: str, share: str) -> None:
    """Be one of the processes."""
    changes: dict[str, Any] = json.loads(share)
    store = STORES[name](path)
    await store.get_all()  # Opens the file, which is not what is measured.
    wait_for_start()
    for key, value in changes.items():
        await store.set(key, value)
    print("done", flush=True)
    await store.close()


def wait_for_start() -> None:
    """Wait for a line, and raise if the one that holds the clock is gone."""
    print("ready", flush=True)
    input()


if __name__ == "__main__":
    asyncio.run(write(*sys.argv[1:]))
