"""Calls that a strict type checker has to accept, and calls that it has to refuse.

This file is checked, not run. An `ignore` that is not needed is an error too.
"""

import asyncio
import copy
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict

from aiokv import KV, MAX_DEPTH, AioKV, Transaction, aiocache
from typing_extensions import assert_type


class Player(TypedDict):
    name: str
    xp: int


class Settings(TypedDict, total=False):
    prefix: str
    best: Player


@dataclass
class Point:
    x: int


async def accepted() -> None:
    kv = AioKV("state.json")
    await kv.set("seen_ran_cleanup")
    await kv.set("last_command", None)
    await kv.set("history", [{"at": 1.5}])
    command: str | None = await kv.get("last_command")
    count: int = await kv.get("count", default=0)
    everything: dict[str, Any] = await kv.get_all()
    assert_type(await kv.delete("last_command"), bool)
    assert_type(await kv.clear(), bool)
    await kv.close()
    print(command, count, everything)

    setting = asyncio.create_task(kv.set("a", 1))
    deleting: asyncio.Task[bool] = asyncio.create_task(kv.delete("a"))
    await asyncio.gather(setting, deleting)

    async with AioKV(Path("state.json"), fsync=False) as opened:
        assert_type(opened, AioKV)

    AioKV("state.json", journal="always", journal_threshold=1 << 20, checkpoint_pace=0)
    assert_type(copy.copy(kv), AioKV)

    first_name: aiocache = AioKV("state.json")
    await first_name.close()
    assert_type(MAX_DEPTH, int)


async def refused(kv: AioKV) -> None:
    AioKV(b"state.json")  # type: ignore
    AioKV("state.json", False)  # type: ignore
    AioKV("state.json", fsync="no")  # type: ignore
    AioKV("state.json", journal="sometimes")  # type: ignore
    AioKV()  # type: ignore
    await kv.get(7)  # type: ignore
    await kv.set(7, "seven")  # type: ignore
    await kv.delete(b"a")  # type: ignore
    kv.get("a").upper()  # type: ignore
    await kv.expire("a")  # type: ignore
    await kv.increment("a", "1")  # type: ignore
    await kv.prune("seen:", 3600)  # type: ignore
    kv.namespace(1.5)  # type: ignore


async def values_that_json_does_not_have(kv: AioKV, blocking: KV, t: Transaction) -> None:
    await kv.set("tags", {"a", "b"})  # type: ignore
    await kv.set("at", datetime.now())  # type: ignore
    await kv.set("icon", b"...")  # type: ignore
    await kv.set("scores", {1: 2})  # type: ignore
    await kv.set("point", Point(1))  # type: ignore
    await kv.set("deep", {"list": [{"at": datetime.now()}]})  # type: ignore
    await kv.set("deep", [{"scores": {1: 2}}])  # type: ignore
    await kv.set_many({"a": {1}})  # type: ignore
    await kv.add("at", datetime.now())  # type: ignore
    await kv.setdefault("icon", b"...")  # type: ignore
    blocking["tags"] = {"a", "b"}  # type: ignore
    blocking.set("icon", b"...")  # type: ignore
    blocking.update({"scores": {1: 2}})  # type: ignore
    t.set("at", datetime.now())  # type: ignore


async def what_get_returns(kv: AioKV, either: int | str, unsure: object) -> None:
    """No checker knows what is in the file: the default says what the program stores there."""
    assert_type(await kv.get("count"), Any)
    assert_type(await kv.get("count", None), Any)
    assert_type(await kv.get("count", default=0), int)
    assert_type(await kv.get("count", either), int | str)
    assert_type(await kv.get("count", unsure), object)
    player: Player = await kv.get("player", {"name": "", "xp": 0})
    names: list[str] = await kv.get("names", default=[])
    print(player, names)
    (await kv.get("count", default=0)).upper()  # type: ignore
    (await kv.get("count", unsure)).upper()  # type: ignore


async def operations(kv: AioKV) -> None:
    names = ["ada"]
    player: Player = {"name": "ada", "xp": 1}
    settings: Settings = {"best": player}
    await kv.set("player", player)
    await kv.set("players", [player])
    await kv.set_many({"settings": settings, "all": {"player": player}})
    await kv.set("names", names)
    await kv.set("nested", {"tuple": (1, "two", [None, {"deep": 1.5}]), "players": [player]})
    anything: dict[str, Any] = {"a": object()}
    await kv.set("anything", anything)
    converted_by_default: Any = datetime.now()
    await kv.set("at", converted_by_default)
    read_only: Mapping[str, list[int]] = {"a": [1]}
    await kv.set("read_only", read_only)

    assert_type(await kv.add("seen:1"), bool)
    assert_type(await kv.increment("count"), int)
    assert_type(await kv.increment("average", 0.5), float)
    assert_type(await kv.update("count", lambda old: int(old or 0) + 1), int)
    assert_type(await kv.age("seen:1"), float | None)
    assert_type(await kv.cooldown("daily:1", 86400), float)
    async with kv.edit("names", default=names) as edited:
        assert_type(edited, list[str])
    await kv.set_many({"a": 1, "b": [1]})
    assert_type(await kv.get_many(["a"]), dict[str, Any])
    assert_type(await kv.keys("a"), list[str])
    async for key, _ in kv.items():
        assert_type(key, str)
    async for change in kv.watch():
        assert_type(change.key, str)
    assert_type(kv.namespace("guild", 12), AioKV)

    def plain(t: Transaction) -> str:
        t.set("a", t.get("b", 0) + 1)
        return "done"

    async def awaits(t: Transaction) -> str:
        return plain(t)

    assert_type(await kv.transact(plain), str)
    assert_type(await kv.transact(awaits), str)


def synchronous(kv: KV) -> None:
    mapping: MutableMapping[str, Any] = kv
    mapping["a"] = 1
    kv["a"] = [1, 2]
    assert_type(kv.get("count", default=0), int)
    assert_type(kv.update("count", lambda old: int(old or 0) + 1), int)
    assert_type(kv.transact(lambda t: t.keys()), list[str])
    kv.update({"a": 1})
    with kv.edit("names", default=[""]) as names:
        assert_type(names, list[str])
    with KV("state.json") as opened:
        assert_type(opened.namespace("guild"), KV)
