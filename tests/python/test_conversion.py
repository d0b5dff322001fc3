"""Values that JSON does not have: `default`, `object_hook`, and what is said about the rest."""

import asyncio
import dataclasses
import sys
import warnings
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiokv import KV, MAX_DEPTH, AioKV
from helpers import nested

NOON = datetime(2026, 1, 1, 12)


def to_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"$datetime": value.isoformat()}
    if isinstance(value, set):
        return sorted(value)
    raise TypeError(f"no JSON for {value!r}")


def from_json(found: dict[str, Any]) -> Any:
    return datetime.fromisoformat(found["$datetime"]) if "$datetime" in found else found


@pytest.fixture
def converting(path: Path) -> AioKV:
    return AioKV(path, default=to_json, object_hook=from_json)


# --- default and object_hook ---


async def test_what_json_does_not_have_is_stored_and_comes_back(converting: AioKV) -> None:
    value: Any = {"list": [NOON, {"at": NOON}], "tags": {"b", "a"}}
    await converting.set("a", value)
    assert await converting.get("a") == {"list": [NOON, {"at": NOON}], "tags": ["a", "b"]}


READS: Any = {
    "get": lambda kv: kv.get("a"),
    "get_all": lambda kv: kv.get_all(),
    "get_many": lambda kv: kv.get_many(["a"]),
    "pop": lambda kv: kv.pop("a"),
    "setdefault": lambda kv: kv.setdefault("a", None),
    "update": lambda kv: kv.update("a", lambda old: old),
    "transact": lambda kv: kv.transact(lambda t: t.get("a")),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
async def test_every_read_uses_object_hook(converting: AioKV, read: Any) -> None:
    await converting.set_many({"a": NOON})  # type: ignore[dict-item]
    assert await read(converting) in (NOON, {"a": NOON})


WRITES: Any = {
    "add": lambda kv: kv.add("a", NOON),
    "setdefault": lambda kv: kv.setdefault("a", NOON),
    "update": lambda kv: kv.update("a", lambda old: NOON),
    "set_many": lambda kv: kv.set_many({"a": NOON}),
    "transact": lambda kv: kv.transact(lambda t: t.set("a", NOON)),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_every_write_uses_default(converting: AioKV, write: Any) -> None:
    await write(converting)
    assert await converting.get("a") == NOON


async def test_an_edit_uses_both(converting: AioKV) -> None:
    async with converting.edit("a", default=[NOON]) as value:
        assert value == [NOON]
        value.append(NOON)
    assert await converting.get("a") == [NOON, NOON]


async def test_what_default_refuses_is_a_type_error_with_the_place(converting: AioKV) -> None:
    with pytest.raises(TypeError, match=r"^\$\.a\[0\]: no JSON for \(?1j"):
        await converting.set("a", {"a": [1j]})  # type: ignore[list-item]


async def test_an_exception_of_default_is_raised(path: Path) -> None:
    def default(value: Any) -> Any:
        raise LookupError("of the program")

    with pytest.raises(LookupError, match="of the program"):
        await AioKV(path, default=default).set("a", object())  # type: ignore[arg-type]


async def test_a_default_that_returns_what_it_got_is_refused(path: Path) -> None:
    kv = AioKV(path, default=lambda value: value)
    with pytest.raises(ValueError, match="contains itself"):
        await kv.set("a", object())  # type: ignore[arg-type]


async def test_a_default_that_never_ends_is_refused(path: Path) -> None:
    kv = AioKV(path, default=lambda value: object())
    with pytest.raises(ValueError, match="again and again"):
        await kv.set("a", object())  # type: ignore[arg-type]


async def test_the_depth_is_that_of_the_json(path: Path) -> None:
    kv = AioKV(path, default=lambda value: nested(MAX_DEPTH))
    await kv.set("a", object())  # type: ignore[arg-type]
    assert await kv.get("a") == nested(MAX_DEPTH)


async def test_an_exception_of_object_hook_is_raised(path: Path) -> None:
    def hook(found: dict[str, Any]) -> Any:
        raise LookupError("of the program")

    kv = AioKV(path, object_hook=hook)
    await kv.set("a", {"b": 1})
    with pytest.raises(LookupError, match="of the program"):
        await kv.get("a")


# --- remedies ---


@dataclasses.dataclass
class Player:
    name: str


async def test_the_remedy_for_a_dataclass_is_named(kv: AioKV) -> None:
    with pytest.raises(TypeError, match=r"Player.*dataclasses\.asdict\(value\)"):
        await kv.set("a", Player("ada"))  # type: ignore[arg-type]


async def test_the_remedy_for_a_pydantic_model_is_named(
    kv: AioKV, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = ModuleType("pydantic.main")
    monkeypatch.setitem(sys.modules, "pydantic.main", module)
    base: Any = type("BaseModel", (), {"__module__": "pydantic.main"})
    model: Any = type("Settings", (base,), {})
    with pytest.raises(TypeError, match=r"Settings.*value\.model_dump\(mode=\"json\"\)"):
        await kv.set("a", model())


# --- keys of dicts ---


async def test_a_key_that_is_no_str_warns_with_the_place_and_the_remedy(kv: AioKV) -> None:
    value: Any = {"players": [{"xp": 1}, {17: 2}]}
    with pytest.warns(UserWarning, match=r"\$\.players\[1\].*int.*str\(message\.id\)"):
        await kv.set("a", value)
    assert await kv.get("a") == {"players": [{"xp": 1}, {"17": 2}]}


async def test_str_keys_do_not_warn(kv: AioKV) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await kv.set("a", {"b": {"c": 1}})


async def test_a_warning_that_is_an_error_stores_nothing(kv: AioKV, path: Path) -> None:
    strange: Any = {1: 2}
    with warnings.catch_warnings(), pytest.raises(UserWarning):
        warnings.simplefilter("error")
        await kv.set("a", strange)
    assert not path.exists()


STRANGE: Any = {1: 2}
WARNING: Any = {
    "set": lambda kv: kv.set("a", STRANGE),
    "add": lambda kv: kv.add("a", STRANGE),
    "set_many": lambda kv: kv.set_many({"a": STRANGE}),
}


@pytest.mark.parametrize("operation", WARNING.values(), ids=WARNING)
async def test_a_warning_is_about_the_line_that_awaits(kv: AioKV, operation: Any) -> None:
    with pytest.warns(UserWarning) as caught:
        await operation(kv)
    assert [warning.filename for warning in caught] == [__file__]


async def test_a_warning_of_update_is_about_the_line_that_awaits(kv: AioKV) -> None:
    with pytest.warns(UserWarning) as caught:
        await kv.update("a", lambda old: STRANGE)
    assert [warning.filename for warning in caught] == [__file__]


async def test_a_warning_of_edit_is_about_the_block(kv: AioKV) -> None:
    with pytest.warns(UserWarning) as caught:
        async with kv.edit("a", default={}) as value:
            value.update(STRANGE)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_warning_of_kv_is_about_the_line_that_calls(path: Path) -> None:
    with pytest.warns(UserWarning) as caught:
        KV(path)["a"] = STRANGE
    assert [warning.filename for warning in caught] == [__file__]


def test_a_call_site_warns_once(path: Path) -> None:
    async def main() -> None:
        for _ in range(3):
            await AioKV(path).set("a", STRANGE)

    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        asyncio.run(main())
    assert len(caught) == 1
