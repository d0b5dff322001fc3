"""Operations that read one key and change it at once."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiokv
import pytest
from aiokv import AioKV, Conflict
from helpers import forget_memory_of, next_turn, run_program, start, writes_held_up

NUMBERS_THAT_ARE_NONE = [True, "1", None, [1], {"a": 1}]


class Clock:
    """Stands in the place of `time.time`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_000_000.0
        monkeypatch.setattr(time, "time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# --- add, setdefault, pop ---


async def test_add_stores_an_absent_key_and_says_so(kv: AioKV) -> None:
    assert await kv.add("a", 1) is True
    assert await kv.get("a") == 1


async def test_add_leaves_what_is_there(kv: AioKV) -> None:
    await kv.set("a", None)
    assert await kv.add("a", 1) is False
    assert await kv.get("a", default="absent") is None


async def test_add_without_a_value_stores_the_time(kv: AioKV, clock: Clock) -> None:
    await kv.add("seen:1")
    assert await kv.get("seen:1") == 1_000_000


@pytest.mark.parametrize("is_cold", [False, True])
async def test_of_many_that_add_one_key_one_succeeds(kv: AioKV, path: Path, is_cold: bool) -> None:
    await kv.set("other", 1)
    if is_cold:
        forget_memory_of(path)
    added = await asyncio.gather(*(kv.add("seen", number) for number in range(100)))
    assert added == [True] + [False] * 99


async def test_setdefault_stores_and_returns_the_default(kv: AioKV) -> None:
    assert await kv.setdefault("a", [1]) == [1]
    assert await kv.get("a") == [1]


async def test_setdefault_returns_what_is_there(kv: AioKV) -> None:
    await kv.set("a", None)
    assert await kv.setdefault("a", [1]) is None


async def test_pop_deletes_and_returns_the_value(kv: AioKV) -> None:
    await kv.set("a", [1])
    assert await kv.pop("a") == [1]
    assert not await kv.contains("a")


async def test_pop_of_an_absent_key_raises_key_error(kv: AioKV) -> None:
    with pytest.raises(KeyError, match="absent"):
        await kv.pop("absent")


async def test_pop_of_an_absent_key_returns_the_default(kv: AioKV) -> None:
    assert await kv.pop("absent", None) is None


async def test_one_of_many_gets_what_is_popped(kv: AioKV) -> None:
    await kv.set("payment", 5)
    popped = await asyncio.gather(*(kv.pop("payment", 0) for _ in range(20)))
    assert sorted(popped) == [0] * 19 + [5]


# --- increment ---


async def test_increment_adds_one_to_nothing(kv: AioKV) -> None:
    assert await kv.increment("a") == 1
    assert await kv.increment("a", 4) == 5
    assert await kv.get("a") == 5


async def test_increment_begins_with_the_default(kv: AioKV) -> None:
    assert await kv.increment("a", -1, default=100) == 99


async def test_increment_is_exact_at_any_size(kv: AioKV) -> None:
    await kv.set("a", 10**100)
    assert await kv.increment("a", -(10**50)) == 10**100 - 10**50


async def test_an_int_and_a_float_make_a_float(kv: AioKV) -> None:
    await kv.set("a", 1)
    assert repr(await kv.increment("a", 0.5)) == "1.5"
    assert repr(await kv.increment("a", 0.5)) == "2.0"


@pytest.mark.parametrize("value", NUMBERS_THAT_ARE_NONE)
async def test_increment_refuses_a_value_that_is_no_number(kv: AioKV, value: Any) -> None:
    await kv.set("a", value)
    with pytest.raises(TypeError, match=rf'"a".*{type(value).__name__}'):
        await kv.increment("a")
    assert await kv.get("a") == value


@pytest.mark.parametrize("by", NUMBERS_THAT_ARE_NONE)
async def test_increment_by_what_is_no_number_is_refused(kv: AioKV, by: Any) -> None:
    with pytest.raises(TypeError, match=rf"'a'.*by.*{type(by).__name__}"):
        await kv.increment("a", by)


async def test_increment_by_nan_is_refused(kv: AioKV) -> None:
    with pytest.raises(ValueError, match="NaN"):
        await kv.increment("a", float("nan"))


@pytest.mark.parametrize("is_cold", [False, True])
async def test_no_increment_is_lost(kv: AioKV, path: Path, is_cold: bool) -> None:
    await kv.set("a", 0)
    if is_cold:
        forget_memory_of(path)
    await asyncio.gather(*(kv.increment("a") for _ in range(200)))
    assert await kv.get("a") == 200


# --- update ---


def divide(old: Any) -> Any:
    return old / 0


def appending_to(number: int) -> Callable[[list[int]], list[int]]:
    return lambda old: [*old, number]


async def test_update_stores_and_returns_what_the_function_returns(kv: AioKV) -> None:
    await kv.set("a", [1])
    assert await kv.update("a", lambda old: [*old, 2]) == [1, 2]
    assert await kv.get("a") == [1, 2]


async def test_update_of_an_absent_key_begins_with_the_default(kv: AioKV) -> None:
    assert await kv.update("a", lambda old: [*old, 1], default=[]) == [1]


@pytest.mark.parametrize("is_cold", [False, True])
async def test_no_update_is_lost(kv: AioKV, path: Path, is_cold: bool) -> None:
    await kv.set("a", [])
    if is_cold:
        forget_memory_of(path)
    await asyncio.gather(*(kv.update("a", appending_to(number)) for number in range(200)))
    assert await kv.get("a") == list(range(200))


async def test_many_updates_at_once_are_written_together(kv: AioKV, path: Path) -> None:
    await kv.set("a", 0)
    calls = 0

    def function(old: int) -> int:
        nonlocal calls
        calls += 1
        return old + 1

    await asyncio.gather(*(kv.update("a", function) for _ in range(200)))
    assert calls == 200


async def test_updates_see_a_set_in_between(kv: AioKV) -> None:
    await kv.set("a", 0)
    await asyncio.gather(
        kv.update("a", lambda old: old + 1),
        kv.set("a", 100),
        kv.update("a", lambda old: old + 1),
        kv.update("a", lambda old: old + 1),
    )
    assert await kv.get("a") == 102


async def test_an_update_is_called_again_if_another_process_was_faster(
    kv: AioKV, path: Path
) -> None:
    await kv.set("a", 1)
    seen: list[int] = []

    def function(old: int) -> int:
        if not seen:
            run_program('asyncio.run(AioKV(path).set("a", 10))', path)
        seen.append(old)
        return old + 1

    assert await kv.update("a", function) == 11
    assert seen == [1, 10]


async def test_an_exception_in_update_changes_nothing(kv: AioKV) -> None:
    await kv.set("a", 1)
    with pytest.raises(ZeroDivisionError):
        await kv.update("a", lambda old: old / 0)
    assert await kv.get("a") == 1


async def test_an_exception_in_update_leaves_those_beside_it_alone(kv: AioKV) -> None:
    await kv.set("a", 1)
    functions: list[Callable[[Any], Any]] = [lambda old: old + 1, divide, lambda old: old + 1]
    updates = (kv.update("a", function) for function in functions)
    first, failed, last = await asyncio.gather(*updates, return_exceptions=True)
    assert (first, type(failed), last) == (2, ZeroDivisionError, 3)


async def test_updates_raise_while_the_file_cannot_be_written(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    path.unlink()
    path.mkdir()
    outcomes = await asyncio.gather(
        *(kv.update("a", lambda old: (old or 0) + 1) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(outcome, OSError) for outcome in outcomes)
    path.rmdir()
    assert await kv.update("a", lambda old: (old or 0) + 1) == 1


async def test_update_refuses_a_coroutine_function(kv: AioKV) -> None:
    async def function(old: Any) -> Any:
        return old

    with pytest.raises(TypeError, match=r"plain function.*kv\.edit"):
        assert await kv.update("a", function)


returns_a_coroutine: Callable[[Any], Any] = asyncio.sleep


async def test_update_refuses_a_function_that_returns_a_coroutine(kv: AioKV) -> None:
    with pytest.raises(TypeError, match="plain function"):
        assert await kv.update("a", returns_a_coroutine, default=0)


async def test_update_of_a_mapping_names_set_many(kv: AioKV) -> None:
    with pytest.raises(TypeError, match=r"set_many\(mapping\)"):
        await kv.update({"a": 1})  # type: ignore[arg-type]


async def test_a_cancelled_update_leaves_the_next_one_whole(kv: AioKV, path: Path) -> None:
    await kv.set("a", 0)
    with writes_held_up(path):
        cancelled = await start(kv.update("a", lambda old: old + 1))
        waiting = await start(kv.update("a", lambda old: old + 1))
        cancelled.cancel()
        await next_turn()
    assert await waiting == await kv.get("a") == 2


# --- contains, age, cooldown ---


async def test_contains_says_whether_there_is_a_value(kv: AioKV) -> None:
    await kv.set("a", None)
    assert await kv.contains("a") is True
    assert await kv.contains("b") is False


async def test_age_is_the_time_since_the_stored_one(kv: AioKV, clock: Clock) -> None:
    await kv.set("a")
    clock.now += 12.5
    assert await kv.age("a") == 12.5


async def test_age_of_an_absent_key_is_none(kv: AioKV) -> None:
    assert await kv.age("absent") is None


async def test_age_of_the_future_is_zero(kv: AioKV, clock: Clock) -> None:
    await kv.set("a", 2_000_000)
    assert await kv.age("a") == 0.0


async def test_age_of_what_is_no_time_names_the_key(kv: AioKV) -> None:
    await kv.set("a", "ping")
    with pytest.raises(TypeError, match=r"'a'.*str"):
        await kv.age("a")


async def test_a_cooldown_allows_one_use_in_its_time(kv: AioKV, clock: Clock) -> None:
    assert await kv.cooldown("daily", 10) == 0.0
    clock.now += 4
    assert await kv.cooldown("daily", 10) == 6.0
    clock.now += 6
    assert await kv.cooldown("daily", 10) == 0.0


async def test_a_cooldown_allows_several_uses_in_any_time(kv: AioKV, clock: Clock) -> None:
    assert [await kv.cooldown("daily", 10, uses=2) for _ in range(3)] == [0.0, 0.0, 10.0]


async def test_a_cooldown_survives_a_restart(kv: AioKV, path: Path, clock: Clock) -> None:
    await kv.cooldown("daily", 10)
    await kv.close()
    assert await AioKV(path).cooldown("daily", 10) == 10.0


async def test_age_understands_a_cooldown(kv: AioKV, clock: Clock) -> None:
    await kv.cooldown("daily", 10, uses=3)
    clock.now += 2
    assert await kv.age("daily") == 2.0


@pytest.mark.parametrize("is_cold", [False, True])
async def test_one_of_many_at_once_gets_the_use(kv: AioKV, path: Path, is_cold: bool) -> None:
    await kv.set("other", 1)
    if is_cold:
        forget_memory_of(path)
    waits = await asyncio.gather(*(kv.cooldown("daily", 3600) for _ in range(50)))
    assert waits.count(0.0) == 1


@pytest.mark.parametrize(("seconds", "uses"), [(-1, 1), (float("nan"), 1), (1, 0)])
async def test_a_cooldown_refuses_what_makes_no_sense(kv: AioKV, seconds: float, uses: int) -> None:
    with pytest.raises(ValueError, match=r"seconds|uses"):
        await kv.cooldown("daily", seconds, uses)


async def test_a_cooldown_of_what_is_no_time_names_the_key(kv: AioKV) -> None:
    await kv.set("a", {"b": 1})
    with pytest.raises(TypeError, match=r"'a'.*dict"):
        await kv.cooldown("a", 1)


# --- edit ---


async def test_an_edit_is_written_when_the_block_ends(kv: AioKV) -> None:
    await kv.set("a", {"xp": 1})
    async with kv.edit("a") as value:
        value["xp"] += 1
        assert await kv.get("a") == {"xp": 1}
    assert await kv.get("a") == {"xp": 2}


async def test_an_edit_of_an_absent_key_begins_with_a_copy_of_the_default(kv: AioKV) -> None:
    default: list[int] = []
    async with kv.edit("a", default=default) as value:
        value.append(1)
    assert (await kv.get("a"), default) == ([1], [])


async def test_an_edit_of_an_absent_key_without_default_is_a_key_error(kv: AioKV) -> None:
    with pytest.raises(KeyError, match="absent"):
        async with kv.edit("absent"):
            pass


async def test_an_edit_that_changes_nothing_writes_nothing(kv: AioKV, path: Path) -> None:
    async with kv.edit("a", default=[]):
        pass
    assert not path.exists()


async def test_an_edit_that_raises_writes_nothing(kv: AioKV) -> None:
    await kv.set("a", [1])
    with pytest.raises(ZeroDivisionError):
        async with kv.edit("a") as value:
            value.append(1 / 0)
    assert await kv.get("a") == [1]


async def test_an_edit_that_is_cancelled_writes_nothing(kv: AioKV) -> None:
    async def edit() -> None:
        async with kv.edit("a") as value:
            value.append(2)
            await asyncio.Event().wait()

    await kv.set("a", [1])
    editing = await start(edit())
    editing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await editing
    assert await kv.get("a") == [1]


async def test_edits_of_one_key_wait_for_each_other(kv: AioKV, path: Path) -> None:
    async def append(store: AioKV, number: int) -> None:
        async with store.edit("a", default=[]) as value:
            await next_turn()
            value.append(number)

    await asyncio.gather(*(append(AioKV(path), number) for number in range(50)))
    assert await kv.get("a") == list(range(50))


async def test_an_edit_of_another_key_does_not_wait(kv: AioKV) -> None:
    async with kv.edit("a", default=[]) as a, kv.edit("b", default=[]) as b:
        a.append(1)
        b.append(2)
    assert await kv.get_all() == {"b": [2], "a": [1]}


async def test_an_edit_inside_an_edit_of_the_key_is_an_error(kv: AioKV) -> None:
    async with kv.edit("a", default=[]):
        with pytest.raises(RuntimeError, match="wait for itself"):
            async with kv.edit("a", default=[]):
                pass


async def test_an_edit_after_a_cancelled_one_does_not_hang(kv: AioKV) -> None:
    async def edit() -> None:
        async with kv.edit("a", default=[]) as value:
            value.append(1)

    async with kv.edit("a", default=[]):
        waiting = await start(edit())
        waiting.cancel()
        behind = await start(edit())
    await asyncio.wait_for(behind, timeout=10)
    assert await kv.get("a") == [1]


async def test_an_edit_whose_key_is_set_meanwhile_is_a_conflict(kv: AioKV) -> None:
    await kv.set("a", [1])
    with pytest.raises(Conflict, match="'a'"):
        async with kv.edit("a") as value:
            value.append(2)
            await kv.set("a", [10])
    assert await kv.get("a") == [10]


async def test_an_edit_whose_key_another_process_changes_is_a_conflict(
    kv: AioKV, path: Path
) -> None:
    await kv.set("a", [1])
    with pytest.raises(Conflict):
        async with kv.edit("a") as value:
            value.append(2)
            run_program('asyncio.run(AioKV(path).delete("a"))', path)
    assert json.loads(path.read_bytes()) == {}


@pytest.mark.parametrize("value", [1, 1.5, "text", None, True])
async def test_an_edit_of_what_cannot_be_changed_in_place_is_refused(kv: AioKV, value: Any) -> None:
    await kv.set("a", value)
    with pytest.raises(TypeError, match=f"{type(value).__name__}.*update"):
        async with kv.edit("a"):
            pass


async def test_locks_of_edits_are_freed(kv: AioKV) -> None:
    from aiokv import _locks

    async with kv.edit("a", default=[]):
        assert len(_locks._of_loops[asyncio.get_running_loop()]) == 1
    assert _locks._of_loops[asyncio.get_running_loop()] == {}


# --- mistakes ---


@pytest.mark.parametrize(
    ("mistake", "remedy"),
    [
        (lambda kv: kv["a"], r"await kv\.get\(key\)"),
        (lambda kv: kv.__setitem__("a", 1), r"await kv\.set\(key, value\)"),
        (lambda kv: kv.__delitem__("a"), r"await kv\.delete\(key\)"),
        (lambda kv: "a" in kv, r"await kv\.contains\(key\)"),
        (lambda kv: len(kv), r"await kv\.count\(\)"),
        (lambda kv: list(kv), r"await kv\.keys\(\)"),
    ],
)
def test_a_likely_mistake_names_what_to_write(kv: AioKV, mistake: Any, remedy: str) -> None:
    with pytest.raises(TypeError, match=remedy):
        mistake(kv)


@pytest.mark.parametrize(("name", "remedy"), [("incr", "increment"), ("has", "contains")])
def test_a_likely_wrong_name_says_the_right_one(kv: AioKV, name: str, remedy: str) -> None:
    with pytest.raises(AttributeError, match=rf"'AioKV' .*'{name}'; write `await kv\.{remedy}"):
        getattr(kv, name)


def test_another_wrong_name_is_a_plain_attribute_error(kv: AioKV) -> None:
    with pytest.raises(AttributeError, match=r"'AioKV' object has no attribute 'nonsense'$"):
        kv.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_a_store_is_true(kv: AioKV) -> None:
    assert kv


ONE_KEY: Any = {
    "add": lambda kv: kv.add("a", 1),
    "setdefault": lambda kv: kv.setdefault("a", 1),
    "pop": lambda kv: kv.pop("a"),
    "increment": lambda kv: kv.increment("a"),
    "update": lambda kv: kv.update("a", lambda old: 1),
    "contains": lambda kv: kv.contains("a"),
    "age": lambda kv: kv.age("a"),
    "cooldown": lambda kv: kv.cooldown("a", 1),
}


@pytest.mark.parametrize("operation", ONE_KEY.values(), ids=ONE_KEY)
async def test_a_damaged_file_raises(kv: AioKV, path: Path, operation: Any) -> None:
    path.write_text("{")
    with pytest.raises(json.JSONDecodeError):
        await operation(kv)


@pytest.mark.parametrize("name", ONE_KEY)
async def test_a_key_that_is_no_str_is_a_type_error(kv: AioKV, name: str) -> None:
    arguments = {"update": (lambda old: 1,), "cooldown": (1,), "setdefault": (1,)}.get(name, ())
    with pytest.raises(TypeError, match=r"a key must be a str, not int"):
        await getattr(kv, name)(7, *arguments)


def test_the_error_of_a_conflict_is_exported() -> None:
    assert issubclass(aiokv.Conflict, Exception)
    assert sys.modules["aiokv"].Conflict is Conflict
