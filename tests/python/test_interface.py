"""The interface that programs already use: what each call returns, raises and logs."""

import asyncio
import importlib.resources
import inspect
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiokv
import pytest
from aiokv import AioKV, aiocache
from helpers import (
    Operation,
    names_in,
    next_turn,
    raising_operations,
    records_of_aiokv,
    start,
    writes_held_up,
)

METHODS = ["get", "set", "delete", "get_all", "clear", "close"]


class PathOf:
    """The least that `os.PathLike` asks for."""

    def __init__(self, path: Any) -> None:
        self.path = path

    def __fspath__(self) -> Any:
        return self.path


# --- construction ---


def test_aiocache_is_the_same_class_under_its_first_name() -> None:
    assert aiocache is AioKV


@pytest.mark.parametrize("kind", [str, Path, PathOf])
async def test_a_path_may_be_a_string_or_path_like(path: Path, kind: Callable[[str], Any]) -> None:
    await AioKV(kind(str(path))).set("a", 1)
    assert json.loads(path.read_bytes()) == {"a": 1}


@pytest.mark.parametrize("wrong", [b"state.json", PathOf(b"state.json"), 3, None])
def test_anything_else_as_a_path_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError):
        AioKV(wrong)


def test_options_are_keyword_only(path: Path) -> None:
    with pytest.raises(TypeError):
        AioKV(path, False)  # type: ignore[call-arg]


def test_an_unknown_option_is_a_type_error(path: Path) -> None:
    with pytest.raises(TypeError, match="ttl"):
        AioKV(path, ttl=60)  # type: ignore[call-arg]


def test_the_constructor_needs_no_event_loop_and_creates_nothing(tmp_path: Path) -> None:
    AioKV(tmp_path / "missing" / "state.json")
    assert names_in(tmp_path) == []


def test_the_constructor_does_not_look_at_the_path(tmp_path: Path) -> None:
    (tmp_path / "loop.json").symlink_to("loop.json")
    (tmp_path / "damaged.json").write_text("{")
    AioKV(tmp_path)
    AioKV(tmp_path / "loop.json")
    AioKV(tmp_path / "damaged.json")


async def test_a_relative_path_belongs_to_the_directory_of_construction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "first")
    kv = AioKV("state.json")
    monkeypatch.chdir(tmp_path / "second")
    await kv.set("a", 1)
    assert names_in(tmp_path / "first") == ["state.json"]
    assert names_in(tmp_path / "second") == []


def test_the_package_says_that_it_is_typed() -> None:
    assert importlib.resources.files(aiokv).joinpath("py.typed").is_file()


def test_every_public_name_can_be_imported_and_is_listed_before_it_was() -> None:
    code = """
import aiokv
assert {*aiokv.__all__} <= {*dir(aiokv)}
for name in aiokv.__all__:
    assert getattr(aiokv, name) is getattr(aiokv, name)
from aiokv import *
assert AioKV is aiocache is aiokv.AioKV
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_the_package_does_not_have_is_named() -> None:
    with pytest.raises(AttributeError, match="module 'aiokv' has no attribute 'KeyValue'"):
        aiokv.KeyValue  # type: ignore[attr-defined]  # noqa: B018


# --- get, set, delete, get_all, clear ---


async def test_get_returns_what_was_set(kv: AioKV) -> None:
    await kv.set("last_command", "ping")
    assert await kv.get("last_command") == "ping"


async def test_get_of_an_absent_key_is_none(kv: AioKV) -> None:
    assert await kv.get("absent") is None


async def test_get_of_an_absent_key_is_the_default_itself(kv: AioKV) -> None:
    default = object()
    assert await kv.get("absent", default=default) is default


async def test_the_default_does_not_replace_a_stored_value(kv: AioKV) -> None:
    await kv.set("a", 0)
    assert await kv.get("a", default=1) == 0


async def test_set_without_a_value_stores_the_time_in_seconds(kv: AioKV) -> None:
    before = int(time.time())
    await kv.set("seen_ran_cleanup")
    stored = await kv.get("seen_ran_cleanup")
    assert type(stored) is int
    assert before <= stored <= int(time.time())


async def test_set_of_none_stores_null(kv: AioKV, path: Path) -> None:
    await kv.set("a", None)
    assert await kv.get("a", default=1) is None
    assert json.loads(path.read_bytes()) == {"a": None}


async def test_the_last_set_of_a_key_wins(kv: AioKV) -> None:
    await kv.set("a", 1)
    await kv.set("a", 2)
    assert await kv.get_all() == {"a": 2}


async def test_arguments_may_be_given_by_name(kv: AioKV) -> None:
    await kv.set(key="a", value=1)
    assert await kv.get(key="a") == 1
    assert await kv.delete(key="a") is True


async def test_delete_of_a_key_is_true(kv: AioKV) -> None:
    await kv.set("a", 1)
    assert await kv.delete("a") is True
    assert await kv.get("a", default="gone") == "gone"


async def test_delete_of_an_absent_key_is_true(kv: AioKV) -> None:
    assert await kv.delete("a") is True


async def test_delete_leaves_the_other_keys(kv: AioKV) -> None:
    await kv.set("a", 1)
    await kv.set("b", 2)
    await kv.delete("a")
    assert await kv.get_all() == {"b": 2}


async def test_get_all_of_a_missing_file_is_an_empty_dict(kv: AioKV) -> None:
    assert await kv.get_all() == {}


async def test_get_all_has_the_order_of_insertion(kv: AioKV) -> None:
    for key in ("b", "a", "c"):
        await kv.set(key, key)
    await kv.set("b", "changed")
    assert list((await kv.get_all()).items()) == [("b", "changed"), ("a", "a"), ("c", "c")]


async def test_a_key_set_again_after_its_deletion_comes_last(kv: AioKV) -> None:
    for key in ("a", "b"):
        await kv.set(key, key)
    await kv.delete("a")
    await kv.set("a", 1)
    assert list(await kv.get_all()) == ["b", "a"]


async def test_clear_is_true_and_the_file_is_gone(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    assert await kv.clear() is True
    assert not path.exists()
    assert await kv.get_all() == {}


async def test_clear_of_a_missing_file_is_true(kv: AioKV) -> None:
    assert await kv.clear() is True


async def test_reads_create_nothing(tmp_path: Path) -> None:
    kv = AioKV(tmp_path / "missing" / "state.json")
    await kv.get("a")
    await kv.get_all()
    assert names_in(tmp_path) == []


# --- errors ---


@raising_operations
async def test_a_damaged_file_raises(kv: AioKV, path: Path, operation: Operation) -> None:
    path.write_text("{")
    with pytest.raises(json.JSONDecodeError):
        await operation(kv)


@raising_operations
async def test_an_io_error_raises(kv: AioKV, path: Path, operation: Operation) -> None:
    path.mkdir()
    with pytest.raises(OSError):
        await operation(kv)


async def test_delete_on_a_damaged_file_logs_the_traceback_and_is_false(
    kv: AioKV, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("{")
    assert await kv.delete("a") is False
    assert_logged(caplog, json.JSONDecodeError)


@pytest.mark.parametrize("operation", [lambda kv: kv.delete("a"), AioKV.clear])
async def test_delete_and_clear_log_an_io_error_with_traceback_and_are_false(
    kv: AioKV, path: Path, caplog: pytest.LogCaptureFixture, operation: Operation
) -> None:
    path.mkdir()
    assert await operation(kv) is False
    assert_logged(caplog, OSError)


def assert_logged(caplog: pytest.LogCaptureFixture, kind: type[Exception]) -> None:
    [record] = records_of_aiokv(caplog)
    assert record.name == "aiokv"
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    _, error, traceback = record.exc_info
    assert isinstance(error, kind)
    assert traceback is not None


async def test_clear_removes_a_damaged_file(
    kv: AioKV, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("{")
    assert await kv.clear() is True
    assert not path.exists()
    assert records_of_aiokv(caplog) == []


async def test_what_succeeds_logs_nothing(kv: AioKV, caplog: pytest.LogCaptureFixture) -> None:
    await kv.set("a", 1)
    await kv.delete("a")
    await kv.clear()
    assert records_of_aiokv(caplog) == []


# --- coroutines ---


@pytest.mark.parametrize("name", METHODS)
def test_every_operation_is_a_coroutine_function(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(AioKV, name))


async def test_an_operation_can_become_a_task(kv: AioKV) -> None:
    await asyncio.create_task(kv.set("a", 1))
    assert await asyncio.create_task(kv.get("a")) == 1


if sys.version_info >= (3, 12):
    # uvloop does not know eager tasks.
    @pytest.mark.asyncio(loop_factories=["asyncio"])
    async def test_an_operation_can_become_an_eager_task(kv: AioKV) -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await asyncio.create_task(kv.set("a", 1))
        assert await asyncio.create_task(kv.get("a")) == 1


def test_a_forgotten_await_warns_and_does_nothing(kv: AioKV, path: Path) -> None:
    with pytest.warns(RuntimeWarning, match=r"AioKV\.set.* was never awaited"):
        kv.set("a", 1)  # type: ignore[unused-coroutine]
    assert not path.exists()


async def test_a_get_of_loaded_state_never_waits(kv: AioKV) -> None:
    await kv.set("a", 1)
    with pytest.raises(StopIteration) as finished:
        kv.get("a").send(None)
    assert finished.value.value == 1


async def test_the_loop_runs_on_while_a_write_waits(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    await kv.set("b", 2)
    with writes_held_up(path):
        writing = await start(kv.set("a", 3))
        assert await kv.get("b") == 2
        assert not writing.done()
    await writing


# --- close ---


async def test_close_finishes_pending_writes(kv: AioKV, path: Path) -> None:
    writing = await start(kv.set("a", 1))
    await kv.close()
    assert json.loads(path.read_bytes()) == {"a": 1}
    await writing


async def test_close_may_be_repeated(kv: AioKV) -> None:
    await kv.set("a", 1)
    await kv.close()
    await kv.close()


async def test_close_of_an_unused_store_creates_nothing(kv: AioKV, tmp_path: Path) -> None:
    await kv.close()
    assert names_in(tmp_path) == []


async def test_close_does_not_mind_a_damaged_file(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    path.write_text("{")
    await kv.close()
    assert path.read_text() == "{"


async def test_a_closed_store_opens_again_by_itself(kv: AioKV) -> None:
    await kv.set("a", 1)
    await kv.close()
    assert await kv.get("a") == 1
    await kv.close()
    await kv.set("b", 2)
    assert await kv.get_all() == {"a": 1, "b": 2}


async def test_close_leaves_other_stores_on_the_file_open(kv: AioKV, path: Path) -> None:
    other = AioKV(path)
    await other.set("a", 1)
    await kv.close()
    await other.set("b", 2)
    assert await other.get_all() == {"a": 1, "b": 2}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs a list of open files")
async def test_close_lets_go_of_the_file(kv: AioKV, tmp_path: Path) -> None:
    async def until_it_is_not_open() -> None:
        while any(is_open.resolve().parent == tmp_path for is_open in open_files.iterdir()):
            await next_turn()

    open_files = Path("/proc/self/fd")
    await kv.set("a", 1)
    await kv.close()
    await asyncio.wait_for(until_it_is_not_open(), timeout=10)


async def test_the_context_manager_is_the_store_and_closes_it(path: Path) -> None:
    async with AioKV(path) as kv:
        assert isinstance(kv, AioKV)
        writing = await start(kv.set("a", 1))
    assert json.loads(path.read_bytes()) == {"a": 1}
    await writing


async def test_the_context_manager_closes_after_an_error_and_lets_it_pass(path: Path) -> None:
    with pytest.raises(LookupError, match="of the program"):
        async with AioKV(path) as kv:
            writing = await start(kv.set("a", 1))
            raise LookupError("an error of the program")
    assert json.loads(path.read_bytes()) == {"a": 1}
    await writing
