"""Games that packages announce, and games that a user names."""

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium as gym
import pytest

from commands.game import GameConfig
from envs import GAMES, registry
from envs.doctor.making import find
from envs.list import rows
from experiment.errors import UserError

GAME = "from tests.agents.games import CATCH as GAME\n"


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path; what a test makes known there is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before, modules = set(GAMES), set(sys.modules)
    registry.announced.cache_clear()
    yield tmp_path
    for env_id in set(GAMES) - before:
        del GAMES[env_id]
        gym.registry.pop(env_id, None)
    for module in set(sys.modules) - modules:
        if not module.startswith(("numba", "tests", "llvmlite")):
            del sys.modules[module]
    registry.announced.cache_clear()


def announce(folder: Path, package: str, *lines: str) -> None:
    """Install a package that says of itself that it has games."""
    info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(["[wingbeat.games]", *lines]) + "\n")


def test_an_announced_game_is_found_and_imported_only_then(packages: Path) -> None:
    (packages / "maze_a.py").write_text(GAME)
    announce(packages, "maze-a", "maze/Maze-v0 = maze_a:GAME", "wingbeat/Catch-v0 = maze_a:GAME")
    catch = GAMES["wingbeat/Catch-v0"]
    assert list(registry.announced()) == ["maze/Maze-v0"]  # an id of ours can't be taken
    assert not GameConfig("CartPole-v1").ours
    assert "maze_a" not in sys.modules
    config = GameConfig("maze/Maze-v0")
    assert config.ours
    assert config.game is sys.modules["maze_a"].GAME
    assert config.name == "Maze"
    assert gym.make("maze/Maze-v0", size=(36, 36)).reset(seed=0)[0].shape == (1, 36, 36)
    assert registry.find("wingbeat/Catch-v0") is catch
    found, problems = rows()
    assert [row[0] for row in found] == [*GAMES]
    assert not problems


def test_a_game_that_can_not_be_loaded_is_a_line_and_the_others_stay(packages: Path) -> None:
    (packages / "maze_b.py").write_text("raise RuntimeError('no\\nluck')\n")
    (packages / "maze_c.py").write_text("GAME = 3\n")
    announce(packages, "maze-b", "maze/B-v0 = maze_b:GAME", "maze/D-v0 = maze_d:GAME")
    announce(packages, "maze-c", "maze/C-v0 = maze_c:GAME", "maze/E-v0 = maze_c:OTHER")
    found, problems = rows()
    assert [row[0] for row in found] == [*GAMES]
    assert sorted(problems) == [
        "maze/B-v0, which maze-b announces as maze_b:GAME, can't be loaded: RuntimeError: no luck",
        "maze/C-v0, which maze-c announces as maze_c:GAME, is no envs.Game but int",
        "maze/D-v0, which maze-b announces as maze_d:GAME, can't be loaded: "
        "ModuleNotFoundError: No module named 'maze_d'",
        "maze/E-v0, which maze-c announces as maze_c:OTHER, can't be loaded: "
        "AttributeError: module 'maze_c' has no attribute 'OTHER'",
    ]
    with pytest.raises(UserError, match="can't be loaded: RuntimeError: no luck"):
        _ = GameConfig("maze/B-v0").ours


def test_a_game_in_a_module(packages: Path) -> None:
    (packages / "maze_f.py").write_text(GAME)
    config = GameConfig("maze_f:GAME")
    with pytest.raises(UserError, match=r"this run plays maze_f:GAME, .* --env maze_f:GAME"):
        config.confirm(None, "config.json")
    with pytest.raises(UserError, match="plays maze_f:GAME, not os:path"):
        config.confirm("os:path", "config.json")
    assert "maze_f" not in sys.modules
    config.confirm("maze_f:GAME", "config.json")
    assert config.ours
    assert config.name == "GAME"
    assert config.about["preset"] == next(iter(config.game.presets))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("maze_g:GAME", "maze_g:GAME can't be loaded: ModuleNotFoundError: No module named 'maze_g'"),
        ("maze_h:GAME", "maze_h:GAME can't be loaded: ZeroDivisionError: division by zero"),
        ("maze_i:OTHER", "the environment 'maze_i:OTHER' can't be made: ValueError: maze_i has no OTHER"),
    ],
)
def test_a_name_that_leads_nowhere(packages: Path, text: str, message: str) -> None:
    (packages / "maze_h.py").write_text("1 / 0\n")
    (packages / "maze_i.py").write_text(GAME)
    with pytest.raises(UserError) as caught:
        GameConfig(text).make(1)
    assert str(caught.value) == message


def test_a_module_that_leaves_when_it_is_imported_is_named(packages: Path) -> None:
    (packages / "maze_j.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(UserError, match=r"^maze_j:GAME can't be loaded: SystemExit: 0$"):
        GameConfig("maze_j:GAME").make(1)


def test_the_doctor_finds_games_as_train_py_does(packages: Path) -> None:
    (packages / "maze_k.py").write_text(GAME)
    announce(packages, "maze-k", "maze/Maze-v1 = maze_k:GAME")
    for name in ("maze_k:GAME", "maze/Maze-v1"):
        env = find(name, {"size": (36, 36)})()
        assert env.reset(seed=0)[0].shape == (1, 36, 36)


@pytest.mark.parametrize("text", ["", "CartPole-v1", "package:Env-v0", "a b:c", "os:path"])
def test_what_is_no_game_is_left_alone(text: str) -> None:
    assert registry.find(text) is None
