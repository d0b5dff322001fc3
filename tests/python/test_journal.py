"""Contract section 8: the changes of a large state are appended to a journal beside the file."""

import asyncio
import fcntl
import json
import logging
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from helpers import (
    RAISING,
    Operation,
    names_in,
    raising_operations,
    records_of_aiokv,
    run_program,
    version_of,
)

# What the file of `left_behind` holds, and what it holds together with its journal.
IN_THE_FILE = {"first": 1}
EVERYTHING = {"first": 1, "second": 2, "third": 3}


@contextmanager
def folding_held_up(path: Path) -> Iterator[None]:
    """Holds the lock of the temporary file, as a slow process would that folds the journal.

    Changes are appended inside, and none gets into the file before the end of the block.
    """
    temporary = path.with_name(f".{path.name}.aiokv-tmp")
    with temporary.open("xb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            temporary.unlink()


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a file and its journal, as a process leaves them that is killed."""
    path = tmp_path_factory.mktemp("left_behind") / "state.json"
    path.write_text('{"first": 1}')
    with folding_held_up(path):
        run_program(
            """
            async def main():
                kv = AioKV(path, journal="always")
                await kv.set("second", 2)
                await kv.set("third", 3)
                os._exit(0)

            asyncio.run(main())
            """,
            path,
        )
    return path.parent


@pytest.fixture
def journal(path: Path) -> Path:
    """Where the journal of the store is going to be."""
    return path.with_name("state.json.journal")


@pytest.fixture
def journaled(path: Path, journal: Path, left_behind: Path) -> Path:
    """The path of a file that has a journal."""
    for name in (path.name, journal.name):
        shutil.copy(left_behind / name, path.with_name(name))
    return path


async def until(condition: Callable[[], bool], seconds: int) -> None:
    """Waits for something that happens by itself, for `seconds` at most.

    It counts its looks, not the time: while the machine stands still nothing can happen.
    """
    for _ in range(seconds * 100):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"it did not happen within {seconds} s")


def changes_in(journal: Path) -> list[str]:
    """What the lines of a journal say, without their checksums and numbers."""
    # Line feeds fill the space that is reserved behind the last line.
    _, *lines = journal.read_text(encoding="utf-8").rstrip("\n").split("\n")
    return [line.split(" ", 3)[3] for line in lines]


# --- when there is a journal ---


def content_of_size(size: int) -> bytes:
    return b'{"big": "' + b"x" * (size - 11) + b'"}'


async def test_a_file_of_a_mebibyte_is_replaced(kv: AioKV, path: Path, tmp_path: Path) -> None:
    path.write_bytes(content_of_size(1 << 20))
    await kv.set("a", 1)
    assert json.loads(path.read_bytes())["a"] == 1
    assert names_in(tmp_path) == ["state.json"]


async def test_changes_of_a_larger_file_are_appended(kv: AioKV, path: Path, journal: Path) -> None:
    content = content_of_size((1 << 20) + 1)
    path.write_bytes(content)
    with folding_held_up(path):
        await kv.set("a", 1)
        assert changes_in(journal) == ['+ "a": 1']
        assert path.read_bytes() == content


async def test_the_threshold_is_an_option(path: Path, journal: Path) -> None:
    path.write_bytes(content_of_size(101))
    await AioKV(path, journal_threshold=101).set("replaced", 1)
    assert "replaced" in json.loads(path.read_bytes())
    assert path.stat().st_size > 101
    with folding_held_up(path):
        await AioKV(path, journal_threshold=101).set("appended", 1)
        assert changes_in(journal) == ['+ "appended": 1']


async def test_always_appends_to_a_small_file_too(path: Path, journal: Path) -> None:
    path.write_text("{}")
    with folding_held_up(path):
        await AioKV(path, journal="always").set("a", 1)
        assert changes_in(journal) == ['+ "a": 1']
        assert path.read_text() == "{}"


async def test_never_puts_the_journal_of_others_into_the_file(
    journaled: Path, tmp_path: Path
) -> None:
    await AioKV(journaled, journal="never").set("fourth", 4)
    assert json.loads(journaled.read_bytes()) == {**EVERYTHING, "fourth": 4}
    assert names_in(tmp_path) == ["state.json"]


@pytest.mark.parametrize("mode", ["sometimes", "", "Always"])
def test_any_other_mode_is_refused(path: Path, mode: Any) -> None:
    with pytest.raises(ValueError, match="journal is 'auto', 'always' or 'never'"):
        AioKV(path, journal=mode)


def test_a_threshold_below_zero_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="journal_threshold is a number of bytes, not -1"):
        AioKV(path, journal_threshold=-1)


# --- what is appended ---


@pytest.mark.parametrize("fsync", [True, False])
async def test_an_acknowledged_change_is_a_line_of_the_journal(
    path: Path, journal: Path, fsync: bool
) -> None:
    path.write_text('{"a": 1}')
    kv = AioKV(path, journal="always", fsync=fsync)
    with folding_held_up(path):
        await kv.set("b", [1, "zwei"])
        assert changes_in(journal) == ['+ "b": [1, "zwei"]']
        await kv.delete("a")
        assert changes_in(journal)[1:] == ['- "a"']
        await asyncio.gather(*(kv.set("c", number) for number in range(3)))
        assert changes_in(journal)[2:] == ['+ "c": 0', '+ "c": 1', '+ "c": 2']
        assert await kv.get_all() == {"b": [1, "zwei"], "c": 2}


async def test_keys_and_values_of_every_kind_come_back_from_the_journal(path: Path) -> None:
    state = {
        "": None,
        "line\nbreak": "a\nb\r\u2028",
        "\ud800": "\udfff",
        "café": ["😀", {"": []}],
        "big": 10**300,
        "float": -0.0,
        ': "': '\\": ',
    }
    path.write_text("{}")
    kv = AioKV(path, journal="always")
    copy = path.with_name("copy.json")
    with folding_held_up(path):
        for key, value in state.items():
            await kv.set(key, value)
        assert path.read_text() == "{}"
        shutil.copy(path, copy)
        shutil.copy(f"{path}.journal", f"{copy}.journal")
    assert repr(await AioKV(copy).get_all()) == repr(state)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664], ids=oct)
async def test_the_journal_has_the_permissions_of_the_file(
    path: Path, journal: Path, mode: int
) -> None:
    path.write_text("{}")
    path.chmod(mode)
    with folding_held_up(path):
        await AioKV(path, journal="always").set("a", 1)
        assert stat.S_IMODE(journal.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
async def test_the_journal_has_the_owner_of_the_file(path: Path, journal: Path) -> None:
    path.write_text("{}")
    os.chown(path, 1234, 2345)
    with folding_held_up(path):
        await AioKV(path, journal="always").set("a", 1)
        assert (journal.stat().st_uid, journal.stat().st_gid) == (1234, 2345)


async def test_the_journal_of_a_symlinked_file_is_beside_the_target(tmp_path: Path) -> None:
    directory = tmp_path / "real"
    directory.mkdir()
    target = directory / "target.json"
    target.write_text("{}")
    link = tmp_path / "state.json"
    link.symlink_to("real/target.json")
    kv = AioKV(link, journal="always")
    with folding_held_up(target):
        await kv.set("a", 1)
        assert changes_in(directory / "target.json.journal") == ['+ "a": 1']
        assert names_in(tmp_path) == ["real", "state.json"]
    await kv.close()
    assert json.loads(target.read_bytes()) == {"a": 1}
    assert names_in(directory) == ["target.json"]
    assert link.is_symlink()


# --- when it gets into the file ---


async def test_the_file_is_up_to_date_soon_after_the_last_change(path: Path, journal: Path) -> None:
    kv = AioKV(path, journal="always")
    await kv.set("a", 1)
    await kv.set("a", 2)
    # Less than the time after which it is brought up to date in any case.
    await until(lambda: not journal.exists(), 4)
    assert json.loads(path.read_bytes()) == {"a": 2}


async def test_the_file_is_brought_up_to_date_while_changes_go_on(path: Path) -> None:
    path.write_text("{}")
    # With this threshold, how long the journal gets is no reason.
    kv = AioKV(path, journal="always", journal_threshold=1 << 30)
    changes = 0

    async def change_until_the_file_changed() -> None:
        nonlocal changes
        while path.read_text() == "{}":
            changes += 1
            await kv.set("changes", changes)

    await asyncio.wait_for(change_until_the_file_changed(), 30)
    assert 1 <= json.loads(path.read_bytes())["changes"] <= changes


async def test_closing_brings_the_file_up_to_date(path: Path, tmp_path: Path) -> None:
    async with AioKV(path, journal="always") as kv:
        await asyncio.gather(*(kv.set(str(number), number) for number in range(10)))
        await kv.set("last", None)
    expected = {str(number): number for number in range(10)}
    assert json.loads(path.read_bytes()) == {**expected, "last": None}
    assert names_in(tmp_path) == ["state.json"]


async def test_closing_raises_when_the_file_cannot_be_brought_up_to_date(
    path: Path, journal: Path
) -> None:
    path.write_text("{}")
    kv = AioKV(path, journal="always", lock_timeout=0.05)
    with folding_held_up(path):
        await kv.set("a", 1)
        with pytest.raises(TimeoutError) as failure:
            await kv.close()
        assert failure.value.filename == str(path)
        assert changes_in(journal) == ['+ "a": 1']
        assert await kv.get("a") == 1
    await kv.close()
    assert json.loads(path.read_bytes()) == {"a": 1}
    assert not journal.exists()


async def test_a_store_that_is_dropped_leaves_the_file_up_to_date(
    path: Path, journal: Path
) -> None:
    kv = AioKV(path, journal="always")
    await kv.set("a", 1)
    await kv.set("a", 2)
    del kv
    await until(lambda: not journal.exists(), 10)
    assert json.loads(path.read_bytes()) == {"a": 2}


def test_a_program_that_ends_leaves_the_file_up_to_date(path: Path, tmp_path: Path) -> None:
    run_program(
        """
        kv = AioKV(path, journal="always")
        asyncio.run(kv.set("a", 1))
        asyncio.run(kv.set("a", 2))
        """,
        path,
    )
    assert json.loads(path.read_bytes()) == {"a": 2}
    assert names_in(tmp_path) == ["state.json"]


# --- a journal that was left behind ---


async def test_what_a_killed_process_left_is_read_and_not_touched(
    kv: AioKV, journaled: Path, journal: Path
) -> None:
    assert json.loads(journaled.read_bytes()) == IN_THE_FILE
    before = version_of(journaled), version_of(journal)
    assert await kv.get_all() == EVERYTHING
    assert await kv.get("third") == 3
    assert (version_of(journaled), version_of(journal)) == before


async def test_what_a_killed_process_left_gets_into_the_file_with_the_next_change(
    journaled: Path, tmp_path: Path
) -> None:
    async with AioKV(journaled, journal="always") as kv:
        await kv.delete("first")
    assert json.loads(journaled.read_bytes()) == {"second": 2, "third": 3}
    assert names_in(tmp_path) == ["state.json"]


def cut_the_last_line(journal: Path) -> None:
    """Leaves what a crash leaves that happens while the last line is being written."""
    journal.write_bytes(journal.read_bytes().rstrip(b"\n")[:-5])


async def test_a_torn_last_line_is_dropped_and_logged(
    kv: AioKV, journaled: Path, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut_the_last_line(journal)
    assert await kv.get_all() == {"first": 1, "second": 2}
    (record,) = records_of_aiokv(caplog)
    assert record.levelno == logging.WARNING
    assert str(journal) in record.getMessage()


async def test_changes_go_on_behind_a_torn_last_line(
    journaled: Path, journal: Path, tmp_path: Path
) -> None:
    cut_the_last_line(journal)
    kv = AioKV(journaled, journal="always")
    with folding_held_up(journaled):
        await kv.set("fourth", 4)
        assert changes_in(journal) == ['+ "second": 2', '+ "fourth": 4']
    await kv.close()
    assert json.loads(journaled.read_bytes()) == {"first": 1, "second": 2, "fourth": 4}
    assert names_in(tmp_path) == ["state.json"]


def damage_the_second_line(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes().replace(b'"second"', b'"secund"'))


@raising_operations
async def test_damage_to_the_journal_raises_with_file_and_line(
    kv: AioKV, journaled: Path, journal: Path, operation: Operation
) -> None:
    damage_the_second_line(journal)
    with pytest.raises(json.JSONDecodeError) as failure:
        await operation(kv)
    error = failure.value
    assert (error.lineno, error.colno) == (2, 1)
    assert f"`{journal}` is not a valid journal" in str(error)
    assert f"`{journaled}`" in str(error)
    assert "line 2 column 1" in str(error)


def edit(journaled: Path) -> None:
    journaled.write_text('{"edited": true}')


def remove(journaled: Path) -> None:
    journaled.unlink()


def damage(journaled: Path) -> None:
    damage_the_second_line(journaled.with_name("state.json.journal"))


happenings = pytest.mark.parametrize("happening", [edit, remove, damage])


@happenings
async def test_nothing_is_overwritten_when_file_and_journal_do_not_go_together(
    journaled: Path, tmp_path: Path, happening: Callable[[Path], None]
) -> None:
    happening(journaled)
    before = {name: version_of(tmp_path / name) for name in names_in(tmp_path)}
    kv = AioKV(journaled, journal="never")
    for operation in RAISING.values():
        with pytest.raises(json.JSONDecodeError):
            await operation(kv)
    assert await kv.delete("a") is False
    await kv.close()
    assert {name: version_of(tmp_path / name) for name in names_in(tmp_path)} == before


@happenings
async def test_clear_removes_both_whatever_they_are(
    kv: AioKV, journaled: Path, tmp_path: Path, happening: Callable[[Path], None]
) -> None:
    happening(journaled)
    assert await kv.clear() is True
    assert names_in(tmp_path) == []
    await kv.set("a", 1)
    assert await kv.get_all() == {"a": 1}


@pytest.mark.parametrize("happening", [edit, remove])
@raising_operations
async def test_a_journal_of_another_content_is_an_error_that_names_both_files(
    kv: AioKV,
    journaled: Path,
    journal: Path,
    operation: Operation,
    happening: Callable[[Path], None],
) -> None:
    happening(journaled)
    with pytest.raises(json.JSONDecodeError) as failure:
        await operation(kv)
    message = failure.value.msg
    assert f"`{journal}` is not the journal of `{journaled}`" in message
    assert "remove the journal" in message
    assert "put back" in message


async def test_without_the_journal_an_edited_file_counts(
    kv: AioKV, journaled: Path, journal: Path
) -> None:
    edit(journaled)
    with pytest.raises(json.JSONDecodeError):
        await kv.get("first")
    journal.unlink()
    assert await kv.get_all() == {"edited": True}
    await kv.set("a", 1)
    assert json.loads(journaled.read_bytes()) == {"edited": True, "a": 1}


async def test_with_the_file_put_back_the_journal_counts(
    kv: AioKV, journaled: Path, left_behind: Path
) -> None:
    edit(journaled)
    with pytest.raises(json.JSONDecodeError):
        await kv.get("first")
    shutil.copy(left_behind / journaled.name, journaled)
    assert await kv.get_all() == EVERYTHING
    await kv.set("fourth", 4)
    assert json.loads(journaled.read_bytes()) == {**EVERYTHING, "fourth": 4}


async def test_an_edit_beside_the_journal_of_a_running_program_is_kept(
    path: Path, journal: Path
) -> None:
    path.write_text("{}")
    kv = AioKV(path, journal="always")
    with folding_held_up(path):
        await kv.set("a", 1)
        edit(path)
    before = version_of(path), version_of(journal)
    with pytest.raises(json.JSONDecodeError):
        await kv.get("a")
    with pytest.raises(json.JSONDecodeError):
        await kv.close()
    assert (version_of(path), version_of(journal)) == before


async def test_after_the_journal_is_removed_the_next_change_goes_by_the_file(
    path: Path, journal: Path
) -> None:
    path.write_text('{"a": 1}')
    kv = AioKV(path, journal="always")
    with folding_held_up(path):
        await kv.set("b", 2)
        journal.unlink()
        await kv.set("c", 3)
        assert await kv.get_all() == {"a": 1, "c": 3}
        assert changes_in(journal) == ['+ "c": 3']


async def test_clear_removes_a_journal_that_is_in_use(path: Path, tmp_path: Path) -> None:
    kv = AioKV(path, journal="always")
    await kv.set("a", 1)
    await kv.set("b", 2)
    assert await kv.clear() is True
    assert names_in(tmp_path) == []
    assert await kv.get_all() == {}


# --- failing calls ---


def test_a_failed_append_raises_in_every_operation_and_leaves_the_old_state(path: Path) -> None:
    # A limit on the size of files stands for a full disk: writing stops half-way.
    run_program(
        """
        import resource

        async def main():
            kv = AioKV(path, journal="always")
            await kv.set("a", 1)
            await kv.set("b", 2)
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            big = "x" * 10_000
            failures = await asyncio.gather(
                kv.set("b", big), kv.set("c", big), kv.delete("a"), return_exceptions=True
            )
            assert failures.pop() is False
            assert [failure.errno for failure in failures] == [errno.EFBIG] * 2, failures
            assert all(failure.filename == f"{path}.journal" for failure in failures)
            assert await kv.get_all() == {"a": 1, "b": 2}
            await kv.set("c", 3)
            os._exit(0)

        logging.disable()
        asyncio.run(main())
        """,
        path,
    )
    assert asyncio.run(AioKV(path).get_all()) == {"a": 1, "b": 2, "c": 3}


def test_a_read_only_directory_refuses_a_journal_and_leaves_the_old_state(
    public_directory: Path,
) -> None:
    path = public_directory / "own" / "state.json"
    run_program(
        """
        async def main():
            path.parent.mkdir()
            kv = AioKV(path, journal="always")
            await kv.set("a", 1)
            path.parent.chmod(0o555)
            try:
                await kv.set("a", 2)
            except PermissionError as error:
                assert (error.errno, error.filename) == (errno.EACCES, f"{path}.journal")
            else:
                sys.exit("no error")
            assert await kv.get_all() == {"a": 1}
            assert os.listdir(path.parent) == ["state.json"]
            path.parent.chmod(0o755)
            await kv.set("a", 3)
            assert await kv.get("a") == 3

        asyncio.run(main())
        """,
        path,
        as_nobody=True,
    )
    assert json.loads(path.read_bytes()) == {"a": 3}


# --- several processes ---


async def test_processes_read_each_others_journal(path: Path) -> None:
    path.write_text("{}")
    kv = AioKV(path, journal="always")
    with folding_held_up(path):
        await kv.set("a", 1)
        run_program(
            """
            async def main():
                kv = AioKV(path, journal="always")
                assert await kv.get_all() == {"a": 1}
                await kv.set("b", 2)
                await kv.delete("a")
                os._exit(0)

            asyncio.run(main())
            """,
            path,
        )
        assert await kv.get("b") == 2
        assert await kv.get_all() == {"b": 2}
        assert path.read_text() == "{}"


WORKER = """
import asyncio, sys
from aiokv import AioKV

async def main(path, name):
    # So small a threshold that the journal is folded again and again.
    async with AioKV(path, journal="always", journal_threshold=256) as kv:
        for number in range(50):
            await kv.set(f"{name} {number}", number)
            assert await kv.get(f"{name} {number}") == number

asyncio.run(main(*sys.argv[1:]))
"""


def test_no_update_of_several_processes_is_lost(path: Path, tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    arguments = [sys.executable, "-c", WORKER, os.fspath(path)]
    workers = [subprocess.Popen([*arguments, name]) for name in names]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    expected = {f"{name} {number}": number for name in names for number in range(50)}
    assert json.loads(path.read_bytes()) == expected
    assert names_in(tmp_path) == ["state.json"]
