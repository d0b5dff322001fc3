"""`python -m aiokv`, and the script that the wheel brings, are the command.

What they print, how they end and what they leave behind is what the binary does.
"""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from aiokv import __version__

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "command.md"

# One key occurs twice, so that there is something to warn of.
CONTENT = '{"text": "ping", "n": 1.50, "seen:1": true, "seen:2": null, "n": 2, "café": [1]}'

# Each verb, with what makes it do something, and what makes it fail.
LINES = [
    "state.json",
    "absent.json",
    "get state.json text --raw",
    "get state.json text n absent",
    "set state.json text [1,2]",
    "set state.json text ping",
    "add state.json text 1",
    "delete state.json text",
    "delete state.json --prefix seen: --yes",
    "delete state.json --prefix seen:",
    "keys state.json",
    "items state.json --prefix seen:",
    "count state.json",
    "increment state.json n 40",
    "increment state.json text",
    "clear state.json --yes",
    "clear state.json",
    "check state.json",
    "check damaged.json",
    "checkpoint state.json",
    "backup state.json copy.json",
    "edit state.json",
    "import state.json more.json",
    "export state.json --format jsonl",
    "recover damaged.json saved.json",
    "watch damaged.json",
    "stats state.json",
    "completions fish",
    "man get",
    "help get",
    "--help",
    "--version",
    "unset state.json",
    "",
]

Program = list[str]


@pytest.fixture(scope="module")
def binary() -> Program:
    """The binary of this checkout."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("there is no cargo to build the binary with")
    build = [cargo, "build", "--quiet", "--package=aiokv-cli", "--message-format=json"]
    told = subprocess.run(build, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    paths = [json.loads(line).get("executable") for line in told.splitlines()]
    (path,) = filter(None, paths)
    return [path]


MODULE: Program = [sys.executable, "-m", "aiokv"]
SCRIPT: Program = [str(Path(sys.executable).with_name("aiokv"))]


@pytest.fixture
def directory(tmp_path: Path) -> Callable[[], Path]:
    """Makes directories that look the same, one at a time at the same path."""
    path = tmp_path / "directory"

    def make() -> Path:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        (path / "state.json").write_text(CONTENT)
        (path / "damaged.json").write_text('{"a": 1, "b" 2}')
        (path / "more.json").write_text('{"more": 1}')
        return path

    return make


def environment() -> dict[str, str]:
    without = ("AIOKV_PATH", "NO_COLOR", "VISUAL")
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return {**kept, "EDITOR": "true", "TERM": "xterm"}


def in_a_pipe(program: Program, line: str, directory: Path) -> tuple[object, ...]:
    ran = subprocess.run(
        [*program, *line.split()],
        cwd=directory,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )
    return ran.returncode, ran.stdout, ran.stderr, contents(directory)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@contextmanager
def at_a_terminal(
    program: Program, line: str, directory: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The process and the side of its terminal where the person is."""
    person, terminal = pty.openpty()
    process = subprocess.Popen(
        [*program, *line.split()],
        cwd=directory,
        env=environment(),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        yield process, person
    finally:
        process.kill()
        process.wait()
        os.close(person)


def read_until(person: int, words: bytes | None = None) -> bytes:
    """What the terminal shows until these words, or else until the end."""
    shown = b""
    while words is None or words not in shown:
        assert select.select([person], [], [], 60)[0], shown
        try:
            read = os.read(person, 4096)
        except OSError:  # what Linux says when the other side is closed
            break
        if not read:
            break
        shown += read
    return shown


def verbs() -> set[str]:
    told = subprocess.run([*MODULE, "-h"], capture_output=True, text=True, check=True).stdout
    section = told.split("Verbs:")[1].split("\n\n")[0]
    found = re.findall(r"^  (\w+)", section, re.MULTILINE)
    assert len(found) > 15
    return {*found}


def test_the_lines_have_every_verb() -> None:
    assert verbs() <= {line.split(" ")[0] for line in LINES}


@pytest.mark.parametrize("line", LINES)
def test_in_a_pipe_it_is_the_same(
    line: str, binary: Program, directory: Callable[[], Path]
) -> None:
    expected = in_a_pipe(binary, line, directory())
    assert in_a_pipe(MODULE, line, directory()) == expected
    assert in_a_pipe(SCRIPT, line, directory()) == expected


@pytest.mark.parametrize("line", ["state.json", "stats state.json", "check damaged.json"])
def test_at_a_terminal_it_is_the_same(
    line: str, binary: Program, directory: Callable[[], Path]
) -> None:
    seen = []
    for program in (binary, MODULE, SCRIPT):
        with at_a_terminal(program, line, directory()) as (process, person):
            seen.append((read_until(person), process.wait(60)))
    assert b"\x1b[" in seen[0][0] or line.startswith(("check", "stats"))
    assert seen[1:] == seen[:1] * 2


def test_a_question_is_asked_and_answered(binary: Program, directory: Callable[[], Path]) -> None:
    for program in (binary, MODULE):
        path = directory()
        with at_a_terminal(program, "clear state.json", path) as (process, person):
            read_until(person, b"[y/N] ")
            os.write(person, b"y\n")
            assert process.wait(60) == 0
        assert not (path / "state.json").exists()


def test_ctrl_c_ends_it_as_it_ends_the_binary(
    binary: Program, directory: Callable[[], Path]
) -> None:
    for program in (binary, MODULE, SCRIPT):
        with at_a_terminal(program, "watch state.json", directory()) as (process, person):
            read_until(person, b"Ctrl-C ends it")
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == -signal.SIGINT


def test_a_reader_that_goes_away_is_no_failure(
    binary: Program, directory: Callable[[], Path]
) -> None:
    for program in (binary, MODULE, SCRIPT):
        path = directory()
        # More than a pipe holds.
        (path / "state.json").write_text(json.dumps({"text": "x" * 1_000_000}))
        process = subprocess.Popen(
            [*program, "state.json"], cwd=path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() == 0


@pytest.mark.parametrize("closed", ["<&- >&-", "<&- >&- 2>&-"])
def test_a_process_without_standard_streams_damages_nothing(
    closed: str, binary: Program, directory: Callable[[], Path]
) -> None:
    """`aiokv increment state.json n <&- >&-` opened the file as number 1 and printed into it.

    The runtime of the binary opens the numbers 0 to 2 at its start. An interpreter does not.
    """
    for program in (binary, MODULE, SCRIPT):
        path = directory()
        words = f'"$@" increment state.json count {closed}'
        ran = subprocess.run(["sh", "-c", words, "sh", *program], cwd=path, check=False)
        assert ran.returncode == 0
        assert json.loads((path / "state.json").read_text())["count"] == 1


def test_any_argument_that_a_shell_can_give_is_taken(directory: Callable[[], Path]) -> None:
    name = os.fsdecode(b"not utf-8: \xff.json")
    path = directory() / name
    subprocess.run([*MODULE, "set", path, "a", "1"], check=True)
    assert path.read_bytes() == b'{\n  "a": 1\n}\n'


def test_the_version_is_that_of_the_package() -> None:
    told = subprocess.run([*MODULE, "--version"], capture_output=True, text=True, check=True)
    assert told.stdout == f"aiokv {__version__}\n"


def test_nothing_is_imported_that_the_command_does_not_need() -> None:
    """`asyncio` alone takes longer to import than the command may take to start."""
    code = "import sys, aiokv.__main__; print(*{'asyncio', 'logging'} & {*sys.modules})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "\n"


def sessions() -> list[tuple[str, str]]:
    """The commands of the page about the command, and what each shows."""
    blocks = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    commands = [command for block in blocks for command in re.split(r"^\$ ", block, flags=re.M)]
    return [(line, shown) for line, _, shown in (it.partition("\n") for it in commands) if line]


def steady(shown: str) -> str:
    """Without what changes from run to run: the time, how long ago it is, the bar of a slow run."""
    shown = re.sub(r"[^\n]*(?:\r|\x1b\[2K)+", "", shown.replace("\r\n", "\n"))
    shown = re.sub(r"\b1[7-9]\d{8}\b", "1790000000", shown)
    return re.sub(r"(?<=  )\d s(?=  )", "0 s", shown)


def test_the_page_about_the_command_shows_what_it_does(tmp_path: Path) -> None:
    """One session at a terminal. What `watch` tells comes with the command after it."""
    variables = tmp_path / "variables"
    variables.touch()
    directory = tmp_path / "directory"
    directory.mkdir()
    watched = ""
    with ExitStack() as watching:
        for line, shown in sessions():
            code = f"PATH={Path(sys.executable).parent}:$PATH NO_COLOR=1; export NO_COLOR"
            code += f"; . {variables}; {line}\nexport -p > {variables}"
            terminal = at_a_terminal(["bash", "-c", code], "", directory)
            if line.startswith("aiokv watch"):
                _, watcher = watching.enter_context(terminal)
                watched = shown
                read = read_until(watcher, b"Ctrl-C ends it\r\n")
                continue
            with terminal as (_, person):
                assert steady(read_until(person).decode()) == shown, line
            if watched:
                read += read_until(watcher, b"\n")
                assert steady(read.decode()) == watched
                watched = ""
    assert not watched


def test_the_page_about_the_command_has_every_verb() -> None:
    examples = "\n".join(line for line, _ in sessions())
    assert {verb for verb in verbs() if f"aiokv {verb} " not in examples} == {"help"}
