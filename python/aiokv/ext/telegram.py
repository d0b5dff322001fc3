"""Persistence for python-telegram-bot, in a store of aiokv.

What a bot keeps in ``user_data``, ``chat_data`` and ``bot_data``, the states of its conversations
and its callback data are in one readable JSON file, each user, chat and conversation under a key of
its own. What the application hands over at once is written at once: all of it or nothing.

It gives the application what is stored when that starts. It does not tell it of changes that others
make later, and what the application hands over replaces them.
"""

from __future__ import annotations

import asyncio
import copyreg
import json
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, overload

from aiokv import AioKV
from aiokv.ext._encoding import (
    KNOWN_TYPES,
    Attribute,
    Default,
    ObjectHook,
    decode,
    decode_key,
    encode,
    encode_key,
)

try:
    from telegram.ext import BasePersistence, ContextTypes, PersistenceInput
except ImportError as error:
    raise ImportError(
        "aiokv.ext.telegram needs python-telegram-bot: install aiokv with its extra, "
        "`aiokv[telegram]`"
    ) from error

if TYPE_CHECKING:
    from aiokv import Transaction

__all__ = ["AioKVPersistence"]

_UD = TypeVar("_UD")
_CD = TypeVar("_CD")
_BD = TypeVar("_BD")

_GONE: Final[Any] = object()
"""What a key has that is to be deleted, or is not there."""


class AioKVPersistence(BasePersistence[_UD, _CD, _BD]):
    """Keeps what a bot of python-telegram-bot knows in a store.

    ``AioKVPersistence(AioKV("bot.json"))`` goes to ``ApplicationBuilder.persistence``. Its keys
    start with ``telegram:``, so the store may hold other things too.

    All of it may hold what JSON has, and tuples, sets, frozensets, bytes, datetimes, dates, times,
    timedeltas, defaultdicts of a built-in type, and dicts with keys of these types. They come back
    as they were. ``default`` and ``object_hook``, as in ``json``, convert what else you keep. What
    cannot be stored goes to the error handlers of the application as a TypeError or ValueError with
    its place, such as ``user_data[12]["cart"][0]``, and everything else is stored.

    Give ``context_types`` of your own to the application and to this. Of an instance of your class
    its attributes are stored, or its items if it is a dict. When the bot starts again, a new
    instance gets them, so an attribute that you have added to the class has its first value.

    The application hands over what may have changed every ``update_interval`` seconds and when it
    stops. Whatever differs from what is stored is then written, each user, chat and conversation
    under a key of its own, in one commit: after a kill all of it is there or nothing of it. If
    writing fails, the error handlers get the error, and the change is written with the next one.
    With ``on_flush=True`` everything is written when the application stops, and only then.

    When the application stops, the store is closed, so the file alone is complete. The store may be
    used again.
    """

    __slots__ = (
        "_callback_keys",
        "_default",
        "_kv",
        "_object_hook",
        "_pending",
        "_saving",
        "context_types",
        "on_flush",
    )

    @overload
    def __init__(
        self: AioKVPersistence[dict[Any, Any], dict[Any, Any], dict[Any, Any]],
        kv: AioKV,
        *,
        store_data: PersistenceInput | None = None,
        on_flush: bool = False,
        update_interval: float = 60,
        default: Default | None = None,
        object_hook: ObjectHook | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self,
        kv: AioKV,
        *,
        store_data: PersistenceInput | None = None,
        on_flush: bool = False,
        update_interval: float = 60,
        context_types: ContextTypes[Any, _UD, _CD, _BD],
        default: Default | None = None,
        object_hook: ObjectHook | None = None,
    ) -> None: ...

    def __init__(
        self,
        kv: AioKV,
        *,
        store_data: PersistenceInput | None = None,
        on_flush: bool = False,
        update_interval: float = 60,
        context_types: ContextTypes[Any, Any, Any, Any] | None = None,
        default: Default | None = None,
        object_hook: ObjectHook | None = None,
    ) -> None:
        super().__init__(store_data=store_data, update_interval=update_interval)
        if not isinstance(kv, AioKV):
            raise TypeError(
                f"AioKVPersistence takes a store, not a {type(kv).__name__}: write "
                'AioKVPersistence(AioKV("bot.json"))'
            )
        self.on_flush = on_flush
        self.context_types: ContextTypes[Any, _UD, _CD, _BD] = cast(
            "ContextTypes[Any, _UD, _CD, _BD]", context_types or ContextTypes()
        )
        self._kv = kv.namespace("telegram")
        self._default, self._object_hook = default, object_hook
        # What is to be written: JSON by the key in the store.
        self._pending: dict[str, Any] = {}
        self._saving: asyncio.Future[None] | None = None
        # The keys of the callback data that the application knows of.
        self._callback_keys: set[str] = set()

    # --- what the application reads when it starts ---

    async def get_user_data(self) -> dict[int, _UD]:
        """Return the data of every user."""
        return await self._get_by_id("user_data")

    async def get_chat_data(self) -> dict[int, _CD]:
        """Return the data of every chat."""
        return await self._get_by_id("chat_data")

    async def get_bot_data(self) -> _BD:
        """Return the data of the bot, new if there are none."""
        stored = (await self._read("bot_data")).get("bot_data", _GONE)
        if stored is _GONE:
            return self.context_types.bot_data()
        data: _BD = self._decode_data("bot_data", "bot_data", "bot_data", stored)
        return data

    async def get_callback_data(
        self,
    ) -> tuple[list[tuple[str, float, dict[str, Any]]], dict[str, str]] | None:
        """Return the keyboards and the callback queries, or None if there are none."""
        keyboards: list[tuple[str, float, dict[str, Any]]] = []
        queries: dict[str, str] = {}
        stored = await self._read("callback_data:")
        for key, value in stored.items():
            kind, _, name = key.removeprefix("callback_data:").partition(":")
            if kind == "query":
                queries[name] = value
            else:
                keyboards.append((name, *self._decode_keyboard(key, name, value)))
        self._callback_keys = set(stored)
        return (keyboards, queries) if stored else None

    async def get_conversations(self, name: str) -> dict[tuple[int | str, ...], object]:
        """Return the states of the conversations of a handler."""
        prefix = _conversation_prefix(name)
        conversations: dict[tuple[int | str, ...], object] = {}
        for stored_key, stored in (await self._read(prefix)).items():
            key = decode_key(stored_key.removeprefix(prefix), self._entry(stored_key))
            place = f"{self._entry(stored_key)}: {_conversation_place(name, key)}"
            conversations[key] = decode(stored, place, self._object_hook)
        return conversations

    # --- what it hands over ---

    async def update_user_data(self, user_id: int, data: _UD) -> None:
        """Store the data of a user."""
        encoded = self._encode_data("user_data", f"user_data[{user_id}]", data)
        await self._set({f"user_data:{user_id}": encoded})

    async def update_chat_data(self, chat_id: int, data: _CD) -> None:
        """Store the data of a chat."""
        encoded = self._encode_data("chat_data", f"chat_data[{chat_id}]", data)
        await self._set({f"chat_data:{chat_id}": encoded})

    async def update_bot_data(self, data: _BD) -> None:
        """Store the data of the bot."""
        await self._set({"bot_data": self._encode_data("bot_data", "bot_data", data)})

    async def update_callback_data(
        self, data: tuple[list[tuple[str, float, dict[str, Any]]], dict[str, str]]
    ) -> None:
        """Store the keyboards and the callback queries, each under a key of its own."""
        keyboards, queries = data
        encoded: dict[str, Any] = {}
        refused: set[str] = set()
        refusal: Exception | None = None
        for name, used, buttons in keyboards:
            key = f"callback_data:keyboard:{name}"
            try:
                encoded_buttons = encode(buttons, _keyboard_place(name), self._default, depth=1)
            except (TypeError, ValueError) as error:
                refused.add(key)
                refusal = refusal or error
            else:
                encoded[key] = [used, encoded_buttons]
        for query, keyboard_name in queries.items():
            encoded[f"callback_data:query:{query}"] = keyboard_name
        # What is stored of a keyboard that is refused now stays.
        kept = self._callback_keys & refused
        gone = dict.fromkeys(self._callback_keys - encoded.keys() - kept, _GONE)
        self._callback_keys = kept | encoded.keys()
        await self._set(gone | encoded)
        if refusal is not None:
            raise refusal

    async def update_conversation(
        self, name: str, key: tuple[int | str, ...], new_state: object | None
    ) -> None:
        """Store the state of a conversation. None, its end, deletes it."""
        place = _conversation_place(name, key)
        stored_key = _conversation_prefix(name) + encode_key(key, place)
        encoded = _GONE if new_state is None else encode(new_state, place, self._default)
        await self._set({stored_key: encoded})

    async def drop_user_data(self, user_id: int) -> None:
        """Delete the data of a user."""
        await self._set({f"user_data:{user_id}": _GONE})

    async def drop_chat_data(self, chat_id: int) -> None:
        """Delete the data of a chat."""
        await self._set({f"chat_data:{chat_id}": _GONE})

    async def flush(self) -> None:
        """Write what is not written yet, and close the store."""
        await self._save()
        await self._kv.close()

    # --- what it may refresh before each update: nothing, unless a subclass does ---

    async def refresh_user_data(self, user_id: int, user_data: _UD) -> None:
        """Do nothing."""

    async def refresh_chat_data(self, chat_id: int, chat_data: _CD) -> None:
        """Do nothing."""

    async def refresh_bot_data(self, bot_data: _BD) -> None:
        """Do nothing."""

    # --- the store ---

    async def _read(self, prefix: str) -> dict[str, Any]:
        """Return the JSON that is stored under a prefix, or is going to be."""
        found = await self._kv.get_all(prefix)
        found |= {key: value for key, value in self._pending.items() if key.startswith(prefix)}
        return {key: value for key, value in found.items() if value is not _GONE}

    async def _set(self, encoded: dict[str, Any]) -> None:
        self._pending |= encoded
        if not self.on_flush:
            await self._save()

    async def _save(self) -> None:
        """Wait until nothing is left to be written."""
        while self._pending:
            if self._saving is None:
                self._saving = asyncio.ensure_future(self._commit())
            # Who is cancelled waits no longer; the others do.
            await asyncio.shield(self._saving)

    async def _commit(self) -> None:
        """Write all that is to be written, as one change of the store."""
        try:
            # The application hands over what belongs together in tasks that it starts at once.
            await asyncio.sleep(0)
            pending = self._pending.copy()
            stored = await self._kv.get_many(pending)
            changed = {
                key: value
                for key, value in pending.items()
                if not _is_same(value, stored.get(key, _GONE))
            }

            def write(t: Transaction) -> None:
                for key, value in changed.items():
                    if value is _GONE:
                        t.delete(key)
                    else:
                        t.set(key, value)

            if changed:
                await self._kv.transact(write)
            for key, value in pending.items():
                if self._pending[key] is value:
                    del self._pending[key]
        finally:
            self._saving = None

    def _entry(self, key: str) -> str:
        """Name an entry of the file, for an error."""
        store = self._kv._store
        return f"the entry {store.prefix + key!r} of {store.path!r}"

    # --- the data of a user, a chat or the bot ---

    async def _get_by_id(self, kind: str) -> dict[int, Any]:
        prefix = f"{kind}:"
        data: dict[int, Any] = {}
        for key, stored in (await self._read(prefix)).items():
            try:
                number = int(key.removeprefix(prefix))
            except ValueError:
                raise ValueError(f"{self._entry(key)} has no ID behind {kind}: delete it") from None
            data[number] = self._decode_data(key, kind, f"{kind}[{number}]", stored)
        return data

    def _decode_keyboard(self, key: str, name: str, stored: Any) -> tuple[float, dict[str, Any]]:
        place = f"{self._entry(key)}: {_keyboard_place(name)}"
        match stored:
            case [float() | int() as used, dict(buttons)]:
                return used, decode(buttons, place, self._object_hook)
        raise ValueError(f"{place}: it is no keyboard: delete it")

    def _encode_data(self, kind: str, place: str, data: Any) -> Any:
        wanted = getattr(self.context_types, kind)
        is_own = wanted not in KNOWN_TYPES
        if type(data) is not wanted and (is_own or type(data) not in KNOWN_TYPES):
            raise TypeError(
                f"{place}: it is a {type(data).__name__}, not a {wanted.__name__}: give "
                "AioKVPersistence the `context_types` that the application has"
            )
        return encode(_state_of(data, place) if is_own else data, place, self._default)

    def _decode_data(self, key: str, kind: str, place: str, stored: Any) -> Any:
        place = f"{self._entry(key)}: {place}"
        value = decode(stored, place, self._object_hook)
        wanted = getattr(self.context_types, kind)
        return value if wanted in KNOWN_TYPES else _instance_of(wanted, value, place)


def _state_of(data: Any, place: str) -> Any:
    """Return what makes an instance of a class of the bot, as copying it would."""
    if isinstance(data, dict):
        if getattr(data, "__dict__", None):
            raise TypeError(f"{place}: it is a dict with attributes: make items of them")
        return dict(data)
    make, arguments, *rest = data.__reduce_ex__(2)
    if make is not copyreg.__newobj__ or arguments != (type(data),):  # type: ignore[attr-defined]
        raise TypeError(
            f"{place}: a {type(data).__name__} is more than its attributes: keep it in an "
            "attribute of a class of your own"
        )
    state = rest[0] if rest else None
    if isinstance(state, tuple) and not hasattr(data, "__setstate__"):
        # The attributes in a `__dict__`, and those in slots.
        state = {**(state[0] or {}), **(state[1] or {})}
    if isinstance(state, dict):
        return {Attribute(name): value for name, value in state.items()}
    return state


def _instance_of(wanted: type, state: Any, place: str) -> Any:
    instance = wanted()
    try:
        if isinstance(instance, dict):
            instance.update(state)
        elif hasattr(instance, "__setstate__"):
            instance.__setstate__(state)
        else:
            for name, value in (state or {}).items():
                # As copying does, in a frozen dataclass too.
                object.__setattr__(instance, name, value)
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{place}: what is stored makes no {wanted.__name__} ({error}): correct it in the "
            "file, or delete it"
        ) from error
    return instance


def _conversation_prefix(name: str) -> str:
    # Without a colon in it, no name is the beginning of another one's keys.
    return f"conversation:{name.replace('%', '%25').replace(':', '%3A')}:"


def _conversation_place(name: str, key: object) -> str:
    return f"conversations[{json.dumps(name, ensure_ascii=False)}][{key!r}]"


def _keyboard_place(name: str) -> str:
    return f"callback_data[{json.dumps(name)}]"


def _is_same(one: Any, other: Any) -> bool:
    """Whether two JSON values are the same, which 1, 1.0 and True are not."""
    if type(one) is not type(other):
        return False
    if type(one) is dict:
        return list(one) == list(other) and all(_is_same(one[key], other[key]) for key in one)
    if type(one) is list:
        return len(one) == len(other) and all(map(_is_same, one, other))
    return repr(one) == repr(other) if type(one) is float else bool(one == other)
