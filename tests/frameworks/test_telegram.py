"""The persistence for python-telegram-bot, beyond what the tests of the framework cover."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiokv import AioKV
from aiokv.ext.telegram import AioKVPersistence
from helpers import appending, changes_in, next_turn, start, until, version_of, writes_held_up
from telegram import Update
from telegram.ext import CallbackContext, ContextTypes, MessageHandler, PersistenceInput, filters
from telegram_offline import Bot, offline_bot, offline_builder, say

Context = ContextTypes.DEFAULT_TYPE
Handler = Callable[[Update, Context], Any]
Keyboards = list[tuple[str, float, dict[str, Any]]]

CALLBACK_DATA: tuple[Keyboards, dict[str, str]] = (
    [("one", 1790000000.5, {"button": ("buy", 12)}), ("two", 2.0, {"a": None, "b": {3}})],
    {"query": "one"},
)


def stored(path: Path) -> Any:
    """What the file holds for the bot."""
    entries = json.loads(path.read_bytes())
    return {key.removeprefix("telegram:"): value for key, value in entries.items()}


def restarted(path: Path, **options: Any) -> AioKVPersistence[Any, Any, Any]:
    """The persistence of a bot that starts."""
    return AioKVPersistence(AioKV(path), **options)


@pytest.fixture
def persistence(kv: AioKV) -> AioKVPersistence[Any, Any, Any]:
    return AioKVPersistence(kv)


def with_handler(bot: Bot, handler: Handler) -> Bot:
    bot.add_handler(MessageHandler(filters.ALL, handler))
    return bot


# --- what is stored ---


async def test_all_kinds_of_data_come_back_as_they_were(
    persistence: AioKVPersistence[Any, Any, Any], path: Path
) -> None:
    data = {
        12: ("a", {2, 3}),
        "at": datetime(2026, 1, 2, 3, tzinfo=ZoneInfo("Europe/Berlin")),
        "$tuple": [1],
        (1, "x"): {None: b"\0"},
    }
    await asyncio.gather(
        persistence.update_user_data(1, data),
        persistence.update_user_data(2, {}),
        persistence.update_chat_data(-1001234567890, data),
        persistence.update_bot_data(data),
        persistence.update_callback_data(CALLBACK_DATA),
        persistence.update_conversation("order", (1, "inline"), ("size", 3)),
    )
    again = restarted(path)
    assert await again.get_user_data() == {1: data, 2: {}}
    assert await again.get_chat_data() == {-1001234567890: data}
    assert await again.get_bot_data() == data
    assert await again.get_callback_data() == CALLBACK_DATA
    assert await again.get_conversations("order") == {(1, "inline"): ("size", 3)}


async def test_nothing_that_is_stored_is_an_empty_start(path: Path) -> None:
    empty = restarted(path)
    assert (await empty.get_user_data(), await empty.get_chat_data()) == ({}, {})
    assert (await empty.get_bot_data(), await empty.get_callback_data()) == ({}, None)
    assert await empty.get_conversations("order") == {}
    assert not path.exists()


async def test_every_user_chat_conversation_and_keyboard_has_a_readable_entry(
    persistence: AioKVPersistence[Any, Any, Any], path: Path
) -> None:
    await persistence.update_user_data(12, {"visits": {26: 2}, "tags": {"b", "a"}})
    await persistence.update_chat_data(-100, {"at": datetime(2026, 1, 2, tzinfo=timezone.utc)})
    await persistence.update_bot_data({"admins": [12]})
    await persistence.update_conversation("order", (-100, 12), 1)
    await persistence.update_callback_data(([("ab", 5.0, {"cd": ("buy", 1)})], {"q": "ab"}))
    assert path.read_text() == (
        "{\n"
        '  "telegram:user_data:12": {"visits": {"$26": 2}, "tags": {"$set": ["a", "b"]}},\n'
        '  "telegram:chat_data:-100": {"at": {"$datetime": "2026-01-02T00:00:00+00:00"}},\n'
        '  "telegram:bot_data": {"admins": [12]},\n'
        '  "telegram:conversation:order:[-100, 12]": 1,\n'
        '  "telegram:callback_data:keyboard:ab": [5.0, {"cd": {"$tuple": ["buy", 1]}}],\n'
        '  "telegram:callback_data:query:q": "ab"\n'
        "}\n"
    )


async def test_what_has_not_changed_is_not_written(
    persistence: AioKVPersistence[Any, Any, Any], path: Path
) -> None:
    async def update(value: Any) -> None:
        await asyncio.gather(
            persistence.update_user_data(1, {"a": value}),
            persistence.update_bot_data({"b": {1, 2}}),
            persistence.update_callback_data(CALLBACK_DATA),
            persistence.drop_chat_data(5),
            persistence.update_conversation("order", (1, 1), None),
        )

    await update(1)
    before = version_of(path)
    await update(1)
    assert version_of(path) == before
    # Equal, but not the same.
    await update(True)
    assert stored(path)["user_data:1"] == {"a": True}
    assert version_of(path) != before


async def test_the_end_of_a_conversation_a_keyboard_and_dropped_data_leave_the_file(
    persistence: AioKVPersistence[Any, Any, Any], path: Path
) -> None:
    await persistence.update_conversation("order", (1, 1), 2)
    await persistence.update_callback_data(CALLBACK_DATA)
    await persistence.update_user_data(1, {"a": 1})
    await persistence.update_chat_data(1, {"a": 1})
    again = restarted(path)
    await again.get_callback_data()
    await again.update_conversation("order", (1, 1), None)
    await again.update_callback_data((CALLBACK_DATA[0][1:], {}))
    await again.drop_user_data(1)
    await again.drop_chat_data(1)
    await again.drop_chat_data(2)
    assert list(stored(path)) == ["callback_data:keyboard:two"]


async def test_the_conversations_of_one_handler_are_not_those_of_another(
    persistence: AioKVPersistence[Any, Any, Any],
) -> None:
    names = ["a", "a:b", "a:[1, 1]", "a%3Ab", "%"]
    for name in names:
        await persistence.update_conversation(name, (1, 1), name)
    for name in names:
        assert await persistence.get_conversations(name) == {(1, 1): name}


async def test_other_things_in_the_file_and_other_bots_do_not_matter(kv: AioKV, path: Path) -> None:
    await kv.set("user_data:1", "mine")
    first, second = AioKVPersistence(kv), AioKVPersistence(kv.namespace("second"))
    await first.update_user_data(1, {"a": 1})
    await second.update_user_data(1, {"a": 2})
    assert json.loads(path.read_bytes()) == {
        "user_data:1": "mine",
        "telegram:user_data:1": {"a": 1},
        "second:telegram:user_data:1": {"a": 2},
    }
    assert await first.get_user_data() == {1: {"a": 1}}


def test_a_path_is_no_store() -> None:
    with pytest.raises(TypeError, match=r'AioKVPersistence\(AioKV\("bot.json"\)\)'):
        AioKVPersistence("bot.json")  # type: ignore[call-overload]


# --- at once, and in spite of kills and failures ---


async def test_ten_updates_of_one_chat_at_once_are_all_there(path: Path) -> None:
    async def handler(update: Update, context: Context) -> None:
        assert context.chat_data is not None
        await asyncio.sleep(0)
        context.chat_data.setdefault("seen", set()).add(update.update_id)
        context.chat_data["count"] = context.chat_data.get("count", 0) + 1

    builder = offline_builder().persistence(restarted(path)).concurrent_updates(True)
    async with with_handler(builder.build(), handler) as bot:
        await asyncio.gather(*(say(bot, f"{number}") for number in range(10)))
    data = (await restarted(path).get_chat_data())[7]
    assert (data["count"], len(data["seen"])) == (10, 10)


async def run_bot(path: Path, name: str) -> None:
    """Lets a bot count 20 messages, and stores each of them."""

    async def handler(update: Update, context: Context) -> None:
        context.bot_data[name] = context.bot_data.get(name, 0) + 1

    persistence = AioKVPersistence(AioKV(path).namespace(name))
    async with with_handler(offline_bot(persistence), handler) as bot:
        for number in range(20):
            await say(bot, "Hi", chat=number)
            await bot.update_persistence()


async def hand_over(persistence: AioKVPersistence[Any, Any, Any], number: int) -> None:
    """Hands over the same number in everything, as the application does."""
    data = {"number": number}
    await asyncio.gather(
        persistence.update_user_data(1, data),
        persistence.update_chat_data(1, data),
        persistence.update_bot_data(data),
        persistence.update_conversation("order", (1, 1), number),
        persistence.update_callback_data(([(f"{number}", 0.0, {})], {})),
    )


async def count_until_killed(path: Path, seconds: float) -> None:
    """Hands over one number after the other, and prints each that is stored."""
    persistence = AioKVPersistence(AioKV(path))
    await hand_over(persistence, 0)
    # The signal ends the process at once, whatever it is doing.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    for number in range(1, 1_000_000):
        await hand_over(persistence, number)
        print(number, flush=True)


def process(call: str, path: Path) -> subprocess.Popen[str]:
    """Starts a process that awaits one of the functions here, which finds `path`."""
    directories = (Path(__file__).parent, Path(__file__).parents[1] / "python")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.fspath, directories))}
    program = (
        "import asyncio, pathlib, sys, test_telegram\n"
        f"path = pathlib.Path(sys.argv[1])\nasyncio.run(test_telegram.{call})"
    )
    command = [sys.executable, "-W", "error", "-c", program, os.fspath(path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


async def test_two_bots_in_two_processes_lose_nothing_of_each_other(path: Path) -> None:
    bots = [process(f"run_bot(path, {name!r})", path) for name in ("ada", "bob")]
    for bot in bots:
        bot.communicate(timeout=60)
    assert [bot.returncode for bot in bots] == [0, 0]
    for name in ("ada", "bob"):
        persistence = AioKVPersistence(AioKV(path).namespace(name))
        assert await persistence.get_bot_data() == {name: 20}
        assert len(await persistence.get_user_data()) == 20


@pytest.mark.parametrize("seconds", [0.02 + 0.0037 * number for number in range(8)])
async def test_after_a_kill_everything_that_was_handed_over_at_once_is_there_or_nothing_of_it(
    path: Path, seconds: float
) -> None:
    bot = process(f"count_until_killed(path, {seconds})", path)
    printed = bot.communicate(timeout=60)[0].split()
    assert bot.returncode == -signal.SIGALRM
    again = restarted(path)
    (number,) = (await again.get_conversations("order")).values()
    # The last one may have been written, and not printed.
    assert number in (len(printed), len(printed) + 1)
    data = {"number": number}
    assert await again.get_user_data() == {1: data}
    assert await again.get_chat_data() == {1: data}
    assert await again.get_bot_data() == data
    assert await again.get_callback_data() == ([(f"{number}", 0.0, {})], {})


@pytest.mark.parametrize("name", ["default", "eager"])
async def test_what_is_handed_over_at_once_is_one_commit(path: Path, name: str) -> None:
    if name == "eager":
        factory = getattr(asyncio, "eager_task_factory", None) or pytest.skip("needs Python 3.12")
        asyncio.get_running_loop().set_task_factory(factory)
    persistence = AioKVPersistence(appending(path))
    for number in range(2):
        await hand_over(persistence, number)
    # The first commit makes the file, the second one also deletes a keyboard. Of the changes that
    # belong together, all but the last are marked with `&`.
    changes = changes_in(path.with_name("state.json.journal"))
    assert [change[0] == "&" for change in changes] == [True] * 5 + [False]


async def test_what_could_not_be_written_is_written_with_the_next_change(path: Path) -> None:
    """The application hands over only once what an update changed."""
    await AioKV(path).set("there", True)
    persistence = AioKVPersistence(AioKV(path, lock_timeout=0.05))
    await persistence.get_bot_data()
    with writes_held_up(path):
        for number in range(2):
            with pytest.raises(TimeoutError):
                await persistence.update_user_data(1, {"number": number})
        assert await persistence.get_user_data() == {1: {"number": 1}}
    assert stored(path) == {"there": True}
    await persistence.update_bot_data({"a": 1})
    assert stored(path) == {"there": True, "user_data:1": {"number": 1}, "bot_data": {"a": 1}}


async def test_a_change_during_a_write_is_written_after_it(path: Path) -> None:
    await AioKV(path).set("there", True)
    persistence = restarted(path)
    await persistence.get_bot_data()
    with writes_held_up(path):
        first = await start(persistence.update_bot_data({"number": 1}))
        # Now it is being written.
        await next_turn()
        last = await start(persistence.update_bot_data({"number": 2}))
        cancelled = await start(persistence.update_chat_data(1, {"number": 3}))
        cancelled.cancel()
        assert not first.done() and not last.done()
    await asyncio.gather(first, last)
    assert stored(path) == {
        "there": True,
        "bot_data": {"number": 2},
        "chat_data:1": {"number": 3},
    }


async def test_what_cannot_be_stored_is_told_with_its_place_and_the_rest_is_stored(
    path: Path,
) -> None:
    errors: list[str] = []

    async def handler(update: Update, context: Context) -> None:
        assert context.user_data is not None
        # What the user with the number 12 buys is no JSON.
        buyer = update.effective_user and update.effective_user.id
        context.user_data["cart"] = [object()] if buyer == 12 else [buyer]

    async def keep(update: object, context: CallbackContext[Any, Any, Any, Any]) -> None:
        errors.append(repr(context.error))

    async with with_handler(offline_bot(restarted(path)), handler) as bot:
        bot.add_error_handler(keep)
        await say(bot, "Hi", chat=12)
        await say(bot, "Hi", chat=13)
        await bot.update_persistence()
    (error,) = errors
    assert error.startswith('TypeError(\'user_data[12]["cart"][0]: a value of the type object ')
    assert "`default` and `object_hook`" in error
    assert {key: value for key, value in stored(path).items() if value} == {
        "user_data:13": {"cart": [13]}
    }


async def test_a_button_that_cannot_be_stored_keeps_no_other_from_being_stored(
    persistence: AioKVPersistence[Any, Any, Any], path: Path
) -> None:
    keyboards: Keyboards = [("one", 1.0, {"a": object()}), ("two", 2.0, {"b": 1})]
    with pytest.raises(TypeError, match=r'^callback_data\["one"\]\["a"\]: '):
        await persistence.update_callback_data((keyboards, {}))
    assert stored(path) == {"callback_data:keyboard:two": [2.0, {"b": 1}]}


async def test_a_keyboard_that_cannot_be_stored_any_more_stays_as_it_was(
    persistence: AioKVPersistence[Any, Any, Any], path: Path
) -> None:
    """A refused keyboard was taken for one that is gone, and what was stored of it was deleted."""
    await persistence.update_callback_data(([("one", 1.0, {"a": 1})], {}))
    with pytest.raises(TypeError, match=r'^callback_data\["one"\]\["a"\]: '):
        await persistence.update_callback_data(([("one", 2.0, {"a": object()})], {}))
    assert stored(path) == {"callback_data:keyboard:one": [1.0, {"a": 1}]}
    await persistence.update_callback_data(([], {}))
    assert stored(path) == {}


# --- what an application may choose ---


async def test_everything_that_changed_is_written_within_the_interval(path: Path) -> None:
    async def handler(update: Update, context: Context) -> None:
        context.bot_data["text"] = "Hi"

    bot = offline_builder().updater(None).persistence(restarted(path, update_interval=0.01)).build()
    async with with_handler(bot, handler):
        await bot.start()
        await say(bot, "Hi")
        await until(path.exists, 30)
        assert stored(path)["bot_data"] == {"text": "Hi"}
        await bot.stop()


async def test_with_on_flush_everything_is_written_in_the_end(path: Path) -> None:
    persistence = restarted(path, on_flush=True)
    await persistence.update_user_data(1, {"a": 1})
    await persistence.update_user_data(2, {"a": 1})
    await persistence.drop_user_data(2)
    await persistence.update_conversation("order", (1, 1), 1)
    assert not path.exists()
    assert await persistence.get_user_data() == {1: {"a": 1}}
    await persistence.flush()
    assert stored(path) == {"user_data:1": {"a": 1}, "conversation:order:[1, 1]": 1}


async def test_the_file_alone_is_complete_when_the_bot_has_stopped(path: Path) -> None:
    persistence = AioKVPersistence(AioKV(path, journal="always", checkpoint_pace=0))
    await persistence.update_bot_data({"a": 1})
    await persistence.update_bot_data({"a": 2})
    journal = path.with_name("state.json.journal")
    assert journal.exists()
    await persistence.flush()
    assert not journal.exists()
    assert stored(path) == {"bot_data": {"a": 2}}


async def test_kinds_that_are_not_to_be_stored_are_not(path: Path) -> None:
    only_users = PersistenceInput(bot_data=False, chat_data=False, callback_data=False)
    async with offline_bot(restarted(path, store_data=only_users)) as bot:
        with_handler(bot, _touch_everything)
        await say(bot, "Hi")
    assert stored(path) == {"user_data:7": {"a": 1}}


async def _touch_everything(update: Update, context: Context) -> None:
    assert context.user_data is not None and context.chat_data is not None
    context.user_data["a"] = context.chat_data["a"] = context.bot_data["a"] = 1


async def test_data_that_the_application_drops_and_migrates_are_dropped_and_migrated(
    path: Path,
) -> None:
    async with with_handler(offline_bot(restarted(path)), _touch_everything) as bot:
        await say(bot, "Hi", chat=1)
        await say(bot, "Hi", chat=2)
        await bot.update_persistence()
        bot.drop_user_data(1)
        bot.migrate_chat_data(old_chat_id=1, new_chat_id=-100)
    again = restarted(path)
    assert list(await again.get_user_data()) == [2]
    assert await again.get_chat_data() == {2: {"a": 1}, -100: {"a": 1}}


async def test_a_subclass_may_refresh_data_before_each_update(path: Path) -> None:
    class Refreshing(AioKVPersistence[dict[Any, Any], dict[Any, Any], dict[Any, Any]]):
        async def refresh_bot_data(self, bot_data: dict[Any, Any]) -> None:
            bot_data["prices"] = [1, 2]

    seen: list[Any] = []

    async def handler(update: Update, context: Context) -> None:
        seen.append(context.bot_data["prices"])

    async with with_handler(offline_bot(Refreshing(AioKV(path))), handler) as bot:
        await say(bot, "Hi")
    assert seen == [[1, 2]]


# --- classes of one's own for the data ---


class Clicks:
    """As in an example of the framework: a class that is not a dict."""

    def __init__(self) -> None:
        self.by_message: defaultdict[int, int] = defaultdict(int)


@dataclass(frozen=True)
class Profile:
    languages: set[str] = field(default_factory=set)


class Slotted:
    __slots__ = ("_name", "age")

    def __init__(self) -> None:
        self._name, self.age = "new", 0


class Scores(dict[int, int]):
    def __missing__(self, key: int) -> int:
        return 0


class Stateful:
    """Leaves out what it can find again."""

    def __init__(self) -> None:
        self.path, self.content = Path("a"), "cached"

    def __getstate__(self) -> tuple[str, int]:
        return self.path.name, 1

    def __setstate__(self, state: tuple[str, int]) -> None:
        self.path = Path(state[0])


def context_types(kind: type, **others: type) -> ContextTypes[Any, Any, Any, Any]:
    return ContextTypes(user_data=kind, chat_data=kind, bot_data=kind, **others)


async def back(path: Path, data: Any) -> Any:
    """What comes back of data of one's own class, which is the same for all three kinds."""
    own = {"context_types": context_types(type(data))}
    persistence = restarted(path, **own)
    await persistence.update_user_data(12, data)
    await persistence.update_chat_data(12, data)
    await persistence.update_bot_data(data)
    again = restarted(path, **own)
    found = await again.get_bot_data()
    for other in ((await again.get_user_data())[12], (await again.get_chat_data())[12]):
        assert type(other) is type(data)
        assert repr(getattr(other, "__dict__", None)) == repr(getattr(found, "__dict__", None))
    assert type(found) is type(data)
    return found


async def test_a_class_comes_back_with_its_attributes(path: Path) -> None:
    clicks = Clicks()
    clicks.by_message[5] += 1
    found = await back(path, clicks)
    found.by_message[6] += 1
    assert found.by_message == {5: 1, 6: 1}
    assert stored(path)["bot_data"] == {"by_message": {"$defaultdict": ["int", {"$5": 1}]}}


async def test_a_frozen_dataclass_comes_back(path: Path) -> None:
    assert await back(path, Profile({"en"})) == Profile({"en"})


async def test_a_class_with_slots_comes_back(path: Path) -> None:
    slotted = Slotted()
    slotted.age = 3
    found = await back(path, slotted)
    assert (found._name, found.age) == ("new", 3)


async def test_a_subclass_of_dict_comes_back_with_its_items(path: Path) -> None:
    found = await back(path, Scores({1: 2}))
    assert (found, found[5]) == ({1: 2}, 0)


async def test_a_class_that_says_what_its_state_is_comes_back_by_that(path: Path) -> None:
    stateful = Stateful()
    stateful.path = Path("b")
    found = await back(path, stateful)
    assert (found.path, stored(path)["bot_data"]) == (Path("b"), {"$tuple": ["b", 1]})


async def test_a_plain_type_comes_back(path: Path) -> None:
    assert await back(path, 5) == 5


async def test_an_attribute_that_is_new_in_the_class_has_its_first_value(
    kv: AioKV, path: Path
) -> None:
    await kv.set("telegram:bot_data", {})
    found = await restarted(path, context_types=context_types(Profile)).get_bot_data()
    assert found == Profile(set())


async def test_new_data_are_instances_of_the_class(path: Path) -> None:
    async def handler(update: Update, context: Any) -> None:
        context.user_data.by_message[update.message and update.message.message_id] += 1

    own = context_types(Clicks)
    builder = offline_builder().context_types(own).persistence(restarted(path, context_types=own))
    async with with_handler(builder.build(), handler) as bot:
        await say(bot, "Hi")
    data: Any = (await restarted(path, context_types=own).get_user_data())[7]
    assert list(data.by_message.values()) == [1]


@pytest.mark.parametrize(
    ("data", "own", "message"),
    [
        (Clicks(), None, r"user_data\[12\]: it is a Clicks, not a dict: give .*context_types"),
        ({}, context_types(Clicks), r"user_data\[12\]: it is a dict, not a Clicks: give "),
        (1j, context_types(complex), r"user_data\[12\]: a complex is more than its attributes"),
    ],
)
async def test_data_that_would_not_come_back_are_refused(
    kv: AioKV, data: Any, own: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        await AioKVPersistence(kv, context_types=own or ContextTypes()).update_user_data(12, data)


async def test_the_place_of_what_cannot_be_stored_leads_through_attributes(kv: AioKV) -> None:
    persistence = AioKVPersistence(kv, context_types=context_types(Profile))
    with pytest.raises(TypeError, match=r"^user_data\[12\]\.languages\[0\]: "):
        await persistence.update_user_data(12, Profile({object()}))  # type: ignore[arg-type]


async def test_hooks_convert_classes_inside_the_data(kv: AioKV, path: Path) -> None:
    def default(value: Any) -> Any:
        return {"$profile": value.languages}

    def object_hook(items: dict[Any, Any]) -> Any:
        return Profile(items["$profile"]) if items.keys() == {"$profile"} else items

    data = {"friends": [Profile({"en"}), Profile(set())]}
    persistence = AioKVPersistence(kv, default=default, object_hook=object_hook)
    await persistence.update_chat_data(1, data)
    assert await persistence.get_chat_data() == {1: data}


# --- what was edited by hand ---


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("user_data:ada", {}, "has no ID behind user_data"),
        ("user_data:1", {"a": {"$tuple": 5}}, r'user_data\[1\]\["a"\]: 5 stands for no tuple'),
        ("conversation:order:1,", 1, "'1,' stands for no key"),
        ("conversation:order:[1]", {"$set": 1}, r'conversations\["order"\]\[\(1,\)\]: 1 stands'),
        ("callback_data:keyboard:ab", 1, r'callback_data\["ab"\]: it is no keyboard'),
    ],
)
async def test_an_entry_that_was_edited_into_nonsense_is_named(
    kv: AioKV, path: Path, key: str, value: Any, message: str
) -> None:
    await kv.set(f"telegram:{key}", value)
    persistence = AioKVPersistence(kv)
    with pytest.raises(ValueError, match=message) as caught:
        await persistence.get_user_data()
        await persistence.get_conversations("order")
        await persistence.get_callback_data()
    assert str(caught.value).startswith(f"the entry 'telegram:{key}' of '{path}'")


async def test_data_that_make_no_instance_of_the_class_are_named(kv: AioKV, path: Path) -> None:
    await kv.set("telegram:bot_data", {"name": 1})
    with pytest.raises(ValueError, match="bot_data: what is stored makes no Slotted"):
        await restarted(path, context_types=context_types(Slotted)).get_bot_data()
