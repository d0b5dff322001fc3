"""Fixtures for all tests. Every asynchronous test runs under asyncio and under uvloop."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from aiokv import AioKV
from helpers import IN_THE_FILE, LoopFactory, run_program
from hypothesis import settings

# How long an example takes says nothing about whether it is right.
settings.register_profile("aiokv", deadline=None)
settings.load_profile("aiokv")


def new_uvloop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = pytest.importorskip("uvloop").new_event_loop()
    return loop


LOOP_FACTORIES: Mapping[str, LoopFactory] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": new_uvloop,
}


def pytest_asyncio_loop_factories() -> Mapping[str, LoopFactory]:
    return LOOP_FACTORIES


@pytest.fixture(params=list(LOOP_FACTORIES.values()), ids=list(LOOP_FACTORIES))
def new_loop(request: pytest.FixtureRequest) -> LoopFactory:
    """Makes event loops, for tests that start and close loops themselves."""
    factory: LoopFactory = request.param
    return factory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store's file is going to be; the directory is empty."""
    return tmp_path / "state.json"


@pytest.fixture
def journal(path: Path) -> Path:
    """Where the journal of the store is going to be."""
    return path.with_name("state.json.journal")


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a file and its journal, as a killed process leaves them.

    The file holds `IN_THE_FILE`, and `EVERYTHING` together with its journal.
    """
    path = tmp_path_factory.mktemp("left_behind") / "state.json"
    path.write_text(json.dumps(IN_THE_FILE))
    run_program(
        """
        async def main():
            kv = AioKV(path, journal="always", checkpoint_pace=0)
            await kv.set("second", 2)
            await kv.set("third", 3)
            os._exit(0)

        asyncio.run(main())
        """,
        path,
    )
    return path.parent


@pytest.fixture
def journaled(path: Path, journal: Path, left_behind: Path) -> Path:
    """The path of a file that has a journal, copies of those in `left_behind`."""
    for name in (path.name, journal.name):
        shutil.copy(left_behind / name, path.with_name(name))
    return path


@pytest.fixture
def kv(path: Path) -> AioKV:
    return AioKV(path)


@pytest.fixture(scope="module")
def examples_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One path for all examples of a property test."""
    return tmp_path_factory.mktemp("examples") / "state.json"


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that every user may write to, pytest's own being private."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name).resolve()
        directory.chmod(0o777)
        yield directory
