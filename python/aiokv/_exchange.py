"""Formats of Python for ``aiokv import`` and ``aiokv export``.

The command runs this module in a process of its own and talks with it through a pipe, in JSON
Lines: ``{"key": "last_command", "value": "ping"}``. ``read`` writes the entries of a file to
standard output; ``write`` creates a file of the entries from standard input.

What JSON does not have is an error that names the key; then nothing more is written. The exit
status is that of the command.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import json
import math
import os
import shelve
import sqlite3
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from aiokv import AioKV
from aiokv._aiokv import Store

Entries = Iterator[tuple[str, Any]]

USAGE: Final = 2
DAMAGED: Final = 3
SYSTEM: Final = 5
IMPOSSIBLE: Final = 6

SHELF_ENDINGS: Final = (".db", ".dat", ".dir", ".bak")
"""What the files of a shelf may have behind its name."""

TABLE: Final = "entries"
"""The table that an export creates."""


class ExchangeError(Exception):
    """What the user is told, and the exit status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def main(words: list[str] | None = None) -> int:
    """Do what the words say and return the exit status."""
    options = _parser().parse_args(words)
    # A store takes ints of any size. The first versions of Python 3.10 have no limit.
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    try:
        if options.direction == "read":
            _print(READERS[options.format](options))
        else:
            # Only this user may read what is written, as long as nobody says something else.
            os.umask(0o077)
            with _new_files(options.path) as path:
                WRITERS[options.format](path, _lines(options.entries))
    except ExchangeError as problem:
        print(problem, file=sys.stderr)
        return problem.status
    except OSError as error:
        # Without the name in the error, which may be that of a temporary file.
        reason = error.strerror or error
        print(f"cannot {options.direction} `{options.path}`: {reason}", file=sys.stderr)
        return SYSTEM
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m aiokv._exchange")
    directions = parser.add_subparsers(dest="direction", required=True)
    read = directions.add_parser("read")
    read.add_argument("format", choices=READERS)
    read.add_argument("--table")
    read.add_argument("--key")
    read.add_argument("--value")
    read.add_argument("--parse", action="store_true")
    read.add_argument("path", type=Path)
    write = directions.add_parser("write")
    write.add_argument("format", choices=WRITERS)
    write.add_argument("--entries", type=int, required=True)
    write.add_argument("path", type=Path)
    return parser


def _print(entries: Entries) -> None:
    """Write entries to standard output, each once it is known to be JSON."""
    # Judges a value as `set` does. Nothing is written to it.
    judge = Store("/nowhere", False, 0, "auto", 0, 0, None, None, True)
    for key, value in entries:
        try:
            judge.encode(key, value)
        except (TypeError, ValueError) as error:
            raise ExchangeError(
                DAMAGED, f"the value of {key!r} cannot be stored: {error}"
            ) from None
        sys.stdout.buffer.write(_line(key, value))
    sys.stdout.buffer.flush()


def _line(key: str, value: Any) -> bytes:
    entry = {"key": key, "value": value}
    try:
        return (json.dumps(entry, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        # Lone surrogates, which JSON can spell and UTF-8 cannot.
        return (json.dumps(entry) + "\n").encode()


def _lines(count: int) -> Entries:
    """The entries on standard input, of which there must be so many."""
    found = 0
    for line in sys.stdin.buffer:
        try:
            entry = json.loads(line, parse_float=_float)
        except OverflowError as error:
            key = json.loads(line)["key"]
            message = f"the value of {key!r} cannot be exported: {error}; JSON keeps it"
            raise ExchangeError(IMPOSSIBLE, message) from None
        yield entry["key"], entry["value"]
        found += 1
    if found != count:
        raise ExchangeError(SYSTEM, f"expected {count} entries, got {found}")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise OverflowError(f"the number {text} is too large for a float of Python")
    return number


@contextlib.contextmanager
def _new_files(path: Path) -> Generator[Path, None, None]:
    """Give the path to write to. The files that are there in the end get their names at the end.

    Refuses to replace the files that a format may have.
    """
    files = [path, *(path.with_name(path.name + end) for end in SHELF_ENDINGS)]
    for file in files:
        if os.path.lexists(file):
            message = f"cannot write `{file}`: there is such a file already; choose another name"
            raise ExchangeError(SYSTEM, message)
    with tempfile.TemporaryDirectory(prefix=".aiokv-export-", dir=path.parent) as directory:
        yield Path(directory, path.name)
        for file in Path(directory).iterdir():
            file.rename(path.with_name(file.name))


def _require(path: Path) -> None:
    if not path.is_file():
        raise ExchangeError(SYSTEM, f"cannot read `{path}`: there is no such file")


# --- shelve ---


def _read_shelve(options: argparse.Namespace) -> Entries:
    path = str(options.path)
    if not any(Path(path + ending).is_file() for ending in ("", *SHELF_ENDINGS)):
        raise ExchangeError(SYSTEM, f"cannot read `{path}`: there is no such file")
    try:
        shelf = shelve.open(path, flag="r")  # noqa: SIM115 - it is closed below
    except Exception as error:
        raise ExchangeError(
            DAMAGED, f"`{path}` is no shelf that this Python can read: {error}"
        ) from None
    with shelf:
        for key in shelf:
            try:
                value = shelf[key]
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                message = f"the value of {key!r} cannot be unpickled: {problem}"
                raise ExchangeError(DAMAGED, message) from None
            yield key, value


def _write_shelve(path: Path, entries: Entries) -> None:
    with shelve.open(str(path), flag="n") as shelf:
        for key, value in entries:
            try:
                shelf[key] = value
            except UnicodeEncodeError:
                raise ExchangeError(DAMAGED, f"shelve cannot have the key {key!r}") from None


# --- SQLite ---


def _read_sqlite(options: argparse.Namespace) -> Entries:
    path: Path = options.path
    _require(path)
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            yield from _rows(connection, options)
    except sqlite3.Error as error:
        raise ExchangeError(DAMAGED, f"cannot read `{path}`: {error}") from None


def _rows(connection: sqlite3.Connection, options: argparse.Namespace) -> Entries:
    table = options.table or _only_table(connection)
    # cid, name, type, notnull, default, pk
    columns = connection.execute("SELECT * FROM pragma_table_info(?)", (table,)).fetchall()
    if not columns:
        raise ExchangeError(USAGE, f"there is no table {table!r}")
    types = {name: kind.upper() for _, name, kind, *_ in columns}
    key = options.key or _key_column(columns)
    others = [options.value] if options.value else [name for name in types if name != key]
    for name in (key, *others):
        if name not in types:
            raise ExchangeError(USAGE, f"there is no column {name!r} but {_listed(types)}")
    if not others:
        raise ExchangeError(USAGE, f"there is no column with values beside {key!r}")
    selected = ", ".join(map(_quoted, (key, *others)))
    for found, *values in connection.execute(f"SELECT {selected} FROM {_quoted(table)}"):
        name = _key(found)
        parsed = {
            column: _parsed(name, column, value, options.parse or "JSON" in types[column])
            for column, value in zip(others, values, strict=True)
        }
        yield name, parsed if len(others) > 1 else parsed[others[0]]


def _only_table(connection: sqlite3.Connection) -> str:
    query = "SELECT name FROM sqlite_master WHERE type = 'table'"
    found = [name for (name,) in connection.execute(query)]
    tables: list[str] = [name for name in found if not name.startswith("sqlite_")]
    if len(tables) != 1:
        listed = _listed(tables) if tables else "none"
        raise ExchangeError(USAGE, f"which table? There are {listed}: say --table")
    return tables[0]


def _key_column(columns: list[tuple[Any, ...]]) -> str:
    names: list[str] = [column[1] for column in columns]
    primary: list[str] = [column[1] for column in columns if column[5]]
    if "key" in names:
        return "key"
    if len(primary) == 1:
        return primary[0]
    raise ExchangeError(USAGE, f"which column has the keys? There are {_listed(names)}: say --key")


def _key(found: object) -> str:
    if isinstance(found, str):
        return found
    # As the errors of aiokv tell to write it.
    if isinstance(found, int):
        return str(found)
    raise ExchangeError(DAMAGED, f"the key {found!r} is neither text nor a whole number: say --key")


def _parsed(key: str, column: str, value: Any, is_json: bool) -> Any:
    if isinstance(value, bytes):
        message = (
            f"the value of {key!r} in the column {column!r} is a blob, which JSON does not have: "
            "choose another column with --value, or convert it to text"
        )
        raise ExchangeError(DAMAGED, message)
    if not (is_json and isinstance(value, str)):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        message = f"the value of {key!r} in the column {column!r} is not JSON: {error}"
        raise ExchangeError(DAMAGED, message) from None


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _write_sqlite(path: Path, entries: Entries) -> None:
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                f"CREATE TABLE {TABLE} (key TEXT PRIMARY KEY, value JSON TEXT NOT NULL)"
            )
            rows = ((key, json.dumps(value, ensure_ascii=False)) for key, value in entries)
            connection.executemany(f"INSERT INTO {TABLE} VALUES (?, ?)", rows)
    except (UnicodeEncodeError, sqlite3.Error) as error:
        raise ExchangeError(SYSTEM, f"cannot write `{path}`: {error}") from None


# --- python-telegram-bot ---


def _read_telegram(options: argparse.Namespace) -> Entries:
    _require(options.path)
    try:
        # By its name, because python-telegram-bot is not there where this file is checked.
        module = importlib.import_module("aiokv.ext._telegram_pickle")
    except ImportError as error:
        raise ExchangeError(SYSTEM, str(error)) from None
    with tempfile.TemporaryDirectory(prefix="aiokv-import-") as directory:
        kv = AioKV(Path(directory, "bot.json"), fsync=False)
        try:
            entries: dict[str, Any] = asyncio.run(module.entries(options.path, kv))
        except (TypeError, ValueError) as error:
            raise ExchangeError(DAMAGED, str(error)) from None
    yield from entries.items()


READERS: Final[dict[str, Callable[[argparse.Namespace], Entries]]] = {
    "shelve": _read_shelve,
    "sqlite": _read_sqlite,
    "telegram": _read_telegram,
}
WRITERS: Final[dict[str, Callable[[Path, Entries], None]]] = {
    "shelve": _write_shelve,
    "sqlite": _write_sqlite,
}

if __name__ == "__main__":
    # What JSON makes of keys of dicts is told once, by the last one who reads them.
    warnings.simplefilter("ignore")
    sys.exit(main())
