"""The storage and the isolation for aiogram, beyond what aiogram's own tests cover."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.base import StorageKey
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram_processes import (
    KEY,
    add_20_photos,
    change_state_and_data_for_ever,
    fork_inside_a_handler,
    hold_the_lock,
    process,
    stop_between_state_and_data,
    update_data_20_times,
)
from aiokv import AioKV
from aiokv.ext.aiogram import AioKVEventIsolation, AioKVStorage, one_commit
from helpers import start

NAME = "fsm:42:-7:7"


class Form(StatesGroup):
    name = State()
    age = State()


def content(path: Path) -> Any:
    return json.loads(path.read_bytes())


@pytest.fixture
def state(kv: AioKV) -> FSMContext:
    return FSMContext(AioKVStorage(kv), KEY)


@pytest.fixture
def isolation(kv: AioKV) -> AioKVEventIsolation:
    return AioKVEventIsolation(kv)


# --- the storage ---


async def test_a_conversation_is_one_readable_entry(state: FSMContext, path: Path) -> None:
    await state.set_state(Form.name)
    assert content(path) == {NAME: {"state": "Form:name"}}
    await state.update_data(name="Ada", tags=["a"])
    assert content(path) == {NAME: {"state": "Form:name", "data": {"name": "Ada", "tags": ["a"]}}}
    await state.set_state(None)
    assert content(path) == {NAME: {"data": {"name": "Ada", "tags": ["a"]}}}
    await state.clear()
    assert content(path) == {}


async def test_ten_updates_of_one_conversation_at_once_are_all_there(state: FSMContext) -> None:
    numbers = {str(number): number for number in range(10)}
    await asyncio.gather(
        *(state.update_data({key: number}) for key, number in numbers.items()),
        state.set_state(Form.age),
    )
    assert await state.get_data() == numbers
    assert await state.get_state() == "Form:age"


def test_the_updates_of_two_processes_are_all_there(path: Path) -> None:
    with process(update_data_20_times, path, "a"), process(update_data_20_times, path, "b"):
        pass
    expected = {f"{name} {number}": number for name in "ab" for number in range(20)}
    assert content(path)[NAME]["data"] == expected


async def test_conversations_never_meet(kv: AioKV) -> None:
    parts: list[dict[str, Any]] = [
        {},
        {"thread_id": 1},
        {"thread_id": 0},
        {"business_connection_id": "1"},
        {"business_connection_id": "1:destiny:x"},
        {"business_connection_id": "1", "destiny": "x"},
        {"business_connection_id": ""},
        {"destiny": "thread:1"},
        {"destiny": "business:1"},
        {"destiny": "scenes_history"},
        {"thread_id": 1, "business_connection_id": "1"},
        {"thread_id": 1, "business_connection_id": "1", "destiny": "x"},
    ]
    keys = [StorageKey(bot_id=1, chat_id=2, user_id=3, **part) for part in parts]
    keys += [StorageKey(1, 2, 4), StorageKey(1, 4, 3), StorageKey(4, 2, 3)]
    storage = AioKVStorage(kv)
    for number, key in enumerate(keys):
        await storage.set_data(key, {"number": number})
    assert await kv.count("fsm:") == len(keys)
    for number, key in enumerate(keys):
        assert await storage.get_data(key) == {"number": number}


async def test_a_thread_a_connection_and_a_destiny_can_be_read_in_the_file(
    kv: AioKV, path: Path
) -> None:
    key = StorageKey(42, -7, 7, thread_id=5, business_connection_id="AbC=", destiny="scenes")
    await AioKVStorage(kv).set_state(key, "x")
    assert list(content(path)) == ["fsm:42:-7:7:thread:5:business:AbC%3D:destiny:scenes"]


async def test_data_is_taken_as_it_is_at_that_moment(state: FSMContext) -> None:
    photos = [1]
    changing = await start(state.set_data({"photos": photos}))
    photos.append(2)
    await changing
    assert await state.get_data() == {"photos": [1]}
    (await state.get_data())["photos"].append(3)
    assert await state.get_data() == {"photos": [1]}


@pytest.mark.parametrize("change", ["set_data", "update_data"])
async def test_data_without_json_is_refused_with_its_place(
    state: FSMContext, path: Path, change: str
) -> None:
    await state.set_data({"name": "Ada"})
    with pytest.raises(TypeError, match=r"\$\.friends\[0\]"):
        await getattr(state, change)({"friends": [object()]})
    assert content(path) == {NAME: {"data": {"name": "Ada"}}}


@pytest.mark.parametrize(
    "entry",
    [5, "Form:name", [], {"state": 5}, {"data": []}, {"data": None}, {"state": "", "data": 0}],
)
async def test_an_entry_that_is_no_conversation_is_named_and_stays(
    state: FSMContext, kv: AioKV, path: Path, entry: Any
) -> None:
    await kv.set(NAME, entry)
    attempts: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        state.get_state,
        state.get_data,
        lambda: state.set_state(Form.name),
        lambda: state.update_data(a=1),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match=f"'{NAME}' of '{path}' is no conversation"):
            await attempt()
    assert content(path) == {NAME: entry}


async def test_a_state_is_a_text(state: FSMContext, path: Path) -> None:
    await state.set_state("Form:name")
    with pytest.raises(TypeError, match="not int"):
        await state.set_state(5)  # type: ignore[arg-type]
    assert content(path) == {NAME: {"state": "Form:name"}}


async def test_closing_leaves_one_file_with_everything_and_the_storage_can_go_on(
    path: Path,
) -> None:
    storage = AioKVStorage(AioKV(path, journal="always", checkpoint_pace=0))
    for number in (1, 2):
        await storage.update_data(KEY, {str(number): number})
        await storage.close()
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]
        assert len(content(path)[NAME]["data"]) == number


# --- several changes as one ---


async def test_the_changes_of_a_block_are_one_commit(state: FSMContext, path: Path) -> None:
    await state.set_data({"name": "Ada"})
    before = path.stat().st_ino
    async with one_commit(state):
        await state.set_state(Form.age)
        assert await state.update_data(age=36) == {"name": "Ada", "age": 36}
        await state.update_data(city="London")
        assert path.stat().st_ino == before
        assert content(path) == {NAME: {"data": {"name": "Ada"}}}
    assert path.stat().st_ino != before
    data = {"name": "Ada", "age": 36, "city": "London"}
    assert content(path) == {NAME: {"state": "Form:age", "data": data}}


async def test_a_block_sees_its_own_changes_and_others_do_not(
    state: FSMContext, path: Path
) -> None:
    other = FSMContext(AioKVStorage(AioKV(path)), KEY)
    async with one_commit(state):
        await state.set_state(Form.name)
        await state.set_data({"name": "Ada"})
        assert await state.get_state() == "Form:name"
        assert await state.get_value("name") == "Ada"
        assert await other.get_state() is None
        assert await other.get_data() == {}
    assert await other.get_data() == {"name": "Ada"}


async def test_a_block_that_raises_changes_nothing(state: FSMContext, path: Path) -> None:
    await state.set_state(Form.name)
    with pytest.raises(ZeroDivisionError):
        async with one_commit(state):
            await state.clear()
            raise ZeroDivisionError
    assert content(path) == {NAME: {"state": "Form:name"}}
    await state.update_data(name="Ada")
    assert content(path) == {NAME: {"state": "Form:name", "data": {"name": "Ada"}}}


async def test_a_block_keeps_what_others_changed_meanwhile(state: FSMContext, path: Path) -> None:
    other = FSMContext(AioKVStorage(AioKV(path)), KEY)
    async with one_commit(state):
        await state.set_state(Form.age)
        await state.update_data(name="Ada")
        await other.update_data(photo=1)
    assert await state.get_data() == {"photo": 1, "name": "Ada"}


async def test_a_block_is_about_one_conversation(state: FSMContext, path: Path) -> None:
    neighbour = FSMContext(state.storage, StorageKey(bot_id=42, chat_id=-7, user_id=8))
    async with one_commit(state):
        await neighbour.set_state(Form.name)
        assert content(path) == {"fsm:42:-7:8": {"state": "Form:name"}}


async def test_a_block_in_a_block_belongs_to_the_outer_one(state: FSMContext, path: Path) -> None:
    async with one_commit(state):
        async with one_commit(state):
            await state.update_data(a=1)
        with pytest.raises(ZeroDivisionError):
            async with one_commit(state):
                await state.update_data(b=2)
                raise ZeroDivisionError
        assert await state.get_data() == {"a": 1}
        assert not path.exists()
    assert content(path) == {NAME: {"data": {"a": 1}}}


async def test_a_task_that_outlives_its_block_still_makes_its_changes(state: FSMContext) -> None:
    is_over = asyncio.Event()

    async def change_later() -> None:
        await state.update_data(inside=1)
        await is_over.wait()
        await state.update_data(later=2)

    async with one_commit(state):
        task = await start(change_later())
    assert await state.get_data() == {"inside": 1}
    is_over.set()
    await task
    assert await state.get_data() == {"inside": 1, "later": 2}


async def test_a_block_needs_this_storage() -> None:
    state = FSMContext(MemoryStorage(), KEY)
    with pytest.raises(TypeError, match="MemoryStorage"):
        async with one_commit(state):
            pass


@pytest.mark.parametrize("commits", [1, 3, 8])
def test_a_kill_between_state_and_data_leaves_both_or_neither(path: Path, commits: int) -> None:
    with process(change_state_and_data_for_ever, path) as (killed, pipe):
        acknowledged = [pipe.recv() for _ in range(commits)][-1]
        killed.kill()
    entry = content(path)[NAME]
    assert entry["state"] == str(entry["data"]["number"])
    assert entry["data"]["number"] >= acknowledged


async def test_a_kill_inside_a_block_leaves_what_was_there(state: FSMContext, path: Path) -> None:
    await state.set_state("1")
    with process(stop_between_state_and_data, path) as (killed, pipe):
        assert pipe.recv() == "between"
        killed.kill()
    assert content(path) == {NAME: {"state": "1"}}


# --- the isolation ---


async def lock(isolation: AioKVEventIsolation) -> None:
    """Waits for the lock, and gives it back."""
    async with isolation.lock(KEY):
        pass


async def add_photo(state: FSMContext, isolation: AioKVEventIsolation, photo: int) -> None:
    async with isolation.lock(KEY):
        photos = await state.get_value("photos", [])
        await asyncio.sleep(0)
        await state.update_data(photos=[*photos, photo])


async def test_the_handlers_of_a_conversation_take_turns_in_order(
    state: FSMContext, isolation: AioKVEventIsolation
) -> None:
    await asyncio.gather(*(add_photo(state, isolation, number) for number in range(10)))
    assert await state.get_value("photos") == list(range(10))


async def test_handlers_of_other_conversations_do_not_wait(isolation: AioKVEventIsolation) -> None:
    async with isolation.lock(StorageKey(bot_id=42, chat_id=-7, user_id=8)):
        await lock(isolation)


def test_the_handlers_of_two_processes_take_turns(path: Path) -> None:
    with process(add_20_photos, path, "a"), process(add_20_photos, path, "b"):
        pass
    photos = content(path)[NAME]["data"]["photos"]
    assert sorted(photos) == sorted(f"{name} {number}" for name in "ab" for number in range(20))


async def test_two_event_loops_take_turns(isolation: AioKVEventIsolation) -> None:
    loop, is_held, may_end = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    async def hold() -> None:
        async with isolation.lock(KEY):
            loop.call_soon_threadsafe(is_held.set)
            may_end.wait(60)

    holding = loop.run_in_executor(None, asyncio.run, hold())
    await is_held.wait()
    waiting = await start(lock(isolation))
    try:
        assert not waiting.done()
    finally:
        may_end.set()
        await holding
    await asyncio.wait_for(waiting, 30)


async def test_a_killed_process_keeps_nobody_waiting(
    isolation: AioKVEventIsolation, path: Path
) -> None:
    with process(hold_the_lock, path) as (killed, pipe):
        assert pipe.recv() == "locked"
        locking = await start(lock(isolation))
        assert not locking.done()
        killed.kill()
    await asyncio.wait_for(locking, 30)


async def test_a_child_of_a_killed_process_keeps_nobody_waiting(
    isolation: AioKVEventIsolation, path: Path
) -> None:
    """The child was forked inside a handler, so it has the open files of its parent."""
    with process(fork_inside_a_handler, path) as (killed, pipe):
        assert pipe.recv() == "forked"
        killed.kill()
        await asyncio.wait_for(lock(isolation), 30)
        pipe.send("end")


async def test_a_cancelled_handler_lets_the_next_one_go_on(
    isolation: AioKVEventIsolation,
) -> None:
    async def hold() -> None:
        async with isolation.lock(KEY):
            await asyncio.Event().wait()

    holding, waiting = await start(hold()), await start(hold())
    for task in (waiting, holding):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await lock(isolation)


async def test_a_handler_that_would_wait_for_itself_is_told(
    isolation: AioKVEventIsolation,
) -> None:
    async with isolation.lock(KEY):
        with pytest.raises(RuntimeError, match="would wait for itself"):
            await lock(isolation)


async def test_closing_removes_the_file_of_the_locks_unless_one_is_held(
    isolation: AioKVEventIsolation, path: Path
) -> None:
    locks = path.with_name(".state.json.aiokv-locks")
    await isolation.close()
    async with isolation.lock(KEY):
        await isolation.close()
        assert locks.exists()
    await isolation.close()
    assert not locks.exists()
    async with isolation.lock(KEY):
        assert locks.exists()


async def test_a_task_that_waited_for_a_removed_file_locks_the_new_one(
    isolation: AioKVEventIsolation, path: Path
) -> None:
    """A bot that stops removes the file while another one waits for a lock of it."""
    locks = path.with_name(".state.json.aiokv-locks")
    with process(hold_the_lock, path) as (killed, pipe):
        assert pipe.recv() == "locked"
        waiting = await start(lock(isolation))
        locks.unlink()
        killed.kill()
    await asyncio.wait_for(waiting, 30)
    assert locks.exists()


async def test_a_process_has_one_file_open_for_all_its_locks(
    isolation: AioKVEventIsolation,
) -> None:
    """With a file for each lock, a thousand handlers at once reached the limit of open files."""
    keys = [StorageKey(bot_id=42, chat_id=-7, user_id=number) for number in range(1000)]
    async with AsyncExitStack() as stack:
        for key in keys:
            await stack.enter_async_context(isolation.lock(key))
        assert open_files().count(".state.json.aiokv-locks") == 1
    assert open_files().count(".state.json.aiokv-locks") == 0


def open_files() -> list[str]:
    return [file.resolve().name for file in Path("/proc/self/fd").iterdir()]


async def test_every_path_of_a_store_has_the_same_locks(tmp_path: Path) -> None:
    path, link = tmp_path / "state.json", tmp_path / "link.json"
    link.symlink_to(path)
    async with AioKVEventIsolation(AioKV(path)).lock(KEY):
        other = await start(lock(AioKVEventIsolation(AioKV(link))))
        assert not other.done()
    await asyncio.wait_for(other, 30)


@pytest.mark.parametrize("name", ["state.json", "s" * 255])
async def test_every_name_that_can_hold_the_file_has_locks(tmp_path: Path, name: str) -> None:
    isolation = AioKVEventIsolation(AioKV(tmp_path / "new" / name))
    await lock(isolation)
    await isolation.close()
    assert list((tmp_path / "new").iterdir()) == []


async def test_a_link_in_the_place_of_the_locks_is_refused(
    isolation: AioKVEventIsolation, path: Path
) -> None:
    path.with_name(".state.json.aiokv-locks").symlink_to(path.with_name("elsewhere"))
    with pytest.raises(OSError, match="aiokv-locks"):
        await lock(isolation)
    assert not path.with_name("elsewhere").exists()
