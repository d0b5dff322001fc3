"""Contract section 8: a checkpoint brings the file up to date with its journal."""

import asyncio
import json
from pathlib import Path

import pytest
from aiokv import AioKV
from helpers import appending, changes_in, checkpoints_held_up, names_in, run_program, until


async def change_twice(kv: AioKV) -> None:
    """Leaves a journal behind, because the first change of a store makes the file."""
    await kv.set("a", 1)
    await kv.set("a", 2)


async def changes_until_the_file_changes(kv: AioKV, path: Path) -> int:
    """Sets `changes` to 1, 2, 3 and so on, and returns the last one."""
    before = path.read_bytes()
    changes = 0

    async def change() -> None:
        nonlocal changes
        while path.read_bytes() == before:
            changes += 1
            await kv.set("changes", changes)

    await asyncio.wait_for(change(), 30)
    return changes


async def test_a_small_file_is_up_to_date_about_a_second_after_a_change(
    path: Path, journal: Path
) -> None:
    kv = AioKV(path, journal="always")
    await change_twice(kv)
    await until(lambda: not journal.exists(), 4)
    assert json.loads(path.read_bytes()) == {"a": 2}


async def test_the_file_is_brought_up_to_date_while_changes_go_on(path: Path) -> None:
    path.write_text("{}")
    # With this threshold, the journal does not outgrow the file.
    kv = AioKV(path, journal="always", journal_threshold=1 << 30)
    changes = await changes_until_the_file_changes(kv, path)
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
    kv = appending(path, lock_timeout=0.05)
    await kv.set("a", 1)
    with checkpoints_held_up(path):
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
    await change_twice(kv)
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


@pytest.mark.parametrize("pace", [2**63, 10**30])
async def test_the_pace_may_have_no_limit(path: Path, journal: Path, pace: int) -> None:
    path.write_text("{}")
    kv = AioKV(path, journal="always", checkpoint_pace=pace)
    await kv.set("a", "x" * 1_000_000)
    await kv.set("a", 2)
    await until(lambda: not journal.exists(), 10)
    assert json.loads(path.read_bytes()) == {"a": 2}


async def test_without_a_pace_the_file_waits_for_close(path: Path, journal: Path) -> None:
    path.write_text("{}")
    kv = AioKV(path, journal="always", checkpoint_pace=0)
    other_path = path.with_name("other.json")
    other_path.write_text("{}")
    await kv.set("a", 1)
    await AioKV(other_path, journal="always").set("a", 1)
    # By the time of this checkpoint, one of the first store would have come with the same pace.
    await until(lambda: other_path.read_text() != "{}", 10)
    assert path.read_text() == "{}"
    assert changes_in(journal) == ['+ "a": 1']
    await kv.close()
    assert json.loads(path.read_bytes()) == {"a": 1}
    assert not journal.exists()


async def test_a_journal_that_outgrew_the_file_does_not_wait_for_the_pace(
    path: Path, journal: Path
) -> None:
    path.write_text("{}")
    kv = AioKV(path, journal="always", journal_threshold=4096, checkpoint_pace=0)
    changes = await changes_until_the_file_changes(kv, path)
    await kv.close()
    assert json.loads(path.read_bytes()) == {"changes": changes}
    assert not journal.exists()
