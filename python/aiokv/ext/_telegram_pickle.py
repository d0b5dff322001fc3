"""What ``PicklePersistence`` of python-telegram-bot keeps, as ``aiokv.ext.telegram`` keeps it.

For ``aiokv import --format telegram``. Unpickles, so it runs whatever code is in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telegram.ext import PicklePersistence

from aiokv.ext.telegram import AioKVPersistence

if TYPE_CHECKING:
    from pathlib import Path

    from aiokv import AioKV


async def entries(path: Path, kv: AioKV) -> dict[str, Any]:
    """Take the data of a bot over into an empty store, in one commit, and return its entries.

    Raises TypeError or ValueError if the file cannot be unpickled, or with the place of what cannot
    be stored.
    """
    source: PicklePersistence[Any, Any, Any] = PicklePersistence(filepath=path)
    target: AioKVPersistence[Any, Any, Any] = AioKVPersistence(kv, on_flush=True)
    for user, data in (await source.get_user_data()).items():
        await target.update_user_data(user, data)
    for chat, data in (await source.get_chat_data()).items():
        await target.update_chat_data(chat, data)
    await target.update_bot_data(await source.get_bot_data())
    callback_data = await source.get_callback_data()
    if callback_data is not None:
        await target.update_callback_data(callback_data)
    for name, states in (source.conversations or {}).items():
        for key, state in states.items():
            await target.update_conversation(name, key, state)
    await target.flush()
    return await kv.get_all()
