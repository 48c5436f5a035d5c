"""What ruff and mypy say is part of the tests, so `pytest` alone is the gate."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(600)  # mypy reads torch's own types when its cache is cold
@pytest.mark.parametrize("command", ["ruff check .", "ruff format --check .", "mypy"])
def test_gate(command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
