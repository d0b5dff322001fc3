"""Operations take effect one at a time, in the order in which they were started."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from helpers import (
    LoopFactory,
    next_turn,
    start,
    writes_held_up,
)

# --- several tasks ---


async def test_a_get_started_after_a_set_sees_it(kv: AioKV) -> None:
    _, value = await asyncio.gather(kv.set("a", 1), kv.get("a"))
    assert value == 1


async def test_a_get_started_before_a_set_does_not_see_it(kv: AioKV) -> None:
    await kv.set("a", 1)
    value, _ = await asyncio.gather(kv.get("a"), kv.set("a", 2))
    assert value == 1


async def test_a_get_all_started_between_two_sets_sees_the_first_only(kv: AioKV) -> None:
    _, everything, _ = await asyncio.gather(kv.set("a", 1), kv.get_all(), kv.set("b", 2))
    assert everything == {"a": 1}


async def test_a_get_started_after_a_delete_or_clear_sees_it(kv: AioKV) -> None:
    await kv.set("a", 1)
    await kv.set("b", 2)
    _, a, b, _, nothing, _, new = await asyncio.gather(
        kv.delete("a"),
        kv.get("a"),
        kv.get("b"),
        kv.clear(),
        kv.get("b"),
        kv.set("a", 3),
        kv.get_all(),
    )
    assert (a, b, nothing, new) == (None, 2, None, {"a": 3})


async def test_a_get_sees_a_set_that_is_still_in_flight(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    with writes_held_up(path):
        writing = await start(kv.set("a", 2))
        reading = await start(kv.get("a"))
    assert await reading == 2
    await writing


async def test_sets_of_one_key_take_effect_in_order(kv: AioKV, path: Path) -> None:
    await asyncio.gather(*(kv.set("a", number) for number in range(500)))
    assert await kv.get("a") == 499
    assert json.loads(path.read_bytes()) == {"a": 499}


async def test_no_concurrent_update_is_lost(kv: AioKV, path: Path) -> None:
    await asyncio.gather(*(kv.set(f"key{number}", number) for number in range(500)))
    expected = [(f"key{number}", number) for number in range(500)]
    assert list((await kv.get_all()).items()) == expected
    assert list(json.loads(path.read_bytes()).items()) == expected


async def test_an_acknowledged_set_is_in_the_file(kv: AioKV, path: Path) -> None:
    async def set_and_look(number: int) -> None:
        await kv.set(f"key{number}", number)
        assert json.loads(path.read_bytes())[f"key{number}"] == number

    await asyncio.gather(*(set_and_look(number) for number in range(100)))


async def test_what_is_started_together_is_written_together(kv: AioKV, path: Path) -> None:
    await kv.set("a", 0)
    versions: set[int] = set()
    with writes_held_up(path):
        tasks = [asyncio.ensure_future(kv.set(f"key{number}", number)) for number in range(500)]
        for task in tasks:
            task.add_done_callback(lambda _: versions.add(path.stat().st_mtime_ns))
        await next_turn()
    await asyncio.gather(*tasks)
    # What the writer had taken before it was held up, and all the rest.
    assert len(versions) <= 2


class CountingLoop(asyncio.SelectorEventLoop):
    """Counts how often another thread wakes it."""

    wake_ups = 0

    def call_soon_threadsafe(  # type: ignore[override]
        self, *arguments: Any, **options: Any
    ) -> asyncio.Handle:
        """Count the call and pass it on."""
        self.wake_ups += 1
        return super().call_soon_threadsafe(*arguments, **options)


def test_a_batch_wakes_the_loop_once(kv: AioKV, path: Path) -> None:
    loop = CountingLoop()

    async def main() -> None:
        await kv.set("a", 0)
        loop.wake_ups = 0
        with writes_held_up(path):
            tasks = [asyncio.ensure_future(kv.set(f"key{number}", 1)) for number in range(500)]
            await next_turn()
        await asyncio.gather(*tasks)

    loop.run_until_complete(main())
    loop.close()
    # What the writer had taken before it was held up, and all the rest.
    assert 1 <= loop.wake_ups <= 2


# --- several threads and loops ---


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Runs `work(number)` in threads of their own and raises what they raise."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def run_in(loop: asyncio.AbstractEventLoop, operation: Awaitable[Any]) -> Any:
    try:
        return loop.run_until_complete(operation)
    finally:
        loop.close()


def test_several_threads_and_loops_use_one_store_at_once(
    kv: AioKV, path: Path, new_loop: LoopFactory
) -> None:
    async def work(number: int) -> None:
        for step in range(25):
            await asyncio.gather(kv.set(f"{number}.{step}", step), kv.set(f"{number}", step))
            assert await kv.get(f"{number}") == step
            assert (await kv.get_all())[f"{number}.{step}"] == step

    def thread(number: int) -> None:
        loop = new_loop()
        # Complains about every call into the loop from a wrong thread.
        loop.set_debug(True)
        run_in(loop, work(number))

    in_threads(8, thread)
    expected = {f"{number}.{step}": step for number in range(8) for step in range(25)}
    expected |= {f"{number}": 24 for number in range(8)}
    assert json.loads(path.read_bytes()) == expected
    assert asyncio.run(kv.get_all()) == expected


def test_one_store_outlives_the_loops_it_is_used_in(kv: AioKV, new_loop: LoopFactory) -> None:
    for number in range(5):
        run_in(new_loop(), kv.set(f"key{number}", number))
        assert run_in(new_loop(), kv.get(f"key{number}")) == number
    assert asyncio.run(kv.get_all()) == {f"key{number}": number for number in range(5)}


def test_a_loop_may_be_closed_with_operations_in_flight(
    kv: AioKV, path: Path, new_loop: LoopFactory
) -> None:
    asyncio.run(kv.set("a", "old"))
    loop = new_loop()
    with writes_held_up(path):
        tasks = [loop.create_task(kv.set("a", "new")), loop.create_task(kv.get("a"))]
        loop.run_until_complete(next_turn())
        loop.close()
    assert run_in(new_loop(), kv.get("a")) == "new"
    assert json.loads(path.read_bytes()) == {"a": "new"}
    run_in(new_loop(), kv.set("a", "newer"))
    assert json.loads(path.read_bytes()) == {"a": "newer"}
    assert not any(task.done() for task in tasks)


def test_a_write_in_flight_in_one_loop_does_not_keep_others_from_reading(
    kv: AioKV, path: Path, new_loop: LoopFactory
) -> None:
    asyncio.run(kv.set("a", 1))
    loop = new_loop()
    with writes_held_up(path):
        writing = loop.create_task(kv.set("b", 2))
        loop.run_until_complete(next_turn())
        assert run_in(new_loop(), kv.get("a")) == 1
    run_in(loop, writing)
    assert asyncio.run(kv.get("b")) == 2


# --- several stores on one file ---


@pytest.fixture(params=["same path", "through ..", "symlink", "symlinked directory"])
def other(request: pytest.FixtureRequest, path: Path, tmp_path: Path) -> AioKV:
    """Another store on the file of `kv`, under another spelling of its path."""
    if request.param == "same path":
        return AioKV(path)
    if request.param == "through ..":
        (tmp_path / "directory").mkdir()
        return AioKV(tmp_path / "directory" / ".." / "state.json")
    if request.param == "symlink":
        (tmp_path / "link.json").symlink_to("state.json")
        return AioKV(tmp_path / "link.json")
    (tmp_path / "directory").symlink_to(".")
    return AioKV(tmp_path / "directory" / "state.json")


async def test_stores_on_one_file_see_each_other(kv: AioKV, other: AioKV) -> None:
    await kv.set("a", 1)
    assert await other.get("a") == 1
    await other.set("b", 2)
    assert await kv.get_all() == {"a": 1, "b": 2}
    await other.clear()
    assert await kv.get_all() == {}


async def test_stores_on_one_path_share_one_order(kv: AioKV, path: Path) -> None:
    other = AioKV(path)
    await kv.set("b", 0)
    _, a, _, b, _, everything = await asyncio.gather(
        kv.set("a", 1),
        other.get("a"),
        other.set("b", 2),
        kv.get("b"),
        kv.delete("a"),
        other.get_all(),
    )
    assert (a, b, everything) == (1, 2, {"b": 2})


async def test_the_first_operation_of_a_store_has_its_place_in_the_order(
    kv: AioKV, path: Path
) -> None:
    other = AioKV(path)
    await kv.set("a", 0)
    _, a, _ = await asyncio.gather(kv.set("a", 1), other.get("a"), kv.set("a", 2))
    assert a == 1


async def test_no_update_of_several_stores_is_lost(kv: AioKV, other: AioKV, path: Path) -> None:
    await asyncio.gather(
        *((kv, other)[number % 2].set(f"key{number}", number) for number in range(100))
    )
    assert json.loads(path.read_bytes()) == {f"key{number}": number for number in range(100)}
