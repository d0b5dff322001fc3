"""Operations on the keys that start with a prefix, and namespaces."""

import asyncio
import copy
import time
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from helpers import records_of_aiokv

PLAYERS = {"player:b": 1, "player:a": 2, "player:c": 3}


@pytest.fixture
async def game(kv: AioKV) -> AioKV:
    await kv.set_many({"players": 0, **PLAYERS, "other": [1]})
    return kv


async def test_get_all_of_a_prefix_is_in_the_order_of_insertion(game: AioKV) -> None:
    assert list((await game.get_all("player:")).items()) == list(PLAYERS.items())


async def test_keys_are_in_the_order_of_insertion(game: AioKV) -> None:
    assert await game.keys("player:") == list(PLAYERS)
    assert await game.keys() == ["players", *PLAYERS, "other"]


async def test_count_counts(game: AioKV) -> None:
    assert (await game.count("player:"), await game.count(), await game.count("x")) == (3, 5, 0)


async def test_items_are_those_of_get_all(game: AioKV) -> None:
    assert [item async for item in game.items("player:")] == list(PLAYERS.items())


async def test_items_are_of_one_moment(game: AioKV) -> None:
    found = []
    async for key, value in game.items("player:"):
        await game.delete_many(PLAYERS)
        found.append((key, value))
    assert found == list(PLAYERS.items())


async def test_large_results_have_everything(kv: AioKV) -> None:
    everything = {f"p:{number}": number for number in range(50_000)}
    await kv.set_many(everything)
    assert await kv.keys("p:") == list(everything)
    assert dict([item async for item in kv.items("p:")]) == everything


async def test_items_let_the_loop_go_on(kv: AioKV) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    await kv.set_many({f"p:{number}": "x" * 100 for number in range(50_000)})
    counting = asyncio.ensure_future(count_turns())
    async for _ in kv.items():
        pass
    counting.cancel()
    assert turns > 5


async def test_delete_prefix_says_how_many_there_were(game: AioKV) -> None:
    assert await game.delete_prefix("player:") == 3
    assert await game.get_all() == {"players": 0, "other": [1]}


async def test_prune_deletes_times_of_long_ago(kv: AioKV) -> None:
    now = int(time.time())
    await kv.set_many({"seen:1": now - 100, "seen:2": now, "seen:x": "text", "at": now - 100})
    assert await kv.prune("seen:", older_than=50) == 1
    assert await kv.keys() == ["seen:2", "seen:x", "at"]


async def test_prune_refuses_what_is_no_time(kv: AioKV) -> None:
    with pytest.raises(ValueError, match="older_than"):
        await kv.prune("seen:", older_than=-1)


@pytest.mark.parametrize(
    "operation",
    [
        lambda kv: kv.get_all(1),
        lambda kv: kv.keys(1),
        lambda kv: kv.count(1),
        lambda kv: kv.delete_prefix(1),
        lambda kv: kv.prune(1, older_than=1),
    ],
)
async def test_a_prefix_that_is_no_str_is_a_type_error(kv: AioKV, operation: Any) -> None:
    with pytest.raises(TypeError, match="must be a str"):
        await operation(kv)


# --- namespaces ---


async def test_a_namespace_shows_its_keys_without_its_parts(kv: AioKV) -> None:
    guild = kv.namespace("guild", 12)
    await guild.set("xp", 1)
    assert await guild.get_all() == {"xp": 1}
    assert await guild.keys() == ["xp"]
    assert [item async for item in guild.items("x")] == [("xp", 1)]
    assert await kv.get_all() == {"guild:12:xp": 1}


async def test_a_namespace_never_reaches_another_one(kv: AioKV) -> None:
    await kv.namespace("guild", 123).set("a", 1)
    guild = kv.namespace("guild", 12)
    assert await guild.get_all() == {}
    await guild.clear()
    assert await kv.get_all() == {"guild:123:a": 1}


async def test_namespaces_are_nested(kv: AioKV) -> None:
    nested = kv.namespace("guild").namespace(12, "user")
    await nested.set("a", 1)
    assert await kv.namespace("guild", 12, "user").get("a") == 1


async def test_clear_in_a_namespace_deletes_its_own_keys(kv: AioKV, path: Path) -> None:
    await kv.set_many({"a": 1, "guild:12:a": 1, "guild:12:b": 1})
    assert await kv.namespace("guild", 12).clear() is True
    assert await kv.get_all() == {"a": 1}


async def test_clear_in_a_namespace_logs_what_fails(
    kv: AioKV, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("{")
    assert await kv.namespace("guild", 12).clear() is False
    assert len(records_of_aiokv(caplog)) == 1


NAMESPACED: dict[str, tuple[Any, Any]] = {
    "get": (lambda kv: kv.get("n"), 1),
    "set": (lambda kv: kv.set("n", 5), None),
    "delete": (lambda kv: kv.delete("n"), True),
    "add": (lambda kv: kv.add("n", 5), False),
    "setdefault": (lambda kv: kv.setdefault("n", 5), 1),
    "pop": (lambda kv: kv.pop("n"), 1),
    "increment": (lambda kv: kv.increment("n"), 2),
    "update": (lambda kv: kv.update("n", lambda old: old + 1), 2),
    "contains": (lambda kv: kv.contains("n"), True),
    "cooldown": (lambda kv: kv.cooldown("n", 1), 0.0),
    "get_many": (lambda kv: kv.get_many(["n", "x"]), {"n": 1}),
    "set_many": (lambda kv: kv.set_many({"n": 5}), None),
    "delete_many": (lambda kv: kv.delete_many(["n", "x"]), 1),
    "transact": (lambda kv: kv.transact(lambda t: [t.keys(), t.increment("n")]), [["n"], 2]),
    "count": (lambda kv: kv.count(), 1),
    "delete_prefix": (lambda kv: kv.delete_prefix("n"), 1),
    "prune": (lambda kv: kv.prune("n", older_than=1), 1),
}


@pytest.mark.parametrize(("operation", "result"), NAMESPACED.values(), ids=NAMESPACED)
async def test_every_operation_of_a_namespace_is_about_its_own_keys(
    kv: AioKV, operation: Any, result: Any
) -> None:
    await kv.set_many({"n": 100, "guild:12:n": 1})
    assert await operation(kv.namespace("guild", 12)) == result
    assert await kv.get("n") == 100


async def test_an_edit_in_a_namespace_is_about_its_own_key(kv: AioKV) -> None:
    async with kv.namespace("guild", 12).edit("a", default=[]) as value:
        value.append(1)
    assert await kv.get_all() == {"guild:12:a": [1]}


async def test_an_error_of_a_namespace_is_about_its_own_key(kv: AioKV) -> None:
    with pytest.raises(KeyError, match=r"^'absent'$"):
        await kv.namespace("guild").pop("absent")


@pytest.mark.parametrize("part", ["", "a:b", ":"])
def test_a_part_that_is_empty_or_has_a_colon_is_refused(kv: AioKV, part: str) -> None:
    with pytest.raises(ValueError, match="one by one"):
        kv.namespace("guild", part)


@pytest.mark.parametrize("part", [True, 1.5, None, b"a"])
def test_a_part_that_is_neither_str_nor_int_is_refused(kv: AioKV, part: Any) -> None:
    with pytest.raises(TypeError, match=type(part).__name__):
        kv.namespace("guild", part)


async def test_a_part_may_be_any_str(kv: AioKV) -> None:
    odd = kv.namespace('"\\\ud800', "é\n")
    await odd.set("\udc00", 1)
    assert await odd.get_all() == {"\udc00": 1}
    assert await odd.keys() == ["\udc00"]
    assert await odd.get("\udc00") == 1


async def test_a_prefix_that_is_spelled_otherwise_is_the_same(kv: AioKV, path: Path) -> None:
    path.write_text(r'{"\u0067uild:a": 1}')
    assert await kv.namespace("guild").get_all() == {"a": 1}


async def test_a_namespace_has_the_options_of_its_store(path: Path) -> None:
    kv = AioKV(path, default=list).namespace("a")
    await kv.set("tags", {"x"})  # type: ignore[arg-type]
    assert await kv.get("tags") == ["x"]


def test_a_namespace_is_of_the_class_of_its_store(path: Path) -> None:
    class Settings(AioKV):
        def __init__(self, path: Path, owner: str) -> None:
            super().__init__(path)
            self.owner = owner

    below = Settings(path, "ada").namespace("a")
    assert type(below) is Settings
    assert below.owner == "ada"


def test_a_copy_of_a_namespace_is_the_same_store(kv: AioKV) -> None:
    below = kv.namespace("a")
    assert copy.copy(below) is copy.deepcopy(below) is below


def test_a_namespace_shows_what_it_is(kv: AioKV, path: Path) -> None:
    assert repr(kv.namespace("guild", 12)) == f"AioKV('{path}').namespace('guild', '12')"
