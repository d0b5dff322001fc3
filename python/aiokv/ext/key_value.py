"""A store for py-key-value, the interface that FastMCP and others keep their state through.

``AioKVStore`` keeps each value as one readable entry, in the envelope of py-key-value: the value,
when it was put, and when it expires. Every operation, on one key or on many, is one change, durable
when it returns.

aiokv knows no expiry. A value that has expired is not returned any more, because the reader looks
at the time in the envelope, but its entry stays in the file until it is overwritten, deleted, or
removed by ``cull``, which the program calls when it suits it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiokv import AioKV, Transaction

try:
    from key_value.aio.errors import DeserializationError, SerializationError
    from key_value.aio.stores.base import (
        BaseContextManagerStore,
        BaseCullStore,
        BaseDestroyCollectionStore,
        BaseDestroyStore,
        BaseEnumerateCollectionsStore,
        BaseEnumerateKeysStore,
    )
except ImportError as error:
    raise ImportError(
        "aiokv.ext.key_value needs py-key-value-aio: install aiokv with its extra, "
        "`aiokv[key-value]`"
    ) from error

if TYPE_CHECKING:
    from key_value.aio._utils.managed_entry import ManagedEntry

__all__ = ["AioKVStore"]


class AioKVStore(
    BaseEnumerateKeysStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseCullStore,
    BaseContextManagerStore,
):
    """Keeps values in a store, below the prefix ``key_value:``.

    The entry ``key_value:COLLECTION:KEY`` is the envelope of py-key-value. In the name of a
    collection ``%`` and ``:`` are written ``%25`` and ``%3A``.

    ``close`` and the end of ``async with`` close the store, which can be used again like every
    closed store. Raises SerializationError for a value that JSON does not have,
    DeserializationError for an entry that is no envelope, and what the operations of AioKV raise.
    """

    def __init__(self, kv: AioKV, *, default_collection: str | None = None) -> None:
        self._kv = kv.namespace("key_value")
        super().__init__(default_collection=default_collection, stable_api=True)

    # --- one key ---

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        name = _name(collection, key)
        return self._loaded(name, await self._kv.get(name))

    async def _put_managed_entry(
        self, *, collection: str, key: str, managed_entry: ManagedEntry
    ) -> None:
        await self._put({_name(collection, key): managed_entry})

    async def _delete_managed_entry(self, *, key: str, collection: str) -> bool:
        return await self._delete_managed_entries(keys=[key], collection=collection) > 0

    # --- several keys: all or none ---

    async def _get_managed_entries(
        self, *, collection: str, keys: Sequence[str]
    ) -> list[ManagedEntry | None]:
        names = [_name(collection, key) for key in keys]
        found = await self._kv.get_many(names)
        return [self._loaded(name, found.get(name)) for name in names]

    async def _put_managed_entries(
        self,
        *,
        collection: str,
        keys: Sequence[str],
        managed_entries: Sequence[ManagedEntry],
        ttl: float | None,
        created_at: datetime,
        expires_at: datetime | None,
    ) -> None:
        names = (_name(collection, key) for key in keys)
        await self._put(dict(zip(names, managed_entries, strict=True)))

    async def _delete_managed_entries(self, *, keys: Sequence[str], collection: str) -> int:
        return await self._kv.delete_many([_name(collection, key) for key in keys])

    # --- all that there is ---

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        prefix = _name(collection, "")
        return [name[len(prefix) :] for name in (await self._kv.keys(prefix))[:limit]]

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        names = dict.fromkeys(name.split(":", 1)[0] for name in await self._kv.keys())
        return [unquote(name) for name in names][:limit]

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._kv.delete_prefix(_name(collection, "")) > 0

    async def _delete_store(self) -> bool:
        await self._kv.delete_prefix("")
        return True

    async def _cull(self) -> None:
        expired = [name async for name, entry in self._kv.items() if self._is_expired(name, entry)]

        def remove(t: Transaction) -> None:
            for name in expired:
                # It may have been put again meanwhile.
                if self._is_expired(name, t.get(name)):
                    t.delete(name)

        await self._kv.transact(remove)

    async def _ensure_exit_stack_entered(self) -> None:
        is_entered = self._exit_stack_entered
        await super()._ensure_exit_stack_entered()
        if not is_entered:
            self._exit_stack.push_async_callback(self._kv.close)

    # --- envelopes ---

    async def _put(self, entries: dict[str, ManagedEntry]) -> None:
        try:
            await self._kv.set_many(
                {
                    name: self._serialization_adapter.dump_dict(entry)
                    for name, entry in entries.items()
                }
            )
        except json.JSONDecodeError:
            raise  # a damaged file
        except (TypeError, ValueError) as error:
            raise SerializationError(str(error)) from error

    def _loaded(self, name: str, entry: Any) -> ManagedEntry | None:
        if entry is None:
            return None
        try:
            if not isinstance(entry, dict):
                raise TypeError(f"it is of the type {type(entry).__name__}")
            loaded = self._serialization_adapter.load_dict(entry)
            _ = loaded.ttl  # refuses a time without its zone
        except (DeserializationError, TypeError) as error:
            raise DeserializationError(
                f"the entry {self._kv._store.prefix + name!r} of {self._kv._store.path!r} is no "
                'value of py-key-value, which looks like {"value": {...}, "created_at": "..."}: '
                f"mend or delete it ({error})"
            ) from error
        return loaded

    def _is_expired(self, name: str, entry: Any) -> bool:
        loaded = self._loaded(name, entry)
        return loaded is not None and loaded.is_expired


def _name(collection: str, key: str) -> str:
    """Return the name of an entry. No two have the same."""
    return f"{collection.replace('%', '%25').replace(':', '%3A')}:{key}"
