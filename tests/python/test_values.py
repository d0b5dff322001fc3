"""What can be stored, how it comes back, and what is refused before anything changes."""

import asyncio
import collections
import datetime
import enum
import json
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiokv
import pytest
from aiokv import AioKV
from helpers import forget_memory_of, nested, texts, values, version_of
from hypothesis import example, given
from hypothesis import strategies as st


def after_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


async def stored_and_loaded(path: Path, value: Any, key: str = "a") -> Any:
    """The value as memory has it and as a fresh store reads it from the file."""
    kv = AioKV(path, fsync=False)
    await kv.set(key, value)
    from_memory = await kv.get(key)
    forget_memory_of(path)
    from_file = await AioKV(path).get(key)
    # `repr` tells 1, 1.0 and True apart, lists and tuples, 0.0 and -0.0.
    assert repr(from_memory) == repr(from_file)
    return from_file


# --- what comes back ---


@given(value=values())
@example(value=["\ud800", "a\udfffb", "\x00", "\u2028", "\U0001f600", '"\\/\b\f\n\r\t'])
@example(value={"": {"": []}, " ": {}, "\ud800": "\udc00"})
def test_every_json_value_comes_back_equal(examples_path: Path, value: Any) -> None:
    loaded = asyncio.run(stored_and_loaded(examples_path, value))
    assert repr(loaded) == repr(value)


@given(number=st.floats(allow_nan=False, allow_infinity=False))
@example(number=-0.0)
@example(number=5e-324)
@example(number=sys.float_info.max)
@example(number=1e16)
def test_floats_come_back_bit_for_bit(examples_path: Path, number: Any) -> None:
    loaded = asyncio.run(stored_and_loaded(examples_path, number))
    assert struct.pack("d", loaded) == struct.pack("d", number)


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**4000, -(10**4000)])
async def test_ints_of_any_size_come_back(path: Path, number: Any) -> None:
    loaded = await stored_and_loaded(path, number)
    assert type(loaded) is int
    assert loaded == number


@given(key=texts())
@example(key="")
@example(key='"\\\n\x00')
@example(key="\ud800")
def test_every_string_is_a_key(examples_path: Path, key: Any) -> None:
    asyncio.run(AioKV(examples_path).clear())
    assert asyncio.run(stored_and_loaded(examples_path, 1, key)) == 1
    assert list(asyncio.run(AioKV(examples_path).get_all())) == [key]


async def test_keys_that_only_look_alike_are_different(kv: AioKV) -> None:
    for key in ("é", "e\u0301", "É", "\\u00e9", "é "):
        await kv.set(key, key)
    assert len(await kv.get_all()) == 5


async def test_tuples_come_back_as_lists(path: Path) -> None:
    assert await stored_and_loaded(path, (1, ("two", ()))) == [1, ["two", []]]


inner_keys: st.SearchStrategy[Any] = texts() | st.integers() | st.booleans() | st.none()
inner_keys |= st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.filterwarnings("ignore:.*comes back as a str")
@given(value=st.dictionaries(inner_keys, st.integers()))
@example(value={True: 1, None: 2, 1.5: 3, 10**30: 4, -0.0: 5, 1e16: 6, 1e-7: 7})
def test_keys_inside_a_value_follow_json_dumps(examples_path: Path, value: Any) -> None:
    expected = after_json(value)
    if len(expected) == len(value):
        loaded = asyncio.run(stored_and_loaded(examples_path, value))
        assert repr(loaded) == repr(expected)


class Level(enum.IntEnum):
    HIGH = 3


class Name(str, enum.Enum):
    PING = "ping"


class Celsius(float):
    def __repr__(self) -> str:
        return f"{float(self)} °C"


Point = collections.namedtuple("Point", "x y")


@pytest.mark.filterwarnings("ignore:.*comes back as a str")
@pytest.mark.parametrize(
    "value",
    [
        Level.HIGH,
        Name.PING,
        Celsius(21.5),
        Point(1, 2),
        {Level.HIGH: 1, Name.PING: 2, Celsius(1.5): 3},
        collections.OrderedDict(b=1, a=2),
        collections.defaultdict(list, a=[1]),
        collections.Counter("aab"),
    ],
    ids=repr,
)
async def test_subclasses_are_stored_as_json_stores_them(path: Path, value: Any) -> None:
    assert repr(await stored_and_loaded(path, value)) == repr(after_json(value))


async def test_an_ordered_dict_keeps_its_own_order(path: Path) -> None:
    value = collections.OrderedDict(a=1, b=2)
    value.move_to_end("a")
    assert list(await stored_and_loaded(path, value)) == ["b", "a"]


async def test_a_subclass_of_str_is_a_key(kv: AioKV) -> None:
    await kv.set(Name.PING, 1)
    assert await kv.get_all() == {"ping": 1}


async def test_one_object_may_occur_in_several_places(path: Path) -> None:
    shared = ["x"]
    value = {"a": shared, "b": [shared, shared]}
    assert await stored_and_loaded(path, value) == value


# --- what is refused ---

TOO_MANY_DIGITS = 10**5000
CYCLE: dict[str, list[Any]] = {"history": [0]}
CYCLE["history"].append(CYCLE)
NAN = float("nan")

REFUSED: dict[str, tuple[Any, type[Exception], str, str]] = {
    "date": (
        {"history": [0, 1, 2, {"at": datetime.date.min}]},
        TypeError,
        "$.history[3].at",
        "date",
    ),
    "bytes": (b"x", TypeError, "$", "bytes"),
    "set": ([{1}], TypeError, "$[0]", "set"),
    "complex": ({"a": (0, 1j)}, TypeError, "$.a[1]", "complex"),
    "function": ([[print]], TypeError, "$[0][0]", "builtin_function_or_method"),
    "class": (int, TypeError, "$", "type"),
    "nan": ({"a": NAN}, ValueError, "$.a", "nan"),
    "infinity": ([1.0, float("inf")], ValueError, "$[1]", "inf"),
    "negative infinity": ({"a": [[-float("inf")]]}, ValueError, "$.a[0][0]", "-inf"),
    "tuple as a key": ({"a": {(1, 2): 3}}, TypeError, "$.a", "tuple"),
    "bytes as a key": ([{b"k": 1}], TypeError, "$[0]", "bytes"),
    "int and string key": ({1: "a", "1": "b"}, ValueError, "$", '"1"'),
    "bool and string key": ([{True: 0, "true": 1}], ValueError, "$[0]", '"true"'),
    "none and string key": ({"a": {None: 0, "null": 1}}, ValueError, "$.a", '"null"'),
    "float and string key": ({"1.5": 0, 1.5: 1}, ValueError, "$", '"1.5"'),
    "cycle": (CYCLE, ValueError, "$.history[1]", ""),
}
refused_values = pytest.mark.parametrize(
    ("value", "kind", "place", "problem"), list(REFUSED.values()), ids=list(REFUSED)
)


@refused_values
async def test_a_refusal_names_the_place_and_the_problem(
    kv: AioKV, value: Any, kind: type[Exception], place: str, problem: str
) -> None:
    with pytest.raises(kind) as refusal:
        await kv.set("a", value)
    assert type(refusal.value) is kind
    message = str(refusal.value)
    assert place in message.replace(",", " ").replace(":", " ").replace("`", " ").split()
    assert problem.lower() in message.lower()


@refused_values
async def test_a_refusal_changes_nothing(
    kv: AioKV, path: Path, value: Any, kind: type[Exception], place: str, problem: str
) -> None:
    await kv.set("a", "old")
    before = version_of(path)
    with pytest.raises(kind):
        await kv.set("a", value)
    with pytest.raises(kind):
        await kv.set("b", value)
    assert await kv.get_all() == {"a": "old"}
    assert version_of(path) == before


async def test_a_refusal_creates_no_file(kv: AioKV, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        await kv.set("a", object())  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


async def test_a_refusal_does_not_touch_operations_beside_it(kv: AioKV) -> None:
    before, refused, after = await asyncio.gather(
        kv.set("a", 1),
        kv.set("b", {1, 2}),  # type: ignore[arg-type]
        kv.set("c", 3),
        return_exceptions=True,
    )
    assert isinstance(refused, TypeError)
    assert (before, after) == (None, None)
    assert await kv.get_all() == {"a": 1, "c": 3}


async def test_an_int_with_too_many_digits_for_the_interpreter_is_refused(kv: AioKV) -> None:
    with pytest.raises(ValueError, match=r"\$\.a\[0\]"):
        await kv.set("a", {"a": [TOO_MANY_DIGITS]})


@pytest.mark.parametrize("key", [7, 1.5, True, None, b"a", ("a",), ["a"], object()], ids=repr)
@pytest.mark.parametrize("operation", [AioKV.get, AioKV.set, AioKV.delete])
async def test_a_key_that_is_no_string_is_a_type_error_with_advice(
    kv: AioKV, path: Path, operation: Callable[[AioKV, Any], Any], key: Any
) -> None:
    with pytest.raises(TypeError) as refusal:
        await operation(kv, key)
    assert "str(message.id)" in str(refusal.value)
    assert type(key).__name__ in str(refusal.value)
    assert not path.exists()


async def test_two_half_characters_come_back_as_json_gives_them(path: Path) -> None:
    halves = "\ud83d\ude00"
    assert await stored_and_loaded(path, halves) == after_json(halves)


# --- depth ---


def test_the_depth_limit_is_documented_as_a_constant() -> None:
    assert aiokv.MAX_DEPTH == 128


async def test_a_value_at_the_depth_limit_is_stored_and_loaded(path: Path) -> None:
    value = nested(aiokv.MAX_DEPTH)
    assert await stored_and_loaded(path, value) == value


@pytest.mark.parametrize("depth", [aiokv.MAX_DEPTH + 1, 100_000])
async def test_a_deeper_value_is_refused_at_set(kv: AioKV, path: Path, depth: int) -> None:
    with pytest.raises(ValueError, match=r"\$\[0\]\.in.*128"):
        await kv.set("a", nested(depth))
    assert not path.exists()


async def test_a_deeper_value_in_the_file_is_damage(kv: AioKV, path: Path) -> None:
    content = json.dumps({"a": nested(aiokv.MAX_DEPTH + 1)})
    path.write_text(content)
    with pytest.raises(json.JSONDecodeError, match="128"):
        await kv.get("a")
    assert path.read_text() == content


async def test_brackets_in_strings_have_no_depth(path: Path) -> None:
    value = ["[" * 1000, '"' + "{" * 1000]
    assert await stored_and_loaded(path, value) == value


# --- snapshots ---


async def test_set_takes_a_snapshot(kv: AioKV) -> None:
    value: dict[str, Any] = {"list": [1]}

    async def change() -> None:
        value["list"].append(2)
        value["more"] = True

    await asyncio.gather(kv.set("a", value), change())
    assert await kv.get("a") == {"list": [1]}
    value.clear()
    assert await kv.get("a") == {"list": [1]}


async def test_get_returns_a_fresh_object_each_time(kv: AioKV) -> None:
    await kv.set("a", {"list": [1]})
    (await kv.get("a"))["list"].append(2)
    assert await kv.get("a") == {"list": [1]}


async def test_get_all_returns_fresh_objects_each_time(kv: AioKV) -> None:
    await kv.set("a", [1])
    everything = await kv.get_all()
    everything["a"].append(2)
    everything["b"] = 3
    assert await kv.get_all() == {"a": [1]}
    assert await kv.get("a") == [1]


class ChangingDict(dict[str, Callable[[], dict[Any, Any]]]):
    """Changes the dict it lies in at the moment it is stored itself."""

    def items(self) -> Any:
        outer = self["outer"]()
        outer[f"new{len(outer)}"] = len(outer)
        return {}.items()


class ChangingList(list[Callable[[], list[Any]]]):
    """Empties the list it lies in at the moment it is stored itself."""

    def __iter__(self) -> Iterator[Any]:
        self[0]().clear()
        return iter(())


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_dict_that_changes_while_it_is_stored_is_a_clean_error(
    kv: AioKV, path: Path, position: int
) -> None:
    value: dict[str, Any] = dict.fromkeys("012", 1)
    value[str(position)] = ChangingDict(outer=lambda: value)
    with pytest.raises(RuntimeError, match=r"\$.*changed"):
        await kv.set("a", value)
    assert not path.exists()


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_list_that_changes_while_it_is_stored_is_a_clean_error(
    kv: AioKV, path: Path, position: int
) -> None:
    value: list[Any] = [1, 1, 1]
    value[position] = ChangingList([lambda: value])
    with pytest.raises(RuntimeError, match=r"\$.*changed"):
        await kv.set("a", value)
    assert not path.exists()


@pytest.fixture
def eager_thread_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_thread_switches")
async def test_a_dict_changed_by_threads_is_stored_or_a_clean_error(path: Path) -> None:
    kv = AioKV(path, fsync=False)
    value: dict[str, Any] = {"inner": {}, "list": []}
    stop = threading.Event()

    def change(name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            value[name] = value["inner"][f"{name}{number % 50}"] = number
            value["list"].append(number)
            value.pop(name)
            value["inner"].pop(f"{name}{(number + 25) % 50}", None)
            del value["list"][:1]

    threads = [threading.Thread(target=change, args=(name,)) for name in "xy"]
    for thread in threads:
        thread.start()
    try:
        for number in range(300):
            try:
                await kv.set(f"key{number % 10}", value)
            except RuntimeError as error:
                assert "changed" in str(error)
            if path.exists():
                json.loads(path.read_bytes())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    await kv.set("last", value)
    assert await kv.get("last") == value
