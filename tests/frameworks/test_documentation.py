"""The page about frameworks shows the bots that are tested."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOWN = re.findall(
    r'^```python title="(\w+\.py)"\n(.*?)^```$',
    (ROOT / "docs" / "frameworks.md").read_text(),
    re.DOTALL | re.MULTILINE,
)


@pytest.mark.parametrize(("name", "code"), SHOWN, ids=[name for name, _ in SHOWN])
def test_the_page_shows_the_bot_of_the_examples(name: str, code: str) -> None:
    assert code == (ROOT / "examples" / name).read_text()


@pytest.mark.parametrize("adapter", ["aiogram", "key_value", "telegram"])
def test_each_adapter_has_a_bot_on_the_page(adapter: str) -> None:
    assert f"{adapter}_bot.py" in dict(SHOWN)
