"""The adapter for py-key-value, beyond what py-key-value's own tests of a store cover."""

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from aiokv.ext.key_value import AioKVStore
from key_value.aio.errors import DeserializationError, SerializationError

LONG_AGO = "2020-01-01T00:00:00+00:00"

WORKER = """
import asyncio, sys
from aiokv import AioKV
from aiokv.ext.key_value import AioKVStore

async def main(path, name):
    async with AioKVStore(AioKV(path)) as store:
        for number in range(20):
            await store.put(f"{name} {number}", {"number": number})

asyncio.run(main(*sys.argv[1:]))
"""

ALL_OR_NONE = """
import asyncio, sys
from itertools import count
from aiokv import AioKV
from aiokv.ext.key_value import AioKVStore

async def main(path):
    store = AioKVStore(AioKV(path))
    for number in count():
        await store.put_many(["a", "b", "c"], [{"number": number}] * 3)
        print(number, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def store(kv: AioKV) -> AioKVStore:
    return AioKVStore(kv)


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


async def test_an_entry_is_readable_json(store: AioKVStore, path: Path) -> None:
    await store.put("ada", {"level": 3}, collection="players")
    (entry,) = content(path).items()
    assert entry[0] == "key_value:players:ada"
    assert set(entry[1]) == {"version", "value", "created_at"}
    assert entry[1]["value"] == {"level": 3}
    await store.put("ada", {"level": 3}, collection="players", ttl=60)
    assert set(content(path)["key_value:players:ada"]) == {
        "version",
        "value",
        "created_at",
        "expires_at",
    }


async def test_ten_puts_at_once_are_all_there(store: AioKVStore) -> None:
    await asyncio.gather(*(store.put(str(number), {"n": number}) for number in range(10)))
    assert await store.get_many([str(number) for number in range(10)]) == [
        {"n": number} for number in range(10)
    ]


def test_the_puts_of_two_processes_are_all_there(path: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", WORKER, path, name])
        for name in ("a", "b")
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    names = {f"{name} {number}" for name in ("a", "b") for number in range(20)}
    assert set(content(path)) == {f"key_value:default_collection:{name}" for name in names}


@pytest.mark.parametrize("puts", [1, 2, 5])
async def test_a_kill_leaves_all_of_put_many_or_nothing(
    store: AioKVStore, path: Path, puts: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ALL_OR_NONE, path], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        acknowledged = [int(worker.stdout.readline()) for _ in range(puts)]
        worker.send_signal(signal.SIGKILL)
    found = await store.get_many(["a", "b", "c"])
    assert found[0] == found[1] == found[2]
    assert found[0] is not None
    assert found[0]["number"] >= acknowledged[-1]


@pytest.mark.parametrize("collections", [("a", "a:"), ("a:", "a%3A"), ("a::b", "a"), ("", "%")])
async def test_collections_never_meet(
    store: AioKVStore, collections: tuple[str, str], path: Path
) -> None:
    first, second = (collection or "default_collection" for collection in collections)
    keys = ["", ":b", "b", "::b"]
    await store.put_many(keys, [{"in": first}] * 4, collection=first)
    await store.put_many(keys, [{"in": second}] * 4, collection=second)
    assert len(content(path)) == 8
    for collection in (first, second):
        assert await store.keys(collection) == keys
        assert await store.get("b", collection=collection) == {"in": collection}
    assert await store.collections() == [first, second]
    assert await store.destroy_collection(first)
    assert not await store.destroy_collection(first)
    assert await store.keys(second) == keys


async def test_lists_can_be_limited(store: AioKVStore) -> None:
    for collection in "ab":
        await store.put_many(["1", "2", "3"], [{}] * 3, collection=collection)
    assert await store.keys("a", limit=2) == ["1", "2"]
    assert await store.collections(limit=1) == ["a"]


async def test_destroy_leaves_what_the_program_keeps_beside_it(
    store: AioKVStore, kv: AioKV
) -> None:
    await kv.set("last_command", "ping")
    await store.put("a", {})
    assert await store.destroy()
    assert await kv.get_all() == {"last_command": "ping"}


def expire(path: Path, key: str) -> None:
    """Turns the clock of an entry back, by hand."""
    entries = content(path)
    entries[f"key_value:default_collection:{key}"]["expires_at"] = LONG_AGO
    path.write_text(json.dumps(entries))


async def test_what_has_expired_is_not_read_but_stays_until_cull(
    store: AioKVStore, path: Path
) -> None:
    await store.put_many(["old", "young"], [{"n": 1}, {"n": 2}], ttl=1000)
    await store.put("for ever", {"n": 3})
    expire(path, "old")
    assert await store.get_many(["old", "young", "for ever"]) == [None, {"n": 2}, {"n": 3}]
    assert await store.ttl("old") == (None, None)
    assert "key_value:default_collection:old" in content(path)
    await store.cull()
    assert await store.keys() == ["young", "for ever"]


async def test_cull_keeps_what_was_put_again_meanwhile(store: AioKVStore, path: Path) -> None:
    await store.put("a", {"n": 1}, ttl=1000)
    expire(path, "a")
    culling = asyncio.ensure_future(store.cull())
    await asyncio.gather(store.put("a", {"n": 2}, ttl=1000), culling)
    assert await store.get("a") == {"n": 2}


@pytest.mark.parametrize("value", [{"a": object()}, {"a": float("nan")}])
async def test_a_value_without_json_leaves_what_was_there(
    store: AioKVStore, value: dict[str, Any]
) -> None:
    await store.put("a", {"n": 1})
    with pytest.raises(SerializationError, match=r"\$\.value\.a"):
        await store.put("a", value)
    with pytest.raises(SerializationError, match=r"\$\.value\.a"):
        await store.put_many(["b", "a"], [{}, value])
    assert await store.get_many(["a", "b"]) == [{"n": 1}, None]


@pytest.mark.parametrize(
    "entry",
    [
        5,
        {},
        {"value": []},
        {"value": {}, "expires_at": 5},
        {"value": {}, "expires_at": "2026-01-01T00:00:00"},
    ],
)
async def test_an_entry_that_is_no_envelope_is_named_and_stays(
    store: AioKVStore, kv: AioKV, path: Path, entry: Any
) -> None:
    await kv.set("key_value:default_collection:a", entry)
    with pytest.raises(DeserializationError) as caught:
        await store.get("a")
    assert "'key_value:default_collection:a'" in str(caught.value)
    assert str(path) in str(caught.value)
    assert content(path) == {"key_value:default_collection:a": entry}


async def test_a_damaged_file_is_no_fault_of_the_value(store: AioKVStore, path: Path) -> None:
    path.write_text("{")
    with pytest.raises(json.JSONDecodeError):
        await store.put("a", {})
    assert path.read_text() == "{"


async def test_closing_brings_the_file_up_to_date_each_time(path: Path) -> None:
    store = AioKVStore(AioKV(path, journal="always", checkpoint_pace=0))
    for number in range(2):
        async with store:
            await store.put(str(number), {})
        assert len(content(path)) == number + 1
    await store.put("2", {})
    await store.close()
    assert len(content(path)) == 3
