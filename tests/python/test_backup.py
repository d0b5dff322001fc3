"""A copy of the store while it is in use."""

import asyncio
import errno
import json
from pathlib import Path

import pytest
from aiokv import KV, AioKV
from helpers import appending, names_in, run_program, start


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "backups").mkdir()
    return tmp_path / "backups" / "copy.json"


async def test_a_backup_is_a_store_with_the_same_content(kv: AioKV, target: Path) -> None:
    await kv.set_many({"b": [1], "a": {"x": "é"}})
    await kv.backup(target)
    assert list((await AioKV(target).get_all()).items()) == [("b", [1]), ("a", {"x": "é"})]


async def test_a_backup_has_what_is_in_the_journal(path: Path, target: Path) -> None:
    kv = appending(path)
    await kv.set("a", 1)
    await kv.set("b", 2)
    await kv.backup(target)
    assert json.loads(target.read_bytes()) == {"a": 1, "b": 2}


async def test_a_backup_of_a_missing_file_is_an_empty_store(kv: AioKV, target: Path) -> None:
    await kv.backup(target)
    assert json.loads(target.read_bytes()) == {}


async def test_a_backup_is_of_one_moment_while_changes_go_on(kv: AioKV, target: Path) -> None:
    async def change() -> None:
        number = 0
        while True:
            number += 1
            await kv.set_many({"a": number, "b": number})

    await kv.set_many({"a": 0, "b": 0})
    changing = await start(change())
    for _ in range(5):
        await kv.backup(target)
        content = json.loads(target.read_bytes())
        assert content["a"] == content["b"]
    changing.cancel()


async def test_a_backup_replaces_what_is_there_and_leaves_nothing_else(
    kv: AioKV, target: Path
) -> None:
    await kv.set("a", 1)
    target.write_text('{"old": 1}')
    await kv.backup(target)
    assert json.loads(target.read_bytes()) == {"a": 1}
    assert names_in(target.parent) == ["copy.json"]


async def test_a_backup_creates_missing_directories(kv: AioKV, tmp_path: Path) -> None:
    await kv.set("a", 1)
    await kv.backup(tmp_path / "new" / "deep" / "copy.json")
    assert names_in(tmp_path / "new" / "deep") == ["copy.json"]


async def test_a_backup_is_as_private_as_the_file(kv: AioKV, path: Path, target: Path) -> None:
    await kv.set("a", 1)
    path.chmod(0o600)
    await kv.backup(target)
    assert target.stat().st_mode & 0o777 == 0o600


async def test_a_backup_of_a_namespace_is_one_of_the_store(kv: AioKV, target: Path) -> None:
    await kv.set("a", 1)
    await kv.namespace("guild").backup(target)
    assert json.loads(target.read_bytes()) == {"a": 1}


@pytest.mark.parametrize("spelling", ["same", "dots", "link", "hard link", "directory link"])
async def test_the_file_of_the_store_is_refused(kv: AioKV, path: Path, spelling: str) -> None:
    await kv.set("a", 1)
    other = path.with_name("other")
    if spelling == "dots":
        other = path.parent / "x" / ".." / path.name
        (path.parent / "x").mkdir()
    elif spelling == "link":
        other.symlink_to(path)
    elif spelling == "hard link":
        other.hardlink_to(path)
    elif spelling == "directory link":
        other.symlink_to(path.parent)
        other /= path.name
    else:
        other = path
    with pytest.raises(OSError, match="file of the store itself") as caught:
        await kv.backup(other)
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, str(other))
    assert json.loads(path.read_bytes()) == {"a": 1}


@pytest.mark.parametrize("name", ["state.json.journal", ".state.json.aiokv-tmp"])
async def test_the_other_files_of_the_store_are_refused(kv: AioKV, path: Path, name: str) -> None:
    with pytest.raises(OSError, match="file of the store itself"):
        await kv.backup(path.with_name(name))


async def test_a_store_with_a_journal_is_refused(kv: AioKV, journaled: Path, target: Path) -> None:
    before = journaled.read_bytes()
    with pytest.raises(OSError, match="journal"):
        await AioKV(target).backup(journaled)
    assert journaled.read_bytes() == before


async def test_a_backup_that_fails_leaves_what_was_there(kv: AioKV, target: Path) -> None:
    await kv.set("a", 1)
    target.mkdir()
    with pytest.raises(OSError):
        await kv.backup(target)
    assert names_in(target.parent) == ["copy.json"]


async def test_a_damaged_store_has_no_backup(kv: AioKV, path: Path, target: Path) -> None:
    path.write_text("{")
    with pytest.raises(json.JSONDecodeError):
        await kv.backup(target)
    assert names_in(target.parent) == []


async def test_the_loop_goes_on_during_a_backup(kv: AioKV, target: Path) -> None:
    await kv.set("a", 1)
    backing_up = await start(kv.backup(target))
    assert await kv.get("a") == 1
    await backing_up


def test_kv_makes_backups_too(path: Path, target: Path) -> None:
    kv = KV(path)
    kv["a"] = 1
    kv.backup(target)
    assert json.loads(target.read_bytes()) == {"a": 1}


async def test_two_backups_to_one_path_are_both_complete(kv: AioKV, target: Path) -> None:
    await kv.set("a", 1)
    await asyncio.gather(*(kv.backup(target) for _ in range(5)))
    assert json.loads(target.read_bytes()) == {"a": 1}
    assert names_in(target.parent) == ["copy.json"]


def test_a_backup_at_exit_is_complete(path: Path, target: Path) -> None:
    run_program(
        f"""
        import atexit
        atexit.register(lambda: asyncio.run(kv.backup({str(target)!r})))
        kv = AioKV(path)
        asyncio.run(kv.set("a", 1))
        """,
        path,
    )
    assert json.loads(target.read_bytes()) == {"a": 1}
