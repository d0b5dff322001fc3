"""``aiokv._exchange``: what ``aiokv import`` and ``aiokv export`` leave to Python."""

import dbm.dumb
import json
import pickle
import shelve
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

VALUES: dict[str, Any] = {
    "last_command": "ping",
    "user:17": {"name": "Zoë 😀", "seen": [1, 2.5, None, True]},
    "big": 10**40,
    "odd": "a\ud800b",
}


def exchange(*words: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "aiokv._exchange", *map(str, words)]
    return subprocess.run(command, input=given, capture_output=True, check=False)


def entries(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, b"")
    lines = map(json.loads, done.stdout.splitlines())
    return {line["key"]: line["value"] for line in lines}


def write(kind: str, path: Path, values: dict[str, Any]) -> subprocess.CompletedProcess[bytes]:
    return exchange("write", kind, f"--entries={len(values)}", path, given=lines(values))


def lines(values: dict[str, Any]) -> bytes:
    found = [json.dumps({"key": key, "value": value}) + "\n" for key, value in values.items()]
    return "".join(found).encode()


def database(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return path


@pytest.mark.parametrize("kind", ["shelve", "sqlite"])
def test_what_was_written_is_read_again(tmp_path: Path, kind: str) -> None:
    values = {key: value for key, value in VALUES.items() if key != "odd" or kind == "shelve"}
    target = tmp_path / "target"
    assert write(kind, target, values).returncode == 0
    assert entries(exchange("read", kind, target)) == values


@pytest.mark.parametrize("kind", ["shelve", "sqlite"])
def test_a_number_of_any_size_goes_out_and_comes_back(tmp_path: Path, kind: str) -> None:
    """Python reads and prints up to 4300 digits, unless it is told otherwise: an export of more
    failed with a traceback."""
    target = tmp_path / "target"
    line = b'{"key": "large", "value": ' + b"9" * 5000 + b"}\n"
    assert exchange("write", kind, "--entries=1", target, given=line).stderr == b""
    done = exchange("read", kind, target)
    assert (done.returncode, done.stdout) == (0, line)


def test_nothing_is_written_behind_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    """A link to a missing file passed for a name that is free, and SQLite wrote behind it."""
    target = tmp_path / "target.sqlite"
    target.symlink_to("elsewhere.sqlite")
    done = write("sqlite", target, {"a": 1})
    assert done.returncode == 5 and b"already" in done.stderr
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("kind", ["shelve", "sqlite"])
def test_what_is_there_is_not_replaced(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    done = write(kind, target, VALUES)
    assert done.returncode == 5 and b"already" in done.stderr
    assert target.read_text() == "mine"


def test_a_shelf_in_several_files_is_read(tmp_path: Path) -> None:
    path = tmp_path / "shelf"
    with closing(dbm.dumb.open(str(path), "n")) as shelf:
        shelf[b"a"] = pickle.dumps((1, 2))
    assert entries(exchange("read", "shelve", path)) == {"a": [1, 2]}


def test_a_value_that_json_does_not_have_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "shelf"
    with shelve.open(str(path)) as shelf:
        shelf["user:17"] = {"history": [{"at": datetime(2026, 1, 1)}]}
    done = exchange("read", "shelve", path)
    assert done.returncode == 3
    assert b"'user:17'" in done.stderr and b"$.history[0].at" in done.stderr


def test_what_is_not_there_or_no_shelf_is_told(tmp_path: Path) -> None:
    done = exchange("read", "shelve", tmp_path / "absent")
    assert done.returncode == 5 and b"no such file" in done.stderr
    (tmp_path / "text").write_text("hello " * 100)
    done = exchange("read", "shelve", tmp_path / "text")
    assert done.returncode == 3 and b"no shelf" in done.stderr


def test_a_table_of_two_columns_gives_values(tmp_path: Path) -> None:
    path = database(
        tmp_path / "bot.sqlite",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value)",
        "INSERT INTO settings VALUES ('a', 1), ('b', 'text'), ('c', NULL), ('d', 1.5)",
    )
    assert entries(exchange("read", "sqlite", path)) == {"a": 1, "b": "text", "c": None, "d": 1.5}


def test_a_table_of_more_columns_gives_objects(tmp_path: Path) -> None:
    path = database(
        tmp_path / "bot.sqlite",
        "CREATE TABLE other (id)",
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, tags JSON, note TEXT)",
        "INSERT INTO users VALUES (17, 'Ada', '[1, 2]', '[3]')",
    )
    read = ["read", "sqlite", "--table=users"]
    everything = {"name": "Ada", "tags": [1, 2], "note": "[3]"}
    assert entries(exchange(*read, path)) == {"17": everything}
    assert entries(exchange(*read, "--value=tags", path)) == {"17": [1, 2]}
    assert entries(exchange(*read, "--key=name", "--value=note", path)) == {"Ada": "[3]"}
    assert entries(exchange(*read, "--value=note", "--parse", path)) == {"17": [3]}


def test_what_is_missing_in_a_database_is_told(tmp_path: Path) -> None:
    path = database(
        tmp_path / "bot.sqlite",
        "CREATE TABLE one (a, b)",
        "CREATE TABLE two (key, value)",
        "INSERT INTO two VALUES ('a', x'00'), (1.5, 1)",
    )
    for words, status, told in [
        ([], 2, b"'one', 'two': say --table"),
        (["--table=three"], 2, b"no table 'three'"),
        (["--table=one"], 2, b"say --key"),
        (["--table=two", "--value=x"], 2, b"no column 'x'"),
        (["--table=two"], 3, b"the value of 'a' in the column 'value' is a blob"),
        (["--table=two", "--value=key"], 3, b"neither text nor a whole number"),
    ]:
        done = exchange("read", "sqlite", *words, path)
        assert done.returncode == status and told in done.stderr, (words, done)
    (tmp_path / "text").write_text("hello " * 100)
    done = exchange("read", "sqlite", tmp_path / "text")
    assert done.returncode == 3 and b"not a database" in done.stderr


def test_an_odd_name_of_a_table_is_a_name(tmp_path: Path) -> None:
    path = database(
        tmp_path / "bot.sqlite",
        'CREATE TABLE "a""; DROP TABLE x; --" ("k"" y" PRIMARY KEY, value)',
        'INSERT INTO "a""; DROP TABLE x; --" VALUES (\'a\', 1)',
    )
    assert entries(exchange("read", "sqlite", path)) == {"a": 1}


def test_an_import_writes_nothing_to_the_database(tmp_path: Path) -> None:
    path = database(tmp_path / "bot.sqlite", "CREATE TABLE t (key, value)")
    before = path.read_bytes()
    entries(exchange("read", "sqlite", path))
    assert path.read_bytes() == before
    assert [it.name for it in tmp_path.iterdir()] == ["bot.sqlite"]


@pytest.mark.parametrize("kind", ["shelve", "sqlite"])
def test_nobody_else_can_read_what_was_written(tmp_path: Path, kind: str) -> None:
    assert write(kind, tmp_path / "target", {"a": 1}).returncode == 0
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}


@pytest.mark.parametrize("kind", ["shelve", "sqlite"])
def test_half_of_an_export_is_removed(tmp_path: Path, kind: str) -> None:
    done = exchange("write", kind, "--entries=2", tmp_path / "target", given=lines({"a": 1}))
    assert done.returncode == 5 and b"expected 2 entries, got 1" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["shelve", "sqlite"])
def test_an_export_gets_its_name_when_it_is_complete(tmp_path: Path, kind: str) -> None:
    """A killed export left half of the entries under the name of the whole."""
    target = tmp_path / "target"
    command = [sys.executable, "-m", "aiokv._exchange", "write", kind, "--entries=2", str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        # More than a pipe holds, so the process has read, and opened what it writes to.
        process.stdin.write(lines({"a": "x" * 1_000_000}))
        process.stdin.flush()
        process.kill()
    assert [path for path in tmp_path.iterdir() if path.name.startswith("target")] == []


@pytest.mark.parametrize("kind", ["shelve", "sqlite"])
def test_a_number_that_python_cannot_have_is_not_made_infinite(tmp_path: Path, kind: str) -> None:
    given = b'{"key": "n", "value": [1e400]}\n'
    done = exchange("write", kind, "--entries=1", tmp_path / "target", given=given)
    assert (done.returncode, list(tmp_path.iterdir())) == (6, [])
    assert b"1e400 is too large for a float" in done.stderr
    assert b"the value of 'n' " in done.stderr


@pytest.mark.parametrize("kind", ["shelve", "sqlite"])
def test_a_directory_that_is_not_there_is_told_in_the_users_words(
    tmp_path: Path, kind: str
) -> None:
    target = tmp_path / "absent" / "target"
    done = write(kind, target, {"a": 1})
    told = f"cannot write `{target}`: No such file or directory\n"
    assert (done.returncode, done.stderr.decode()) == (5, told)


# --- with the command ---


def command(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    words = (sys.executable, "-m", "aiokv", *words)
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


class Mark:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_shelf_becomes_a_store(tmp_path: Path) -> None:
    path, store = tmp_path / "shelf", tmp_path / "state.json"
    with shelve.open(str(path)) as shelf:
        shelf.update(VALUES)
    done = command("import", store, path, "--format", "shelve", "--unsafe-pickle")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"imported": 4, "kept": 0}
    assert json.loads(store.read_bytes()) == VALUES
    assert "Zoë 😀" in store.read_text()


def test_nothing_is_imported_if_one_value_is_not_json(tmp_path: Path) -> None:
    path, store = tmp_path / "shelf", tmp_path / "state.json"
    store.write_text('{"a": 1}')
    with shelve.open(str(path)) as shelf:
        shelf["b"] = 2
        shelf["c"] = [{3}]
    done = command("import", store, path, "--format", "shelve", "--unsafe-pickle")
    assert done.returncode == 3
    assert done.stderr.startswith(
        "aiokv: nothing was imported: the value of 'c' cannot be stored: $[0]"
    )
    assert store.read_text() == '{"a": 1}'


def test_no_code_of_a_pickle_runs_unless_the_user_says_so(tmp_path: Path) -> None:
    path, store, mark = tmp_path / "shelf", tmp_path / "state.json", tmp_path / "mark"
    with shelve.open(str(path)) as shelf:
        shelf["a"] = Mark(mark)
    words = ("import", store, path, "--format", "shelve")
    assert command(*words).returncode == 2
    assert not mark.exists()
    assert command(*words, "--unsafe-pickle").returncode == 0
    assert mark.exists()


def test_a_store_becomes_a_database_and_a_store_again(tmp_path: Path) -> None:
    store, again, target = tmp_path / "state.json", tmp_path / "again.json", tmp_path / "bot.sqlite"
    values = {key: value for key, value in VALUES.items() if key != "odd"}
    store.write_text(json.dumps(values))
    assert command("export", store, target).returncode == 0
    with closing(sqlite3.connect(target)) as connection:
        rows = connection.execute("SELECT value FROM entries WHERE key = 'last_command'")
        assert rows.fetchall() == [('"ping"',)]
    assert command("import", again, target).returncode == 0
    assert json.loads(again.read_bytes()) == values


def test_no_code_in_the_current_directory_runs(tmp_path: Path) -> None:
    """`aiokv import state.json bot.sqlite` ran a file `sqlite3.py` of the directory that it was
    called in, because `python -m` imports from there first."""
    source, mark = tmp_path / "bot.sqlite", tmp_path / "mark"
    database(source, "CREATE TABLE entries (key, value)", "INSERT INTO entries VALUES ('a', 1)")
    for name in ("argparse", "shelve", "sqlite3"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')")
    done = command("import", "state.json", source, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ('{"imported":1,"kept":0}\n', "")
    assert not mark.exists()
