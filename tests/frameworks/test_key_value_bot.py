"""The bot of the examples, on a file and on py-key-value's own store in memory."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import key_value_bot
import pytest
from aiokv import AioKV
from aiokv.ext.key_value import AioKVStore
from key_value_bot import SignIn

PAGE = Path(__file__).parents[2] / "docs" / "frameworks.md"


@pytest.fixture
def bot(kv: AioKV) -> SignIn:
    return SignIn(AioKVStore(kv))


async def test_a_code_signs_in_once(bot: SignIn) -> None:
    code = await bot.send_code(7)
    answers = await asyncio.gather(*(bot.enter_code(7, code, "Ada") for _ in range(5)))
    assert answers.count("Welcome, Ada.") == 1
    assert await bot.greet(7) == "Hello, Ada."
    assert await bot.enter_code(7, code, "Eve") == "That is not the code, or it is too old."


async def test_a_wrong_code_signs_nobody_in(bot: SignIn) -> None:
    code = await bot.send_code(7)
    assert await bot.enter_code(8, code, "Bob") == "That is not the code, or it is too old."
    assert await bot.enter_code(7, code + "0", "Ada") == "That is not the code, or it is too old."
    assert await bot.greet(7) == await bot.greet(8) == "Who are you?"


async def test_an_old_code_signs_nobody_in(bot: SignIn, path: Path) -> None:
    code = await bot.send_code(7)
    text = re.sub(r'("expires_at": ")\d{4}', r"\g<1>2020", path.read_text())
    path.write_text(text)
    assert await bot.enter_code(7, code, "Ada") == "That is not the code, or it is too old."


def test_a_run_leaves_what_the_documentation_shows(tmp_path: Path) -> None:
    program = [sys.executable, "-W", "error", key_value_bot.__file__]
    ran = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "Who are you?\nWelcome, Ada.\nHello, Ada.\n"
    page = PAGE.read_text()
    shown = re.search(r"```json\n(.*?)```", page[page.index("## py-key-value") :], re.DOTALL)
    assert shown is not None
    left = json.loads((tmp_path / "sign_in.json").read_bytes())
    expected = json.loads(shown[1])
    left["key_value:members:7"]["created_at"] = expected["key_value:members:7"]["created_at"]
    assert left == expected
