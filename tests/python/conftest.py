"""Fixtures for all tests. Every asynchronous test runs under asyncio and under uvloop."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from aiokv import AioKV
from helpers import LoopFactory
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
