"""The adapters need their frameworks only when they are imported."""

import subprocess
import sys

import pytest

WITHOUT = """
import sys
sys.modules["{framework}"] = None
import aiokv
import aiokv.ext
try:
    import aiokv.ext.{adapter}
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("adapter", "framework", "extra"),
    [
        ("aiogram", "aiogram", "aiogram"),
        ("key_value", "key_value", "key-value"),
        ("telegram", "telegram", "telegram"),
    ],
)
def test_an_adapter_without_its_framework_names_the_extra(
    adapter: str, framework: str, extra: str
) -> None:
    program = WITHOUT.format(adapter=adapter, framework=framework)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    assert f"aiokv[{extra}]" in ran.stdout
