"""Contract section 6: several processes use one file."""

import asyncio
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiokv import AioKV
from helpers import writes_held_up

WORKER = """
import asyncio, sys
from aiokv import AioKV

async def main(path, name):
    async with AioKV(path) as kv:
        for number in range(50):
            await kv.set(f"{name} {number}", number)
            assert await kv.get(f"{name} {number}") == number

asyncio.run(main(*sys.argv[1:]))
"""


def test_no_update_of_several_processes_is_lost(path: Path) -> None:
    names = ["a", "b", "c"]
    arguments = [sys.executable, "-c", WORKER, os.fspath(path)]
    workers = [subprocess.Popen([*arguments, name]) for name in names]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    expected = {f"{name} {number}": number for name in names for number in range(50)}
    assert json.loads(path.read_bytes()) == expected


async def test_a_write_gives_up_on_a_lock_that_is_held_and_names_its_holder(path: Path) -> None:
    kv = AioKV(path, lock_timeout=0.05)
    await kv.set("a", 1)
    with writes_held_up(path):
        with pytest.raises(TimeoutError, match=f"process {os.getpid()} ") as caught:
            await kv.set("a", 2)
        assert (caught.value.errno, caught.value.filename) == (errno.ETIMEDOUT, os.fspath(path))
        assert not await kv.delete("a")
        assert await kv.get("a") == 1
    await kv.set("a", 3)
    assert json.loads(path.read_bytes()) == {"a": 3}


async def test_a_read_goes_on_when_the_write_that_it_waited_for_gives_up(path: Path) -> None:
    """It once waited for the lock itself, for which a read has no time limit."""
    kv = AioKV(path, lock_timeout=0.05)
    await kv.set("a", 1)
    with writes_held_up(path):
        written, a, everything = await asyncio.wait_for(
            asyncio.gather(kv.set("a", 2), kv.get("a"), kv.get_all(), return_exceptions=True), 30
        )
    assert isinstance(written, TimeoutError)
    assert (a, everything) == (1, {"a": 1})


async def test_each_write_waits_as_long_as_its_own_store_allows(path: Path) -> None:
    patient, hasty = AioKV(path), AioKV(path, lock_timeout=0.05)
    await patient.set("a", 1)
    with writes_held_up(path):
        waiting = asyncio.ensure_future(patient.set("b", 2))
        with pytest.raises(TimeoutError):
            await hasty.set("a", 2)
        assert not waiting.done()
    await waiting
    assert await patient.get_all() == {"a": 1, "b": 2}


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_a_lock_timeout_is_a_number_of_seconds(path: Path, seconds: float) -> None:
    with pytest.raises(ValueError, match="lock_timeout"):
        AioKV(path, lock_timeout=seconds)


async def test_stores_that_are_used_once_and_dropped_lose_nothing(path: Path) -> None:
    """An engine that ends just while another store begins to use it must not lose the write."""
    for number in range(300):
        await AioKV(path, fsync=False).set("number", number)
        assert await AioKV(path).get("number") == number
