"""What several test files need."""

import asyncio
import fcntl
import logging
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from hypothesis import strategies as st

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Operation = Callable[[AioKV], Coroutine[Any, Any, Any]]

# The operations that raise when something is wrong; `delete` and `clear` log it.
RAISING: dict[str, Operation] = {
    "get": lambda kv: kv.get("a"),
    "get_all": lambda kv: kv.get_all(),
    "set": lambda kv: kv.set("a", 2),
}
raising_operations = pytest.mark.parametrize("operation", list(RAISING.values()), ids=list(RAISING))

# The content of the file of `left_behind`, without its journal and together with it.
IN_THE_FILE = {"first": 1}
EVERYTHING = {"first": 1, "second": 2, "third": 3}

# How long a process waits for the lock where another one commits all the time: on a busy disk a
# single flush may take longer than `lock_timeout` is by default.
PATIENCE_S = 50

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+')

PROGRAM_START = """
import asyncio, errno, json, logging, os, sys, traceback
from pathlib import Path
from aiokv import AioKV
path = Path(sys.argv[1])
"""

# The imports come first: the modules may lie where only the present user can read.
BECOME_NOBODY = """
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""

# Two surrogates side by side are one character once they have been through JSON, so `json` does
# not give them back as they were.
SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def texts(max_size: int | None = None) -> st.SearchStrategy[str]:
    """Every `str` that `json` gives back as it was, lone surrogates included."""
    every_character = st.characters(exclude_categories=())
    return st.text(every_character, max_size=max_size).filter(
        lambda text: not SURROGATE_PAIR.search(text)
    )


def values() -> st.SearchStrategy[Any]:
    """Every value that `json` gives back as it was."""
    huge = st.integers(0, 4000).map(lambda digits: -(10**digits))
    finite = st.floats(allow_nan=False, allow_infinity=False)
    scalars = st.none() | st.booleans() | st.integers() | huge | finite | texts()
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner) | st.dictionaries(texts(), inner),
        max_leaves=20,
    )


def tokens(text: str) -> list[str]:
    """The tokens of a JSON text as they are spelled, without the white space between them."""
    return TOKEN.findall(text)


def names_in(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def version_of(path: Path) -> tuple[int, int, int, bytes]:
    """Differs if the file was written to or replaced in between."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_mode, path.read_bytes()


def records_of_aiokv(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The records that a handler of the logger `aiokv` got."""
    return [record for record in caplog.records if record.name.split(".")[0] == "aiokv"]


def nested(depth: int) -> Any:
    """A value of `depth` containers, lists and dicts by turns, one inside the other."""
    value: Any = [] if depth % 2 else {}
    for level in range(depth - 1, 0, -1):
        value = [value] if level % 2 else {"in": value}
    return value


async def next_turn() -> None:
    """Lets every task that is ready run until it waits."""
    await asyncio.sleep(0)


async def start(operation: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """Starts an operation and does not wait for it to finish."""
    task = asyncio.ensure_future(operation)
    await next_turn()
    return task


def forget_memory_of(path: Path) -> None:
    """Puts a copy in the place of the file, so that every store has to load it again."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


@contextmanager
def writes_held_up(path: Path) -> Iterator[None]:
    """Holds the advisory lock of the existing file, as a slow writer in another process would.

    Writes that are started inside stay in flight until the end of the block. So do reads of a state
    that may have changed; reads of an unchanged state go on.
    """
    while True:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # A writer may have replaced the file before it let go of the lock.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield
                return


@contextmanager
def checkpoints_held_up(path: Path) -> Iterator[None]:
    """Holds the lock of the temporary file, as a slow process would that writes a new state file.

    Inside, changes are appended to a journal that is there already; the file stays as it is.
    """
    temporary = path.with_name(f".{path.name}.aiokv-tmp")
    with temporary.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            temporary.unlink()


def appending(path: Path, **options: Any) -> AioKV:
    """A store that appends every change to the journal, and makes no checkpoint while it is in use.

    Keep it: a store that is dropped leaves the file up to date.
    """
    return AioKV(path, journal="always", checkpoint_pace=0, **options)


def changes_in(journal: Path) -> list[str]:
    """The changes in the lines of a journal, without the checksums and numbers before them."""
    # Line feeds fill the space that is reserved behind the last line.
    _, *lines = journal.read_text(encoding="utf-8").rstrip("\n").split("\n")
    return [line.split(" ", 3)[3] for line in lines]


async def until(condition: Callable[[], bool], seconds: int) -> None:
    """Waits for something that the engine does in the background, for `seconds` at most.

    It counts its looks, not the time: while the machine stands still nothing can happen.
    """
    for _ in range(seconds * 100):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"it did not happen within {seconds} s")


def run_program(body: str, path: Path, *, as_nobody: bool = False) -> str:
    """Runs a Python program that finds `path` defined, and returns what it printed.

    The program must succeed and must print nothing to standard error. With `as_nobody` it runs
    without the rights of root, for which there is no missing permission.
    """
    source = PROGRAM_START + (BECOME_NOBODY if as_nobody else "") + textwrap.dedent(body)
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", source, os.fspath(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == "", finished.stderr
    return finished.stdout
