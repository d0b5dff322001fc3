"""Contract section 6: after a fork parent and child both go on working."""

import json
from pathlib import Path

import pytest
from helpers import PATIENCE_S, names_in, run_program

# The program that forks has a thread of the store. Python warns of that since 3.12.
START = f"""
    import asyncio, multiprocessing, os, warnings
    from aiokv import AioKV

    warnings.simplefilter("ignore", DeprecationWarning)
    kv = AioKV(path, lock_timeout={PATIENCE_S})

    async def write(name, count):
        for number in range(count):
            await kv.set(f"{{name}} {{number}}", number)
            assert await kv.get(f"{{name}} {{number}}") == number

    def wait_for(child):
        assert os.waitpid(child, 0)[1] == 0
"""


def expected(**counts: int) -> dict[str, int]:
    return {f"{name} {number}": number for name, count in counts.items() for number in range(count)}


def test_parent_and_child_both_write_and_lose_nothing(path: Path) -> None:
    run_program(
        START
        + """
    asyncio.run(write("before", 10))
    child = os.fork()
    asyncio.run(write("parent" if child else "child", 100))
    if not child:
        os._exit(0)
    wait_for(child)
    """,
        path,
    )
    assert json.loads(path.read_bytes()) == expected(before=10, parent=100, child=100)


def test_a_fork_in_the_middle_of_writes_disturbs_neither_side(path: Path) -> None:
    run_program(
        START
        + """
    import threading

    def child(number):
        # The loop that runs in this thread is the parent's.
        thread = threading.Thread(target=asyncio.run, args=(write(f"child{number}", 5),))
        thread.start()
        thread.join()
        os._exit(0)

    async def parent():
        writes = [asyncio.ensure_future(write(f"task{number}", 50)) for number in range(4)]
        for number in range(10):
            await kv.set("fork", number)
            if not (pid := os.fork()):
                child(number)
            await asyncio.to_thread(wait_for, pid)
        await asyncio.gather(*writes)

    asyncio.run(parent())
    """,
        path,
    )
    tasks = {f"task{number}": 50 for number in range(4)}
    children = {f"child{number}": 5 for number in range(10)}
    assert json.loads(path.read_bytes()) == expected(**tasks, **children) | {"fork": 9}


def test_multiprocessing_with_the_fork_method_works(path: Path) -> None:
    run_program(
        START
        + """
    asyncio.run(write("parent", 10))
    context = multiprocessing.get_context("fork")
    children = [
        context.Process(target=lambda name: asyncio.run(write(name, 25)), args=(f"child{number}",))
        for number in range(4)
    ]
    for child in children:
        child.start()
    asyncio.run(write("last", 25))
    for child in children:
        child.join()
        assert child.exitcode == 0
    """,
        path,
    )
    children = {f"child{number}": 25 for number in range(4)}
    assert json.loads(path.read_bytes()) == expected(parent=10, last=25, **children)


def test_a_child_that_ends_on_its_own_finishes_what_it_started(path: Path) -> None:
    run_program(
        START
        + """
    asyncio.run(write("parent", 1))

    async def start():
        asyncio.ensure_future(kv.set("child 0", 0))
        await asyncio.sleep(0)

    if child := os.fork():
        wait_for(child)
    else:
        asyncio.run(start())
    """,
        path,
    )
    assert json.loads(path.read_bytes()) == expected(parent=1, child=1)


def test_a_fork_beside_threads_that_open_and_close_stores_does_not_hang(path: Path) -> None:
    """The thread that forks once held a lock while it waited for the GIL, and such a thread the
    GIL while it waited for the lock."""
    run_program(
        START
        + """
    import threading

    ended = threading.Event()

    async def open_and_close():
        while not ended.is_set():
            async with AioKV(path, fsync=False) as store:
                await store.set("thread", 1)

    threads = [
        threading.Thread(target=asyncio.run, args=(open_and_close(),)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for _ in range(100):
        if not (child := os.fork()):
            os._exit(0)
        wait_for(child)
    ended.set()
    for thread in threads:
        thread.join()
    """,
        path,
    )
    assert json.loads(path.read_bytes()) == {"thread": 1}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_child_does_not_hold_on_to_files_that_its_parent_locks(path: Path) -> None:
    """A lock belongs to an open file: it would outlive the parent in a child that shares it."""
    run_program(
        START
        + """
    def is_open():
        directory = Path("/proc/self/fd")
        return any(fd.exists() and fd.resolve() == path for fd in directory.iterdir())

    asyncio.run(write("parent", 1))
    assert is_open()
    if child := os.fork():
        wait_for(child)
    else:
        os._exit(is_open())
    """,
        path,
    )


# --- with a journal ---

# A checkpoint of what this writes takes many steps.
START_WITH_JOURNAL = (
    START
    + """
    import threading, time

    path.write_text(json.dumps({f"old {number}": "x" * 100 for number in range(50_000)}))
    kv = AioKV(path, journal="always", checkpoint_pace=0, lock_timeout=30)
    asyncio.run(write("before", 10))

    def fork_during_a_checkpoint():
        closing = threading.Thread(target=asyncio.run, args=(kv.close(),))
        closing.start()
        temporary = path.with_name(".state.json.aiokv-tmp")
        while closing.is_alive() and not temporary.exists():
            time.sleep(0.0001)
        return os.fork(), closing
    """
)


def written_to(path: Path) -> dict[str, int]:
    """What the file holds besides what it held at the start."""
    state: dict[str, int | str] = json.loads(path.read_bytes())
    return {key: value for key, value in state.items() if isinstance(value, int)}


def test_parent_and_child_both_append_to_the_journal(path: Path, tmp_path: Path) -> None:
    run_program(
        START_WITH_JOURNAL
        + """
    child = os.fork()
    asyncio.run(write("parent" if child else "child", 50))
    asyncio.run(kv.close())
    if not child:
        os._exit(0)
    wait_for(child)
    """,
        path,
    )
    assert written_to(path) == expected(before=10, parent=50, child=50)
    assert names_in(tmp_path) == ["state.json"]


def test_a_fork_during_a_checkpoint_disturbs_neither_side(path: Path, tmp_path: Path) -> None:
    run_program(
        START_WITH_JOURNAL
        + """
    child, closing = fork_during_a_checkpoint()
    if child:
        closing.join()
    asyncio.run(write("parent" if child else "child", 20))
    asyncio.run(kv.close())
    if not child:
        os._exit(0)
    wait_for(child)
    """,
        path,
    )
    assert written_to(path) == expected(before=10, parent=20, child=20)
    assert names_in(tmp_path) == ["state.json"]


def test_a_child_goes_on_when_its_parent_dies_during_a_checkpoint(
    path: Path, tmp_path: Path
) -> None:
    """A child that shared the lock of the file its parent was writing would wait for itself."""
    run_program(
        START_WITH_JOURNAL
        + """
    of_child, of_parent = os.pipe()
    child, _ = fork_during_a_checkpoint()
    if child:
        os._exit(0)
    os.close(of_parent)
    # At its end the parent is dead.
    assert os.read(of_child, 1) == b""
    asyncio.run(write("child", 20))
    asyncio.run(kv.close())
    os._exit(0)
    """,
        path,
    )
    assert written_to(path) == expected(before=10, child=20)
    assert names_in(tmp_path) == ["state.json"]
