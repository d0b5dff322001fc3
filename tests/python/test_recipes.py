"""The programs of the recipes do what the recipes say, with the frameworks that they are for."""

import asyncio
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from aiokv import AioKV

RECIPES = Path(__file__).parents[2] / "docs" / "recipes"
PROGRAMS = {
    title: code
    for page in sorted(RECIPES.glob("*.md"))
    for title, code in re.findall(
        r'^```python title="(.+?)"\n(.*?)^```$', page.read_text(), re.DOTALL | re.MULTILINE
    )
}
"""The examples that have a file name, by that name."""

Load = Callable[[str], ModuleType]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Writes a program of the recipes into the working directory and imports it."""
    monkeypatch.chdir(tmp_path)

    def load(name: str) -> ModuleType:
        path = tmp_path / name
        path.write_text(PROGRAMS[name])
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def run_beside(name: str, program: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program that imports a program of the recipes, in a process of its own."""
    (directory / name).write_text(PROGRAMS[name])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        cwd=directory,
        capture_output=True,
        text=True,
    )


def test_every_program_is_tested_here() -> None:
    tested = re.findall(r'(?:load|run_beside)\("(.+?)"', Path(__file__).read_text())
    assert set(tested) == set(PROGRAMS)


# --- resumable jobs ---


def test_a_broadcast_goes_on_after_a_kill(tmp_path: Path) -> None:
    def run(*, killed_at: int | None) -> subprocess.CompletedProcess[str]:
        program = f"""
            import asyncio, os
            from aiokv import AioKV
            from broadcast import Broadcast

            async def send(user, text):
                with open("sent", "a") as sent:
                    sent.write(f"{{user}} {{text}}\\n")
                if user == {killed_at}:
                    os.kill(os.getpid(), 9)

            async def main():
                kv = AioKV("state.json")
                broadcast = Broadcast(kv, "news")
                if await kv.add("planned"):
                    await broadcast.plan(range(10), "hello")
                await broadcast.work(send)
                print(await broadcast.todo.count(), "left")

            asyncio.run(main())
        """
        return run_beside("broadcast.py", program, tmp_path)

    assert run(killed_at=6).returncode == -9
    ran = run(killed_at=None)
    assert (ran.stdout, ran.stderr) == ("0 left\n", "")
    sent = (tmp_path / "sent").read_text().splitlines()
    assert sent == [f"{user} hello" for user in (0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9)]


# --- one file per guild ---


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for files and threads")
async def test_ten_thousand_guilds_have_a_file_each(load: Load, tmp_path: Path) -> None:
    module = load("guilds.py")
    module.AioKV = partial(AioKV, fsync=False)  # type: ignore[attr-defined] # or it takes a minute
    guilds = module.Guilds("guilds")
    before = resources()
    await asyncio.gather(*(guilds[number].increment("xp:ada") for number in range(10_000)))
    files, threads = resources()
    assert (files - before[0] < 500, threads - before[1] <= 33) == (True, True), (files, threads)
    written = sorted(path.name for path in (tmp_path / "guilds").iterdir())
    assert written == sorted(f"{number}.json" for number in range(10_000))
    assert json.loads((tmp_path / "guilds/1234.json").read_text()) == {"xp:ada": 1}

    await guilds.forget(1234)
    assert not (tmp_path / "guilds/1234.json").exists()
    assert await guilds[1234].get("xp:ada") is None
    assert await guilds[1235].get("xp:ada") == 1


def resources() -> tuple[int, int]:
    """The open files and the threads of this process."""
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))  # noqa: PTH208


# --- discord.py ---


@pytest.mark.filterwarnings("ignore:'audioop' is deprecated:DeprecationWarning")
async def test_the_discord_bot_answers_its_commands(load: Load) -> None:
    module = load("bot.py")
    commands: Any = importlib.import_module("discord.ext.commands")
    permissions = importlib.import_module("discord").Permissions
    sent: list[str] = []

    class Context(commands.Context):  # type: ignore[misc]
        async def send(self, text: str) -> None:
            sent.append(text)

    class Bot(module.Bot):  # type: ignore[misc, name-defined]
        user = SimpleNamespace(id=0)

        async def get_context(self, message: Any) -> Any:
            return await super().get_context(message, cls=Context)

    guild = SimpleNamespace(id=12)

    def message(author: int, text: str) -> Any:
        member = SimpleNamespace(id=author, bot=False, guild_permissions=permissions.all())
        return SimpleNamespace(
            author=member, guild=guild, channel=None, content=text, attachments=[], _state=None
        )

    async with Bot() as bot:
        await bot.setup_hook()
        same = [message(1, "!daily") for _ in range(5)]
        await asyncio.gather(*map(bot.process_commands, same))
        assert sorted(sent) == ["Come back in 24.0 hours."] * 4 + [
            "Here are 100 coins. You have 100."
        ]
        sent.clear()
        for author, text in [(1, "!prefix ?"), (2, "!daily"), (2, "?daily"), (1, "?rich")]:
            await bot.process_commands(message(author, text))
        assert sent == [
            "Commands start with ? now.",
            "Here are 100 coins. You have 100.",
            "<@1>: 100\n<@2>: 100",
        ]
        await bot.on_guild_remove(guild)
        assert await bot.kv.get_all() == {}


# --- nonebot2 ---


def test_a_member_signs_in_once_a_day(tmp_path: Path) -> None:
    program = """
        import asyncio, json, nonebot
        from nonebot.adapters.onebot import v11
        from nonebot.message import handle_event

        sent = []

        class Adapter(v11.Adapter):
            def setup(self):
                pass  # no connection

            async def _call_api(self, bot, api, **data):
                sent.append(str(data["message"]))

        nonebot.init(driver="~none", log_level="ERROR")
        nonebot.get_driver().register_adapter(Adapter)
        nonebot.load_plugin("sign_in")
        bot = v11.Bot(Adapter(nonebot.get_driver()), "1")

        def sign(number, user):
            # As OneBot implementations send it.
            return Adapter.json_to_event({
                "post_type": "message", "message_type": "group", "sub_type": "normal",
                "time": 1, "self_id": 1, "message_id": number, "user_id": user,
                "group_id": 12, "raw_message": "/sign", "font": 0, "sender": {},
                "message": [{"type": "text", "data": {"text": "/sign"}}],
            })

        async def main():
            users = [7, 7, 7, 8]
            await asyncio.gather(*(handle_event(bot, sign(*of)) for of in enumerate(users)))
            print(json.dumps(sorted(sent)))

        asyncio.run(main())
    """
    ran = run_beside("sign_in.py", program, tmp_path)
    assert ran.returncode == 0, ran.stderr
    # The lines before are the log.
    assert json.loads(ran.stdout.splitlines()[-1]) == [
        "Signed in. You have 10 points.",
        "Signed in. You have 10 points.",
        "You have signed in today.",
        "You have signed in today.",
    ]


# --- Flask ---


def test_visitors_of_the_web_application_at_once_are_counted(load: Load) -> None:
    app = load("app.py").app
    with ThreadPoolExecutor(8) as threads:
        visits = threads.map(lambda _: app.test_client().get("/").get_json()["visits"], range(100))
        assert sorted(visits) == list(range(1, 101))


def test_an_address_votes_once_an_hour(load: Load) -> None:
    client = load("app.py").app.test_client()
    assert client.post("/vote/tabs").get_json() == {"votes": 1}
    assert client.post("/vote/spaces").status_code == 429
    assert client.post("/vote/emacs").status_code == 404
    other = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.post("/vote/tabs", environ_overrides=other).get_json() == {"votes": 2}
    assert client.get("/").get_json() == {"visits": 1, "votes": {"vote:tabs": 2}}
