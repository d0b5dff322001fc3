"""The adapter for aiogram, beyond what aiogram's own tests cover."""

import asyncio
import json
from pathlib import Path

from aiogram.fsm.context import FSMContext
from aiogram.fsm.storage.base import StorageKey
from aiokv import AioKV
from aiokv.ext.aiogram import AioKVStorage

KEY = StorageKey(bot_id=42, chat_id=-7, user_id=7)


async def test_ten_updates_of_one_conversation_at_once_are_all_there(kv: AioKV, path: Path) -> None:
    state = FSMContext(AioKVStorage(kv), KEY)
    await state.set_state("Form:photos")
    await asyncio.gather(*(state.update_data({str(number): number}) for number in range(10)))
    assert json.loads(path.read_bytes()) == {
        "fsm:42:-7:7": {
            "state": "Form:photos",
            "data": {str(number): number for number in range(10)},
        }
    }
