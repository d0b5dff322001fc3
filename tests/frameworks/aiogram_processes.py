"""What the tests of the adapter for aiogram do in other processes.

They come from one process that has imported aiogram, because that takes seconds.
"""

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.base import StorageKey
from aiokv import AioKV
from aiokv.ext.aiogram import AioKVEventIsolation, AioKVStorage, one_commit

KEY = StorageKey(bot_id=42, chat_id=-7, user_id=7)

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["aiogram"])


class Bot(NamedTuple):
    """What a process has."""

    state: FSMContext
    isolation: AioKVEventIsolation
    name: str
    test: "Connection[Any, Any]"


Program = Callable[[Bot], Coroutine[Any, Any, None]]


async def update_data_20_times(bot: Bot) -> None:
    for number in range(20):
        await bot.state.update_data({f"{bot.name} {number}": number})


async def add_20_photos(bot: Bot) -> None:
    for number in range(20):
        async with bot.isolation.lock(KEY):
            photos = await bot.state.get_value("photos", [])
            await asyncio.sleep(0)
            await bot.state.update_data(photos=[*photos, f"{bot.name} {number}"])


async def change_state_and_data_for_ever(bot: Bot) -> None:
    for number in count():
        async with one_commit(bot.state):
            await bot.state.set_state(str(number))
            await bot.state.set_data({"number": number})
        bot.test.send(number)


async def stop_between_state_and_data(bot: Bot) -> None:
    async with one_commit(bot.state):
        await bot.state.set_state("2")
        bot.test.send("between")
        await asyncio.Event().wait()


async def hold_the_lock(bot: Bot) -> None:
    async with bot.isolation.lock(KEY):
        bot.test.send("locked")
        await asyncio.Event().wait()


async def fork_inside_a_handler(bot: Bot) -> None:
    async with bot.isolation.lock(KEY):
        if not os.fork():
            # The child goes on until the test is over.
            with suppress(EOFError):
                bot.test.recv()
            os._exit(0)
        bot.test.send("forked")
        await asyncio.Event().wait()


def _run(program: Program, path: Path, name: str, test: "Connection[Any, Any]") -> None:
    kv = AioKV(path)
    storage, isolation = AioKVStorage(kv), AioKVEventIsolation(kv)
    asyncio.run(program(Bot(FSMContext(storage, KEY), isolation, name, test)))


@contextmanager
def process(
    program: Program, path: Path, name: str = ""
) -> "Iterator[tuple[BaseProcess, Connection[Any, Any]]]":
    """Starts a process, and shows it with the pipe to it. It has ended after the block."""
    ours, theirs = context.Pipe()
    started = context.Process(target=_run, args=(program, path, name, theirs))
    started.start()
    theirs.close()
    with ours:
        try:
            yield started, ours
        except BaseException:
            started.kill()
            raise
        finally:
            started.join(60)
    assert started.exitcode is not None, "it goes on"
