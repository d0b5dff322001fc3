"""The JSON of the adapters: every value comes back as it was, or is refused with its place."""

import enum
import json
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiokv import MAX_DEPTH, AioKV
from aiokv.ext._encoding import decode, decode_key, encode, encode_key
from helpers import texts
from hypothesis import given
from hypothesis import strategies as st

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
PARIS_TIME = timezone(timedelta(hours=1))

zones = st.sampled_from([None, timezone.utc, PARIS_TIME, BERLIN, zoneinfo.ZoneInfo("UTC")])
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts(max_size=5)
    | st.sampled_from(["$tuple", "$12", '$"a"', "$", "$null"])
    | st.binary(max_size=5)
    | st.dates()
    | st.datetimes(timezones=zones)
    | st.times(timezones=zones)
    | st.timedeltas()
)
keys = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    dicts = st.dictionaries(keys, inner, max_size=4)
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | dicts
        | dicts.map(lambda items: defaultdict(list, items))
        | st.sets(keys, max_size=4)
        | keys
    )


values = st.recursive(leaves, containers, max_leaves=20)


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of equal types, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return is_same(list(one.items()), list(other.items()))
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, (set, frozenset)):
        return one == other and {type(item) for item in one} == {type(item) for item in other}
    if isinstance(one, (datetime, time)):
        return one == other and str(one.tzinfo) == str(other.tzinfo)
    return bool(one == other) and str(one) == str(other)


@given(values)
def test_every_value_comes_back_as_it_was(value: Any) -> None:
    encoded = encode(value, "it")
    assert is_same(decode(json.loads(json.dumps(encoded)), "it"), value)


@given(keys, keys)
def test_different_keys_have_different_texts(one: Any, other: Any) -> None:
    assert decode_key(encode_key(one, "it"), "it") == one
    assert (encode_key(one, "it") == encode_key(other, "it")) <= (one == other)


async def test_a_store_takes_what_is_encoded(kv: AioKV) -> None:
    value = {1: ("a", {2}), "$tuple": [datetime(2026, 1, 2, tzinfo=BERLIN)]}
    await kv.set("a", encode(value, "it"))
    assert decode(await kv.get("a"), "it") == value


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        pytest.param({"a": [1, None, "x"]}, {"a": [1, None, "x"]}, id="JSON stays as it is"),
        pytest.param((1, (2,)), {"$tuple": [1, {"$tuple": [2]}]}, id="tuple"),
        pytest.param({3, 1, 2}, {"$set": [1, 2, 3]}, id="set"),
        pytest.param(frozenset("a"), {"$frozenset": ["a"]}, id="frozenset"),
        pytest.param(b"Hi", {"$bytes": "SGk="}, id="bytes"),
        pytest.param(date(2026, 1, 2), {"$date": "2026-01-02"}, id="date"),
        pytest.param(time(3, 4), {"$time": "03:04:00"}, id="time"),
        pytest.param(timedelta(days=1), {"$timedelta": {"days": 1}}, id="timedelta"),
        pytest.param(datetime(2026, 1, 2), {"$datetime": "2026-01-02T00:00:00"}, id="datetime"),
        pytest.param(
            datetime(2026, 1, 2, tzinfo=BERLIN),
            {"$datetime": "2026-01-02T00:00:00+01:00[Europe/Berlin]"},
            id="datetime of a zone",
        ),
        pytest.param(
            defaultdict(int, {7: 1}), {"$defaultdict": ["int", {"$7": 1}]}, id="defaultdict"
        ),
        pytest.param(
            {12: "a", None: "b", (1, "x"): "c"},
            {"$12": "a", "$null": "b", '$[1, "x"]': "c"},
            id="keys that are no str",
        ),
        pytest.param({"$tuple": [1]}, {'$"$tuple"': [1]}, id="a dict that looks like a tuple"),
        pytest.param({"$12": 1, 12: 2}, {'$"$12"': 1, "$12": 2}, id="a str that looks like a key"),
    ],
)
def test_what_it_looks_like(value: Any, encoded: Any) -> None:
    assert encode(value, "it") == encoded
    assert is_same(decode(encoded, "it"), value)


@pytest.mark.parametrize("fold", [0, 1])
def test_a_time_that_a_clock_shows_twice_comes_back_as_the_same_moment(fold: int) -> None:
    moment = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold)
    found = decode(encode(moment, "it"), "it")
    assert (found.timestamp(), found.fold) == (moment.timestamp(), fold)


class Color(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


class Kind(str, enum.Enum):
    PRIVATE = "private"


class Zone(tzinfo):
    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, _: datetime | None) -> timedelta:
        return timedelta()

    def tzname(self, _: datetime | None) -> str:
        return "Somewhere"


@dataclass
class Order:
    size: int


class Message:
    def to_dict(self) -> dict[str, str]:
        return {"text": "Hi"}


Point = namedtuple("Point", "x y")


def test_members_of_enumerations_that_are_numbers_or_texts_come_back_equal() -> None:
    value = {Kind.PRIVATE: [Size.SMALL, Kind.PRIVATE]}
    found = decode(json.loads(json.dumps(encode(value, "it"))), "it")
    assert found == value
    assert is_same(found, {"private": [1, "private"]})


@pytest.mark.parametrize(
    ("value", "problem", "remedy"),
    [
        (Color.RED, "type Color", "enum.IntEnum"),
        (Order(3), "type Order", "dataclasses.asdict"),
        (Message(), "type Message", "value.to_dict()"),
        (Decimal(1), "type Decimal", "`default` and `object_hook`"),
        (Counter("a"), "type Counter would come back as a dict", "dict(value)"),
        (OrderedDict(a=1), "type OrderedDict would come back as a dict", "dict(value)"),
        (Point(1, 2), "type Point would come back as a tuple", "tuple(value)"),
        (defaultdict(lambda: 1), "factory is none of", "dict(value)"),
        (datetime(2026, 1, 2, tzinfo=Zone()), "time zone is a Zone", "zoneinfo.ZoneInfo"),
    ],
)
def test_what_is_refused_is_named_with_its_place_and_a_remedy(
    value: Any, problem: str, remedy: str
) -> None:
    with pytest.raises(TypeError) as caught:
        encode({"cart": [value], 1: 2}, "user_data[12]")
    assert str(caught.value).startswith('user_data[12]["cart"][0]: ')
    assert problem in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": {Order: 1}}, "it[\"a\"], in the key <class 'test_encoding.Order'>: "),
        ({1: ({Color.RED},)}, "it[1][0][0]: "),
        (defaultdict[str, Any](list, a=Color.RED), 'it["a"]: '),
    ],
)
def test_the_place_leads_through_every_type(value: Any, place: str) -> None:
    with pytest.raises(TypeError) as caught:
        encode(value, "it")
    assert str(caught.value).startswith(place.replace("test_encoding.", f"{__name__}."))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_does_not_have_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match=r"it\[0\]: JSON has no"):
        encode([number], "it")


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append((value,))
    with pytest.raises(ValueError, match=r"^it(\[0\]){12}\.\.\.: it contains itself"):
        encode(value, "it")


def pile(levels: int, leaf: Any) -> Any:
    for _ in range(levels):
        leaf = [leaf]
    return leaf


async def test_what_is_as_deep_as_it_may_be_is_stored_and_deeper_is_refused(kv: AioKV) -> None:
    """A store would refuse it later, together with whatever is written at the same time."""
    for leaf, levels in (([], 1), ((), 2), (defaultdict(int), 3), ({(1, 2): 3}, 1)):
        deepest = pile(MAX_DEPTH - levels, leaf)
        await kv.set("a", encode(deepest, "it"))
        assert decode(await kv.get("a"), "it") == deepest
        with pytest.raises(ValueError, match="nested more than 128 levels deep"):
            encode([deepest], "it")
        with pytest.raises(ValueError, match="nested more than 128 levels deep"):
            encode(deepest, "it", depth=1)


def test_hooks_convert_what_is_unknown() -> None:
    def default(value: Any) -> Any:
        return {"order": (value.size,)}

    def hook(items: dict[Any, Any]) -> Any:
        return Order(*items["order"]) if items.keys() == {"order"} else items

    value = {
        "open": [Order(1)],
        "length": timedelta(1),
        "sold": defaultdict[str, Any](int, order=(5,)),
    }
    encoded = encode(value, "it", default)
    assert encoded["open"] == [{"order": {"$tuple": [1]}}]
    assert decode(encoded, "it", hook) == value


def test_a_hook_that_converts_nothing_ends() -> None:
    with pytest.raises(ValueError, match="it contains itself"):
        encode(Order(1), "it", lambda value: value)


@pytest.mark.parametrize(
    "damaged",
    [
        {"$tuple": "ab"},
        {"$set": {"a": 1}},
        {"$set": [[1]]},
        {"$datetime": "yesterday"},
        {"$datetime": "2026-01-02T00:00:00+01:00[Nowhere/Else]"},
        {"$date": 5},
        {"$bytes": "?"},
        {"$timedelta": {"years": 1}},
        {"$defaultdict": ["object", {}]},
        {"$defaultdict": []},
        {"$list": []},
        {"a": 1, "$12x": 2},
        {'${"a": 1}': 2},
    ],
    ids=json.dumps,
)
def test_what_was_edited_into_nonsense_is_named_with_its_place(damaged: Any) -> None:
    with pytest.raises(ValueError, match=r'^it\["a"\]\[0\]: .*correct it in the file'):
        decode({"a": [damaged]}, "it")


def test_the_module_says_every_type_that_it_knows() -> None:
    source = Path(encode.__code__.co_filename).read_text().split('"""')[1]
    for name in ("tuple", "set", "frozenset", "bytes", "datetime", "date", "time", "timedelta"):
        assert f"``${name}``" in source
    assert "``$defaultdict``" in source
