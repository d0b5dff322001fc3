"""Every Python example of the documentation runs, and the first one does what the README says."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
QUICKSTART = ROOT / "examples" / "quickstart.py"


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE
    )


EXAMPLES = [
    pytest.param(code, id=f"{document.name}-{number}")
    for document in DOCUMENTS
    for number, code in enumerate(blocks(document, "python"), 1)
]


PROGRAM = """
import asyncio
import aiokv

async def example():
    kv = aiokv.AioKV("state.json")
{code}

asyncio.run(example())
"""


@pytest.mark.parametrize("code", EXAMPLES)
def test_every_example_runs(code: str, tmp_path: Path) -> None:
    """Those that are not whole programs are the inside of a coroutine that has a store."""
    if "asyncio.run" not in code:
        code = PROGRAM.format(code=textwrap.indent(code, "    "))
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)


def test_the_first_example_does_what_the_readme_says(tmp_path: Path) -> None:
    readme = ROOT / "README.md"
    assert blocks(readme, "python")[0] == QUICKSTART.read_text()
    ran = subprocess.run(
        [sys.executable, QUICKSTART], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert f"It prints `{ran.stdout.strip()}`" in readme.read_text()
    left = re.sub(r'(?<="started": )\d+', "1790000000", (tmp_path / "state.json").read_text())
    assert left == blocks(readme, "json")[0]
