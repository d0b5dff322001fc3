"""Large states: what they cost in memory, and what else goes on while they are read."""

import asyncio
import json
import sys
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from aiokv import AioKV
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
    write_entries(path, 800_000)
    expected = json.loads(path.read_bytes())
    first, *_, last = expected
    kv = AioKV(path, fsync=False)
    # The first change of a large file creates the journal, which takes a while.
    await kv.set(first, expected[first])
    reading = await start(kv.get_all())
    changes = 0
    while not reading.done():
        changes += 1
        await asyncio.gather(
            kv.set(first, changes),
            kv.set(f"new {changes}", changes),
            kv.delete(f"user:{changes:08}:last_command"),
            kv.set(last, changes),
        )
    everything = await reading
    assert changes > 1, "nothing could be changed meanwhile"
    assert everything == expected
    assert list(everything) == list(expected)
    assert await kv.get(first) == await kv.get(last) == changes


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
