"""``aiokv import --format telegram``: a bot that had ``PicklePersistence`` goes on with aiokv."""

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from aiokv.ext.telegram import AioKVPersistence
from telegram.ext import PicklePersistence

USERS = {12: {"seen": {1, 2}, "at": datetime(2026, 1, 1, tzinfo=timezone.utc)}}
CHATS = {-100: {3: ("a", "b")}}
BOT = {"started": 5}
CALLBACKS: Any = ([("one", 1790000000.5, {"button": ("buy", 12)})], {"query": "one"})
STATES = {(12, -100): 2, (13, -100): "name"}


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    return tmp_path / "bot.pickle"


async def keep(path: Path, users: dict[int, dict[Any, Any]]) -> None:
    persistence: PicklePersistence[Any, Any, Any] = PicklePersistence(path, on_flush=True)
    for user, data in users.items():
        await persistence.update_user_data(user, data)
    for chat, data in CHATS.items():
        await persistence.update_chat_data(chat, data)
    await persistence.update_bot_data(BOT)
    await persistence.update_callback_data(CALLBACKS)
    for key, state in STATES.items():
        await persistence.update_conversation("order", key, state)
    await persistence.flush()


def read(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aiokv._exchange", "read", "telegram", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


async def test_all_that_the_bot_knew_comes_back(pickled: Path, kv: AioKV) -> None:
    await keep(pickled, USERS)
    done = read(pickled)
    assert (done.returncode, done.stderr) == (0, "")
    lines = map(json.loads, done.stdout.splitlines())
    await kv.set_many({line["key"]: line["value"] for line in lines})
    persistence: AioKVPersistence[Any, Any, Any] = AioKVPersistence(kv)
    assert await persistence.get_user_data() == USERS
    assert await persistence.get_chat_data() == CHATS
    assert await persistence.get_bot_data() == BOT
    assert await persistence.get_callback_data() == CALLBACKS
    assert await persistence.get_conversations("order") == STATES


async def test_what_cannot_be_stored_is_named(pickled: Path) -> None:
    await keep(pickled, {12: {"cart": [complex(1, 2)]}})
    done = read(pickled)
    assert done.returncode == 3
    assert 'user_data[12]["cart"][0]' in done.stderr


def test_what_is_no_pickle_is_told(pickled: Path) -> None:
    assert read(pickled).returncode == 5
    pickled.write_text("hello")
    done = read(pickled)
    assert done.returncode == 3 and "bot.pickle" in done.stderr
