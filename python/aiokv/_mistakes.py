"""What to write instead of what does not exist, for the mistakes that people make most."""

from __future__ import annotations

from typing import Any, NoReturn

_INSTEAD = {
    "decr": "await kv.increment(key, -1)",
    "exists": "await kv.contains(key)",
    "has": "await kv.contains(key)",
    "has_key": "await kv.contains(key)",
    "incr": "await kv.increment(key)",
    "len": "await kv.count()",
    "mget": "await kv.get_many(keys)",
    "mset": "await kv.set_many(mapping)",
    "put": "await kv.set(key, value)",
    "remove": "await kv.delete(key)",
    "size": "await kv.count()",
    "transaction": "await kv.transact(function)",
    "values": "(await kv.get_all()).values()",
    **dict.fromkeys(("append", "push"), "async with kv.edit(key, default=[]) as value:"),
    **dict.fromkeys(("commit", "dump", "flush", "save", "sync"), "nothing: `set` saves"),
    **dict.fromkeys(("load", "open", "read"), "nothing: `get` reads what is there"),
    **dict.fromkeys(
        ("expire", "ttl"), "await kv.prune(prefix, older_than=seconds): nothing expires by itself"
    ),
}


class Mistakes:
    """Raises errors that name what to write."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        message = f"{type(self).__name__!r} object has no attribute {name!r}"
        if name in _INSTEAD:
            message += f"; write `{_INSTEAD[name]}`"
        raise AttributeError(message, name=name, obj=self)

    def __getitem__(self, key: Any) -> NoReturn:
        raise TypeError("a store is read with `await kv.get(key)`, or use KV instead of AioKV")

    def __setitem__(self, key: Any, value: Any) -> NoReturn:
        raise TypeError("write `await kv.set(key, value)`, or use KV instead of AioKV")

    def __delitem__(self, key: Any) -> NoReturn:
        raise TypeError("write `await kv.delete(key)`, or use KV instead of AioKV")

    def __contains__(self, key: Any) -> NoReturn:
        raise TypeError("write `await kv.contains(key)`, or use KV instead of AioKV")

    def __len__(self) -> NoReturn:
        raise TypeError("write `await kv.count()`, or use KV instead of AioKV")

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> NoReturn:
        raise TypeError(
            "write `for key in await kv.keys()` or `async for key, value in kv.items()`, or use "
            "KV instead of AioKV"
        )
