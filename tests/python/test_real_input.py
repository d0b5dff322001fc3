"""Files that other programs and people left: they load, and what is not touched stays as it was."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV
from helpers import records_of_aiokv, texts, tokens, values, version_of
from hypothesis import example, given
from hypothesis import strategies as st

STATE = {
    "last_command": "ping",
    "café ☕": ["naïve", {"nested": {"deep": [], "empty": {}}}, "a,b: {c} [d]"],
    'quote " and \\ backslash': "line\nbreak, tab\t, slash /",
    "numbers": [0, -1, 1.5, 1e100, 12345678901234567890123],
    "": None,
    "flags": {"on": True, "off": False},
}

HAND_WRITTEN = r"""
{"plain":1 , "float" : 1.50,"exponents":[1E5,1e+2, 2.0e-0],
 "zeros": [-0, -0.0, 0.1000], "big": 12345678901234567890123.0000,
 "overflow": 1e400, "underflow": 1e-400,
   "escapes": "\/ \u00e9 \u00E9 \u0041 \ud83d\ude00 \ud800 é 😀 \u2028",
 "esc\u0061ped k\u00e9y": {"\u0061":
   [ ]
 },
 "almost tokens": "NaN, Infinity {\"a\": [1,\t2]} \\"	,
 "brackets": "]}{[", "last": {}
 }
"""

CONTENTS = {
    "json.dump": json.dumps(STATE),
    "json.dump indent=2": json.dumps(STATE, indent=2),
    "json.dump indent=4": json.dumps(STATE, indent=4),
    "json.dump indent=tab": json.dumps(STATE, indent="\t"),
    "json.dump indent=0": json.dumps(STATE, indent=0),
    "json.dump not ascii": json.dumps(STATE, ensure_ascii=False),
    "json.dump not ascii indent=2": json.dumps(STATE, indent=2, ensure_ascii=False),
    "json.dump compact": json.dumps(STATE, separators=(",", ":")),
    "json.dump sorted": json.dumps(STATE, sort_keys=True),
    "jq": json.dumps(STATE, indent=2, ensure_ascii=False) + "\n",
    "jq -c": json.dumps(STATE, separators=(",", ":"), ensure_ascii=False) + "\n",
    "editor with BOM and CRLF": "\ufeff"
    + json.dumps(STATE, indent=4, ensure_ascii=False).replace("\n", "\r\n")
    + "\r\n",
    "BOM only in front": "\ufeff" + json.dumps(STATE),
    "CR line ends": json.dumps(STATE, indent=2).replace("\n", "\r"),
    "blank lines": "\n\n \t" + json.dumps(STATE, indent=2).replace("\n", "\n\n") + "\n \n",
    "hand written": HAND_WRITTEN,
}


@pytest.fixture(params=list(CONTENTS.values()), ids=list(CONTENTS))
def content(request: pytest.FixtureRequest, path: Path) -> str:
    """The text of the file that is there when the store is opened, without its BOM."""
    text: str = request.param
    path.write_bytes(text.encode())
    return text.removeprefix("\ufeff")


def written(path: Path) -> str:
    # Strict: no BOM, UTF-8, and line ends as they are.
    return path.read_bytes().decode("utf-8")


async def test_everything_is_loaded_in_order(kv: AioKV, content: str) -> None:
    # `repr` compares the order too, and 1 is not 1.0 there.
    assert repr(await kv.get_all()) == repr(json.loads(content))


async def test_each_value_is_loaded(kv: AioKV, content: str) -> None:
    for key, value in json.loads(content).items():
        assert repr(await kv.get(key)) == repr(value)


async def test_a_new_entry_leaves_every_other_token(kv: AioKV, path: Path, content: str) -> None:
    await kv.set("new", 1)
    assert tokens(written(path)) == [*tokens(content)[:-1], ",", '"new"', ":", "1", "}"]


async def test_a_changed_entry_keeps_its_place_and_leaves_every_other_token(
    kv: AioKV, path: Path, content: str
) -> None:
    first_key = next(iter(json.loads(content)))
    before = tokens(content)
    value_length = 1  # The first value is a scalar in every content.
    await kv.set(first_key, ["changed"])
    after = tokens(written(path))
    assert after[3:6] == ["[", '"changed"', "]"]
    assert after[6:] == before[3 + value_length :]


async def test_a_deleted_entry_leaves_every_other_token(
    kv: AioKV, path: Path, content: str
) -> None:
    first_key = next(iter(json.loads(content)))
    await kv.delete(first_key)
    # The first entry is four tokens: key, colon, a scalar value, comma.
    assert tokens(written(path)) == ["{", *tokens(content)[5:]]


async def test_reading_does_not_rewrite_the_file(kv: AioKV, path: Path, content: str) -> None:
    before = version_of(path)
    await kv.get_all()
    await kv.get("last_command")
    assert version_of(path) == before


async def test_the_written_file_means_the_same_to_json(kv: AioKV, path: Path, content: str) -> None:
    await kv.set("new", 1)
    assert repr(json.loads(written(path))) == repr({**json.loads(content), "new": 1})


spacings = st.text(" \t\r\n", max_size=3)


@given(
    state=st.dictionaries(texts(), values(), min_size=1),
    indent=st.none() | st.integers(0, 4) | st.just("\t"),
    comma=st.builds("{},{}".format, spacings, spacings),
    colon=st.builds("{}:{}".format, spacings, spacings),
    around=spacings,
)
@example(state={"\ud800": "\udfff"}, indent=None, comma=",", colon=":", around="")
def test_whatever_json_dumps_writes_keeps_its_tokens(
    examples_path: Path, state: dict[str, Any], indent: Any, comma: str, colon: str, around: str
) -> None:
    content = around + json.dumps(state, indent=indent, separators=(comma, colon)) + around
    examples_path.write_bytes(content.encode())
    kv = AioKV(examples_path, fsync=False)

    async def change() -> None:
        assert repr(await kv.get_all()) == repr(state)
        # Longer than the keys of the state can be by chance.
        await kv.set("a key of our own", 1)

    asyncio.run(change())
    added = [",", '"a key of our own"', ":", "1", "}"]
    assert tokens(written(examples_path)) == tokens(content)[:-1] + added


async def test_a_key_is_found_under_every_spelling(kv: AioKV, path: Path) -> None:
    path.write_text(r'{"caf\u00e9": 1, "\u0061\/b": 2}')
    assert await kv.get("café") == 1
    await kv.set("café", 3)
    await kv.delete("a/b")
    assert await kv.get_all() == {"café": 3}
    assert json.loads(path.read_bytes(), object_pairs_hook=list) == [("café", 3)]


async def test_a_number_too_long_for_the_interpreter_stays_in_the_file(
    kv: AioKV, path: Path
) -> None:
    digits = "7" * 5000
    path.write_text(f'{{"long": {digits}, "a": 1}}')
    assert await kv.get("a") == 1
    await kv.set("a", 2)
    assert tokens(written(path)) == ["{", '"long"', ":", digits, ",", '"a"', ":", "2", "}"]
    with pytest.raises(ValueError):
        await kv.get("long")


async def test_an_empty_object_is_an_empty_store(kv: AioKV, path: Path) -> None:
    path.write_text("\ufeff {\r\n} ")
    assert await kv.get_all() == {}


# --- duplicate keys ---

DUPLICATES = '{"a": 1, "b": 2, "a": 3, "c": 4, "\\u0061": 5}'


async def test_the_last_of_duplicate_keys_wins_in_the_place_of_the_first(
    kv: AioKV, path: Path
) -> None:
    path.write_text(DUPLICATES)
    assert await kv.get("a") == 5
    assert list((await kv.get_all()).items()) == [("a", 5), ("b", 2), ("c", 4)]


async def test_duplicate_keys_are_warned_about_with_the_name_of_the_file(
    kv: AioKV, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(DUPLICATES)
    await kv.get("b")
    [record] = records_of_aiokv(caplog)
    assert record.levelno == logging.WARNING
    assert str(path) in record.getMessage()


async def test_unique_keys_are_not_warned_about(
    kv: AioKV, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text('{"a": {"a": 1}, "b": {"a": 2}}')
    await kv.get("b")
    assert records_of_aiokv(caplog) == []


async def test_duplicate_keys_are_written_once(kv: AioKV, path: Path) -> None:
    path.write_text(DUPLICATES)
    await kv.set("b", 6)
    pairs = json.loads(path.read_bytes(), object_pairs_hook=list)
    assert pairs == [("a", 5), ("b", 6), ("c", 4)]


async def test_duplicate_keys_inside_a_value_keep_their_spelling(kv: AioKV, path: Path) -> None:
    path.write_text('{"a": {"x": 1, "x": 2}}')
    assert await kv.get("a") == {"x": 2}
    await kv.set("b", 1)
    assert '{"x": 1, "x": 2}' in written(path)


# --- numbers that only Python's json writes ---

NON_FINITE = '{"a": NaN, "b": [Infinity, {"c": -Infinity}], "d":-Infinity,"NaN": "NaN"}'


async def test_nan_and_infinities_are_loaded(kv: AioKV, path: Path) -> None:
    path.write_text(NON_FINITE)
    assert repr(await kv.get_all()) == repr(json.loads(NON_FINITE))
    assert repr(await kv.get("a")) == "nan"
    assert await kv.get("b") == [float("inf"), {"c": -float("inf")}]


async def test_nan_and_infinities_are_kept(kv: AioKV, path: Path) -> None:
    path.write_text(NON_FINITE)
    await kv.set("new", 1)
    assert tokens(written(path))[:-5] == tokens(NON_FINITE)[:-1]
