"""Contract section 6: the next operation sees a change of the file from outside."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokv import AioKV
from helpers import RAISING, run_program


def edit_in_place(path: Path, content: str) -> None:
    path.write_text(content)


def edit_by_replacing(path: Path, content: str) -> None:
    new = path.with_name("edited")
    new.write_text(content)
    new.replace(path)


Edit = Callable[[Path, str], None]
edits = pytest.mark.parametrize("edit", [edit_in_place, edit_by_replacing])


@edits
async def test_an_edit_is_seen_by_the_next_get(kv: AioKV, path: Path, edit: Edit) -> None:
    await kv.set("a", 1)
    edit(path, '{"a": 2, "b": "by hand"}')
    assert await kv.get("a") == 2


@edits
async def test_an_edit_is_seen_by_the_next_get_all(kv: AioKV, path: Path, edit: Edit) -> None:
    await kv.set("a", 1)
    edit(path, '{"a": 2, "b": "by hand"}')
    assert await kv.get_all() == {"a": 2, "b": "by hand"}


@edits
async def test_an_edit_of_the_same_length_is_seen(kv: AioKV, path: Path, edit: Edit) -> None:
    await kv.set("a", 1)
    edit(path, path.read_text().replace("1", "2"))
    assert await kv.get("a") == 2


@edits
async def test_the_next_set_keeps_an_edit(kv: AioKV, path: Path, edit: Edit) -> None:
    await kv.set("a", 1)
    edit(path, '{"a": 2, "b": "by hand"}')
    await kv.set("c", 3)
    assert json.loads(path.read_bytes()) == {"a": 2, "b": "by hand", "c": 3}


@edits
async def test_the_next_delete_keeps_an_edit(kv: AioKV, path: Path, edit: Edit) -> None:
    await kv.set("a", 1)
    edit(path, '{"a": 2, "b": "by hand"}')
    await kv.delete("a")
    assert json.loads(path.read_bytes()) == {"b": "by hand"}


async def test_a_file_removed_by_hand_is_an_empty_store(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    path.unlink()
    assert await kv.get("a") is None
    await kv.set("b", 2)
    assert await kv.get_all() == {"b": 2}
    assert json.loads(path.read_bytes()) == {"b": 2}


async def test_a_directory_removed_by_hand_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "directory" / "state.json"
    kv = AioKV(path)
    await kv.set("a", 1)
    path.unlink()
    path.parent.rmdir()
    assert await kv.get_all() == {}
    await kv.set("b", 2)
    assert json.loads(path.read_bytes()) == {"b": 2}


async def test_a_file_created_by_hand_is_seen(kv: AioKV, path: Path) -> None:
    assert await kv.get("a") is None
    path.write_text('{"a": 1}')
    assert await kv.get("a") == 1


async def test_a_file_written_by_another_process_is_seen(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    run_program('asyncio.run(AioKV(path).set("b", 2))', path)
    assert await kv.get_all() == {"a": 1, "b": 2}
    await kv.set("c", 3)
    assert json.loads(path.read_bytes()) == {"a": 1, "b": 2, "c": 3}


@edits
async def test_a_file_that_turned_corrupt_raises_and_is_left_alone(
    kv: AioKV, path: Path, edit: Edit, caplog: pytest.LogCaptureFixture
) -> None:
    await kv.set("a", 1)
    edit(path, '{"a": 1')
    for operation in RAISING.values():
        with pytest.raises(json.JSONDecodeError):
            await operation(kv)
    assert await kv.delete("a") is False
    await kv.close()
    assert path.read_text() == '{"a": 1'
    edit(path, '{"a": 5}')
    assert await kv.get("a") == 5
