"""Damaged files and failing calls: the error says what and where, and nothing is overwritten."""

import codecs
import copy
import errno
import json
import os
import pickle
from pathlib import Path

import pytest
from aiokv import AioKV
from helpers import RAISING, Operation, names_in, raising_operations, run_program, version_of

GOOD = '{\n  "a": 1,\n  "b": [true, "two"]\n}\n'

DAMAGE = {
    "empty": b"",
    "white space only": b" \n\t\r\n",
    "BOM only": codecs.BOM_UTF8,
    "two BOMs": codecs.BOM_UTF8 * 2 + b"{}",
    "half a file": GOOD.encode()[: len(GOOD) // 2],
    "cut in a key": b'{"a": 1, "b',
    "cut in an escape": b'{"a": "\\u00',
    "cut in a character": '{"a": "é'.encode()[:-1],
    "cut before the last brace": GOOD.encode().rstrip()[:-1],
    "NULs": b"\0" * 100,
    "NULs at the end": GOOD.encode() + b"\0" * 10,
    "NUL in a string": b'{"a": "\0"}',
    "byte that is not UTF-8": b'{"a": "\xff"}',
    "latin-1": '{"a": "é"}'.encode("latin-1"),
    "surrogate in UTF-8": b'{"a": "\xed\xa0\x80"}',
    "overlong UTF-8": b'{"a": "\xc0\xaf"}',
    "UTF-16 little-endian": codecs.BOM_UTF16_LE + GOOD.encode("utf-16-le"),
    "UTF-16 big-endian": codecs.BOM_UTF16_BE + GOOD.encode("utf-16-be"),
    "UTF-16 without BOM": GOOD.encode("utf-16-le"),
    "UTF-32": GOOD.encode("utf-32"),
    "array": b'[{"a": 1}]',
    "string": b'"a"',
    "number": b"1",
    "null": b"null",
    "NaN": b"NaN",
    "trailing garbage": GOOD.encode() + b"x",
    "trailing brace": GOOD.encode() + b"}",
    "two objects": GOOD.encode() * 2,
    "trailing comma": b'{"a": 1,}',
    "trailing comma in a list": b'{"a": [1,]}',
    "missing comma": b'{"a": 1 "b": 2}',
    "missing colon": b'{"a" 1}',
    "missing value": b'{"a": }',
    "key without quotes": b"{a: 1}",
    "single quotes": b"{'a': 1}",
    "number as a key": b"{1: 2}",
    "comment": b'{"a": 1} // one',
    "line break in a string": b'{"a": "line\nbreak"}',
    "control character in a string": b'{"a": "\x01"}',
    "unknown escape": b'{"a": "\\x41"}',
    "Python literals": b'{"a": None, "b": True}',
    "nan in lower case": b'{"a": nan}',
    "number run into NaN": b'{"a": 1NaN}',
    "minus NaN": b'{"a": -NaN}',
    "leading zero": b'{"a": 01}',
    "leading plus": b'{"a": +1}',
    "no digits before the point": b'{"a": .5}',
    "no digits after the point": b'{"a": 1.}',
    "hexadecimal": b'{"a": 0x10}',
    "no-break space": '{\u00a0"a": 1}'.encode(),
    "100,000 open lists": b"[" * 100_000,
    "100,000 open lists in a value": b'{"a": ' + b"[" * 100_000,
    "100,000 lists in a value": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 open objects": b'{"a":' * 100_000,
}
every_damage = pytest.mark.parametrize("content", list(DAMAGE.values()), ids=list(DAMAGE))


@raising_operations
@every_damage
async def test_damage_raises_with_file_line_and_column(
    kv: AioKV, path: Path, content: bytes, operation: Operation
) -> None:
    path.write_bytes(content)
    with pytest.raises(json.JSONDecodeError) as failure:
        await operation(kv)
    error = failure.value
    assert error.lineno >= 1
    assert error.colno >= 1
    assert str(path) in str(error)
    assert f"line {error.lineno} column {error.colno}" in str(error)


@every_damage
async def test_damage_is_left_as_it_is(
    kv: AioKV, path: Path, tmp_path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    before = version_of(path)
    for operation in RAISING.values():
        with pytest.raises(json.JSONDecodeError):
            await operation(kv)
    assert await kv.delete("a") is False
    await kv.close()
    assert version_of(path) == before
    assert names_in(tmp_path) == ["state.json"]


@every_damage
async def test_the_next_operation_works_after_a_repair(
    kv: AioKV, path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(json.JSONDecodeError):
        await kv.get("a")
    path.write_text(GOOD)
    assert await kv.get("a") == 1
    await kv.set("c", 3)
    assert json.loads(path.read_bytes()) == {"a": 1, "b": [True, "two"], "c": 3}


@every_damage
async def test_the_next_operation_works_after_a_clear(
    kv: AioKV, path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    assert await kv.clear() is True
    assert not path.exists()
    await kv.set("c", 3)
    assert await kv.get_all() == {"c": 3}


@pytest.mark.parametrize(
    ("content", "line", "column"),
    [
        (b"", 1, 1),
        (b"{} x", 1, 4),
        (b'{\n  "a": 1,\n  "b" 2\n}', 3, 7),
        ('{\n  "ä": "é", 2\n}'.encode(), 2, 13),
        (b'{\r\n"a": 1\r\n"b": 2\r\n}', 3, 1),
        (b'{"a": "\xff"}', 1, 8),
        (b'{"a": 1,\n "b": [1, 2', 2, 12),
    ],
)
async def test_line_and_column_count_characters_from_one(
    kv: AioKV, path: Path, content: bytes, line: int, column: int
) -> None:
    path.write_bytes(content)
    with pytest.raises(json.JSONDecodeError) as failure:
        await kv.get("a")
    assert (failure.value.lineno, failure.value.colno) == (line, column)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "object"),
        (b"[]", "object"),
        (b"\0" * 8, "NUL"),
        (b"\xff\xfe{\x00}\x00", "UTF-16"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b"{", "clear"),
    ],
)
async def test_the_message_says_what_was_expected_and_what_to_do(
    kv: AioKV, path: Path, content: bytes, expected: str
) -> None:
    path.write_bytes(content)
    with pytest.raises(json.JSONDecodeError) as failure:
        await kv.get("a")
    assert expected in failure.value.msg


def large_with_damage() -> str:
    lines = [f'  "key {number}": "{"ä" * 100}"' for number in range(10_000)]
    lines[5_000] = lines[5_000].replace(":", "=")
    return "{\n" + ",\n".join(lines) + "\n}\n"


@raising_operations
async def test_the_error_carries_the_surroundings_of_the_place_and_not_the_file(
    kv: AioKV, path: Path, operation: Operation
) -> None:
    """It once kept the whole file, once for each operation that failed."""
    path.write_text(large_with_damage())
    with pytest.raises(json.JSONDecodeError) as failure:
        await operation(kv)
    error = failure.value
    assert (error.lineno, error.colno) == (5_002, 13)
    assert len(error.doc) <= 200
    assert error.doc[error.pos :].startswith('= "ä')
    assert error.doc[: error.pos].endswith('"key 5000"')
    assert str(error).endswith(": line 5002 column 13")
    assert "char" not in str(error)


@every_damage
async def test_the_place_is_in_the_surroundings(kv: AioKV, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(json.JSONDecodeError) as failure:
        await kv.get("a")
    assert 0 <= failure.value.pos <= len(failure.value.doc) <= 200


async def test_a_damage_error_can_be_copied_and_sent_to_another_process(
    kv: AioKV, path: Path
) -> None:
    path.write_text(large_with_damage())
    with pytest.raises(json.JSONDecodeError) as failure:
        await kv.get("a")
    error = failure.value
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert isinstance(other, json.JSONDecodeError)
        assert str(other) == str(error)
        assert (other.msg, other.doc, other.pos) == (error.msg, error.doc, error.pos)
        assert (other.lineno, other.colno) == (5_002, 13)


# --- failing calls ---


@raising_operations
async def test_a_directory_at_the_path_is_an_os_error(
    kv: AioKV, path: Path, operation: Operation
) -> None:
    path.mkdir()
    with pytest.raises(IsADirectoryError) as failure:
        await operation(kv)
    assert (failure.value.errno, failure.value.filename) == (errno.EISDIR, str(path))


async def test_a_directory_at_the_path_is_left_alone(kv: AioKV, path: Path, tmp_path: Path) -> None:
    path.mkdir()
    (path / "precious").write_text("x")
    with pytest.raises(IsADirectoryError):
        await kv.set("a", 1)
    assert await kv.delete("a") is False
    assert await kv.clear() is False
    assert names_in(path) == ["precious"]
    assert names_in(tmp_path) == ["state.json"]


async def test_an_empty_directory_at_the_path_survives_clear(kv: AioKV, path: Path) -> None:
    path.mkdir()
    assert await kv.clear() is False
    assert path.is_dir()


async def test_a_store_works_once_the_directory_at_the_path_is_gone(kv: AioKV, path: Path) -> None:
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        await kv.set("a", 1)
    path.rmdir()
    await kv.set("a", 2)
    assert await kv.get("a") == 2


@raising_operations
async def test_a_pipe_at_the_path_is_an_error_and_no_endless_wait(
    kv: AioKV, path: Path, operation: Operation
) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError) as failure:
        await operation(kv)
    assert failure.value.filename == str(path)


@raising_operations
async def test_a_name_that_is_too_long_is_an_os_error(tmp_path: Path, operation: Operation) -> None:
    with pytest.raises(OSError) as failure:
        await operation(AioKV(tmp_path / ("x" * 300)))
    assert failure.value.errno == errno.ENAMETOOLONG


def test_a_failed_write_raises_in_every_operation_and_leaves_the_old_state(
    path: Path, tmp_path: Path
) -> None:
    # A limit on the size of files stands for a full disk: writing stops half-way.
    run_program(
        """
        import resource

        def limit_file_size(size):
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

        async def main():
            kv = AioKV(path)
            await kv.set("a", "old")
            before = path.read_bytes()
            limit_file_size(4096)
            big = "x" * 10_000
            failures = await asyncio.gather(
                kv.set("a", big), kv.set("b", big), kv.set("c", big), return_exceptions=True
            )
            assert [failure.errno for failure in failures] == [errno.EFBIG] * 3, failures
            assert all(failure.filename for failure in failures)
            assert await kv.get_all() == {"a": "old"}
            assert path.read_bytes() == before
            assert os.listdir(path.parent) == ["state.json"]

            await kv.set("a", "small")
            limit_file_size(resource.RLIM_INFINITY)
            await kv.set("b", big)
            assert await kv.get_all() == {"a": "small", "b": big}

        asyncio.run(main())
        """,
        path,
    )
    assert json.loads(path.read_bytes()) == {"a": "small", "b": "x" * 10_000}
    assert names_in(tmp_path) == ["state.json"]


def test_delete_is_false_when_the_write_fails(path: Path) -> None:
    run_program(
        """
        import resource

        async def main():
            kv = AioKV(path)
            await kv.set("a", "x" * 10_000)
            await kv.set("b", 1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            logging.disable()
            assert await kv.delete("b") is False
            assert await kv.get("b") == 1

        asyncio.run(main())
        """,
        path,
    )
    assert json.loads(path.read_bytes())["b"] == 1
