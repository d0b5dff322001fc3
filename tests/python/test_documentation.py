"""Every Python example of the documentation runs, and does what it says."""

import ast
import re
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path

import aiokv
import pytest
from aiokv import KV, AioKV, Transaction

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
OPERATIONS = ROOT / "docs" / "operations.md"
QUICKSTART = ROOT / "examples" / "quickstart.py"


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", document.read_text(), re.DOTALL | re.MULTILINE
    )


EXAMPLES = [
    pytest.param(code, left, id=f"{document.relative_to(ROOT)}-{number}")
    for document in DOCUMENTS
    for number, (code, left) in enumerate(
        re.findall(
            r"^```python\n(.*?)^```\n(?:\n```json\n(.*?)^```)?",
            document.read_text(),
            re.DOTALL | re.MULTILINE,
        ),
        1,
    )
]
"""The code of each example, and the `state.json` that it leaves if that comes right after it.

A block with a file name (`title="bot.py"`) is for `test_recipes.py`.
"""


PROGRAM = """
import asyncio
import aiokv

async def example():
    kv = aiokv.AioKV("state.json")
{code}

asyncio.run(example())
"""


def comparing(line: str) -> str:
    """A line `expression  # value` with an assertion that they are equal. Others stay as they are.

    What stands behind a semicolon in the comment is for the reader.
    """
    match = re.fullmatch(r"( *)(.+?)  +# ([^;]+).*", line)
    if match is None:
        return line
    indent, expression, value = match.groups()
    try:
        ast.parse(expression, mode="eval")
        ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return line
    return f"{indent}found = {expression}; assert found == {value}, found"


def test_a_comment_that_is_a_value_is_compared() -> None:
    compared = "  found = await f(1); assert found == {'a': 1}, found"
    assert comparing("  await f(1)   # {'a': 1}; it is new") == compared
    for line in ("a = 1  # 2", "await f()  # the time", "f('#')"):
        assert comparing(line) == line


@pytest.mark.parametrize(("code", "left"), EXAMPLES)
def test_every_example_runs(code: str, left: str, tmp_path: Path) -> None:
    """Whole programs run as they are. The others are the inside of a coroutine that has a store.

    Examples of `KV` are whole programs, because it refuses to write while an event loop runs.
    """
    code = "\n".join(map(comparing, code.splitlines()))
    if "asyncio.run" not in code and "import KV" not in code:
        code = PROGRAM.format(code=textwrap.indent(code, "    "))
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True)
    assert not left or (tmp_path / "state.json").read_text() == left


def test_the_first_example_does_what_the_readme_says(tmp_path: Path) -> None:
    readme = ROOT / "README.md"
    assert blocks(readme, "python")[0] == QUICKSTART.read_text()
    ran = subprocess.run(
        [sys.executable, QUICKSTART], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert f"It prints `{ran.stdout.strip()}`" in readme.read_text()
    left = re.sub(r'(?<="started": )\d+', "1790000000", (tmp_path / "state.json").read_text())
    assert left == blocks(readme, "json")[0]


def test_the_readme_installs_the_version_that_it_describes() -> None:
    readme = (ROOT / "README.md").read_text()
    tags = re.findall(r"aiokv/aiokv(?:@| --tag )(v[\d.]+)", readme)
    assert len(tags) == 3
    assert set(tags) == {f"v{version('aiokv')}"}


def test_the_page_of_operations_has_all_of_them() -> None:
    tables = [line for line in OPERATIONS.read_text().splitlines() if line.startswith("| `")]
    first_cells = "\n".join(line.split(" | ")[0] for line in tables)
    mentioned = set(re.findall(r"(t\.)?\b(\w+)\(", first_cells))
    for store, prefix in ((AioKV, ""), (KV, ""), (Transaction, "t.")):
        operations = {name for name in vars(store) if not name.startswith("_")}
        assert {name for name in operations if (prefix, name) not in mentioned} == set()


def test_the_site_shows_every_public_name_and_every_adapter() -> None:
    pages = "\n".join(page.read_text() for page in (ROOT / "site" / "pages" / "api").glob("*.md"))
    adapters = [path.stem for path in (ROOT / "python" / "aiokv" / "ext").glob("[!_]*.py")]
    names = {*aiokv.__all__} - {"__version__", "aiocache"} | {f"ext.{name}" for name in adapters}
    assert set(re.findall(r"^::: aiokv\.(\S+)$", pages, re.MULTILINE)) == names
