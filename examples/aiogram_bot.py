"""A Telegram bot that takes an advertisement: photos, then a price.

A conversation goes on where it was after a restart. An album of ten photos is ten messages, whose
handlers run at once; the isolation lets them take turns. Start it with
``BOT_TOKEN=... python aiogram_bot.py``, and write /sell to it.
"""

import asyncio
import os

from aiogram import Bot, Dispatcher, F
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.types import Message
from aiokv import AioKV
from aiokv.ext.aiogram import AioKVEventIsolation, AioKVStorage, one_commit


class Advertisement(StatesGroup):
    photos = State()
    price = State()


async def sell(message: Message, state: FSMContext) -> None:
    async with one_commit(state):  # both or neither, even if the power fails
        await state.set_state(Advertisement.photos)
        await state.set_data({"photos": []})
    await message.answer("Send me photos, then /done.")


async def photo(message: Message, state: FSMContext) -> None:
    assert message.photo, "the filter lets only photos through"
    photos = await state.get_value("photos", [])
    await message.answer(f"Photo {len(photos) + 1}.")
    # Without the isolation, other handlers would have added theirs by now.
    await state.update_data(photos=[*photos, message.photo[-1].file_id])


async def done(message: Message, state: FSMContext) -> None:
    await state.set_state(Advertisement.price)
    await message.answer("What does it cost?")


async def price(message: Message, state: FSMContext) -> None:
    photos = await state.get_value("photos", [])
    await message.answer(f"{len(photos)} photos for {message.text}.")
    async with one_commit(state):
        await state.clear()


def new_dispatcher(kv: AioKV) -> Dispatcher:
    dispatcher = Dispatcher(storage=AioKVStorage(kv), events_isolation=AioKVEventIsolation(kv))
    dispatcher.message.register(sell, Command("sell"))
    dispatcher.message.register(photo, Advertisement.photos, F.photo)
    dispatcher.message.register(done, Advertisement.photos, Command("done"))
    dispatcher.message.register(price, Advertisement.price, F.text)
    return dispatcher


async def main() -> None:
    dispatcher = new_dispatcher(AioKV("bot.json"))
    await dispatcher.start_polling(Bot(os.environ["BOT_TOKEN"]))


if __name__ == "__main__":
    asyncio.run(main())
