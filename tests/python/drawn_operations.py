"""The operations that the model test draws, and how a store does them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import oracle
from aiokv import KV, AioKV
from helpers import values
from hypothesis import strategies as st
from oracle import Refused

Operation = tuple[Any, ...]
Parts = tuple[str | int, ...]

# Few, so that operations meet; odd ones, because they are spelled with escapes; and the keys of
# namespaces, with some that only look so.
NAMES = ["a", "b", "", "é", "\ud800", 'quote"', "line\nbreak", "n:a", "n:7:a", "n:7", "n:70:a"]
keys = st.sampled_from(NAMES)
prefixes = st.sampled_from(["", "a", "n:", "n:7:", "\ud800", "absent"])
namespaces: st.SearchStrategy[Parts] = st.sampled_from([(), (), (), ("n",), ("n", 7)])

# Far from the ages that are asked for, so that it does not matter how long the tests take.
START = int(time.time())
AGES = [20_000, 1_000_000]
times = st.sampled_from([0, 100_000, 10_000_000]).map(lambda age: START - age)

numbers = st.sampled_from([0, 1, -2, 10**30, 0.5, -1e300])
lists = st.lists(numbers | times, max_size=3)
small = numbers | times | lists | st.dictionaries(keys, lists, max_size=2)
stored = st.one_of(small, small, small, values())
by = numbers | st.sampled_from([True, "1", None])
functions = st.sampled_from([oracle.wrap, oracle.refuse, oracle.fail, repr])
blocks = st.sampled_from(
    [
        oracle.append,
        oracle.append,
        oracle.leave,
        oracle.append_and_fail,
        oracle.append_what_is_refused,
    ]
)
several = st.lists(keys, max_size=4)
mappings = st.dictionaries(keys, stored, max_size=4)


@st.composite
def programs(draw: st.DrawFn) -> oracle.Program:
    """What is deleted in a transaction stays so: where a new value would stand is not promised."""
    deleted = draw(st.lists(keys, max_size=2, unique=True))
    kept = st.sampled_from([name for name in NAMES if name not in deleted])
    steps = st.one_of(
        st.tuples(st.just("get"), keys),
        st.tuples(st.just("keys"), prefixes),
        st.tuples(st.just("set"), kept, stored),
        st.tuples(st.just("increment"), kept, numbers),
        st.sampled_from([("delete", name) for name in deleted] or [("get", "a")]),
        st.just(("set", "a", Refused())) if "a" not in deleted else st.just(("fail",)),
    )
    return draw(st.lists(steps, max_size=6))


# What the engine does in one step, so that many at once have the order in which they were started.
in_one_step = st.one_of(
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("get"), keys, small),
    st.tuples(st.just("set"), keys, stored),
    st.tuples(st.just("set"), keys, stored),
    st.tuples(st.just("set"), keys, st.just([{"in": Refused()}])),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("add"), keys, stored),
    st.tuples(st.just("setdefault"), keys, stored),
    st.tuples(st.just("pop"), keys),
    st.tuples(st.just("pop"), keys, small),
    st.tuples(st.just("increment"), keys),
    st.tuples(st.just("increment"), keys, by, numbers),
    st.tuples(st.just("contains"), keys),
    st.tuples(st.just("set_many"), mappings),
    st.tuples(st.just("set_many"), st.just({"a": 1, "b": Refused()})),
    st.tuples(st.just("get_many"), several),
    st.tuples(st.just("delete_many"), several),
    st.tuples(st.just("get_all"), prefixes),
    st.tuples(st.just("keys"), prefixes),
    st.tuples(st.just("count"), prefixes),
    st.tuples(st.just("delete_prefix"), prefixes.filter(bool)),
    st.tuples(st.just("prune"), prefixes, st.sampled_from(AGES)),
)
in_one_go = in_one_step | st.tuples(st.just("items"), prefixes) | st.tuples(st.just("clear"))
edits_and_updates = st.one_of(
    st.tuples(st.just("update"), keys, functions, small),
    st.tuples(st.just("edit"), keys, blocks),
    st.tuples(st.just("edit"), keys, blocks, lists),
)
transactions = st.tuples(st.just("transact"), programs())
# What a `KV` and a dict have in common.
as_mapping: list[Callable[[Any, str], Any]] = [
    lambda mapping, key: mapping[key],
    lambda mapping, key: mapping.__setitem__(key, [key]),
    lambda mapping, key: mapping.__delitem__(key),
    lambda mapping, key: (key in mapping, mapping.update({key: None}), key in mapping),
    lambda mapping, key: mapping.setdefault(key),
    lambda mapping, key: mapping.update({key: 1, "b": 2}),
    lambda mapping, key: (len(mapping), bool(mapping.keys() & {key}), [*mapping.values()]),
    lambda mapping, key: [mapping.pop(key) for key in [*mapping]],
    lambda mapping, key: mapping == {**mapping} and dict(mapping.items()),
]


def on_aiokv(store: AioKV, operation: Operation) -> Coroutine[Any, Any, Any]:
    """The coroutine of an operation. What it answers is as with the oracle."""

    async def edit(key: str, block: Callable[[Any], None], *default: Any) -> None:
        async with store.edit(key, *default) as value:
            block(value)
            await asyncio.sleep(0)

    async def transact(program: oracle.Program) -> Any:
        async def awaits(t: Any) -> list[Any]:
            answers = []
            for step in program:
                answers += oracle.run([step], t)
                await asyncio.sleep(0)
            return answers

        # Both kinds of functions, by turns.
        is_async = len(program) % 2
        return await store.transact(awaits if is_async else lambda t: oracle.run(program, t))

    async def items(prefix: str) -> list[tuple[str, Any]]:
        return [item async for item in store.items(prefix)]

    async def prune(prefix: str, older_than: float) -> int:
        return await store.prune(prefix, older_than=older_than)

    name, *arguments = operation
    special = {"edit": edit, "transact": transact, "items": items, "prune": prune}
    coroutine: Coroutine[Any, Any, Any] = special.get(name, getattr(store, name))(*arguments)
    return coroutine


def on_kv(store: KV, parts: Parts, operation: Operation) -> Any:
    """Does an operation. What it answers is as with the oracle."""
    store = store.namespace(*parts)
    match operation:
        case "edit", key, block, *default:
            with store.edit(key, *default) as value:
                return block(value)
        case "transact", program:
            return store.transact(lambda t: oracle.run(program, t))
        case "prune", prefix, older_than:
            return store.prune(prefix, older_than=older_than)
        case name, *arguments:
            answer = getattr(store, name)(*arguments)
            return list(answer) if name in ("keys", "items") else answer


def outcome(call: Callable[[], Any]) -> str:
    """What an operation answers or raises, to the type of a number and the order of a dict."""
    try:
        return repr(call())
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return type(error).__name__
