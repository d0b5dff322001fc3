"""The package works in the main interpreter only, and says so in any other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import aiokv
import pytest

PROGRAM = """
import asyncio, importlib, sys

def module():
    for name in ("_interpreters", "_xxsubinterpreters"):
        try:
            return importlib.import_module(name)
        except ImportError:
            pass
    print("no subinterpreters")
    sys.exit()

interpreters = module()
path, main_first = sys.argv[1], sys.argv[2] == "main first"

async def main():
    from aiokv import AioKV
    kv = AioKV(path)
    for number in range(3):
        # Without an answer, this raises.
        await asyncio.wait_for(kv.set("a", number), 20)
        assert await kv.get("a") == number

if main_first:
    asyncio.run(main())
for _ in range(2):
    interpreter = interpreters.create()
    interpreters.run_string(interpreter, '''
try:
    import aiokv
except ImportError as error:
    print(error)
else:
    print("imported")
''')
    interpreters.destroy(interpreter)
asyncio.run(main())
print("main interpreter goes on")
"""

# The module is built for the stable ABI, so other versions of Python can load it too.
VERSIONS = ["3.10", "3.11", "3.12", "3.13"]


def run_python(version: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    this = ".".join(str(part) for part in sys.version_info[:2])
    executable = sys.executable if version == this else shutil.which(f"python{version}")
    if executable is None:
        pytest.skip(f"there is no Python {version}")
    package = Path(aiokv.__file__).parent.parent
    return subprocess.run(
        [executable, *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": os.fspath(package)},
    )


@pytest.mark.parametrize("order", ["main first", "subinterpreter first"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_subinterpreter_is_refused_and_the_main_one_goes_on(
    path: Path, version: str, order: str
) -> None:
    """On 3.10 and 3.11 it could load the module. When it ended, the main interpreter got no answer
    any more."""
    if run_python(version, "--version").returncode != 0:
        pytest.skip(f"Python {version} does not start")
    finished = run_python(version, "-c", PROGRAM, os.fspath(path), order)
    if finished.stdout == "no subinterpreters\n":
        pytest.skip("this Python has no module for subinterpreters")
    assert finished.returncode == 0, finished.stderr
    *refusals, end = finished.stdout.splitlines()
    assert end == "main interpreter goes on"
    assert len(refusals) == 2
    assert all("subinterpreter" in refusal for refusal in refusals), refusals
