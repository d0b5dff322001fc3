"""Telegram without a network: a bot whose requests are answered here, and updates for it."""

import itertools
import json
from typing import Any

from aiokv.ext.telegram import AioKVPersistence
from telegram import Update
from telegram.ext import Application, ApplicationBuilder
from telegram.request import BaseRequest, RequestData

Bot = Application[Any, Any, Any, Any, Any, Any]
Builder = ApplicationBuilder[Any, Any, Any, Any, Any, Any]

numbers = itertools.count(1)


class Offline(BaseRequest):
    """Answers as Telegram does, and keeps the texts that were sent."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    @property
    def read_timeout(self) -> float:
        return 1

    async def initialize(self) -> None:
        pass

    async def shutdown(self) -> None:
        pass

    async def do_request(
        self, url: str, method: str, request_data: RequestData | None = None, *_: Any, **__: Any
    ) -> tuple[int, bytes]:
        result: Any = {"id": 42, "is_bot": True, "first_name": "Bot", "username": "a_bot"}
        if not url.endswith("/getMe"):
            assert url.endswith("/sendMessage") and request_data is not None
            sent: dict[str, Any] = request_data.parameters
            self.sent.append(sent["text"])
            result = message(sent["text"], sent["chat_id"])
        return 200, json.dumps({"ok": True, "result": result}).encode()


def offline_builder(request: Offline | None = None) -> Builder:
    request = request or Offline()
    return ApplicationBuilder().token("42:token").request(request).get_updates_request(request)


def offline_bot(persistence: AioKVPersistence[Any, Any, Any]) -> Bot:
    return offline_builder().persistence(persistence).build()


def message(text: str, chat: int) -> dict[str, Any]:
    entities = [{"type": "bot_command", "offset": 0, "length": len(text)}]
    return {
        "message_id": next(numbers),
        "date": 1790000000,
        "chat": {"id": chat, "type": "private"},
        "from": {"id": chat, "is_bot": False, "first_name": "Ada"},
        "text": text,
        "entities": entities if text.startswith("/") else [],
    }


async def say(bot: Bot, text: str, chat: int = 7) -> None:
    """Lets the bot handle a message of the user with the number of the chat."""
    update = {"update_id": next(numbers), "message": message(text, chat)}
    await bot.process_update(Update.de_json(update, bot.bot))
