"""What is stored, how a file is written without aiokv, and how results are checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

State = dict[str, Any]

NOW = 1_763_834_400


def bot_state(keys: int) -> State:
    """Return numbers and short text under keys of a usual length; 100,000 are about 5 MB."""
    user = 118_420_337_764_001_234
    state: State = {}
    for number in range(keys):
        if number % 2 == 0:
            state[f"rate_limit:{user + number}"] = NOW + number
        else:
            state[f"last_command:{user + number}"] = "remind me 10m"
    return state


def write_json(path: Path, state: State, indent: int | None = 2) -> None:
    """Write the file as `json.dump` would: one entry a line, or everything on one line."""
    path.write_text(json.dumps(state, indent=indent), encoding="utf-8")


def read_json(path: Path) -> State:
    with path.open(encoding="utf-8") as file:
        state: State = json.load(file)
    return state


def check(found: object, expected: object) -> None:
    """Raise if something is not what was stored."""
    if found != expected:
        raise RuntimeError(f"found {found!r:.200} instead of {expected!r:.200}")
