"""Contract section 4: symbolic links stay, hard links keep the old content."""

import errno
import json
from pathlib import Path

import pytest
from aiokv import AioKV
from helpers import Operation, names_in, raising_operations


@pytest.fixture(params=["relative", "absolute", "chain", "other directory"])
def link(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A symbolic link to `real/target.json`."""
    target = tmp_path / "real" / "target.json"
    target.parent.mkdir()
    link = tmp_path / "state.json"
    if request.param == "relative":
        link.symlink_to("real/target.json")
    elif request.param == "absolute":
        link.symlink_to(target)
    elif request.param == "chain":
        link.symlink_to("second.json")
        (tmp_path / "second.json").symlink_to("real/third.json")
        (tmp_path / "real" / "third.json").symlink_to("target.json")
    else:
        (tmp_path / "link directory").symlink_to("real")
        link.symlink_to("link directory/target.json")
    return link


@pytest.mark.parametrize("exists", [True, False], ids=["existing target", "dangling"])
async def test_a_symlink_stays_and_its_target_is_replaced(link: Path, exists: bool) -> None:
    target = link.parent / "real" / "target.json"
    expected = {"new": 1}
    if exists:
        target.write_text('{"old": 0}')
        expected = {"old": 0, "new": 1}
    names = {*names_in(link.parent), *names_in(target.parent), "target.json"}
    links = {name: name.readlink() for name in link.parent.rglob("*") if name.is_symlink()}
    kv = AioKV(link)
    await kv.set("new", 1)
    assert await kv.get_all() == expected
    assert target.is_file()
    assert not target.is_symlink()
    assert json.loads(target.read_bytes()) == expected
    assert {name: name.readlink() for name in links} == links
    assert {*names_in(link.parent), *names_in(target.parent)} == names


async def test_a_dangling_symlink_is_an_empty_store(link: Path) -> None:
    assert await AioKV(link).get_all() == {}


@pytest.mark.parametrize("is_directory", [True, False])
async def test_nothing_is_created_behind_a_link_into_a_missing_directory(
    tmp_path: Path, is_directory: bool
) -> None:
    """The directory may be on a disk that is not mounted yet."""
    link = tmp_path / "link"
    link.symlink_to("missing" if is_directory else "missing/target.json")
    kv = AioKV(link / "state.json" if is_directory else link)
    with pytest.raises(FileNotFoundError, match=f"`{link}` is a symbolic link") as failure:
        await kv.set("a", 1)
    assert failure.value.errno == errno.ENOENT
    assert names_in(tmp_path) == ["link"]
    (tmp_path / "missing").mkdir()
    await kv.set("a", 1)
    assert names_in(tmp_path / "missing") == ["state.json" if is_directory else "target.json"]


async def test_clear_removes_the_target_and_leaves_the_symlink(link: Path) -> None:
    kv = AioKV(link)
    await kv.set("a", 1)
    assert await kv.clear() is True
    assert link.is_symlink()
    assert not link.exists()
    assert await kv.get_all() == {}


@pytest.mark.parametrize("target", ["other.json", "missing.json"])
async def test_a_file_that_became_a_symlink_is_not_written_until_the_store_is_closed(
    kv: AioKV, path: Path, target: str
) -> None:
    """With a link to nothing, such a write once waited for ever."""
    path.with_name("other.json").write_text('{"other": 1}')
    await kv.set("a", 1)
    path.unlink()
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        await kv.set("a", 2)
    assert json.loads(path.with_name("other.json").read_bytes()) == {"other": 1}
    await kv.close()
    await kv.set("a", 3)
    assert path.is_symlink()
    assert json.loads(path.read_bytes())["a"] == 3


@pytest.mark.parametrize("target", ["other", "missing"])
async def test_a_symlink_in_the_place_of_the_temporary_file_is_not_followed(
    kv: AioKV, path: Path, tmp_path: Path, target: str
) -> None:
    """With a link to nothing, such a write once waited for ever."""
    other = path.with_name("other")
    other.write_text("other")
    path.with_name(".state.json.aiokv-tmp").symlink_to(target)
    await kv.set("a", 1)
    assert json.loads(path.read_bytes()) == {"a": 1}
    assert not path.is_symlink()
    assert other.read_text() == "other"
    assert names_in(tmp_path) == ["other", "state.json"]


@pytest.fixture(params=["itself", "another link"])
def loop_of_links(request: pytest.FixtureRequest, path: Path) -> Path:
    if request.param == "itself":
        path.symlink_to(path.name)
    else:
        path.symlink_to("other.json")
        path.with_name("other.json").symlink_to(path.name)
    return path


@raising_operations
async def test_a_loop_of_symlinks_is_an_os_error(loop_of_links: Path, operation: Operation) -> None:
    with pytest.raises(OSError) as failure:
        await operation(AioKV(loop_of_links))
    assert (failure.value.errno, failure.value.filename) == (errno.ELOOP, str(loop_of_links))
    assert loop_of_links.is_symlink()


async def test_a_store_works_once_a_loop_of_symlinks_is_gone(loop_of_links: Path) -> None:
    kv = AioKV(loop_of_links)
    assert await kv.delete("a") is False
    assert await kv.clear() is False
    loop_of_links.unlink()
    await kv.set("a", 1)
    assert await kv.get("a") == 1


async def test_a_hard_link_keeps_the_old_content(kv: AioKV, path: Path, tmp_path: Path) -> None:
    await kv.set("a", 1)
    backup = tmp_path / "backup.json"
    backup.hardlink_to(path)
    await kv.set("a", 2)
    assert json.loads(backup.read_bytes()) == {"a": 1}
