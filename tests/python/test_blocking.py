"""`KV`, the store for code without an event loop."""

import asyncio
import copy
import gc
import inspect
import json
import os
import pickle
import threading
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from aiokv import KV, AioKV, Change, Conflict, Transaction
from helpers import records_of_aiokv, run_program, writes_held_up


@pytest.fixture
def store(path: Path) -> KV:
    return KV(path)


def in_threads(count: int, work: Callable[[int], object]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- operations ---


def test_it_has_every_operation_of_aiokv() -> None:
    public = {name for name in vars(AioKV) if not name.startswith("_")}
    assert public <= {name for name in dir(KV) if not name.startswith("_")}


@pytest.mark.parametrize("name", [name for name in vars(AioKV) if not name.startswith("_")])
def test_every_operation_has_the_parameters_of_aiokv(name: str) -> None:
    of_aiokv = list(inspect.signature(getattr(AioKV, name)).parameters)
    assert list(inspect.signature(getattr(KV, name)).parameters) == of_aiokv


def test_it_has_the_options_of_aiokv() -> None:
    assert inspect.signature(KV) == inspect.signature(AioKV)


def test_set_is_on_disk_when_it_returns(store: KV, path: Path) -> None:
    store.set("a", 1)
    assert json.loads(path.read_bytes()) == {"a": 1}


def test_get_of_an_absent_key_is_the_default(store: KV) -> None:
    assert store.get("absent") is None
    assert store.get("absent", 5) == 5


def test_set_without_a_value_stores_the_time(store: KV) -> None:
    store.set("a")
    assert abs(store.get("a") - time.time()) < 60


def test_one_key(store: KV) -> None:
    assert store.add("a", 1) is True
    assert store.setdefault("a", 5) == 1
    assert store.increment("a", 2) == 3
    assert store.update("a", lambda old: old * 2) == 6
    assert store.contains("a") is True
    assert store.pop("a") == 6
    assert store.pop("a", None) is None
    assert store.cooldown("b", 60) == 0.0
    assert 0.0 < store.cooldown("b", 60) <= 60
    assert 0.0 <= (store.age("b") or 0.0) < 60
    assert store.delete("b") is True


def test_several_keys(store: KV) -> None:
    store.set_many({"a": 1, "b": 2})
    assert store.get_many(["b", "c"]) == {"b": 2}
    assert store.delete_many(["b", "c"]) == 1
    assert store.get_all() == {"a": 1}


def test_by_prefix(store: KV) -> None:
    store.set_many({"p:b": 1, "p:a": 2, "other": 3})
    assert list(store.keys("p:")) == ["p:b", "p:a"]
    assert list(store.items("p:")) == [("p:b", 1), ("p:a", 2)]
    assert list(store.values("p:")) == [1, 2]
    assert store.count("p:") == 2
    assert store.prune("p:", older_than=1) == 2
    assert store.delete_prefix("other") == 1
    assert store.clear() is True


def test_a_transaction(store: KV) -> None:
    def function(t: Transaction) -> int:
        t.set("b", t.get("a"))
        t.delete("a")
        return len(t.keys())

    store["a"] = 1
    assert store.transact(function) == 1
    assert store.get_all() == {"b": 1}


def test_a_transaction_refuses_a_coroutine_function(store: KV) -> None:
    async def function(t: Transaction) -> None:
        pass

    with pytest.raises(TypeError, match="plain function"):
        _ = store.transact(function)


def test_an_edit_is_written_when_the_block_ends(store: KV) -> None:
    with store.edit("a", default=[]) as value:
        value.append(1)
    assert store["a"] == [1]


def test_an_edit_that_raises_writes_nothing(store: KV) -> None:
    with pytest.raises(ZeroDivisionError), store.edit("a", default=[]) as value:
        value.append(1 / 0)
    assert "a" not in store


def test_an_edit_whose_key_is_set_meanwhile_is_a_conflict(store: KV) -> None:
    with pytest.raises(Conflict), store.edit("a", default=[]) as value:
        value.append(1)
        store["a"] = 5
    assert store["a"] == 5


def test_an_edit_inside_an_edit_of_the_key_is_an_error(store: KV) -> None:
    with store.edit("a", default=[]), pytest.raises(RuntimeError, match="wait for itself"):
        store.edit("a", default=[]).__enter__()


def test_a_namespace(store: KV, path: Path) -> None:
    guild = store.namespace("guild", 12)
    guild["a"] = 1
    assert isinstance(guild, KV)
    assert dict(guild) == {"a": 1}
    assert dict(store) == {"guild:12:a": 1}
    assert repr(guild) == f"KV('{path}').namespace('guild', '12')"


def test_changes_are_told(store: KV, path: Path) -> None:
    with store.watch() as changes:
        store["a"] = 1
        assert next(changes) == Change("a", None, 1)
        run_program('asyncio.run(AioKV(path).set("a", 2))', path)
        assert next(changes) == ("a", 1, 2)


def test_changes_are_told_while_another_thread_makes_them(store: KV) -> None:
    with store.watch() as changes:
        setting = threading.Thread(target=store.set, args=("a", 1))
        setting.start()
        assert next(changes) == ("a", None, 1)
        setting.join()


def test_a_failure_of_delete_and_clear_is_logged(
    store: KV, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.mkdir()
    assert (store.delete("a"), store.clear()) == (False, False)
    assert len(records_of_aiokv(caplog)) == 2


def test_a_damaged_file_raises(store: KV, path: Path) -> None:
    path.write_text("{")
    for operation in (store.__len__, lambda: store["a"], lambda: store.pop("a", None)):
        with pytest.raises(json.JSONDecodeError):
            operation()


# --- a mapping ---


def test_it_is_a_mutable_mapping(store: KV) -> None:
    assert isinstance(store, MutableMapping)


def test_it_does_what_a_dict_does(store: KV) -> None:
    number: Any = 7
    store["a"] = 1
    store["b"] = [2]
    store.update({"c": 3})
    del store["b"]
    assert dict(store) == {"a": 1, "c": 3}
    assert (len(store), "a" in store, "b" in store, number in store) == (2, True, False, False)
    assert store == {"a": 1, "c": 3}
    assert store.keys() & {"a", "z"} == {"a"}
    assert store.popitem()[0] in {"a", "c"}


@pytest.mark.parametrize("operation", [KV.__getitem__, KV.__delitem__])
def test_an_absent_key_is_a_key_error(store: KV, operation: Any) -> None:
    with pytest.raises(KeyError, match="absent"):
        operation(store, "absent")


def test_a_loop_goes_through_the_keys_of_its_beginning(store: KV) -> None:
    store.update({"a": 1, "b": 2})
    for key in store:
        del store[key]
        store[key + "new"] = 1
    assert set(store) == {"anew", "bnew"}


def test_an_empty_store_is_true(store: KV) -> None:
    assert store
    assert len(store) == 0


def test_the_context_manager_closes_the_store(path: Path) -> None:
    with KV(path, journal="always") as store:
        store["a"] = 1
        store["b"] = 2
    assert json.loads(path.read_bytes()) == {"a": 1, "b": 2}


def test_a_copy_is_the_same_store(store: KV) -> None:
    assert copy.copy(store) is copy.deepcopy(store) is store


def test_pickling_says_to_send_the_path(store: KV) -> None:
    with pytest.raises(TypeError, match="send its path"):
        pickle.dumps(store)


# --- event loops ---


WRITES: Any = {
    "set": lambda kv: kv.set("a", 1),
    "setitem": lambda kv: kv.__setitem__("a", 1),
    "delitem": lambda kv: kv.__delitem__("a"),
    "add": lambda kv: kv.add("a"),
    "edit": lambda kv: kv.edit("a", default=[]).__enter__(),
    "clear": lambda kv: kv.clear(),
    "set_many": lambda kv: kv.set_many({"a": 1}),
    "transact": lambda kv: kv.transact(lambda t: None),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_on_the_thread_of_a_loop_is_refused(
    store: KV, path: Path, write: Any
) -> None:
    with pytest.raises(RuntimeError, match=r"AioKV.*await kv\."):
        write(store)
    assert not path.exists()


async def test_a_read_on_the_thread_of_a_loop_is_possible(store: KV, kv: AioKV) -> None:
    await kv.set("a", 1)
    assert (store["a"], dict(store)) == (1, {"a": 1})


async def test_a_loop_may_use_it_in_a_thread(store: KV, kv: AioKV) -> None:
    await asyncio.gather(asyncio.to_thread(store.set, "a", 1), kv.set("b", 2))
    assert await kv.get_all() == await asyncio.to_thread(store.get_all)


# --- threads, processes, the end ---


@pytest.mark.parametrize(
    "increment",
    [
        lambda store: store.increment("a"),
        lambda store: store.update("a", lambda old: old + 1),
        lambda store: store.transact(lambda t: t.increment("a")),
    ],
    ids=["increment", "update", "transact"],
)
def test_nothing_is_lost_among_threads(store: KV, increment: Any) -> None:
    store["a"] = 0
    in_threads(8, lambda number: [increment(store) for _ in range(10)])
    assert store["a"] == 80


def test_edits_in_threads_wait_for_each_other(store: KV) -> None:
    def append(number: int) -> None:
        with store.edit("a", default=[]) as value:
            value.append(number)

    in_threads(8, append)
    assert sorted(store["a"]) == list(range(8))


def test_other_threads_run_while_one_waits(store: KV, path: Path) -> None:
    store.update({"a": 1, "b": 1})
    with writes_held_up(path):
        setting = threading.Thread(target=store.set, args=("a", 2))
        setting.start()
        assert store["b"] == 1
    setting.join()
    assert store["a"] == 2


def test_a_thread_that_served_a_loop_may_end(store: KV, path: Path) -> None:
    """A thread that serves a store wakes the loops whose answers it has."""

    async def main() -> None:
        kv = AioKV(path)
        for number in range(20):
            thread = threading.Thread(target=store.set, args=("a", number))
            thread.start()
            await asyncio.gather(*(kv.set(f"b{index}", number) for index in range(20)))
            await asyncio.to_thread(thread.join)

    asyncio.run(main())
    gc.collect()
    assert store["a"] == 19


def test_it_works_in_the_child_of_a_fork(store: KV) -> None:
    store["parent"] = 1
    child = os.fork()
    if child == 0:
        store["child"] = store["parent"] + 1
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert dict(store) == {"parent": 1, "child": 2}


def test_a_signal_ends_a_wait_for_another_process(path: Path) -> None:
    run_program(
        """
        import fcntl, signal
        from aiokv import KV

        class Alarm(Exception):
            pass

        def handler(number, frame):
            raise Alarm

        kv = KV(path, lock_timeout=30)
        kv["a"] = 1
        signal.signal(signal.SIGALRM, handler)
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                kv["a"] = 2
            except Alarm:
                fcntl.flock(file, fcntl.LOCK_UN)
            else:
                sys.exit("no alarm")
        assert kv["a"] == 2
        """,
        path,
    )


def test_it_works_at_exit(path: Path) -> None:
    run_program(
        """
        import atexit
        late = None
        atexit.register(lambda: late.set("late", late["early"]))
        from aiokv import KV
        late = KV(path)
        late["early"] = 1
        """,
        path,
    )
    assert json.loads(path.read_bytes()) == {"early": 1, "late": 1}


def test_it_works_before_aiokv_is_imported_by_exit_handlers(path: Path) -> None:
    program = """
        import sys
        class Late:
            def __del__(self):
                store["late"] = 1
        store = __import__("aiokv").KV(path)
        late = Late()
        del late
        """
    run_program(program, path)
    assert json.loads(path.read_bytes()) == {"late": 1}
