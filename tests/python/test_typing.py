"""The types of the package are there, and say what the interface says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).with_name("typing_sample.py")
CHECKERS = {
    "mypy": ["--strict", "--config-file=", f"--cache-dir={os.devnull}"],
    "basedpyright": ["--pythonpath", sys.executable],
}
PYRIGHT = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": "error"}


@pytest.mark.parametrize("checker", CHECKERS)
def test_a_strict_type_checker_agrees_with_the_sample(checker: str, tmp_path: Path) -> None:
    pytest.importorskip(checker)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    command = [sys.executable, "-m", checker, *CHECKERS[checker], os.fspath(SAMPLE)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout + finished.stderr
