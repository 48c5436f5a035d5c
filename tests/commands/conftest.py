"""A run to look at, and copies of it to spoil."""

import shutil
from pathlib import Path

import pytest

from tests.commands.running import SHORT, TINY, command


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 256 steps, trained by the command."""
    folder = tmp_path_factory.mktemp("trained")
    done = command(f"train.py {' '.join([*TINY, *SHORT])} --total-steps 256 --out run", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "warning" not in done.stderr.lower()
    assert [path.name for path in folder.iterdir()] == ["run"]
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that run in the current folder."""
    shutil.copytree(trained, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return Path("run")
