"""Large states: what they cost in memory, and what else goes on while they are read."""

import asyncio
import json
import sys
from pathlib import Path
from threading import Thread
from time import thread_time
from typing import Any

import pytest
from aiokv import KV, AioKV
from helpers import next_turn, run_program, start


def write_entries(path: Path, entries: int) -> None:
    """Writes a file of short strings and integers by turns."""
    line = '  "user:{:08}:last_command": {}'.format
    lines = (line(n, 1_700_000_000 + n if n % 2 else f'"value {n}"') for n in range(entries))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="ascii")


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the memory in use")
def test_a_loaded_state_takes_at_most_three_fifths_of_what_json_takes(path: Path) -> None:
    write_entries(path, 1_000_000)
    measured = """
        def resident():
            pages = Path("/proc/self/statm").read_text().split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")

        async def load_with_aiokv():
            kv = AioKV(path)
            await kv.get("absent")
            return kv

        def load_with_json():
            with path.open() as file:
                return json.load(file)

        before = resident()
        kept = {load}
        print(resident() - before)
    """
    own = int(run_program(measured.replace("{load}", "asyncio.run(load_with_aiokv())"), path))
    of_json = int(run_program(measured.replace("{load}", "load_with_json()"), path))
    assert own <= 0.6 * of_json


async def test_get_all_is_of_one_moment_while_changes_go_on(path: Path) -> None:
    """Every 5,000th value waits, while it is built, until others have been changed."""
    expected = {f"key {number}": {"number": number} for number in range(50_000)}
    path.write_text(json.dumps(expected), encoding="ascii")
    first, *_, last = expected
    changes = 0

    def change() -> None:
        nonlocal changes
        changes += 1
        store = KV(path, fsync=False)
        store.set_many({first: changes, f"new {changes}": changes, last: changes})
        store.delete(f"key {changes}")

    def wait(value: dict[str, int]) -> dict[str, int]:
        if value["number"] % 5_000 == 0:
            changing = Thread(target=change)
            changing.start()
            changing.join()
        return value

    kv = AioKV(path, fsync=False, object_hook=wait)
    everything = await kv.get_all()
    assert changes == 10
    assert everything == expected
    assert list(everything) == list(expected)
    assert await kv.get_many([first, last, "new 1", "key 1"]) == {
        first: changes,
        last: changes,
        "new 1": 1,
    }


SHORT = {f"key {number}": number for number in range(200_000)}
LONG = {f"key {number}": list(range(5_000)) for number in range(400)}


@pytest.mark.parametrize("state", [SHORT, LONG], ids=["short entries", "long entries"])
async def test_the_loop_goes_on_while_get_all_is_built(
    kv: AioKV, path: Path, state: dict[str, Any]
) -> None:
    """Measures the CPU time of the loop's thread: others use the machine too."""
    path.write_text(json.dumps(state), encoding="ascii")
    await kv.get("absent")
    longest = 0.0

    async def measure_turns() -> None:
        nonlocal longest
        while True:
            before = thread_time()
            await asyncio.sleep(0)
            longest = max(longest, thread_time() - before)

    measuring = await start(measure_turns())
    before = thread_time()
    everything = await kv.get_all()
    whole = thread_time() - before
    await next_turn()  # The last turn counts too.
    measuring.cancel()
    assert everything == state
    assert longest < whole / 4
