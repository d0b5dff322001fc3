"""The bot of the examples, without Telegram: messages go in, what it answers comes out."""

import asyncio
import datetime
import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from aiogram import Bot, Dispatcher
from aiogram.client.session.base import BaseSession
from aiogram.methods import SendMessage, TelegramMethod
from aiogram.types import Chat, Message, PhotoSize, Update, User
from aiogram_bot import new_dispatcher
from aiokv import AioKV

ROOT = Path(__file__).parents[2]
ADA = User(id=7, is_bot=False, first_name="Ada")
CHAT = Chat(id=7, type="private")
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


class Session(BaseSession):
    """Takes what the bot sends, as Telegram would, and lets other handlers run meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    async def make_request(
        self, bot: Bot, method: TelegramMethod[Any], timeout: int | None = None
    ) -> Any:
        assert isinstance(method, SendMessage)
        await asyncio.sleep(0)
        self.sent.append(method.text)
        return Message(message_id=1, date=NOW, chat=CHAT)

    async def stream_content(self, *arguments: Any, **options: Any) -> AsyncGenerator[bytes, None]:
        yield b""

    async def close(self) -> None:
        pass


def photo(number: int) -> dict[str, Any]:
    size = PhotoSize(file_id=f"photo {number}", file_unique_id=str(number), width=1, height=1)
    return {"photo": [size]}


class Phone:
    """Sends messages to a bot with this file, as one user in one chat."""

    def __init__(self, path: Path) -> None:
        self.session = Session()
        self.bot = Bot("42:TEST", session=self.session)
        self.dispatcher: Dispatcher = new_dispatcher(AioKV(path))

    async def send(self, number: int = 1, **content: Any) -> None:
        message = Message(message_id=number, date=NOW, chat=CHAT, from_user=ADA, **content)
        await self.dispatcher.feed_update(self.bot, Update(update_id=number, message=message))

    async def send_album(self) -> None:
        await asyncio.gather(*(self.send(number, **photo(number)) for number in range(10)))

    async def stop_bot(self) -> None:
        await self.dispatcher.emit_shutdown()


async def test_an_album_of_ten_photos_is_ten_photos(path: Path) -> None:
    phone = Phone(path)
    await phone.send(text="/sell")
    await phone.send_album()
    await phone.send(text="/done")
    await phone.send(text="30 euros")
    assert phone.session.sent == [
        "Send me photos, then /done.",
        *(f"Photo {number}." for number in range(1, 11)),
        "What does it cost?",
        "10 photos for 30 euros.",
    ]
    assert json.loads(path.read_bytes()) == {}


async def test_the_conversation_goes_on_after_a_restart(path: Path) -> None:
    phone = Phone(path)
    await phone.send(text="/sell")
    await phone.send(**photo(1))
    await phone.stop_bot()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    phone = Phone(path)
    await phone.send(**photo(2))
    await phone.send(text="/done")
    await phone.send(text="30 euros")
    assert phone.session.sent == ["Photo 2.", "What does it cost?", "2 photos for 30 euros."]


async def test_two_bots_on_one_file_take_turns_as_well(path: Path) -> None:
    phones = [Phone(path), Phone(path)]
    await phones[0].send(text="/sell")
    await asyncio.gather(*(phone.send_album() for phone in phones))
    sent = [text for phone in phones for text in phone.session.sent[-10:]]
    assert sorted(sent, key=len) == sorted((f"Photo {n}." for n in range(1, 21)), key=len)


async def test_the_file_is_what_the_documentation_shows(path: Path) -> None:
    phone = Phone(path)
    await phone.send(text="/sell")
    await phone.send(**photo(1))
    await phone.send(**photo(2))
    page = (ROOT / "docs" / "frameworks.md").read_text()
    section = page[page.index("## aiogram") :]
    shown = re.search(r"```json\n(.*?)```", section, re.DOTALL)
    assert shown is not None
    assert path.read_text() == shown[1]
