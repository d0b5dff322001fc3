"""A store tells what changes, whichever process or program changed it."""

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV, Change
from aiokv._watch import Watch
from helpers import run_program, start


async def next_of(changes: AsyncIterator[Change]) -> Change:
    return await asyncio.wait_for(anext(changes), timeout=20)


async def test_own_changes_are_told(kv: AioKV) -> None:
    async with kv.watch() as changes:
        await kv.set("a", 1)
        assert await next_of(changes) == Change("a", None, 1)
        await kv.set("a", [2])
        assert await next_of(changes) == Change("a", 1, [2])
        await kv.delete("a")
        assert await next_of(changes) == ("a", [2], None)


async def test_changes_have_names(kv: AioKV) -> None:
    async with kv.watch() as changes:
        await kv.set("a", 1)
        change = await next_of(changes)
        assert (change.key, change.old, change.new) == ("a", None, 1)


async def test_a_loop_begins_to_watch_by_itself(kv: AioKV) -> None:
    async def watch() -> Change:
        async for change in kv.watch():
            return change
        raise AssertionError

    watching = await start(watch())
    number = 0
    while not watching.done():
        number += 1
        await kv.set("a", number)
    assert (await watching).key == "a"


async def test_other_keys_are_not_told(kv: AioKV) -> None:
    async with kv.watch("p:") as changes:
        await kv.set_many({"other": 1, "p:a": 1})
        assert await next_of(changes) == ("p:a", None, 1)


async def test_a_slow_consumer_gets_the_net_change(kv: AioKV) -> None:
    await kv.set("a", 0)
    async with kv.watch() as changes:
        for number in range(1, 10):
            await kv.set("a", number)
        assert await next_of(changes) == ("a", 0, 9)


async def test_changes_of_another_process_are_told(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    async with kv.watch() as changes:
        await asyncio.to_thread(run_program, 'asyncio.run(AioKV(path).set("a", 2))', path)
        assert await next_of(changes) == ("a", 1, 2)


async def test_changes_of_an_editor_are_told(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    async with kv.watch() as changes:
        path.write_text('{"a": 5}')
        change = None
        while change is None:
            # For a moment the file may be empty, which is damage.
            with contextlib.suppress(json.JSONDecodeError):
                change = await next_of(changes)
        assert change == ("a", 1, 5)


async def test_a_file_that_was_replaced_is_told(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    async with kv.watch() as changes:
        copy = path.with_name("copy")
        copy.write_text('{"b": 1}')
        copy.replace(path)
        told = {await next_of(changes), await next_of(changes)}
        assert told == {("a", 1, None), ("b", None, 1)}


async def test_clear_is_told(kv: AioKV) -> None:
    await kv.set_many({"a": 1, "b": 2})
    async with kv.watch() as changes:
        await kv.clear()
        assert {await next_of(changes), await next_of(changes)} == {
            ("a", 1, None),
            ("b", 2, None),
        }


async def test_damage_raises_and_its_mending_is_told(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    async with kv.watch() as changes:
        path.write_text("{")
        with pytest.raises(json.JSONDecodeError):
            await next_of(changes)
        path.write_text('{"a": 2}')
        while True:
            try:
                change = await next_of(changes)
            except json.JSONDecodeError:
                continue
            break
        assert change == ("a", 1, 2)


async def test_a_namespace_tells_its_own_keys(kv: AioKV) -> None:
    async with kv.namespace("guild", 12).watch("x") as changes:
        await kv.set_many({"guild:123:xp": 1, "guild:12:level": 1, "guild:12:xp": 2})
        assert await next_of(changes) == ("xp", None, 2)


async def test_values_are_those_of_object_hook(path: Path) -> None:
    kv = AioKV(path, object_hook=lambda found: list(found.items()))
    async with kv.watch() as changes:
        await kv.set("a", {"b": 1})
        assert await next_of(changes) == ("a", None, [("b", 1)])


async def test_a_cancelled_wait_loses_nothing(kv: AioKV) -> None:
    async with kv.watch() as changes:
        waiting = await start(anext(changes))
        waiting.cancel()
        await asyncio.wait([waiting])
        await kv.set("a", 1)
        assert await next_of(changes) == ("a", None, 1)


async def test_a_cancelled_loop_ends(kv: AioKV) -> None:
    async def watch() -> None:
        async for _ in kv.watch():
            pass

    watching = await start(watch())
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    await kv.set("a", 1)


async def test_closing_ends_a_loop_that_waits(kv: AioKV) -> None:
    async def watch(changes: Watch) -> str:
        async for _ in changes:
            pass
        return "ended"

    changes = kv.watch()
    async with changes:
        watching = await start(watch(changes))
    assert await asyncio.wait_for(watching, timeout=20) == "ended"


async def test_many_changes_let_the_loop_go_on(kv: AioKV) -> None:
    async with kv.watch() as changes:
        await kv.set_many({str(number): 1 for number in range(1000)})
        other = asyncio.ensure_future(asyncio.sleep(0))
        told = 0
        while not other.done():
            await next_of(changes)
            told += 1
        assert told < 1000


async def test_a_watch_that_is_dropped_is_gone(kv: AioKV) -> None:
    changes = kv.watch()
    async with changes:
        pass
    del changes
    gc.collect()
    await kv.set("a", 1)


async def test_several_watch_at_once(kv: AioKV, path: Path) -> None:
    async with kv.watch() as one, AioKV(path).watch() as other:
        await kv.set("a", 1)
        assert await next_of(one) == await next_of(other) == ("a", None, 1)


def test_a_watch_of_a_closed_loop_does_no_harm(kv: AioKV) -> None:
    async def watch() -> Any:
        changes = kv.watch()
        await changes.__aenter__()
        waiting = await start(anext(changes))
        waiting.cancel()
        return changes

    changes = asyncio.run(watch())
    asyncio.run(kv.set("a", 1))
    del changes
