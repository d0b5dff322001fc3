"""Contract section 5: answers reach an event loop in steps, and none of them stops it for long.

What a step costs is measured as CPU time of the loop's thread: others use the machine too.
"""

import asyncio
import gc
import json
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from time import thread_time

import pytest
from aiokv import AioKV
from helpers import LoopFactory, next_turn, run_program, start

MANY = {f"key {number}": number for number in range(100_000)}


class Turns:
    """Measures the turns of the running loop."""

    def __init__(self) -> None:
        self.turns: list[float] = []

    async def __aenter__(self) -> "Turns":
        self._task = await start(self._measure())
        return self

    async def __aexit__(self, *_: object) -> None:
        await next_turn()  # The last turn counts too.
        self._task.cancel()

    async def _measure(self) -> None:
        while True:
            before = thread_time()
            await asyncio.sleep(0)
            self.turns.append(thread_time() - before)

    @property
    def longest(self) -> float:
        return max(self.turns)

    @property
    def whole(self) -> float:
        return sum(self.turns)


async def test_many_large_values_at_once_do_not_stop_the_loop(kv: AioKV, path: Path) -> None:
    """All answers of a batch were once converted in one turn, which took a second."""
    value = ["x" * 10] * 20_000
    path.write_text(json.dumps({f"key {number}": value for number in range(100)}))
    async with Turns() as turns:
        # The state is not loaded yet, so they all wait and are answered as one batch.
        values = await asyncio.gather(*(kv.get(f"key {number}") for number in range(100)))
    assert values == [value] * 100
    assert turns.longest < turns.whole / 10


def let_the_engine_answer(*stores: AioKV) -> None:
    """Keeps this thread, and its loop, until everything that was started is answered."""

    async def change() -> None:
        # The answer of a change comes after those of everything before.
        for store in stores:
            await store.set("answered", True)

    thread = threading.Thread(target=asyncio.run, args=(change(),))
    thread.start()
    thread.join()


async def test_small_answers_do_not_wait_for_large_dicts(kv: AioKV, path: Path) -> None:
    path.write_text(json.dumps(MANY))
    large = await start(kv.get_all())
    small = await start(kv.set("key 0", 1)), await start(kv.get("key 0"))
    let_the_engine_answer(kv)
    assert list(await asyncio.gather(*small)) == [None, 1]
    assert not large.done()
    assert await large == MANY


async def test_a_small_dict_does_not_wait_for_a_large_one(kv: AioKV, path: Path) -> None:
    path.write_text(json.dumps(MANY))
    small = AioKV(path.with_name("small.json"))
    await small.set("a", 1)
    large = await start(kv.get_all())
    little = await start(small.get_all())
    let_the_engine_answer(kv, small)
    assert await little == {"a": 1}
    assert not large.done()
    assert await large == MANY


def write_entries(path: Path, entries: int) -> None:
    path.write_text(json.dumps({f"key {number}": number for number in range(entries)}))


def test_cancelled_large_results_take_no_memory(path: Path) -> None:
    """200 of them once built their dicts side by side, which took 635 MB."""
    write_entries(path, 200_000)
    run_program(
        """
        import resource

        def peak_memory():
            unit = 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

        async def main():
            kv = AioKV(path)
            await kv.get_all()
            before = peak_memory()
            tasks = [asyncio.ensure_future(kv.get_all()) for _ in range(200)]
            while not any(task.done() for task in tasks):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            finished = sum(isinstance(result, dict) for result in results)
            assert 1 <= finished < 5, finished
            # Two dicts take less than this.
            assert peak_memory() - before < 100_000_000

        asyncio.run(main())
        """,
        path,
    )


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Keeps collections of everything that other tests have left out of a measurement."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
async def test_a_cancelled_dict_is_freed_in_steps(kv: AioKV, path: Path) -> None:
    path.write_text(json.dumps({f"key {number}": list(range(1000, 1040)) for number in MANY}))
    reading = await start(kv.get_all())
    let_the_engine_answer(kv)
    async with Turns() as turns:
        assert len(await reading) == len(MANY)
    del reading
    building = await start(kv.get_all())
    let_the_engine_answer(kv)
    for _ in range(len(turns.turns) // 4):
        await next_turn()
    async with Turns() as freeing:
        building.cancel()
        for _ in turns.turns:
            await next_turn()
    assert building.cancelled()
    assert freeing.longest < 0.006, sorted(freeing.turns)[-5:]


@pytest.mark.usefixtures("no_garbage_collection")
async def test_a_cancelled_snapshot_is_not_freed_on_the_loop(kv: AioKV, path: Path) -> None:
    """It is the last holder of the state, if the state has changed since."""
    path.write_text(json.dumps({f"key {number}": "x" * 50_000 for number in range(4_000)}))
    await kv.get("absent")
    building = await start(kv.get_all())
    clearing = threading.Thread(target=asyncio.run, args=(kv.clear(),))
    clearing.start()
    clearing.join()
    await next_turn()
    async with Turns() as turns:
        building.cancel()
        for _ in range(50):
            await next_turn()
    assert building.cancelled()
    assert turns.longest < 0.005, sorted(turns.turns)[-5:]


async def test_the_loop_has_nothing_to_do_once_everything_is_answered(
    kv: AioKV, path: Path
) -> None:
    """An inbox that went on without an answer would keep the processor busy for ever."""
    write_entries(path, 20_000)
    loop = asyncio.get_running_loop()
    await asyncio.gather(kv.get_all(), kv.set("a", 1), kv.get("a"))
    cancelled = await start(kv.get_all())
    cancelled.cancel()
    await kv.set("a", 2)
    for _ in range(1000):
        await next_turn()
    before = thread_time()
    # The loop sleeps meanwhile, unless something keeps it awake.
    await asyncio.wait([loop.create_future()], timeout=0.5)
    assert thread_time() - before < 0.1


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_loop_that_is_dropped_with_answers_is_freed(
    kv: AioKV, path: Path, is_closed: bool
) -> None:
    write_entries(path, 200_000)
    # uvloop's loops cannot be told when they are freed.
    loop = asyncio.SelectorEventLoop()
    task = loop.create_task(kv.get_all())
    loop.run_until_complete(next_turn())
    let_the_engine_answer(kv)
    # The answer is there, and the dict is not complete.
    loop.run_until_complete(next_turn())
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    freed = weakref.ref(loop)
    if is_closed:
        loop.close()
        del loop, task
        gc.collect()
    else:
        del loop, task
        with pytest.warns(ResourceWarning, match="unclosed"):
            gc.collect()
    assert freed() is None


def test_answers_wait_for_a_loop_that_is_stopped(
    kv: AioKV, path: Path, new_loop: LoopFactory
) -> None:
    write_entries(path, 20_000)
    loop = new_loop()
    reading = loop.create_task(kv.get_all())
    writing = loop.create_task(kv.set("a", 1))
    loop.run_until_complete(next_turn())
    # Another loop goes on meanwhile, with the same store.
    assert asyncio.run(kv.get("a")) == 1
    assert len(loop.run_until_complete(reading)) == 20_000
    loop.run_until_complete(writing)
    loop.close()
