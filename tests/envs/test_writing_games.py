"""The game that docs/write-a-game.md prints runs as it is printed; the skeleton of `envs.new` passes its own test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from envs.new import main, write
from experiment.errors import UserError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "write-a-game.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(*words: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{cwd}"}
    return subprocess.run(
        [sys.executable, "-W", "error", *words], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_the_printed_game_runs_as_printed(tmp_path: Path) -> None:
    (game,) = (block for block in BLOCKS if "FALLING = Game(" in block)
    (use,) = (block for block in BLOCKS if "from falling import FALLING" in block)
    assert len(game.splitlines()) <= 80
    (tmp_path / "falling.py").write_text(game)
    # By hand: from y -12, 3 pixels a frame, the ball's lower edge is at 152 or below on frame 51 (-12 + 12 + 153).
    known = """
env = GameEnv(FALLING)
env.reset(seed=0)
played = [env.step(0)[1:3] for _ in range(51)]
assert played[:50] == [(0.0, False)] * 50
assert played[50] in [(1.0, False), (-1.0, True)]
import gymnasium
assert gymnasium.make("mine/Falling-v0").reset(seed=0)[0].shape == (1, 84, 84)
assert observations.shape == (64, 1, 84, 84)
"""
    (tmp_path / "use.py").write_text(use + known)
    done = run("use.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_skeleton_passes_the_test_that_comes_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "deep" / "down"
    assert main(["space_cat", "--out", str(folder)]) == 0
    assert "space_cat:SPACE_CAT" in capsys.readouterr().out
    assert {path.name for path in folder.iterdir()} == {"space_cat.py", "test_space_cat.py"}
    assert 'name="SpaceCat"' in (folder / "space_cat.py").read_text()
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_space_cat.py", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_the_name_that_the_pages_use_is_one(tmp_path: Path) -> None:
    game, _ = write("my_game", tmp_path)
    assert "MY_GAME = Game(" in game.read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("precious")
    with pytest.raises(UserError, match=r"test_mine\.py exists already and would be lost"):
        write("mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_mine.py"]
    assert (tmp_path / "test_mine.py").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my-game", "a Python module's in lower case, as my_game, not 'my-game'"),
        ("MyGame", "lower case"),
        ("class", "lower case"),
        ("../up", "lower case"),
        ("", "lower case"),
        ("random", "Python has a module random of its own"),
        ("torch", "there is a module torch already"),
        ("envs", "there is a module envs already"),
        ("coin", "the skeleton has a COIN of its own"),
        ("size", "the skeleton has a SIZE of its own"),
    ],
)
def test_names_that_do_not_fit(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        write(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        write("mine", tmp_path / "file" / "below")
