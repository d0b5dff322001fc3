"""The conversations of an aiogram bot in a store: the FSM storage and the event isolation.

``AioKVStorage`` keeps each conversation, its state and its data, as one readable entry. Every call
is one change of it, durable when the call returns, and changes of several tasks or processes at
once lose nothing. ``one_commit`` makes several calls one change. ``AioKVEventIsolation`` lets the
handlers of one conversation run one at a time, in all processes.

Nothing here keeps a handler from reading data, waiting, and writing back what is outdated by then:
that is what the isolation is for.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from aiokv import AioKV, Transaction
from aiokv.ext._named_locks import NamedLocks

try:
    from aiogram.exceptions import DataNotDictLikeError
    from aiogram.fsm.context import FSMContext
    from aiogram.fsm.state import State
    from aiogram.fsm.storage.base import (
        DEFAULT_DESTINY,
        BaseEventIsolation,
        BaseStorage,
        StateType,
        StorageKey,
    )
except ImportError as error:
    raise ImportError(
        "aiokv.ext.aiogram needs aiogram 3: install aiokv with its extra, `aiokv[aiogram]`"
    ) from error

__all__ = ["AioKVEventIsolation", "AioKVStorage", "one_commit"]


class AioKVStorage(BaseStorage):
    """Keeps states and data in a store, below the prefix ``fsm:``.

    The entry ``fsm:BOT:CHAT:USER`` is ``{"state": ..., "data": {...}}``. It is gone when both are
    empty. Data is what the store takes: what JSON has, other keys than ``str`` become ``str``.

    Each method raises what ``AioKV.set`` raises, or ``AioKV.get`` if it only reads; the entry is
    then as it was before.
    """

    def __init__(self, kv: AioKV) -> None:
        self._kv = kv.namespace("fsm")

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        """Set the state of a conversation. None means that it has none."""
        text = state.state if isinstance(state, State) else state
        if not isinstance(text, (str, type(None))):
            raise TypeError(f"a state is a State, a str or None, not {type(text).__name__}")

        def change(conversation: _Conversation) -> None:
            conversation.state = text

        await self._change(_name(key), change)

    async def get_state(self, key: StorageKey) -> str | None:
        """Return the state of a conversation."""
        return (await self._read(_name(key))).state

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        """Replace the data of a conversation, which is taken as it is at this moment."""
        if not isinstance(data, dict):
            raise DataNotDictLikeError(f"the data of a state is a dict, not {type(data).__name__}")
        name = _name(key)
        taken = self._kv._store.encode(name, data)

        def change(conversation: _Conversation) -> None:
            conversation.data = taken.value(None)

        await self._change(name, change)

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        """Return the data of a conversation, a new dict each time."""
        return (await self._read(_name(key))).data

    async def update_data(self, key: StorageKey, data: Mapping[str, Any]) -> dict[str, Any]:
        """Set some keys of the data, whoever else sets other keys meanwhile, and return all."""
        name = _name(key)
        taken = self._kv._store.encode(name, dict(data))

        def change(conversation: _Conversation) -> None:
            conversation.data.update(taken.value(None))

        return (await self._change(name, change)).data

    async def close(self) -> None:
        """Close the store. Like every closed store it can be used again."""
        await self._kv.close()

    async def _read(self, name: str) -> _Conversation:
        conversation = self._loaded(name, await self._kv.get(name))
        for block in _blocks.get():
            if block.is_about(self, name):
                block.apply(conversation)
        return conversation

    async def _change(self, name: str, change: _Change) -> _Conversation:
        for block in reversed(_blocks.get()):
            if block.is_about(self, name):
                block.changes.append(change)
                return await self._read(name)

        def commit(t: Transaction) -> _Conversation:
            conversation = self._loaded(name, t.get(name))
            change(conversation)
            entry = conversation.entry()
            if entry:
                t.set(name, entry)
            else:
                t.delete(name)
            return conversation

        return await self._kv.transact(commit)

    def _loaded(self, name: str, entry: Any) -> _Conversation:
        if entry is None:
            return _Conversation()
        state, data = entry, entry
        if isinstance(entry, dict):
            state, data = entry.get("state"), entry.get("data", {})
        if isinstance(state, (str, type(None))) and isinstance(data, dict):
            return _Conversation(state, data)
        raise ValueError(
            f"the entry {self._kv._store.prefix + name!r} of {self._kv._store.path!r} is no "
            'conversation, which looks like {"state": "...", "data": {...}}: mend it, or delete it '
            "to start over"
        )


@asynccontextmanager
async def one_commit(state: FSMContext) -> AsyncIterator[None]:
    """Make all changes of a conversation inside the block one change, at its end.

    ``async with one_commit(state):`` around ``state.update_data`` and ``state.set_state``: whatever
    ends the process, both have happened or neither. The block sees its own changes, others see them
    when it ends. If the block raises or is cancelled, nothing changes.

    Raises TypeError if the bot has another storage.
    """
    storage = state.storage
    if not isinstance(storage, AioKVStorage):
        raise TypeError(
            "one_commit changes conversations in an AioKVStorage, and this bot has a "
            f"{type(storage).__name__}: write Dispatcher(storage=AioKVStorage(kv))"
        )
    block = _Block(storage, _name(state.key))
    token = _blocks.set((*_blocks.get(), block))
    try:
        yield
    finally:
        # A task that was started inside and is still at work makes its changes by itself from now.
        block.is_open = False
        _blocks.reset(token)
    if block.changes:
        await storage._change(block.name, block.apply)


class AioKVEventIsolation(BaseEventIsolation):
    """Lets the handlers of one conversation run one after another, in all processes of a store.

    A process that dies, wherever it does, keeps no other one waiting. Who waits in one process gets
    its turn in order; among processes there is no order. A handler that never ends is waited for
    without end, as with aiogram's own isolation.

    The locks belong to an empty file beside the store, ``.state.json.aiokv-locks``, which ``close``
    removes. Raises NotImplementedError where the system has no such locks: they need Linux.
    """

    def __init__(self, kv: AioKV) -> None:
        self._prefix = kv._store.prefix
        self._locks = NamedLocks(kv._store.path)

    @asynccontextmanager
    async def lock(self, key: StorageKey) -> AsyncGenerator[None, None]:
        """Hold the conversation. RuntimeError if the same task holds it already."""
        async with self._locks.hold(self._prefix + _name(key)):
            yield

    async def close(self) -> None:
        """Remove the file of the locks, unless somebody holds one."""
        self._locks.close()


@dataclass
class _Conversation:
    """A state with its data."""

    state: str | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        """Return what the store keeps, without what is empty."""
        parts = {"state": self.state, "data": self.data or None}
        return {name: part for name, part in parts.items() if part is not None}


_Change = Callable[[_Conversation], None]


class _Block:
    """The changes inside a ``one_commit`` of one conversation."""

    def __init__(self, storage: AioKVStorage, name: str) -> None:
        self.storage, self.name = storage, name
        self.changes: list[_Change] = []
        self.is_open = True

    def is_about(self, storage: AioKVStorage, name: str) -> bool:
        """Return whether changes of this conversation wait for the end of the block."""
        return self.is_open and self.storage is storage and self.name == name

    def apply(self, conversation: _Conversation) -> None:
        """Make the changes."""
        for change in self.changes:
            change(conversation)


_blocks: ContextVar[tuple[_Block, ...]] = ContextVar("aiokv_aiogram_blocks", default=())
"""The blocks around the current task, from the outside in."""


def _name(key: StorageKey) -> str:
    """Return the name of a conversation. No two have the same."""
    parts: list[str | int] = [key.bot_id, key.chat_id, key.user_id]
    if key.thread_id is not None:
        parts += ["thread", key.thread_id]
    if key.business_connection_id is not None:
        parts += ["business", quote(key.business_connection_id, safe="")]
    if key.destiny != DEFAULT_DESTINY:
        # The last part, so it may hold anything.
        parts += ["destiny", key.destiny]
    return ":".join(map(str, parts))
