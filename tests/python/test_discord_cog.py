"""The cog of the examples, with handlers that run at once: the first hour of a new bot."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import discord_cog
import pytest
from aiokv import AioKV
from discord_cog import Community, Member, Message
from helpers import PATIENCE_S, forget_memory_of

GUILD = Member(12)
MEMBERS = [Member(number) for number in range(5)]
MONEY = 500
"""How much the members have together before they pay each other, 100 each."""


def message(number: int, author: Member = MEMBERS[0]) -> Message:
    return Message(number, GUILD, author)


def payment(cog: Community, number: int) -> Awaitable[None]:
    # Each member pays each other one now and then, sometimes more than the member has.
    payer, payee = MEMBERS[number % 5], MEMBERS[number * 3 % 5]
    return cog.pay(message(number, payer), payee, number * 7 % 60 - 5)


async def coins(cog: Community) -> list[int]:
    return list((await cog.guild(message(0)).get_all("coins:")).values())


async def xp_is_100(cog: Community) -> None:
    assert await cog.guild(message(0)).get_all("xp:") == {"xp:0": 100}


async def there_are_20_quotes(cog: Community) -> None:
    quotes: list[str] = await cog.guild(message(0)).get("quotes", default=[])
    assert sorted(quotes) == sorted(f"quote {number}" for number in range(20))


async def there_are_3_settings(cog: Community) -> None:
    settings = await cog.guild(message(0)).namespace("setting").get_all()
    assert settings == {f"name {number}": "value" for number in range(3)}


async def one_reward_was_paid(cog: Community) -> None:
    assert sorted(await coins(cog)) == [100, 100, 100, 100, 200]


async def the_money_is_there(cog: Community) -> None:
    balances = await coins(cog)
    assert (sum(balances), min(balances) >= 0) == (MONEY, True)
    assert balances != [100] * 5


class Scenario(NamedTuple):
    size: int
    """How many handlers run at once, in all processes together."""
    handler: Callable[[Community, int], Awaitable[object]]
    check: Callable[[Community], Awaitable[None]]


SCENARIOS = {
    "messages": Scenario(100, lambda cog, number: cog.on_message(message(number)), xp_is_100),
    "a message twice": Scenario(
        200, lambda cog, number: cog.on_message(message(number // 2)), xp_is_100
    ),
    "quotes": Scenario(
        20,
        lambda cog, number: cog.quote(message(number), text=f"quote {number}"),
        there_are_20_quotes,
    ),
    "settings": Scenario(
        3,
        lambda cog, number: cog.configure(message(number), f"name {number}", value="value"),
        there_are_3_settings,
    ),
    "daily": Scenario(5, lambda cog, number: cog.daily(message(number)), one_reward_was_paid),
    "payments": Scenario(100, payment, the_money_is_there),
}

scenarios = pytest.mark.parametrize("name", list(SCENARIOS))
starts = pytest.mark.parametrize("is_cold", [True, False], ids=["cold", "warm"])


async def run_share(
    name: str, path: Path, share: int, shares: int, *, is_cold: bool, go: Callable[[], None]
) -> None:
    """Runs every handler of a scenario whose number is that of this process, all at once."""
    cog = Community(AioKV(path, lock_timeout=PATIENCE_S))
    if not is_cold:
        await cog.kv.get("absent")
    go()
    scenario = SCENARIOS[name]
    numbers = range(share, scenario.size, shares)
    await asyncio.gather(*(scenario.handler(cog, number) for number in numbers))


async def increment_200_times(path: Path, go: Callable[[], None]) -> None:
    kv = AioKV(path, lock_timeout=PATIENCE_S)
    go()
    await asyncio.gather(*(kv.increment("count") for _ in range(100)))
    for _ in range(100):
        await kv.increment("count")


def wait_for_the_other() -> None:
    """Says that this process is ready, and waits for the word to begin."""
    print("ready", flush=True)
    sys.stdin.readline()


@pytest.fixture
async def cog(path: Path) -> Community:
    """A cog on a file with 100 coins for each member, which nothing has read yet."""
    cog = Community(AioKV(path))
    await cog.guild(message(0)).set_many({f"coins:{member.id}": 100 for member in MEMBERS})
    forget_memory_of(path)
    return cog


def in_two_processes(call: Callable[[int], str], path: Path) -> None:
    """Runs a call in each of two processes that begin at the same time."""
    paths = (Path(__file__).parent, Path(discord_cog.__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    processes = [
        subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-c"),
                "import asyncio, pathlib, sys, test_discord_cog as cog\n"
                f"path = pathlib.Path(sys.argv[1])\nasyncio.run({call(share)})",
                path,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        for share in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0]


@scenarios
@starts
async def test_in_one_process(cog: Community, path: Path, name: str, is_cold: bool) -> None:
    await run_share(name, path, 0, 1, is_cold=is_cold, go=lambda: None)
    await SCENARIOS[name].check(cog)


@scenarios
@starts
async def test_in_two_processes(cog: Community, path: Path, name: str, is_cold: bool) -> None:
    def call(share: int) -> str:
        arguments = f"{name!r}, path, {share}, 2, is_cold={is_cold}, go=cog.wait_for_the_other"
        return f"cog.run_share({arguments})"

    in_two_processes(call, path)
    await SCENARIOS[name].check(cog)


async def test_two_processes_that_count_lose_nothing(kv: AioKV, path: Path) -> None:
    in_two_processes(lambda _: "cog.increment_200_times(path, cog.wait_for_the_other)", path)
    assert await kv.get("count") == 400


async def test_old_messages_are_forgotten_and_new_ones_are_not(cog: Community) -> None:
    await cog.on_message(message(1))
    await cog.kv.set("seen:2", 1_000_000)
    assert await cog.forget() == 1
    assert await cog.kv.keys("seen:") == ["seen:1"]


async def test_the_handlers_answer(cog: Community) -> None:
    ctx = message(0)
    for number in range(3):
        await cog.on_message(message(number, MEMBERS[number % 2]))
    await cog.leaderboard(ctx)
    await cog.configure(ctx, "prefix", value="!")
    await cog.settings(ctx)
    await cog.quote(ctx)
    await cog.daily(ctx)
    await cog.daily(ctx)
    await cog.pay(ctx, MEMBERS[1], 30)
    await cog.pay(ctx, MEMBERS[1], 171)
    await cog.pay(ctx, MEMBERS[1], -1)
    assert ctx.sent == [
        "<@0>: 2 XP\n<@1>: 1 XP",
        "prefix is now !.",
        "prefix: !",
        "Nobody said anything yet.",
        "Here are 100 coins. You have 200.",
        "Come back in 24.0 hours.",
        "<@1> got 30 coins.",
        "You cannot pay that.",
        "You cannot pay that.",
    ]


def test_the_example_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", discord_cog.__file__]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "<@2> got 30 coins." in ran.stdout
