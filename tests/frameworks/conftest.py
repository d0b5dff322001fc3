"""Fixtures for the tests of the adapters."""

from pathlib import Path

import pytest
from aiokv import AioKV


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store's file is going to be; the directory is empty."""
    return tmp_path / "state.json"


@pytest.fixture
def kv(path: Path) -> AioKV:
    return AioKV(path)
