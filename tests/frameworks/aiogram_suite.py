"""A plug-in that runs aiogram's own tests on the adapter: `pytest -p aiogram_suite`.

It takes the place of the storage and the isolation in memory before the tests import them. Each
storage gets a file of its own.
"""

import tempfile
from itertools import count
from pathlib import Path

import aiogram.dispatcher.dispatcher
import aiogram.fsm.storage.memory
import pytest
from aiokv import AioKV
from aiokv.ext.aiogram import AioKVEventIsolation, AioKVStorage

DIRECTORY = tempfile.TemporaryDirectory()
numbers = count()
used: set[type] = set()


def new_store(adapter: type) -> AioKV:
    used.add(adapter)
    return AioKV(Path(DIRECTORY.name, f"{next(numbers)}.json"))


class StorageInFile(AioKVStorage):
    def __init__(self) -> None:
        super().__init__(new_store(AioKVStorage))


class IsolationByFile(AioKVEventIsolation):
    def __init__(self) -> None:
        super().__init__(new_store(AioKVEventIsolation))


vars(aiogram.fsm.storage.memory).update(
    MemoryStorage=StorageInFile, SimpleEventIsolation=IsolationByFile
)
vars(aiogram.dispatcher.dispatcher).update(MemoryStorage=StorageInFile)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run that tested something else."""
    if used != {AioKVStorage, AioKVEventIsolation}:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        raise pytest.UsageError(f"the tests used only {used}")


def pytest_unconfigure() -> None:
    DIRECTORY.cleanup()
