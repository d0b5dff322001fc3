"""Copies of a store are the same store; a store cannot be pickled."""

import asyncio
import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from aiokv import AioKV


class Subclass(AioKV):
    """A store of a program that extends it."""


def test_a_copy_is_the_same_store(kv: AioKV) -> None:
    assert copy.copy(kv) is kv
    assert copy.deepcopy(kv) is kv


async def test_a_deep_copy_of_a_larger_structure_holds_the_same_store(
    kv: AioKV, path: Path
) -> None:
    """Frameworks copy their defaults deeply, and with them the store in them."""
    structure: dict[str, Any] = {"stores": [kv, (kv,)], "seen": [1]}
    copied = copy.deepcopy(structure)
    assert copied["stores"][0] is copied["stores"][1][0] is kv
    assert copied["seen"] is not structure["seen"]
    await asyncio.gather(copied["stores"][0].set("a", 1), kv.set("b", 2))
    assert json.loads(path.read_bytes()) == {"a": 1, "b": 2}


def test_a_copy_of_a_subclass_is_the_same_store(path: Path) -> None:
    kv = Subclass(path)
    assert copy.copy(kv) is kv
    assert copy.deepcopy([kv])[0] is kv


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [AioKV, Subclass])
def test_pickling_says_to_send_the_path(path: Path, protocol: int, kind: type[AioKV]) -> None:
    with pytest.raises(TypeError, match=r"cannot pickle .*state\.json.*: send its path"):
        pickle.dumps([kind(path)], protocol)
