"""Training on environments of others: code that only the user names, and what happens when it fails."""

import json
import re
from pathlib import Path

import pytest

import play
import train
from experiment import checkpoint
from tests.commands.running import SHORT, TINY, command, everything, refused

FLAGS = [*TINY, "--frames", "1", "--total-steps", "160", "--evaluate-seconds", "0", "--out", "run", "--quiet"]
FAULTY = "tests.envs.faulty:Faulty"
FAULT = ["--env-arg", "fault=raising", "seed=2007", "step=3"]  # in game 2's third episode, at the 25th step of all


def config(run: Path) -> dict[str, object]:
    return json.loads((run / "config.json").read_text())["config"]["game"]  # type: ignore[no-any-return]


def test_a_failure_stops_training_and_a_run_goes_on_if_its_code_is_named_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = command(" ".join(["train.py", *FLAGS, "--env", FAULTY, *FAULT, "--workers", "2"]), tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    *before, last = done.stderr.splitlines()
    what = "at step 3 of its episode: RuntimeError: the left wing fell off"
    saved = f"saved at 64 steps, go on with --resume run --env {FAULTY}"  # the third rollout of 4 x 8 was under way
    assert re.fullmatch(rf"error: environment 2 .*{what}; {saved}", last)
    assert 'faulty.py", line' in "\n".join(before)
    monkeypatch.chdir(tmp_path)
    tensors, _ = checkpoint.load(checkpoint.latest(Path("run")))
    assert not tensors["played.rollout.valid"].any()  # the second one has been learned from, and will not be again
    refused(train.main, "--resume run", f"--env {FAULTY}", "no code")
    refused(train.main, "--resume run --env tests.envs.faulty:Shy", f"plays {FAULTY}, not tests.envs.faulty:Shy")
    assert train.main(["--resume", "run", "--env", FAULTY, "--quiet"]) == 0
    newest = checkpoint.latest(Path("run"))
    assert newest.name == "000000160"
    refused(play.main, f"{newest} --headless", f"--env {FAULTY}")
    capsys.readouterr()
    assert play.main([str(newest), "--json", "--episodes", "3", "--score-cap", "0", "--env", FAULTY]) == 0
    assert json.loads(capsys.readouterr().out)["score_mean"] == 55  # 1 + ... + 10


def test_a_restart_lets_training_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main([*FLAGS, "--env", FAULTY, *FAULT, "--on-env-error", "restart", "--workers", "2"]) == 0
    assert checkpoint.latest(Path("run")).name == "000000160"
    assert config(Path("run"))["on_env_error"] == "restart"


MINE = """
import pathlib
import gymnasium as gym
pathlib.Path("imported").write_text("")
class Mine(gym.Wrapper):
    def __init__(self, speed=1, **settings):
        super().__init__(gym.make("CartPole-v1", **settings))
        assert speed == 2
gym.register("Registered-v0", Mine)
"""


@pytest.mark.parametrize("env", ["mine:Mine", "mine:Registered-v0"])
def test_settings_that_name_a_module_import_nothing(env: str, run: Path) -> None:
    about = json.loads((run / "config.json").read_text())
    about["config"]["game"]["env"] = env
    (run / "config.json").write_text(json.dumps(about))
    Path("mine.py").write_text(MINE)
    refused(play.main, "run --headless", f"--env {env}")  # which also finds that no file was written
    refused(play.main, "run --record film.mp4", f"--env {env}")
    refused(train.main, "--resume run", f"--env {env}")


def test_an_environment_in_the_current_folder_trains(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    done = command(" ".join(["train.py", *FLAGS, "--env", "mine:Mine", "--env-arg", "speed=2"]), tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "imported").exists()
    assert "run/config.json" in {str(Path(path).relative_to(tmp_path)) for path in everything(tmp_path)}


LOUD = """
import os
import gymnasium as gym
import numpy as np
print("a module")
class Loud(gym.Env):
    action_space = gym.spaces.Discrete(2)
    def __init__(self, size=2, word="made"):
        print(word)
        self.observation_space = gym.spaces.Box(0, 1, (size,), np.float32)
    def reset(self, seed=None, options=None):
        print("reset")
        return self.observation_space.sample(), {}
    def step(self, action):
        os.write(1, b"step ")  # as C code does
        return self.observation_space.sample(), 7.0, True, False, {}
"""


def test_what_an_environment_prints_is_no_part_of_an_answer_and_its_arguments_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loud_mine.py").write_text(LOUD)
    env = ["--env", "loud_mine:Loud"]
    assert train.main([*FLAGS, *env, "--env-arg", "size=3", "--workers", "0"]) == 0
    capfd.readouterr()
    assert play.main(["run", *env, "--env-arg", "word=hello", "--json", "--episodes", "2"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["scores"] == [7.0, 7.0]
    assert {"hello", "reset", "step"} <= set(err.split())
    wrong = "run --env loud_mine:Loud --env-arg size=4 --headless"
    refused(play.main, wrong, "can't play loud_mine:Loud with size=4", "[1, 1, 4], not observations [1, 1, 3]")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--env nowhere:Mine", ["can't be loaded", "No module named 'nowhere'"]),
        ("--env tests.envs.screens:Flim", ["has no Flim", "Film"]),
        ("--env CartPole-v1 --env-arg hosting=3", ["--env-arg hosting", "Wingbeat"]),
        ("--env CartPole-v1 --sticky 1", ["--sticky", "below 1"]),
        ("--env CartPole-v1 --workers -1", ["--workers"]),
        ("--env CartPole-v1 --env-seconds 0", ["--env-seconds"]),
        ("--env CartPole-v1 --on-env-error ignore", ["--on-env-error", "restart"]),
        ("--env CartPole-v1 --screen nes", ["--screen", "atari"]),
        ("--env tests.envs.screens:Parts --env-arg pushes=9", ["at most 4096 combinations"]),
        ("--env Pendulum-v1 --bins 1", ["--bins 1"]),
        ("--bins 3", ["--bins", "of others"]),
        ("--pixels", ["--pixels", "of others"]),
        ("--workers 2", ["--workers", "of others"]),
        ("--env-seconds 5", ["--env-seconds", "of others"]),
        ("--on-env-error restart", ["--on-env-error", "of others"]),
    ],
)
def test_what_can_not_be_meant_is_refused(
    arguments: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(train.main, f"ppo --precision fp32 --threads 1 {arguments}", *words)


def test_a_film_without_a_screen_is_made_without_a_word_of_errors(tmp_path: Path) -> None:
    """SDL looks for a screen, and complains if there is none, though a film needs none."""
    words = "--frames 1 --env CartPole-v1 --workers 0 --total-steps 64 --evaluate-seconds 1 --quiet --out run"
    nowhere = dict.fromkeys(("XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_AUDIODRIVER"))
    done = command(f"train.py {' '.join([*TINY, *SHORT])} {words}", tmp_path, **nowhere)
    assert done.returncode == 0
    assert (tmp_path / "run" / "best.mp4").exists()
    assert "error" not in done.stderr


@pytest.mark.parametrize("env", ["tests.envs.faulty:Dark", "tests.envs.faulty:Faulty"])
def test_what_shows_no_picture_is_trained_and_judged_without_a_film(
    env: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It takes a render mode and renders nothing, or takes none."""
    monkeypatch.chdir(tmp_path)
    words = f"--frames 1 --env {env} --workers 0 --total-steps 64 --evaluate-seconds 9 --quiet --out run"
    assert train.main([*TINY, *SHORT, *words.split()]) == 0
    assert "there is no film" in capsys.readouterr().err
    assert (tmp_path / "run" / "evaluation.json").exists()
    assert play.main(["run", "--env", env, "--report", "--episodes", "2"]) == 0
    assert "be shown here" in (tmp_path / "run" / "report.html").read_text()


def test_it_is_the_same_game_wherever_it_runs_and_whatever_is_left_unsaid() -> None:
    from commands.game import GameConfig

    look = ("theme=night", "pipe_color=red")
    one = GameConfig(preset="classic", frame_skip=2, env_arg=look)
    assert one.bare == GameConfig(env_arg=look[::-1]).bare != GameConfig(env_arg=(*look, "theme=day")).bare
    for other in (GameConfig(preset="head2023", env_arg=look), GameConfig(), GameConfig(frame_skip=3, env_arg=look)):
        assert one.bare != other.bare
    assert GameConfig("CartPole-v1", workers=2, life_loss=True).bare == GameConfig("CartPole-v1").bare
    assert GameConfig("CartPole-v1", pixels=True).bare != GameConfig("CartPole-v1").bare


def test_runs_from_before_there_were_screens_are_read_as_they_were(run: Path) -> None:
    from commands.build import Settings
    from commands.game import GameConfig

    about = json.loads((run / "config.json").read_text())["config"]
    known = {"env", "preset", "frame_skip", "env_arg"}
    about["game"] = {key: value for key, value in about["game"].items() if key in known} | {"frame_skip": 2}
    assert Settings.parse(json.loads(json.dumps(about)), "there").game == GameConfig(frame_skip=2)
    about["game"]["env"] = "CartPole-v1"
    assert Settings.parse(about, "there").game.skip == 1
