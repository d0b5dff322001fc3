"""Contract sections 7 and 8: a journal that a process left behind, whole, torn or damaged."""

import json
import logging
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokv import AioKV
from helpers import (
    EVERYTHING,
    IN_THE_FILE,
    RAISING,
    Operation,
    appending,
    changes_in,
    names_in,
    raising_operations,
    records_of_aiokv,
    version_of,
)


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
    """Leaves a journal as a crash does in the middle of writing the last line."""
    journal.write_bytes(journal.read_bytes().rstrip(b"\n")[:-5])


async def test_a_torn_last_line_is_dropped_and_logged(
    kv: AioKV, journaled: Path, journal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut_the_last_line(journal)
    assert await kv.get_all() == {"first": 1, "second": 2}
    (record,) = records_of_aiokv(caplog)
    assert record.levelno == logging.WARNING
    assert str(journal) in record.getMessage()


def numbered(number: int, change: str) -> str:
    line = f"{number} {number - 1} {change}"
    return f"{zlib.crc32(line.encode()):08x} {line}"


@pytest.mark.parametrize("whole", [True, False])
async def test_changes_that_belong_together_count_together_or_not_at_all(
    kv: AioKV, journaled: Path, journal: Path, whole: bool
) -> None:
    lines = journal.read_text().rstrip("\n").split("\n")
    lines += [numbered(3, '&+ "fourth": 4'), numbered(4, '- "first"')]
    text = "\n".join(lines) + "\n"
    journal.write_text(text if whole else text[:-5])
    group = {"second": 2, "third": 3, "fourth": 4}
    assert await kv.get_all() == (group if whole else EVERYTHING)


async def test_changes_go_on_behind_a_torn_last_line(
    journaled: Path, journal: Path, tmp_path: Path
) -> None:
    cut_the_last_line(journal)
    kv = appending(journaled)
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
    # There is no place to name: neither file is damaged.
    assert "line 1" not in str(failure.value)
    assert (failure.value.doc, failure.value.pos) == ("", 0)


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
    kv = appending(path)
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
    kv = appending(path)
    await kv.set("b", 2)
    journal.unlink()
    await kv.set("c", 3)
    assert await kv.get_all() == {"a": 1, "c": 3}
    assert changes_in(journal) == ['+ "c": 3']


async def test_clear_removes_a_journal_that_is_in_use(path: Path, tmp_path: Path) -> None:
    kv = appending(path)
    await kv.set("a", 1)
    await kv.set("b", 2)
    assert await kv.clear() is True
    assert names_in(tmp_path) == []
    assert await kv.get_all() == {}
