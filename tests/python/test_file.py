"""The file on disk: its layout, its permissions, its links and its neighbours."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from helpers import (
    PROGRAM_START,
    Operation,
    forget_memory_of,
    names_in,
    raising_operations,
    run_program,
    texts,
    values,
    version_of,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """Sets the umask until the end of the test."""
    original = os.umask(0)
    os.umask(original)
    yield os.umask
    os.umask(original)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- layout ---


async def test_the_layout_is_one_entry_a_line(kv: AioKV, path: Path) -> None:
    await kv.set("last_command", "ping")
    await kv.set("seen", 1700000000)
    assert path.read_bytes() == b'{\n  "last_command": "ping",\n  "seen": 1700000000\n}\n'


async def test_text_is_readable_utf8(kv: AioKV, path: Path) -> None:
    await kv.set("café", "naïve ☕ 😀")
    assert path.read_text(encoding="utf-8") == '{\n  "café": "naïve ☕ 😀"\n}\n'


async def test_a_file_after_the_last_delete_is_an_empty_object(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    await kv.delete("a")
    assert json.loads(path.read_bytes()) == {}


def assert_one_entry_a_line(content: str, state: Collection[str]) -> None:
    lines = content.split("\n")
    assert (lines[0], lines[-2], lines[-1]) == ("{", "}", "")
    entries = [json.loads("{" + line.removesuffix(",") + "}") for line in lines[1:-2]]
    assert [list(entry) for entry in entries] == [[key] for key in state]
    assert all(line.startswith('  "') for line in lines[1:-2])


@given(state=st.dictionaries(texts(), values(), min_size=1, max_size=5))
def test_every_value_is_on_the_line_of_its_key(examples_path: Path, state: dict[str, Any]) -> None:
    kv = AioKV(examples_path, fsync=False)

    async def store() -> None:
        await kv.clear()
        for key, value in state.items():
            await kv.set(key, value)

    asyncio.run(store())
    content = examples_path.read_bytes().decode("utf-8")
    assert repr(json.loads(content)) == repr(state)
    assert_one_entry_a_line(content, state)


async def test_values_over_several_lines_are_put_on_one(kv: AioKV, path: Path) -> None:
    state = {"a": {"list": [1, {"b": "line\nbreak"}], "empty": []}, "c": [[], [2]]}
    path.write_text(json.dumps(state, indent=4))
    await kv.set("new", 1)
    assert_one_entry_a_line(path.read_text(), [*state, "new"])


# --- permissions ---


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o666, 0o755], ids=oct)
async def test_permission_bits_are_kept(
    kv: AioKV, path: Path, umask: Callable[[int], int], mode: int
) -> None:
    path.write_text("{}")
    path.chmod(mode)
    umask(0o077)
    await kv.set("a", 1)
    await kv.set("a", 2)
    assert mode_of(path) == mode


async def test_permission_bits_that_change_in_between_are_kept(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    path.chmod(0o604)
    await kv.set("a", 2)
    assert mode_of(path) == 0o604


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002], ids=oct)
async def test_a_new_file_follows_the_umask(
    kv: AioKV, path: Path, umask: Callable[[int], int], mask: int
) -> None:
    umask(mask)
    await kv.set("a", 1)
    assert mode_of(path) == 0o666 & ~mask


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
async def test_the_owner_is_kept(kv: AioKV, path: Path) -> None:
    path.write_text("{}")
    os.chown(path, 1234, 2345)
    await kv.set("a", 1)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_a_file_that_may_not_be_written_is_not_replaced(public_directory: Path) -> None:
    path = public_directory / "state.json"
    path.write_text('{"a": 1}')
    path.chmod(0o444)
    before = version_of(path)
    run_program(
        """
        async def main():
            kv = AioKV(path)
            assert await kv.get("a") == 1
            try:
                await kv.set("a", 2)
            except PermissionError as error:
                assert (error.errno, error.filename) == (errno.EACCES, str(path))
            else:
                sys.exit("the file was replaced")
            assert await kv.get("a") == 1
            logging.disable()
            assert await kv.delete("a") is False

        asyncio.run(main())
        """,
        path,
        as_nobody=True,
    )
    assert version_of(path) == before
    assert names_in(public_directory) == ["state.json"]


def test_a_file_that_may_not_be_read_is_a_permission_error(public_directory: Path) -> None:
    path = public_directory / "state.json"
    path.write_text('{"a": 1}')
    path.chmod(0)
    run_program(
        """
        async def main():
            kv = AioKV(path)
            for operation in lambda: kv.get("a"), kv.get_all, lambda: kv.set("a", 2):
                try:
                    await operation()
                except PermissionError as error:
                    assert (error.errno, error.filename) == (errno.EACCES, str(path))
                else:
                    sys.exit("no error")

        asyncio.run(main())
        """,
        path,
        as_nobody=True,
    )
    path.chmod(0o600)
    assert path.read_text() == '{"a": 1}'


def test_a_directory_that_may_not_be_searched_is_a_permission_error(public_directory: Path) -> None:
    run_program(
        """
        async def main():
            path.parent.mkdir(mode=0)
            kv = AioKV(path)
            for operation in lambda: kv.get("a"), kv.get_all, lambda: kv.set("a", 2):
                try:
                    await operation()
                except PermissionError as error:
                    assert error.errno == errno.EACCES
                    assert error.filename
                else:
                    sys.exit("no error")
            path.parent.chmod(0o700)
            await kv.set("a", 1)
            assert await kv.get("a") == 1

        asyncio.run(main())
        """,
        public_directory / "private" / "state.json",
        as_nobody=True,
    )


def test_a_read_only_directory_leaves_the_old_file_and_state(public_directory: Path) -> None:
    run_program(
        """
        async def main():
            path.parent.mkdir()
            kv = AioKV(path)
            await kv.set("a", 1)
            before = path.read_bytes()
            path.parent.chmod(0o555)
            try:
                await kv.set("a", 2)
            except PermissionError as error:
                assert error.errno == errno.EACCES
                assert Path(error.filename).parent == path.parent
            else:
                sys.exit("no error")
            logging.disable()
            assert await kv.delete("a") is False
            assert await kv.clear() is False
            assert path.read_bytes() == before
            assert os.listdir(path.parent) == ["state.json"]
            assert await kv.get_all() == {"a": 1}

            path.parent.chmod(0o755)
            await kv.set("a", 2)
            assert await kv.get("a") == 2

        asyncio.run(main())
        """,
        public_directory / "own" / "state.json",
        as_nobody=True,
    )


# --- directories ---


async def test_missing_parents_are_created_on_the_first_write(tmp_path: Path) -> None:
    path = tmp_path / "some" / "where" / "state.json"
    kv = AioKV(path)
    await kv.get("a")
    assert not (tmp_path / "some").exists()
    await kv.set("a", 1)
    assert json.loads(path.read_bytes()) == {"a": 1}


async def test_created_directories_follow_the_umask(
    tmp_path: Path, umask: Callable[[int], int]
) -> None:
    umask(0o027)
    await AioKV(tmp_path / "some" / "where" / "state.json").set("a", 1)
    assert mode_of(tmp_path / "some") == mode_of(tmp_path / "some" / "where") == 0o750


@raising_operations
async def test_a_file_as_a_parent_is_an_os_error(tmp_path: Path, operation: Operation) -> None:
    (tmp_path / "file").write_text("hello")
    with pytest.raises(NotADirectoryError):
        await operation(AioKV(tmp_path / "file" / "state.json"))
    assert (tmp_path / "file").read_text() == "hello"


@pytest.mark.parametrize("fsync", [True, False])
async def test_nothing_else_is_in_the_directory(path: Path, tmp_path: Path, fsync: bool) -> None:
    kv = AioKV(path, fsync=fsync)
    await asyncio.gather(*(kv.set(f"key{number}", number) for number in range(100)))
    assert names_in(tmp_path) == ["state.json"]
    await kv.close()
    assert names_in(tmp_path) == ["state.json"]
    await kv.clear()
    assert names_in(tmp_path) == []


async def test_files_of_others_in_the_directory_are_left_alone(kv: AioKV, tmp_path: Path) -> None:
    names = [".hidden", "state.json.tmp", "state.json.lock", "state.json~", ".state.json.swp"]
    for name in names:
        (tmp_path / name).write_text(name)
    await kv.set("a", 1)
    await kv.clear()
    assert {entry.name: entry.read_text() for entry in tmp_path.iterdir()} == {
        name: name for name in names
    }


BUSY_WRITER = """
async def main():
    kv = AioKV(path, journal="never")
    for number in range(1_000_000):
        await kv.set("big", [number, "x" * 5_000_000])
        print(number, flush=True)

asyncio.run(main())
"""


async def test_what_a_killed_process_left_is_removed_by_the_next_write(
    kv: AioKV, path: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", PROGRAM_START + BUSY_WRITER, str(path)]
    for _ in range(5):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            acknowledged = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        number, _ = json.loads(path.read_bytes())["big"]
        assert number >= acknowledged
    await kv.set("a", 1)
    assert names_in(tmp_path) == ["state.json", "state.json.journal"]
    await kv.close()
    assert names_in(tmp_path) == ["state.json"]


# --- replacing ---


@pytest.mark.parametrize("length", [50_000, 100_000], ids=["replaced", "with a journal"])
async def test_a_reader_never_sees_a_partial_file(path: Path, length: int) -> None:
    kv = AioKV(path, fsync=False, checkpoint_pace=2**63)
    await kv.set("a", "x" * length)
    stop = threading.Event()
    lengths: set[int] = set()

    def read() -> None:
        while not stop.is_set():
            lengths.add(len(json.loads(path.read_bytes())["a"]))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(200):
        await kv.set("a", "x" * (length if number % 2 else 10))
    stop.set()
    reader.join()
    assert lengths <= {10, length}
    await kv.close()
    assert json.loads(path.read_bytes()) == {"a": "x" * length}


async def test_without_fsync_everything_else_is_the_same(path: Path) -> None:
    kv = AioKV(path, fsync=False)
    await kv.set("a", 1)
    await kv.set("b", [2])
    await kv.delete("a")
    assert path.read_bytes() == b'{\n  "b": [2]\n}\n'
    forget_memory_of(path)
    assert await kv.get_all() == {"b": [2]}
    assert await kv.clear() is True
    assert not path.exists()


async def test_what_stores_the_same_again_still_acknowledges(kv: AioKV, path: Path) -> None:
    await kv.set("a", 1)
    await kv.set("a", 1)
    path.unlink()
    await kv.set("a", 1)
    assert json.loads(path.read_bytes()) == {"a": 1}


def test_what_is_printed_without_standard_streams_does_not_stand_in_the_file(
    tmp_path: Path,
) -> None:
    """In a program that was started without standard streams the file got the number of one, and
    whatever wrote to that stream wrote into the file."""
    program = """
import os
from aiokv import KV

with KV("state.json", journal="always") as kv:
    kv["a"] = 1
    for number in range(3):
        try:
            os.write(number, b"printed")
        except OSError:
            pass
    kv["b"] = 2
"""
    command = [sys.executable, "-c", program]
    shell = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command]
    assert subprocess.run(shell, cwd=tmp_path, check=False).returncode == 0
    assert json.loads((tmp_path / "state.json").read_bytes()) == {"a": 1, "b": 2}
