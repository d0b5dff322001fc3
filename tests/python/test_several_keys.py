"""Operations on several keys: all of it happens, or nothing."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV, Conflict, Transaction
from helpers import forget_memory_of, next_turn, run_program, start, version_of, writes_held_up

# --- set_many, get_many, delete_many ---


async def test_set_many_sets_every_key(kv: AioKV) -> None:
    await kv.set_many({"a": 1, "b": [2]})
    assert await kv.get_all() == {"a": 1, "b": [2]}


async def test_set_many_of_nothing_is_nothing(kv: AioKV) -> None:
    await kv.set_many({})
    assert await kv.get_all() == {}


async def test_set_many_with_a_value_that_is_refused_sets_none(kv: AioKV) -> None:
    with pytest.raises(TypeError, match=r"the value of 'b': \$\[0\]"):
        await kv.set_many({"a": 1, "b": [{1}]})  # type: ignore[list-item]
    assert await kv.get_all() == {}


async def test_set_many_with_a_key_that_is_no_str_sets_none(kv: AioKV) -> None:
    with pytest.raises(TypeError, match="a key must be a str"):
        await kv.set_many({"a": 1, 2: 3})  # type: ignore[dict-item]
    assert await kv.get_all() == {}


async def test_set_many_of_no_mapping_says_so(kv: AioKV) -> None:
    with pytest.raises(TypeError, match=r"set_many takes a dict, not list"):
        await kv.set_many([("a", 1)])  # type: ignore[arg-type]


async def test_get_many_leaves_absent_keys_out(kv: AioKV) -> None:
    await kv.set_many({"a": 1, "b": None})
    assert await kv.get_many(["b", "absent", "a"]) == {"b": None, "a": 1}


async def test_get_many_of_more_than_a_step_has_everything(kv: AioKV) -> None:
    everything = {str(number): "x" * 100 for number in range(20_000)}
    await kv.set_many(everything)
    assert await kv.get_many(everything) == everything


async def test_delete_many_says_how_many_were_there(kv: AioKV) -> None:
    await kv.set_many({"a": 1, "b": 2, "c": 3})
    assert await kv.delete_many(["a", "absent", "b", "a"]) == 2
    assert await kv.get_all() == {"c": 3}


@pytest.mark.parametrize("name", ["get_many", "delete_many"])
async def test_a_str_in_the_place_of_several_keys_says_what_to_write(kv: AioKV, name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}\(\['abc'\]\)"):
        await getattr(kv, name)("abc")


# --- transact ---


def transfer(t: Transaction) -> int:
    amount: int = t.get("from", 0)
    t.set("from", 0)
    t.increment("to", amount)
    return amount


async def test_a_sum_that_is_too_large_is_the_same_error_in_a_transaction(kv: AioKV) -> None:
    """The sum of a huge int and a float was an OverflowError in a transaction only."""
    await kv.set("a", 10**400)
    with pytest.raises(ValueError, match="too large for a float"):
        await kv.increment("a", 0.5)
    with pytest.raises(ValueError, match=r"'a'.* too large for a float"):
        await kv.transact(lambda t: t.increment("a", 0.5))
    assert await kv.get("a") == 10**400


async def test_a_transaction_changes_several_keys_and_returns_a_result(kv: AioKV) -> None:
    await kv.set_many({"from": 5, "to": 1})
    assert await kv.transact(transfer) == 5
    assert await kv.get_all() == {"from": 0, "to": 6}


async def test_a_transaction_may_be_async(kv: AioKV) -> None:
    async def function(t: Transaction) -> int:
        await next_turn()
        return transfer(t)

    await kv.set_many({"from": 5, "to": 1})
    assert await kv.transact(function) == 5
    assert await kv.get_all() == {"from": 0, "to": 6}


async def test_a_transaction_sees_its_own_changes(kv: AioKV) -> None:
    def function(t: Transaction) -> list[Any]:
        t.set("a", 2)
        t.delete("b")
        return [t.get("a"), t.get("b", "gone"), t.increment("a"), t.keys()]

    await kv.set_many({"a": 1, "b": 1, "c": 1})
    assert await kv.transact(function) == [2, "gone", 3, ["a", "c"]]


async def test_a_transaction_lists_new_keys_last(kv: AioKV) -> None:
    def function(t: Transaction) -> list[str]:
        t.set("p:new", 1)
        t.set("other", 1)
        return t.keys("p:")

    await kv.set_many({"p:b": 1, "p:a": 1})
    assert await kv.transact(function) == ["p:b", "p:a", "p:new"]


async def test_an_exception_in_a_transaction_changes_nothing(kv: AioKV) -> None:
    def function(t: Transaction) -> None:
        t.set("a", 2)
        raise LookupError("of the program")

    await kv.set("a", 1)
    with pytest.raises(LookupError, match="of the program"):
        await kv.transact(function)
    assert await kv.get("a") == 1


async def test_a_transaction_takes_a_value_as_it_is_when_it_is_set(kv: AioKV) -> None:
    def function(t: Transaction) -> None:
        value = [1]
        t.set("a", value)
        value.append(2)

    await kv.transact(function)
    assert await kv.get("a") == [1]


async def test_a_transaction_sets_the_time_if_the_value_is_omitted(kv: AioKV) -> None:
    """`t.set(key)` said that a mark of the package has no JSON form."""
    before = int(time.time())
    await kv.transact(lambda t: t.set("a"))
    assert before <= await kv.get("a") <= time.time()


async def test_a_transaction_without_changes_writes_nothing(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    before = version_of(path)
    assert await kv.transact(lambda t: [t.get("a"), t.get("b")]) == [1, None]
    assert version_of(path) == before


async def test_a_transaction_is_called_again_if_what_it_read_has_changed(
    kv: AioKV, path: Path
) -> None:
    await kv.set_many({"a": 1, "b": 1})
    seen: list[tuple[int, int]] = []

    def function(t: Transaction) -> None:
        seen.append((t.get("a"), t.get("b")))
        if len(seen) == 1:
            run_program('asyncio.run(AioKV(path).set_many({"a": 2, "b": 2}))', path)
        t.set("sum", sum(seen[-1]))

    await kv.transact(function)
    assert seen == [(1, 1), (2, 2)]
    assert await kv.get("sum") == 4


async def test_a_transaction_is_called_again_if_an_absent_key_came(kv: AioKV, path: Path) -> None:
    seen: list[Any] = []

    def function(t: Transaction) -> None:
        seen.append(t.get("a"))
        if len(seen) == 1:
            run_program('asyncio.run(AioKV(path).set("a", 1))', path)
        t.set("b", seen[-1])

    await kv.set("other", 1)
    await kv.transact(function)
    assert (await kv.get("b"), seen) == (1, [None, 1])


async def test_a_transaction_is_called_again_if_what_it_listed_has_changed(
    kv: AioKV, path: Path
) -> None:
    listed: list[list[str]] = []

    def function(t: Transaction) -> None:
        listed.append(t.keys("p:"))
        if len(listed) == 1:
            run_program('asyncio.run(AioKV(path).set("p:b", 1))', path)
        t.set("count", len(listed[-1]))

    await kv.set("p:a", 1)
    await kv.transact(function)
    assert (await kv.get("count"), listed) == (2, [["p:a"], ["p:a", "p:b"]])


async def test_a_change_of_a_key_that_was_not_read_is_no_conflict(kv: AioKV, path: Path) -> None:
    calls = 0

    def function(t: Transaction) -> None:
        nonlocal calls
        calls += 1
        t.get("a")
        run_program('asyncio.run(AioKV(path).set("b", 1))', path)
        t.set("b", 2)

    await kv.set("a", 1)
    await kv.transact(function)
    assert (await kv.get("b"), calls) == (2, 1)


@pytest.mark.parametrize("is_cold", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
async def test_many_transactions_at_once_all_succeed(
    kv: AioKV, path: Path, is_cold: bool, is_async: bool
) -> None:
    async def awaits(t: Transaction) -> Any:
        await next_turn()
        return t.increment("a")

    await kv.set("a", 0)
    if is_cold:
        forget_memory_of(path)
    function = awaits if is_async else (lambda t: t.increment("a"))
    results = await asyncio.gather(*(kv.transact(function) for _ in range(200)))
    assert sorted(results) == list(range(1, 201))


async def test_many_transactions_at_once_are_called_once_each(kv: AioKV) -> None:
    calls = 0

    def function(t: Transaction) -> None:
        nonlocal calls
        calls += 1
        t.increment("a")
        t.increment("b")

    await kv.set_many({"a": 0, "b": 0})
    await asyncio.gather(*(kv.transact(function) for _ in range(200)))
    assert (calls, await kv.get_all()) == (200, {"a": 200, "b": 200})


async def test_a_transaction_does_not_return_what_was_not_written(path: Path) -> None:
    """The second one reads what the first is about to write, which fails."""
    kv = AioKV(path, lock_timeout=0.05)
    await kv.set("a", 1)
    with writes_held_up(path):
        outcomes: Any = await asyncio.gather(
            kv.transact(lambda t: t.set("a", 2)),
            kv.transact(lambda t: t.get("a")),
            kv.transact(lambda t: t.get("a") / 0),
            return_exceptions=True,
        )
    assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 3
    assert await kv.transact(lambda t: t.get("a")) == 1


async def test_transactions_see_a_set_in_between(kv: AioKV) -> None:
    await kv.set("a", 0)
    await asyncio.gather(
        kv.transact(lambda t: t.increment("a")),
        kv.set("a", 100),
        kv.transact(lambda t: t.increment("a")),
        kv.update("a", lambda old: old + 1),
    )
    assert await kv.get("a") == 102


async def test_transactions_do_not_wait_for_a_slow_one(kv: AioKV) -> None:
    go_on = asyncio.Event()

    async def slow(t: Transaction) -> None:
        t.increment("a")
        await go_on.wait()

    waiting = await start(kv.transact(slow))
    await kv.transact(lambda t: t.increment("a"))
    go_on.set()
    await waiting
    assert await kv.get("a") == 2


async def test_a_transaction_inside_a_transaction_does_not_hang(kv: AioKV) -> None:
    async def inner(t: Transaction) -> None:
        t.increment("inner")

    async def outer(t: Transaction) -> None:
        t.increment("a")
        await kv.transact(inner)

    await asyncio.wait_for(asyncio.gather(*(kv.transact(outer) for _ in range(20))), 60)
    assert await kv.get("a") == 20


async def test_a_transaction_that_never_succeeds_is_a_conflict(
    kv: AioKV, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def function(t: Transaction) -> None:
        t.increment("a")
        await kv.increment("a")

    monkeypatch.setattr("aiokv._transaction.ATTEMPTS_MAX", 10)
    with pytest.raises(Conflict, match="gave up"):
        await kv.transact(function)


async def test_a_function_that_catches_everything_is_called_again_all_the_same(kv: AioKV) -> None:
    def function(t: Transaction) -> Any:
        try:
            return [t.get("a"), t.get("b")]
        except BaseException:
            return "caught"

    await kv.set_many({"a": 1, "b": 2})
    assert await kv.transact(function) == [1, 2]


async def test_a_cancelled_transaction_changes_nothing(kv: AioKV) -> None:
    async def function(t: Transaction) -> None:
        t.set("a", 2)
        await asyncio.Event().wait()

    await kv.set("a", 1)
    waiting = await start(kv.transact(function))
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await kv.get("a") == 1


@pytest.mark.parametrize("value", [True, "1", None])
async def test_increment_in_a_transaction_refuses_what_is_no_number(kv: AioKV, value: Any) -> None:
    await kv.set("a", value)
    with pytest.raises(TypeError, match=rf"'a'.*{type(value).__name__}"):
        await kv.transact(lambda t: t.increment("a"))


@pytest.mark.parametrize("name", ["get", "set", "delete", "keys"])
async def test_a_key_that_is_no_str_is_a_type_error(kv: AioKV, name: str) -> None:
    arguments = (7, 1) if name == "set" else (7,)
    with pytest.raises(TypeError, match="a key must be a str, not int"):
        await kv.transact(lambda t: getattr(t, name)(*arguments))


async def test_a_group_is_whole_in_the_journal(kv: AioKV, path: Path) -> None:
    journaling = AioKV(path, journal="always", checkpoint_pace=0)
    await journaling.set("a", 0)
    await journaling.set_many({"a": 1, "b": 1})
    assert json.loads(
        run_program("print(json.dumps(asyncio.run(AioKV(path).get_all())))", path)
    ) == {
        "a": 1,
        "b": 1,
    }
