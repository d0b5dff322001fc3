"""The workloads of the operations beyond `get` and `set`, and of the interface without `await`.

One function each. Each raises if a change that was made is not there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import count
from statistics import median
from time import perf_counter_ns
from typing import Any

from aiokv import KV, AioKV, Transaction
from measurement import Bound, Measurement, Run, Subject
from plain import State
from raw_append import RawAppend
from workloads import NOW, bot_state, check, microseconds_since, write_json

COUNTER = "counter"


async def one_by_one(run: Run) -> list[Measurement]:
    """Measure changes that depend on what is there, one after another."""
    calls = 40
    subjects = [
        counted_subject(run, name, "one-by-one", calls, time_one_by_one, Bound())
        for name in ("set", "add", "increment", "transact")
    ]
    return await run.compare("one by one, 100 keys", 31, subjects)


async def at_once(run: Run) -> list[Measurement]:
    """Measure changes of one key that are started together, beside `set`s of as many keys."""
    calls = 200
    subjects = [
        counted_subject(run, "set", "at-once", calls, time_at_once, Bound()),
        counted_subject(run, "increment", "at-once", calls, time_at_once, Bound(ratio_max=1.5)),
        counted_subject(run, "transact", "at-once", calls, time_at_once, Bound()),
    ]
    return await run.compare(f"{calls} at once, each", 15, subjects)


Operation = Callable[[int], Awaitable[object]]
Timing = Callable[[Operation, Iterable[int]], Awaitable[float]]


def counted_subject(
    run: Run, name: str, prefix: str, calls: int, time_calls: Timing, bound: Bound
) -> Subject:
    """Return a subject that makes numbered changes of a file of its own with 100 keys.

    `set` and `add` change a key for each call, the others add the number 1 to one and the same.
    """
    path = run.directory / f"{prefix}-{name}.json"
    write_json(path, bot_state(100))
    store = AioKV(path)
    total = 0

    def add_one(transaction: Transaction) -> None:
        transaction.set(COUNTER, transaction.get(COUNTER, 0) + 1)

    operations: dict[str, Operation] = {
        "set": lambda number: store.set(f"new:{number}", number),
        "add": lambda number: store.add(f"new:{number}", number),
        "increment": lambda _number: store.increment(COUNTER),
        "transact": lambda _number: store.transact(add_one),
    }
    is_counted = name in ("increment", "transact")

    async def stretch() -> float:
        nonlocal total
        microseconds = await time_calls(operations[name], range(calls))
        total += calls
        if is_counted:
            check(await store.get(COUNTER), total)
        else:
            new = {f"new:{number}": number for number in range(calls)}
            check(await store.get_all("new:"), new)
        if name == "add":
            await store.delete_prefix("new:")
        return microseconds

    return Subject(
        f"aiokv {name}" + (", one key" if is_counted else ""),
        stretch,
        calls,
        durability="power",
        reference=None if name == "set" else "aiokv set",
        bound=bound,
    )


async def get_many(run: Run) -> list[Measurement]:
    """Measure reading 100 keys at one moment, of a file that does not change."""
    keys, many = run.at_most(100_000, 10_000), 100
    state = bot_state(keys)
    path = run.directory / "get-many.json"
    write_json(path, state)
    store = AioKV(path)
    source = random.Random(1)
    choices = [source.sample(list(state), many) for _ in range(100)]

    async def get_from_dict(names: Sequence[str]) -> State:
        return {name: state[name] for name in names}

    async def get_one_by_one(names: Sequence[str]) -> State:
        return {name: await store.get(name) for name in names}

    def subject(name: str, get: Callable[[Sequence[str]], Awaitable[State]]) -> Subject:
        async def stretch() -> float:
            start = perf_counter_ns()
            for names in choices:
                found = await get(names)
            microseconds = microseconds_since(start) / len(choices)
            check(found, {name: state[name] for name in choices[-1]})
            return microseconds

        reference = None if name == "floor" else "floor"
        return Subject(name, stretch, len(choices), reference=reference)

    subjects = [
        subject("aiokv get_many", store.get_many),
        subject("aiokv get, 100 times", get_one_by_one),
        subject("floor", get_from_dict),
    ]
    measurements = await run.compare(f"get_many of {many}, {keys:,} keys", 15, subjects)
    await store.close()
    return measurements


async def keys_of_a_prefix(run: Run) -> list[Measurement]:
    """Measure listing 100 keys that are somewhere among very many."""
    keys, calls = run.at_most(1_000_000, 10_000), 20
    state = bot_state(keys - 100)
    quotes = [f"quote:{number}" for number in range(100)]
    state.update(dict.fromkeys(quotes, "brevity is the soul of wit"))
    path = run.directory / "prefix.json"
    write_json(path, state)
    store = AioKV(path)

    async def list_keys() -> float:
        start = perf_counter_ns()
        for _ in range(calls):
            found = await store.keys("quote:")
        microseconds = microseconds_since(start) / calls
        check(found, quotes)
        return microseconds

    async def scan_a_dict() -> float:
        start = perf_counter_ns()
        found = [key for key in state if key.startswith("quote:")]
        microseconds = microseconds_since(start)
        check(found, quotes)
        return microseconds

    subjects = [
        Subject("aiokv", list_keys, calls, bound=Bound(microseconds_max=1_000)),
        Subject("scan of a dict", scan_a_dict, 1, reference="aiokv"),
    ]
    measurements = await run.compare(f"keys of a prefix, 100 of {keys:,}", 15, subjects)
    await store.close()
    return measurements


async def set_without_await(run: Run) -> list[Measurement]:
    """Measure `KV.set` beside the least that a durable change can cost, in one process."""
    calls = 40
    path = run.directory / "blocking.json"
    state = bot_state(10_000)
    write_json(path, state)
    store = KV(path, journal="always")
    raw = RawAppend(run.directory / "blocking.raw")
    names, values = random.Random(1), count(NOW)

    def subject(name: str, set_value: Callable[[str, Any], None], bound: Bound) -> Subject:
        async def stretch() -> float:
            items = list(zip(names.choices(list(state), k=calls), values, strict=False))
            microseconds = await asyncio.to_thread(time_blocking, set_value, items)
            if name == "KV":
                key, value = items[-1]
                check(store.get(key), value)
            return microseconds

        reference = "raw append" if name == "KV" else None
        return Subject(name, stretch, calls, "power", reference, bound)

    subjects = [
        subject("KV", store.set, Bound(ratio_max=1.15)),
        subject("raw append", raw.set, Bound()),
    ]
    workload = "set without await, 10,000 keys, journal=always"
    measurements = await run.compare(workload, 31, subjects)
    await asyncio.to_thread(store.close)
    raw.close()
    return measurements


async def get_without_await(run: Run) -> list[Measurement]:
    """Measure `KV.get` beside a function that looks into a dict."""
    state = bot_state(100)
    path = run.directory / "blocking-get.json"
    write_json(path, state)
    store = KV(path)
    order = random.Random(1).choices(list(state), k=20_000)

    def get_from_dict(key: str) -> Any:
        return state[key]

    def time_gets(get: Callable[[str], Any]) -> float:
        start = perf_counter_ns()
        for key in order:
            get(key)
        return microseconds_since(start) / len(order)

    subjects = [
        Subject(
            "KV",
            lambda: asyncio.to_thread(time_gets, store.get),
            len(order),
            reference="floor",
        ),
        Subject("floor", lambda: asyncio.to_thread(time_gets, get_from_dict), len(order)),
    ]
    measurements = await run.compare("get without await, 100 keys", 15, subjects)
    check(store.get_all(), state)
    await asyncio.to_thread(store.close)
    return measurements


async def time_one_by_one(operation: Operation, numbers: Iterable[int]) -> float:
    """Return the median: single flushes take many times as long when the disk is busy."""
    durations = []
    for number in numbers:
        start = perf_counter_ns()
        await operation(number)
        durations.append(microseconds_since(start))
    return median(durations)


async def time_at_once(operation: Operation, numbers: Iterable[int]) -> float:
    """Return the time from the first start to the last answer, divided by the operations."""
    start = perf_counter_ns()
    found = await asyncio.gather(*map(operation, numbers))
    return microseconds_since(start) / len(found)


def time_blocking(set_value: Callable[[str, Any], None], items: Iterable[tuple[str, Any]]) -> float:
    """Return the median of one call after another."""
    durations = []
    for key, value in items:
        start = perf_counter_ns()
        set_value(key, value)
        durations.append(microseconds_since(start))
    return median(durations)
