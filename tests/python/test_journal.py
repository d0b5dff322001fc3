"""Contract section 8: the changes of a large state are appended to a journal beside the file."""

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from helpers import EVERYTHING, appending, changes_in, names_in, run_program

# --- when there is a journal ---


def content_of_size(size: int) -> bytes:
    return b'{"big": "' + b"x" * (size - 11) + b'"}'


async def test_a_file_of_64_kib_is_replaced(kv: AioKV, path: Path, tmp_path: Path) -> None:
    path.write_bytes(content_of_size(64 << 10))
    await kv.set("a", 1)
    assert json.loads(path.read_bytes())["a"] == 1
    assert names_in(tmp_path) == ["state.json"]


async def test_changes_of_a_larger_file_are_appended(path: Path, journal: Path) -> None:
    content = content_of_size((64 << 10) + 1)
    path.write_bytes(content)
    kv = AioKV(path, checkpoint_pace=0)
    await kv.set("a", 1)
    assert changes_in(journal) == ['+ "a": 1']
    assert path.read_bytes() == content


async def test_the_threshold_is_an_option(path: Path, journal: Path) -> None:
    path.write_bytes(content_of_size(101))
    await AioKV(path, journal_threshold=101).set("replaced", 1)
    assert "replaced" in json.loads(path.read_bytes())
    assert path.stat().st_size > 101
    kv = AioKV(path, journal_threshold=101, checkpoint_pace=0)
    await kv.set("a", 1)
    assert changes_in(journal) == ['+ "a": 1']


async def test_always_appends_to_a_small_file_too(path: Path, journal: Path) -> None:
    path.write_text("{}")
    kv = appending(path)
    await kv.set("a", 1)
    assert changes_in(journal) == ['+ "a": 1']
    assert path.read_text() == "{}"


async def test_never_puts_a_journal_that_is_there_into_the_file(
    journaled: Path, tmp_path: Path
) -> None:
    await AioKV(journaled, journal="never").set("fourth", 4)
    assert json.loads(journaled.read_bytes()) == {**EVERYTHING, "fourth": 4}
    assert names_in(tmp_path) == ["state.json"]


@pytest.mark.parametrize("mode", ["sometimes", "", "Always"])
def test_any_other_mode_is_refused(path: Path, mode: Any) -> None:
    with pytest.raises(ValueError, match="journal is 'auto', 'always' or 'never'"):
        AioKV(path, journal=mode)


@pytest.mark.parametrize(
    ("option", "unit"),
    [("journal_threshold", "bytes"), ("checkpoint_pace", "bytes per second")],
)
def test_a_number_of_bytes_below_zero_is_refused(path: Path, option: str, unit: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is a number of {unit}, not -1"):
        AioKV(path, **{option: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["journal_threshold", "checkpoint_pace"])
def test_a_number_of_bytes_is_an_int_of_any_size(path: Path, option: str) -> None:
    AioKV(path, **{option: 10**30})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        AioKV(path, **{option: 1.5})  # type: ignore[arg-type]


# --- what is appended ---


@pytest.mark.parametrize("fsync", [True, False])
async def test_an_acknowledged_change_is_a_line_of_the_journal(
    path: Path, journal: Path, fsync: bool
) -> None:
    path.write_text('{"a": 1}')
    kv = appending(path, fsync=fsync)
    await kv.set("b", [1, "zwei"])
    assert changes_in(journal) == ['+ "b": [1, "zwei"]']
    await kv.delete("a")
    assert changes_in(journal)[1:] == ['- "a"']
    await asyncio.gather(*(kv.set("c", number) for number in range(3)))
    assert changes_in(journal)[2:] == ['+ "c": 0', '+ "c": 1', '+ "c": 2']
    assert await kv.get_all() == {"b": [1, "zwei"], "c": 2}


async def test_keys_and_values_of_every_kind_come_back_from_the_journal(path: Path) -> None:
    state: dict[str, Any] = {
        "": None,
        "line\nbreak": "a\nb\r\u2028",
        "\ud800": "\udfff",
        "café": ["😀", {"": []}],
        "big": 10**300,
        "float": -0.0,
        ': "': '\\": ',
    }
    path.write_text("{}")
    kv = appending(path)
    copy = path.with_name("copy.json")
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
    kv = appending(path)
    await kv.set("a", 1)
    assert stat.S_IMODE(journal.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
async def test_the_journal_has_the_owner_of_the_file(path: Path, journal: Path) -> None:
    path.write_text("{}")
    os.chown(path, 1234, 2345)
    kv = appending(path)
    await kv.set("a", 1)
    assert (journal.stat().st_uid, journal.stat().st_gid) == (1234, 2345)


async def test_the_journal_of_a_symlinked_file_is_beside_the_target(tmp_path: Path) -> None:
    directory = tmp_path / "real"
    directory.mkdir()
    target = directory / "target.json"
    target.write_text("{}")
    link = tmp_path / "state.json"
    link.symlink_to("real/target.json")
    kv = appending(link)
    await kv.set("a", 1)
    assert changes_in(directory / "target.json.journal") == ['+ "a": 1']
    assert names_in(tmp_path) == ["real", "state.json"]
    await kv.close()
    assert json.loads(target.read_bytes()) == {"a": 1}
    assert names_in(directory) == ["target.json"]
    assert link.is_symlink()


# --- failing calls ---


def test_a_failed_append_raises_in_every_operation_and_leaves_the_old_state(path: Path) -> None:
    # A limit on the size of files stands for a full disk: writing stops half-way.
    run_program(
        """
        import fcntl
        import resource

        async def main():
            kv = AioKV(path, journal="always", checkpoint_pace=0)
            await kv.set("a", 1)
            await kv.set("b", 2)
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
            big = "x" * 10_000
            # While somebody else has the lock, all of them come together.
            with path.open() as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                operations = [kv.set("b", big), kv.set("c", big), kv.delete("a")]
                tasks = [asyncio.create_task(operation) for operation in operations]
                await asyncio.sleep(0)
            failures = await asyncio.gather(*tasks, return_exceptions=True)
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
            kv = AioKV(path, journal="always", checkpoint_pace=0)
            await kv.set("a", 1)
            path.parent.chmod(0o555)
            try:
                await kv.set("a", 2)
            except PermissionError as error:
                temporary = path.with_name(".state.json.aiokv-tmp")
                assert (error.errno, error.filename) == (errno.EACCES, os.fspath(temporary))
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
    kv = appending(path)
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
    # So small a threshold that a checkpoint is due again and again.
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
