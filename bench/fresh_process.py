"""What can be measured only once in a process: an import, and opening a file for the first time.

Run with the name of a function below and its arguments; prints the nanoseconds it took. Modules are
imported where they are measured or needed, so that none of them is there too early.
"""

import asyncio
import sys
from time import perf_counter_ns


def import_aiokv() -> int:
    """Measure what the import costs beyond `asyncio`, which is there already."""
    start = perf_counter_ns()
    import aiokv  # noqa: F401

    return perf_counter_ns() - start


def open_with_aiokv(path: str, key: str, expected: str) -> int:
    """Measure a store from its creation to the answer of the first `get`."""
    from aiokv import AioKV

    async def open_and_get() -> tuple[int, object]:
        start = perf_counter_ns()
        value = await AioKV(path).get(key)
        return perf_counter_ns() - start, value

    duration, value = asyncio.run(open_and_get())
    check(value, expected)
    return duration


def open_with_json(path: str, key: str, expected: str) -> int:
    """Measure the same with nothing but `json.load`."""
    import json
    from pathlib import Path

    start = perf_counter_ns()
    with Path(path).open(encoding="utf-8") as file:
        value = json.load(file)[key]
    duration = perf_counter_ns() - start
    check(value, expected)
    return duration


def check(value: object, expected: str) -> None:
    """Raise if the value is not the one that was stored."""
    if value != expected:
        raise RuntimeError(f"got {value!r} instead of {expected!r}")


FUNCTIONS = {
    function.__name__: function for function in (import_aiokv, open_with_aiokv, open_with_json)
}

if __name__ == "__main__":
    print(FUNCTIONS[sys.argv[1]](*sys.argv[2:]))
