"""The bot of the examples: it takes an order, is killed, and goes on."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import telegram_bot
from aiokv import AioKV
from telegram_offline import Offline, offline_builder, say


async def say_and_wait(path: Path, *texts: str) -> None:
    """Handles messages, stores what came of them, and waits to be killed."""
    bot = telegram_bot.new_application(offline_builder(), AioKV(path))
    await bot.initialize()
    for text in texts:
        await say(bot, text)
    await bot.update_persistence()
    print("stored", flush=True)
    await asyncio.Event().wait()


async def answers_to(path: Path, *texts: str) -> list[str]:
    """What a bot that starts and stops answers."""
    request = Offline()
    async with telegram_bot.new_application(offline_builder(request), AioKV(path)) as bot:
        for text in texts:
            await say(bot, text)
    return request.sent


def kill_after(path: Path, *texts: str) -> None:
    """Lets a process handle messages, and kills it in the middle of the conversation."""
    directories = (Path(__file__).parent, Path(telegram_bot.__file__).parent, Path("tests/python"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, directories))}
    program = (
        "import asyncio, sys, test_telegram_bot\n"
        "asyncio.run(test_telegram_bot.say_and_wait(*sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, path, *texts], stdout=subprocess.PIPE, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"stored\n"
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


async def test_a_bot_that_is_killed_in_a_conversation_goes_on_with_it(path: Path) -> None:
    kill_after(path, "/order", "32", "cheese")
    kill_after(path, "olives")
    assert await answers_to(path, "done") == ["Your pizza is on its way."]
    (answer,) = await answers_to(path, "/orders")
    assert answer.endswith(": 32 cm with cheese, olives")


async def test_the_file_looks_as_the_page_shows_it(path: Path) -> None:
    await answers_to(path, "/order", "32", "cheese", "olives")
    page = (Path(telegram_bot.__file__).parents[1] / "docs" / "frameworks.md").read_text()
    shown = re.search(r"```json\n(.*?)```", page[page.index("## python-telegram-bot") :], re.DOTALL)
    # The application stores what changed in an order of its own.
    assert shown and json.loads(shown[1]) == json.loads(path.read_bytes())


async def test_an_order_that_is_done_leaves_no_conversation(path: Path) -> None:
    await answers_to(path, "/order", "32", "done", "/order", "26", "done")
    stored = json.loads(path.read_bytes())
    assert [key for key in stored if "conversation" in key] == []
    assert stored["telegram:bot_data"] == {"sold": {"$32": 1, "$26": 1}}


async def test_what_makes_no_sense_in_a_conversation_has_no_answer(path: Path) -> None:
    assert await answers_to(path, "done", "/order", "large", "/orders") == [
        "Which size, in centimetres?",
        "You have ordered nothing yet.",
    ]
