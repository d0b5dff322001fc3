"""Contract section 8: a process may have many stores, and drop them anywhere."""

import asyncio
import json
import sys
import weakref
from pathlib import Path
from time import thread_time

import pytest
from aiokv import AioKV
from helpers import next_turn, run_program, start, until, writes_held_up


async def test_dropping_a_store_does_not_wait_for_its_writes(path: Path) -> None:
    kv = AioKV(path)
    await kv.set("a", 1)
    dropped = weakref.ref(kv)
    with writes_held_up(path):
        writing = await start(kv.set("a", 2))
        writing.cancel()
        await asyncio.wait([writing])
        del kv, writing
        await next_turn()
        assert dropped() is None
        assert json.loads(path.read_bytes()) == {"a": 1}
    await until(lambda: json.loads(path.read_bytes()) == {"a": 2}, 10)


async def test_dropping_thousands_of_stores_at_once_takes_little_time(tmp_path: Path) -> None:
    stores = [AioKV(tmp_path / f"{number}.json", fsync=False) for number in range(3000)]
    await asyncio.gather(*(store.get("a") for store in stores))
    await asyncio.gather(*(store.set("a", 1) for store in stores[:300]))
    before = thread_time()
    stores.clear()
    assert thread_time() - before < 0.2


async def test_dropping_a_store_does_not_free_a_large_state(path: Path) -> None:
    path.write_text(json.dumps({f"key {number}": "x" * 50_000 for number in range(4_000)}))
    kv = AioKV(path)
    await kv.get("absent")
    before = thread_time()
    del kv
    assert thread_time() - before < 0.005


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the threads")
def test_threads_do_not_grow_with_the_number_of_stores_and_end_when_idle(path: Path) -> None:
    """A thread gives its Python state back when it ends; the next one gets its own."""
    path.mkdir()
    run_program(
        """
        def is_of_the_engine(task):
            try:
                return task.joinpath("comm").read_text().startswith("aiokv")
            except (FileNotFoundError, ProcessLookupError):
                return False  # it has ended since it was listed

        def threads():
            return sum(map(is_of_the_engine, Path("/proc/self/task").iterdir()))

        async def use(stores):
            await asyncio.gather(*(store.set("a", 1) for store in stores))
            return threads()

        async def until_there_is_no_thread():
            while threads():
                await asyncio.sleep(0.1)

        async def main():
            stores = [AioKV(path / f"{number}.json", fsync=False) for number in range(300)]
            assert 1 <= await use(stores) <= 33
            await asyncio.wait_for(until_there_is_no_thread(), 50)
            assert 1 <= await use(stores) <= 33

        asyncio.run(main())
        """,
        path,
    )
