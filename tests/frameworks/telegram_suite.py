"""A plug-in that runs the tests of python-telegram-bot on the adapter: `pytest -p telegram_suite`.

They test the application with a persistence that only keeps what it gets. Here everything that it
gets goes through a file as well. What it is asked for is read from there, as a bot that starts
would, and has to be the same.
"""

import tempfile
from collections.abc import Generator
from itertools import count
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiokv import AioKV
from aiokv.ext.telegram import AioKVPersistence

DIRECTORY = tempfile.TemporaryDirectory()
numbers = count()
compared: set[str] = set()
differences: list[str] = []

KINDS = {"user_data", "chat_data", "bot_data", "callback_data", "conversations"}


def require_same(kind: str, found: Any, expected: Any) -> None:
    """Notes a difference: an exception here would only reach the error handlers of the bot."""
    if found != expected:
        differences.append(f"{kind} came back as {found}, not as {expected}")
    compared.update({kind} if expected else ())


def send_through_a_file(tracking: Any) -> None:
    """Makes `TrackingPersistence` give back what the file holds.

    Not in a subclass, because a test looks at the classes that it is derived from.
    """
    original = SimpleNamespace(**vars(tracking))

    class ThroughAFile:
        user_data: Any
        chat_data: Any
        bot_data: Any
        callback_data: Any
        conversations: Any

        def __init__(self, *arguments: Any, **options: Any) -> None:
            vars(original)["__init__"](self, *arguments, **options)
            self.path = Path(DIRECTORY.name, f"{next(numbers)}.json")
            self.sent: AioKVPersistence[Any, Any, Any] = AioKVPersistence(AioKV(self.path))

        def restarted(self) -> AioKVPersistence[Any, Any, Any]:
            return AioKVPersistence(AioKV(self.path))

        # The tests also put data into the persistence from behind, so everything is sent first.

        async def get_user_data(self) -> Any:
            for number, data in self.user_data.items():
                await self.sent.update_user_data(number, data)
            found = await self.restarted().get_user_data()
            require_same("user_data", found, self.user_data)
            return found

        async def get_chat_data(self) -> Any:
            for number, data in self.chat_data.items():
                await self.sent.update_chat_data(number, data)
            found = await self.restarted().get_chat_data()
            require_same("chat_data", found, self.chat_data)
            return found

        async def get_bot_data(self) -> Any:
            await self.sent.update_bot_data(self.bot_data)
            found = await self.restarted().get_bot_data()
            require_same("bot_data", found, self.bot_data)
            return found

        async def get_callback_data(self) -> Any:
            await self.sent.update_callback_data(self.callback_data)
            found = await self.restarted().get_callback_data()
            require_same("callback_data", found or ([], {}), self.callback_data)
            return found

        async def get_conversations(self, name: str) -> Any:
            states = self.conversations.get(name, {})
            for key, state in states.items():
                await self.sent.update_conversation(name, key, state)
            found = await self.restarted().get_conversations(name)
            there = {key: state for key, state in states.items() if state is not None}
            require_same("conversations", found, there)
            return found

        async def update_user_data(self, user_id: int, data: Any) -> None:
            await original.update_user_data(self, user_id, data)
            await self.sent.update_user_data(user_id, data)
            found = await self.restarted().get_user_data()
            require_same("user_data", found[user_id], data)

        async def update_chat_data(self, chat_id: int, data: Any) -> None:
            await original.update_chat_data(self, chat_id, data)
            await self.sent.update_chat_data(chat_id, data)
            found = await self.restarted().get_chat_data()
            require_same("chat_data", found[chat_id], data)

        async def update_bot_data(self, data: Any) -> None:
            await original.update_bot_data(self, data)
            await self.sent.update_bot_data(data)
            require_same("bot_data", await self.restarted().get_bot_data(), data)

        async def update_callback_data(self, data: Any) -> None:
            await original.update_callback_data(self, data)
            await self.sent.update_callback_data(data)
            found = await self.restarted().get_callback_data()
            require_same("callback_data", found or ([], {}), data)

        async def update_conversation(self, name: str, key: Any, new_state: Any) -> None:
            await original.update_conversation(self, name, key, new_state)
            await self.sent.update_conversation(name, key, new_state)
            found = await self.restarted().get_conversations(name)
            require_same("conversations", found.get(key), new_state)

        async def drop_user_data(self, user_id: int) -> None:
            await original.drop_user_data(self, user_id)
            await self.sent.drop_user_data(user_id)
            require_same("user_data", user_id in await self.restarted().get_user_data(), False)

        async def drop_chat_data(self, chat_id: int) -> None:
            await original.drop_chat_data(self, chat_id)
            await self.sent.drop_chat_data(chat_id)
            require_same("chat_data", chat_id in await self.restarted().get_chat_data(), False)

        async def flush(self) -> None:
            await original.flush(self)
            await self.sent.flush()

    for name, method in vars(ThroughAFile).items():
        if isinstance(method, FunctionType):
            setattr(tracking, name, method)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    modules: set[ModuleType] = {item.module for item in items if isinstance(item, pytest.Function)}
    for module in modules:
        if hasattr(module, "TrackingPersistence"):
            send_through_a_file(module.TrackingPersistence)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None]:
    """Fails a test in which something came back as something else."""
    differences.clear()
    yield
    assert not differences, differences


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fails a run that compared nothing of some kind."""
    if exitstatus == pytest.ExitCode.OK and compared != KINDS:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        raise pytest.UsageError(f"the tests read nothing of {sorted(KINDS - compared)}")


def pytest_unconfigure() -> None:
    DIRECTORY.cleanup()
