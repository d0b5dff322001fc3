"""The end of the program: what was started is finished, and what comes later still works."""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import PROGRAM_START, names_in, run_program, writes_held_up

# --- what was started ---

# Large enough that the interpreter would be gone before it is written.
LARGE_WRITE = """
import warnings
warnings.simplefilter("ignore", ResourceWarning)  # This program does not close its loop.
kv = AioKV(path)
loop = asyncio.new_event_loop()
task = loop.create_task(kv.set("big", "x" * 30_000_000))
loop.run_until_complete(asyncio.sleep(0))
task._log_destroy_pending = False
"""


@pytest.mark.parametrize(
    "ending",
    ["", "loop.close()\n", "del kv, task, loop\n", "sys.exit()\n"],
    ids=["at the end", "closed loop", "collected store", "sys.exit"],
)
def test_pending_writes_are_finished_at_interpreter_exit(
    path: Path, tmp_path: Path, ending: str
) -> None:
    run_program(LARGE_WRITE + ending, path)
    assert len(json.loads(path.read_bytes())["big"]) == 30_000_000
    assert names_in(tmp_path) == ["state.json"]


def test_a_program_that_never_closes_its_store_ends_by_itself(path: Path) -> None:
    printed = run_program(
        """
        kv = AioKV(path)
        asyncio.run(kv.set("a", 1))
        print(asyncio.run(kv.get("a")))
        """,
        path,
    )
    assert printed == "1\n"


# --- Ctrl-C while the program ends ---

WAITS_FOR_A_LOCK = """
kv = AioKV(path, lock_timeout=1000)
loop = asyncio.new_event_loop()
task = loop.create_task(kv.set("a", 1))
loop.run_until_complete(asyncio.sleep(0))
loop.close()
task._log_destroy_pending = False

import atexit
# Runs just before the handler that waits.
atexit.register(print, "ending", flush=True)
"""


def test_ctrl_c_ends_the_wait_for_a_lock_at_exit(path: Path) -> None:
    """Such a program could once be ended by a kill only."""
    path.write_text("{}")
    arguments = [sys.executable, "-c", PROGRAM_START + WAITS_FOR_A_LOCK, os.fspath(path)]
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "ending\n"
            assert program.poll() is None
            program.send_signal(signal.SIGINT)
            _, errors = program.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert path.read_text() == "{}"


# --- exit handlers that run after that of the package ---

# Exit handlers run in the reverse order of their registration.
LATE_HANDLER = """
import sys
from pathlib import Path
path = Path(sys.argv[1])

import asyncio, atexit, json, os

def late():
    {late}
    print("late handler is done")

atexit.register(late)
from aiokv import AioKV
kv = AioKV(path)
"""

LATE: dict[str, str] = {
    "set": 'asyncio.run(kv.set("a", 2)); assert json.loads(path.read_bytes())["a"] == 2',
    "get": 'assert asyncio.run(kv.get("a")) == 1',
    "get of another store": 'assert asyncio.run(AioKV(path).get("a")) == 1',
    "get of nothing": 'assert asyncio.run(AioKV(path).get("b", 3)) == 3',
    "get_all": 'assert asyncio.run(AioKV(path).get_all()) == {"a": 1}',
    "delete": 'assert asyncio.run(kv.delete("a")); assert json.loads(path.read_bytes()) == {}',
    "clear": "assert asyncio.run(kv.clear()); assert not path.exists()",
    "close": "asyncio.run(kv.close())",
    "set and close": 'asyncio.run(kv.set("b", 2)); asyncio.run(kv.close())',
}


def run_with_late_handler(late: str, body: str, path: Path) -> str:
    source = LATE_HANDLER.replace("{late}", late.replace("\n", "\n    ")) + body
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", source, os.fspath(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.stderr == ""
    return finished.stdout


@pytest.mark.parametrize("late", list(LATE.values()), ids=list(LATE))
def test_a_handler_registered_before_the_import_can_use_the_store(path: Path, late: str) -> None:
    """It runs when threads of the engine may not use Python any more, and once waited for ever."""
    printed = run_with_late_handler(late, 'asyncio.run(kv.set("a", 1))', path)
    assert printed == "late handler is done\n"


def test_a_late_handler_gets_the_error_of_its_operation(path: Path) -> None:
    late = """
try:
    asyncio.run(kv.set("a", 1))
except json.JSONDecodeError as error:
    print(error.lineno, error.colno)
"""
    path.write_text('{"a": x}')
    assert run_with_late_handler(late, "", path) == "1 7\nlate handler is done\n"


def test_a_late_handler_can_go_on_with_a_loop_that_was_interrupted(path: Path) -> None:
    """The answer may come when the loop is stopped, and after the last wake-up of a loop."""
    body = """
loop = asyncio.new_event_loop()
tasks = [loop.create_task(kv.set(f"key {number}", number)) for number in range(10)]
tasks.append(loop.create_task(kv.get_all()))
loop.run_until_complete(asyncio.sleep(0))
"""
    late = """
*_, everything = loop.run_until_complete(asyncio.gather(*tasks))
assert everything == {f"key {number}": number for number in range(10)}
loop.close()
"""
    assert run_with_late_handler(late, body, path) == "late handler is done\n"


def test_a_late_handler_that_waits_for_a_lock_gets_the_timeout(path: Path) -> None:
    late = """
try:
    asyncio.run(AioKV(path, lock_timeout=0.05).set("a", 2))
except TimeoutError as error:
    print(error.filename == str(path))
"""
    body = """
import fcntl
asyncio.run(kv.set("a", 1))
file = path.open("rb")
fcntl.flock(file, fcntl.LOCK_EX)
# The file is closed before this handler, otherwise Python complains.
atexit.register(print, end="")
"""
    assert run_with_late_handler(late + "file.close()", body, path).startswith("True\n")


@pytest.mark.parametrize("in_a_task", [True, False])
def test_ctrl_c_ends_the_wait_of_a_late_handler(path: Path, in_a_task: bool) -> None:
    """Since Python 3.11 `asyncio.run` answers Ctrl-C by cancelling its task."""
    path.write_text("{}")
    late = """
async def main():
    print("waits", flush=True)
    await AioKV(path, lock_timeout=1000).set("a", 1)
"""
    if in_a_task:
        late += "asyncio.run(main())"
    else:
        late += "asyncio.new_event_loop().run_until_complete(main())"
    source = LATE_HANDLER.replace("{late}", late.replace("\n", "\n    "))
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with subprocess.Popen(
            [sys.executable, "-c", source, os.fspath(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            assert program.stdout is not None
            assert select.select([program.stdout], [], [], 60)[0], "no answer"
            assert program.stdout.readline() == "waits\n"
            program.send_signal(signal.SIGINT)
            _, errors = program.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors


# --- daemon threads, for which the interpreter does not wait ---

DAEMON_THREAD = """
import atexit, ctypes, os, sys, threading

def wait_for_permission():
    print("ending", flush=True)
    sys.stdin.readline()

# Exit handlers run in the reverse order: this one after that of aiokv.
atexit.register(wait_for_permission)
# Once the interpreter is gone, the process waits for the end of its input.
ctypes.pythonapi.Py_AtExit(ctypes.CDLL(None).getchar)

from aiokv import KV
kv = KV(sys.argv[1], lock_timeout=1000, journal="always")
is_working = threading.Event()

def work():
    while True:
        kv.increment("n")
        is_working.set()

threading.Thread(target=work, daemon=True).start()
is_working.wait()
"""

# In this time a thread that waits for an answer looks for signals several times.
LOOKS_SECONDS = 0.5


# A broken build fails in two of three runs.
@pytest.mark.parametrize("_attempt", range(3))
def test_a_daemon_thread_may_write_for_longer_than_the_interpreter_lives(
    path: Path, _attempt: int
) -> None:
    """It looked for signals in an interpreter that was gone, and panicked.

    If its write came to an end then, it took the GIL with a state that was freed.
    """
    arguments = [sys.executable, "-c", DAEMON_THREAD, os.fspath(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline() == "ending\n"
        with writes_held_up(path):
            program.stdin.write("\n")
            program.stdin.flush()
            select.select([program.stderr], [], [], LOOKS_SECONDS)
        with writes_held_up(path):
            pass  # The write is over.
        _, printed = program.communicate(timeout=60)
    assert (program.returncode, printed) == (0, "")
