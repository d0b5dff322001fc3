"""Random operations on stores of one file, in two processes, against a plain dict.

The stores differ in class, options, spelling of the path and process. The oracle says what every
operation answers, and what the file holds afterwards.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokv import KV, AioKV
from drawn_operations import (
    AGES,
    START,
    Operation,
    Parts,
    as_mapping,
    edits_and_updates,
    in_one_go,
    in_one_step,
    keys,
    namespaces,
    on_aiokv,
    on_kv,
    outcome,
    transactions,
)
from helpers import names_in, values
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from oracle import Below, Oracle, append, times_of
from second_process import SecondProcess

Steps = list[tuple[int, Parts, Operation]]

ROOT: Parts = ()
A_WHILE = 60
"""How many seconds an operation takes at most."""
# What raises because of a damaged file, and nothing else.
right_by_themselves = in_one_step.filter(
    lambda operation: (
        operation[0] not in ("delete", "increment") and "Refused" not in repr(operation)
    )
)
AIOKV = st.sampled_from([0, 1, 2])
# Operations that run at once have an order if their stores have the same spelling of the path.
SAME_PATH = st.sampled_from([(0, 1), (2, 2)])
# The last two are a `KV`, and one in another process.
ANY = st.sampled_from([0, 1, 2, 3, 4])


def steps_of(operation: st.SearchStrategy[Operation]) -> st.SearchStrategy[Steps]:
    return st.lists(st.tuples(ANY, namespaces, operation), min_size=3, max_size=20)


class StoresOnOneFile(RuleBasedStateMachine):
    second_process: SecondProcess

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "state.json"
        self.link = self.path.with_name("link.json")
        self.link.symlink_to(self.path.name)
        self.journal = self.path.with_name("state.json.journal")
        self.loop = asyncio.new_event_loop()
        self.stores = [self.open(number) for number in range(3)]
        self.kv = KV(self.path, fsync=False)
        self.state: dict[str, Any] = {}
        self.changes = self.stores[0].watch()
        self.run(self.changes.__aenter__())
        self.told: dict[str, Any] = {}

    def open(self, number: int) -> AioKV:
        if number == 0:
            # Small, so that it is passed in both directions.
            return AioKV(self.path, fsync=False, journal_threshold=200)
        if number == 1:
            return AioKV(self.path, fsync=False, journal="always", checkpoint_pace=0)
        return AioKV(self.link, fsync=False, journal="never")

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def elsewhere(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return self.second_process.start(str(self.path), call, *arguments).result()

    def oracle(self, parts: Parts = ROOT) -> Oracle:
        prefix = "".join(f"{part}:" for part in parts)
        return Oracle(Below(self.state, prefix) if prefix else self.state, START)

    def expected(self, parts: Parts, operation: Operation) -> str:
        name, *arguments = operation
        return outcome(lambda: getattr(self.oracle(parts), name)(*arguments))

    def perform(self, store: int, parts: Parts, operation: Operation) -> str:
        if store == 4:
            return outcome(lambda: self.elsewhere(on_kv, parts, operation))
        if store == 3:
            return outcome(lambda: on_kv(self.kv, parts, operation))
        kv = self.stores[store].namespace(*parts)
        return outcome(lambda: self.run(on_aiokv(kv, operation)))

    @rule(steps=steps_of(in_one_go))
    def one_after_another(self, steps: Steps) -> None:
        for store, parts, operation in steps:
            assert self.perform(store, parts, operation) == self.expected(parts, operation)
            if operation == ("clear",) and not parts:
                assert not self.path.exists()

    @rule(steps=steps_of(edits_and_updates))
    def edits_and_updates(self, steps: Steps) -> None:
        self.one_after_another(steps)

    @rule(steps=steps_of(transactions))
    def transactions(self, steps: Steps) -> None:
        self.one_after_another(steps)

    @rule(
        pair=SAME_PATH,
        parts=namespaces,
        batch=st.lists(st.tuples(st.sampled_from([0, 1]), in_one_step), min_size=2, max_size=10),
    )
    def several_operations_at_once(
        self,
        pair: tuple[int, int],
        parts: Parts,
        batch: list[tuple[int, Operation]],
    ) -> None:
        async def at_once() -> list[Any]:
            stores = [self.stores[number].namespace(*parts) for number in pair]
            coroutines = (on_aiokv(stores[which], operation) for which, operation in batch)
            return await asyncio.gather(*coroutines, return_exceptions=True)

        answers = self.run(at_once())
        for answer, (_, operation) in zip(answers, batch, strict=True):
            shown = type(answer).__name__ if isinstance(answer, Exception) else repr(answer)
            assert shown == self.expected(parts, operation)

    @rule(key=keys, which=st.sampled_from(as_mapping))
    def a_mapping(self, key: str, which: Callable[[Any, str], Any]) -> None:
        answer = outcome(lambda: which(self.kv, key))
        assert answer == outcome(lambda: which(self.state, key))

    def at_once(self, operations: list[tuple[int, Operation]]) -> list[Any]:
        """Does operations in all stores, on threads and in the other process, at once."""

        async def start(store: int, operation: Operation) -> Any:
            if store == 4:
                started = self.second_process.start(str(self.path), on_kv, ROOT, operation)
                return await asyncio.wrap_future(started)
            if store == 3:
                return await asyncio.to_thread(on_kv, self.kv, ROOT, operation)
            return await on_aiokv(self.stores[store], operation)

        async def gather() -> list[Any]:
            return await asyncio.gather(*(start(*operation) for operation in operations))

        answers: list[Any] = self.run(gather())
        return answers

    @rule(key=keys, ways=st.lists(st.tuples(ANY, st.integers(0, 2)), min_size=2, max_size=8))
    def counting_at_once(self, key: str, ways: list[tuple[int, int]]) -> None:
        """No addition is lost, whatever the operation, the thread and the process."""
        additions: list[Operation] = [
            ("increment", key),
            ("update", key, plus_one),
            ("transact", [("increment", key)]),
        ]
        self.run(self.stores[0].set(key, 0))
        answers = self.at_once([(store, additions[way]) for store, way in ways])
        counts = [answer[0] if isinstance(answer, list) else answer for answer in answers]
        assert sorted(counts) == [*range(1, len(ways) + 1)]
        self.oracle().set(key, len(ways))

    @rule(ways=st.lists(st.tuples(ANY, st.booleans(), st.booleans()), min_size=2, max_size=8))
    def transfers_at_once(self, ways: list[tuple[int, bool, bool]]) -> None:
        """A transaction sees those beside it whole or not at all, and so do those who only read."""
        transfers: list[tuple[int, Operation]] = []
        for store, only_reads, lists_keys in ways:
            program: list[Operation] = [("get", "a"), ("get", "b")]
            program += [] if only_reads else [("increment", "a", -1), ("increment", "b", 1)]
            program += [("keys", "a")] if lists_keys else []
            transfers.append((store, ("transact", program)))
        start = {"a": 10, "b": 10}
        self.run(self.stores[0].set_many(start))
        self.oracle().set_many(start)
        assert {a + b for a, b, *_ in self.at_once(transfers)} == {20}
        moved = sum(not only_reads for _, only_reads, _ in ways)
        self.oracle().set_many({"a": 10 - moved, "b": 10 + moved})

    @rule(key=keys, count=st.integers(1, 5), store=st.sampled_from([0, 1, 2, 3]))
    def edits_at_once(self, key: str, count: int, store: int) -> None:
        """In one event loop, and among the threads of a process, they wait for each other."""
        self.run(self.stores[0].set(key, []))
        self.at_once([(store, ("edit", key, append))] * count)
        self.oracle().set(key, ["more"] * count)

    @rule(store=ANY, key=keys, name=st.sampled_from(["set", "add"]))
    def the_time_is_stored(self, store: int, key: str, name: str) -> None:
        before = int(time.time())
        answer = self.perform(store, ROOT, (name, key))
        if name == "add":
            assert answer == repr(key not in self.state)
        if name == "set" or key not in self.state:
            stored = self.run(self.stores[0].get(key))
            assert type(stored) is int and before <= stored <= time.time()
            self.state[key] = stored

    @rule(store=ANY, key=keys)
    def an_age(self, store: int, key: str) -> None:
        answer = self.perform(store, ROOT, ("age", key))
        times = times_of(self.state.get(key))
        if key not in self.state:
            assert answer == "None"
        elif not times:
            assert answer == "TypeError"
        else:
            age = max(0, time.time() - times[-1])
            assert float(answer) == pytest.approx(age, rel=1e-9, abs=A_WHILE)

    @rule(store=ANY, key=keys, seconds=st.sampled_from(AGES), uses=st.sampled_from([1, 2, 3]))
    def a_cooldown(self, store: int, key: str, seconds: int, uses: int) -> None:
        before = time.time()
        answer = self.perform(store, ROOT, ("cooldown", key, seconds, uses))
        times = times_of(self.state.get(key, []))
        if times is None:
            assert answer == "TypeError"
            return
        # A time of the future is of before the clock went back, and counts as now.
        used = sorted(min(used, before) for used in times)
        recent = [use for use in used if use > START - seconds]
        value = self.run(self.stores[0].get(key))
        stored = value if isinstance(value, list) else [value]
        if len(recent) < uses:
            recent.append(before)
            assert answer == "0.0"
        else:
            assert float(answer) == pytest.approx(recent[-uses] + seconds - before, abs=A_WHILE)
            if used == sorted(times):
                return
        assert stored == pytest.approx(recent[-uses:], abs=A_WHILE)
        self.state[key] = value

    @rule(store=AIOKV)
    def a_backup(self, store: int) -> None:
        copy = self.path.with_name("backup.json")
        self.run(self.stores[store].backup(copy))
        assert repr(json.loads(copy.read_bytes())) == repr(self.state)
        copy.unlink()

    @rule(store=AIOKV, is_closed=st.booleans())
    def open_again(self, store: int, is_closed: bool) -> None:
        if is_closed:
            self.run(self.stores[store].close())
        self.stores[store] = self.open(store)

    @rule()
    def everybody_closes(self) -> None:
        for store in self.stores:
            self.run(store.close())
        self.kv.close()
        self.elsewhere(KV.close)
        assert {*names_in(self.path.parent)} <= {"state.json", "link.json"}

    @rule(key=keys, value=values(), indent=st.sampled_from([None, 2]), in_place=st.booleans())
    def an_edit_by_hand(self, key: str, value: Any, indent: int | None, in_place: bool) -> None:
        self.everybody_closes()
        self.state[key] = value
        written = self.path if in_place else self.path.with_name("edited")
        written.write_text(json.dumps(self.state, indent=indent))
        written.replace(self.path)

    @rule()
    def the_file_is_removed_by_hand(self) -> None:
        self.everybody_closes()
        self.state.clear()
        self.path.unlink(missing_ok=True)

    @rule(store=ANY, operation=right_by_themselves)
    def damage_by_hand(self, store: int, operation: Operation) -> None:
        self.everybody_closes()
        self.path.write_text('{"a": 1, "b"')
        assert self.perform(store, ROOT, operation) == "CorruptFileError"
        assert self.path.read_text() == '{"a": 1, "b"'
        self.path.write_text(json.dumps(self.state))

    @rule()
    def what_is_watched_comes_to_the_state(self) -> None:
        """The net changes lead, one after another, from what was there to what is."""

        async def changes() -> None:
            while self.told != without_null(self.state):
                try:
                    change = await anext(self.changes)
                except json.JSONDecodeError:
                    continue  # It was asked while there was damage.
                assert change.old == self.told.get(change.key)
                self.told[change.key] = change.new
                self.told = without_null(self.told)

        self.run(asyncio.wait_for(changes(), 30))

    @invariant()
    def the_disk_holds_the_state(self) -> None:
        # It may go at any time, when the file is brought up to date, but does not come now.
        has_journal = self.journal.exists()
        in_the_file = json.loads(self.path.read_bytes()) if self.path.exists() else {}
        held = self.elsewhere(on_kv, ROOT, ("get_all",)) if has_journal else in_the_file
        assert repr(held) == repr(self.state)

    @invariant()
    def nothing_else_is_in_the_directory(self) -> None:
        temporary = ".state.json.aiokv-tmp"  # A store that was dropped brings the file up to date.
        expected = {"state.json", "state.json.journal", "link.json", temporary}
        assert {*names_in(self.path.parent)} <= expected
        assert self.link.is_symlink()

    def teardown(self) -> None:
        self.run(self.changes.aclose())
        self.everybody_closes()
        self.second_process.close(str(self.path))
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        self.directory.cleanup()


def without_null(state: dict[str, Any]) -> dict[str, Any]:
    """A watcher tells no difference between null and nothing."""
    return {key: value for key, value in state.items() if value is not None}


def plus_one(value: int) -> int:
    return value + 1


@pytest.fixture(scope="module", autouse=True)
def second_process() -> Iterator[None]:
    StoresOnOneFile.second_process = SecondProcess()
    yield
    StoresOnOneFile.second_process.end()


TestStoresOnOneFile = StoresOnOneFile.TestCase
# Making a failing example smaller takes longer than a test may.
TestStoresOnOneFile.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
