"""Random operations on stores of one file, against a plain dict and plain `json`."""

import asyncio
import json
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from helpers import names_in, values
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

# Few, so that operations meet; odd ones, because they are spelled with escapes.
keys = st.sampled_from(["a", "b", "c", "", "é", "\ud800", 'quote"', "line\nbreak"])
which = st.sampled_from([0, 1, 2])
# Operations that run at once have an order if their stores have the same spelling of the path.
same_path = st.sampled_from([(0, 1), (2, 2)])

operations = st.one_of(
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("set"), keys, values()),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("get_all")),
    st.tuples(st.just("clear")),
)


def apply(state: dict[str, Any], operation: tuple[Any, ...]) -> Any:
    """Does to a plain dict what the operation does to a store, and returns its answer."""
    match operation:
        case "get", key:
            return state.get(key)
        case "set", key, value:
            state[key] = value
            return None
        case "delete", key:
            state.pop(key, None)
            return True
        case ("get_all",):
            return dict(state)
        case ("clear",):
            state.clear()
            return True


def call(store: AioKV, operation: tuple[Any, ...]) -> Coroutine[Any, Any, Any]:
    name, *arguments = operation
    coroutine: Coroutine[Any, Any, Any] = getattr(store, name)(*arguments)
    return coroutine


class StoresOnOneFile(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "state.json"
        self.link = self.path.with_name("link.json")
        self.link.symlink_to(self.path.name)
        self.loop = asyncio.new_event_loop()
        self.stores = [self.open(number) for number in range(3)]
        self.state: dict[str, Any] = {}

    def open(self, number: int) -> AioKV:
        return AioKV((self.path, self.path, self.link)[number], fsync=False)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    @rule(store=which, operation=operations)
    def one_operation(self, store: int, operation: tuple[Any, ...]) -> None:
        expected = apply(self.state, operation)
        assert repr(self.run(call(self.stores[store], operation))) == repr(expected)

    @rule(
        pair=same_path,
        batch=st.lists(st.tuples(st.sampled_from([0, 1]), operations), min_size=2, max_size=10),
    )
    def several_operations_at_once(
        self, pair: tuple[int, int], batch: list[tuple[int, tuple[Any, ...]]]
    ) -> None:
        async def at_once() -> list[Any]:
            return await asyncio.gather(
                *(call(self.stores[pair[which]], operation) for which, operation in batch)
            )

        answers = self.run(at_once())
        assert repr(answers) == repr([apply(self.state, operation) for _, operation in batch])

    @rule(store=which, key=keys)
    def a_refused_value(self, store: int, key: str) -> None:
        with pytest.raises(TypeError):
            self.run(self.stores[store].set(key, {"a": object()}))  # type: ignore[dict-item]

    @rule(store=which)
    def close(self, store: int) -> None:
        self.run(self.stores[store].close())

    @rule(store=which)
    def open_again(self, store: int) -> None:
        self.stores[store] = self.open(store)

    @rule(key=keys, value=values(), indent=st.sampled_from([None, 2]))
    def an_edit_by_hand(self, key: str, value: Any, indent: int | None) -> None:
        self.state[key] = value
        self.path.write_text(json.dumps(self.state, indent=indent))

    @rule()
    def the_file_is_removed_by_hand(self) -> None:
        self.state.clear()
        self.path.unlink(missing_ok=True)

    @invariant()
    def the_file_is_the_state(self) -> None:
        content = self.path.read_bytes().decode() if self.path.exists() else "{}"
        assert repr(json.loads(content)) == repr(self.state)

    @invariant()
    def nothing_else_is_in_the_directory(self) -> None:
        assert {*names_in(self.path.parent)} <= {"state.json", "link.json"}
        assert self.link.is_symlink()

    def teardown(self) -> None:
        for store in self.stores:
            self.run(store.close())
        self.loop.close()
        self.directory.cleanup()


TestStoresOnOneFile = StoresOnOneFile.TestCase
TestStoresOnOneFile.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
