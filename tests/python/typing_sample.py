"""Calls that a strict type checker has to accept, and calls that it has to refuse.

This file is checked, not run. An `ignore` that is not needed is an error too.
"""

import asyncio
import copy
from pathlib import Path
from typing import Any

from aiokv import MAX_DEPTH, AioKV, aiocache
from typing_extensions import assert_type


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
