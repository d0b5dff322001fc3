"""Contract section 5: a cancelled operation happens whole or not at all, and never late."""

import asyncio
import json
import random
from pathlib import Path

import pytest
from aiokv import AioKV
from helpers import Operation, next_turn, start, writes_held_up

CANCELLED: dict[str, Operation] = {
    "set": lambda kv: kv.set("a", "cancelled"),
    "delete": lambda kv: kv.delete("a"),
    "clear": lambda kv: kv.clear(),
}
cancelled_operations = pytest.mark.parametrize(
    "operation", list(CANCELLED.values()), ids=list(CANCELLED)
)


@cancelled_operations
async def test_a_cancelled_operation_raises(kv: AioKV, path: Path, operation: Operation) -> None:
    await kv.set("a", "old")
    with writes_held_up(path):
        task = await start(operation(kv))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@cancelled_operations
async def test_a_cancelled_operation_never_happens_after_a_later_one(
    kv: AioKV, path: Path, operation: Operation
) -> None:
    await kv.set("a", "old")
    with writes_held_up(path):
        earlier = await start(operation(kv))
        earlier.cancel()
        await next_turn()
        later = await start(kv.set("a", "later"))
    await later
    assert await kv.get("a") == "later"
    await kv.close()
    assert json.loads(path.read_bytes()) == {"a": "later"}


@pytest.mark.parametrize(
    ("name", "whole"),
    [("set", {"a": "cancelled", "b": "old"}), ("delete", {"b": "old"}), ("clear", {})],
)
async def test_a_cancelled_operation_happens_whole_or_not_at_all(
    kv: AioKV, path: Path, name: str, whole: dict[str, str]
) -> None:
    await kv.set("a", "old")
    await kv.set("b", "old")
    with writes_held_up(path):
        task = await start(CANCELLED[name](kv))
        task.cancel()
        await next_turn()
    await kv.close()
    everything = await kv.get_all()
    assert everything in (whole, {"a": "old", "b": "old"})
    assert (json.loads(path.read_bytes()) if path.exists() else {}) == everything


async def test_an_operation_cancelled_before_it_starts_does_nothing(kv: AioKV, path: Path) -> None:
    task = asyncio.ensure_future(kv.set("a", 1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await kv.close()
    assert not path.exists()


async def test_a_cancelled_operation_does_not_disturb_others_of_its_batch(
    kv: AioKV, path: Path
) -> None:
    await kv.set("a", 0)
    with writes_held_up(path):
        tasks = [asyncio.ensure_future(kv.set(f"key{number}", number)) for number in range(20)]
        await next_turn()
        for task in tasks[::2]:
            task.cancel()
    await asyncio.gather(*tasks[1::2])
    everything = await kv.get_all()
    assert all(everything[f"key{number}"] == number for number in range(1, 20, 2))


async def test_cancelling_at_any_moment_leaves_memory_and_file_equal(path: Path) -> None:
    kv = AioKV(path, fsync=False)
    rng = random.Random(7)
    for number in range(300):
        task = asyncio.ensure_future(kv.set("a", ["cancelled", number]))
        for _ in range(rng.randrange(4)):
            await next_turn()
        task.cancel()
        later = asyncio.ensure_future(kv.set("a", ["later", number]))
        await asyncio.gather(task, return_exceptions=True)
        await later
        assert await kv.get("a") == ["later", number]
        assert json.loads(path.read_bytes()) == {"a": ["later", number]}
