"""The types of the package are there, and say what the interface says."""

import os
from pathlib import Path

import pytest


def test_a_strict_type_checker_agrees_with_the_sample() -> None:
    mypy = pytest.importorskip("mypy.api")
    sample = Path(__file__).with_name("typing_sample.py")
    report, errors, status = mypy.run(
        ["--strict", "--config-file=", f"--cache-dir={os.devnull}", str(sample)]
    )
    assert status == 0, report + errors
