"""Every wrong flag, id, path or file ends in one line and exit code 2, and nothing is made."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import play
import train
from experiment.command import main_line
from experiment.errors import UserError
from tests.commands.running import command, refused

ROOT = Path(__file__).parents[2]
WRONG_TRAINING = [
    ("sac", "no algorithm 'sac'", "ppo, ppo-lstm, a2c"),
    ("ppo --nope 3", "--nope"),
    ("ppo extra", "extra"),
    ("--nope", "--nope"),
    ("--seed 3 dqn", "comes first", "train.py dqn"),
    ("--quiet dqn --seed 3", "comes first", "train.py dqn"),
    ("ppo dqn --quiet", "comes first", "train.py dqn"),
    ("ppo --exploration inf", "--exploration", "finite"),
    ("ppo --frame-skip 100000000000000000000", "--frame-skip", "2^63"),
    ("dqn --replay-ratio inf", "--replay-ratio", "finite"),
    ("dqn --epochs 2", "--epochs"),  # PPO's
    ("ppo --seed x", "--seed", "x"),
    ("ppo --seed 1.5", "--seed", "1.5"),
    ("ppo --seed", "Missing value for argument '--seed'"),
    ("ppo --seed -1", "--seed", "-1"),
    ("ppo --seed 4294967296", "--seed", "4294967296"),  # from 2^33 on seeds are for evaluation
    ("ppo --seed 99999999999999999999", "--seed"),
    ("ppo --precision fp64", "--precision", "fp32", "bf16"),
    ("ppo --learning-rate fast", "--learning-rate", "fast"),
    ("ppo --learning-rate -0.001", "--learning-rate", "-0.001"),
    ("ppo --learning-rate 0", "--learning-rate"),
    ("ppo --learning-rate nan", "--learning-rate"),
    ("ppo --gamma 1.01", "--gamma", "at most 1"),
    ("ppo --total-steps -5", "--total-steps", "-5"),
    ("ppo --total-steps 0", "--total-steps"),
    ("ppo --num-envs 0", "--num-envs"),
    ("ppo --num-envs -4", "--num-envs", "-4"),
    ("ppo --rollout-steps 1 --precision fp32", "--rollout-steps", "at least 2"),
    ("ppo --frames 0", "--frames"),
    ("ppo --checkpoint-seconds -1", "--checkpoint-seconds"),
    ("ppo --keep -1", "--keep"),
    ("ppo --final-episodes 0", "--final-episodes"),
    (
        "ppo --env wingbeat/FlapyBird-v0 --precision fp32",
        "wingbeat/FlapyBird-v0",
        "did you mean wingbeat/FlappyBird-v0",
    ),
    ("ppo --env zzz --precision fp32", "zzz", "wingbeat/FlappyBird-v0"),
    ("ppo --preset hard --precision fp32", "hard", "classic, head2023"),
    ("ppo --env-arg theme --precision fp32", "--env-arg", "name=value", "theme"),
    ("ppo --env-arg theme=noon --precision fp32", "theme", "day, night", "noon"),
    ("ppo --env-arg bird=red --precision fp32", "bird"),
    ("ppo --env-arg preset=classic --precision fp32", "preset"),
    ("ppo --env-arg num_envs=3 --precision fp32", "num_envs"),
    ("ppo --encoder resnet --precision fp32", "resnet", "small, nature, impala"),
    ("ppo --feature-dim 0", "--feature-dim"),
    ("ppo --feature-dim large", "--feature-dim", "large"),
    ("ppo --device gpu", "device", "auto, cpu or cuda", "gpu"),
    ("ppo --device cuda", "no CUDA device", "--device cpu"),
    ("ppo --device mps", "device", "mps"),
    ("dqn --capacity 1000000000000 --precision fp32", "--capacity", "GiB"),
    ("dqn --capacity 10 --precision fp32", "10 transitions", "at least"),
    ("dqn --prioritized -0.5", "--prioritized"),
    ("dqn --quantiles 0", "--quantiles"),
    ("sb3-ppo --batch-size 100 --precision fp32", "--batch-size", "divide", "2048"),
    ("sb3-a2c --num-envs 0", "--num-envs"),
    ("sb3-a2c --batch-size 64", "--batch-size"),  # PPO's and DQN's
    ("sb3-dqn --tau 1.5", "--tau", "at most 1"),
    ("sb3-dqn --exploration-fraction 0", "--exploration-fraction"),
    ("sb3-dqn --target-update-interval 4 --precision fp32", "--target-update-interval", "8, not 4"),
    ("sb3-dqn --buffer-size 1000000000 --precision fp32", "--buffer-size", "GiB"),
    ("sb3-dqn --env Chess --precision fp32", "Chess"),
    ("ppo --num-envs 2 --out taken --precision fp32", "taken exists already"),
    ("ppo --num-envs 2 --out taken/thesis.tex --precision fp32", "taken/thesis.tex exists already"),
    ("ppo --num-envs 2 --out taken/thesis.tex/below --precision fp32", "taken/thesis.tex/below"),
    ("--resume nowhere", "there is no run nowhere"),
    ("--resume taken", "taken is not a run"),
    ("--resume", "--resume"),
    ("--resume taken --seed 3", "--seed"),
    ("--resume taken --total-steps -5", "--total-steps"),
    ("ppo --resume taken", "ppo"),
]


@pytest.mark.parametrize("case", WRONG_TRAINING, ids=[case[0] for case in WRONG_TRAINING])
def test_wrong_ways_to_train(
    case: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("taken").mkdir()
    Path("taken", "thesis.tex").write_text("precious")
    refused(train.main, *case)
    assert capsys.readouterr() == ("", "")  # the one line is still to come


WRONG_PLAYING = [
    ("--nope", "--nope"),
    ("nowhere", "there is no run nowhere"),
    ("taken", "taken is not a run"),
    ("taken/thesis.tex", "taken/thesis.tex"),
    ("run extra", "extra"),
    ("run --episodes 0 --headless", "--episodes"),
    ("run --episodes -1 --headless", "--episodes", "-1"),
    ("run --episodes many", "--episodes", "many"),
    ("run --seed -1", "--seed"),
    ("run --score-cap -1 --headless", "--score-cap"),
    ("run --seconds 0 --record x.mp4", "--seconds"),
    ("run --seconds nan --record x.mp4", "--seconds"),
    ("run --seconds inf --record x.mp4", "--seconds"),
    ("run --scale 0", "--scale"),
    ("run --scale inf", "--scale"),
    ("run --record film.avi", "film.avi", ".mp4, .gif or .png"),
    ("run --record film", "film", ".mp4"),
    ("run --preset hard --headless", "hard", "classic, head2023"),
    ("run --preset hard --record x.mp4", "hard"),
    ("run --preset hard", "hard"),
    ("run --env-arg theme=noon --json", "noon", "day, night"),
    ("run --env-arg theme --json", "--env-arg", "name=value"),
    ("run --device gpu --headless", "device", "gpu"),
    ("run --device cuda --headless", "no CUDA device", "--device cpu"),
    ("run/checkpoints/000000001 --headless", "000000001"),
    ("run --scale 9", "--scale"),
    ("run --human", "--human"),
    ("--human --env CartPole-v1", "--human", "wingbeat/FlappyBird-v0", "CartPole-v1"),
    ("run --env CartPole-v1 --json", "wingbeat/FlappyBird-v0", "not CartPole-v1"),
    ("--human --record x.mp4", "--record"),
    ("run --versus --record x.mp4", "--record"),
    ("run --versus --headless", "--versus"),
    ("--human --json", "--human"),
    ("run --race run run", "--race"),
    ("run --headless --record film.mp4", "--record", "two commands"),
    ("run --record film.mp4 --seconds 1e18", "--seconds", "at most"),
    ("--race run", "--race"),
    ("--race run nowhere", "there is no run nowhere"),
    ("run --overlay smell", "smell", "input, actions, value, maps, eyes, saliency"),
    ("run --overlay smell --headless", "smell"),
    ("run --host 0.0.0.0", "--host", "--web"),
    ("run --seconds 5", "--seconds", "--record"),
    ("run --episodes 5 --record x.mp4", "--episodes", "--headless"),
    ("run --headless --score-cap 100000000000000000000", "--score-cap", "2^31"),
    ("run --overlay all,smell --record x.png", "smell"),
    ("--human --preset hard", "hard"),
    ("--human --env-arg theme=noon", "noon"),
    ("--headless", "no agent ships", "train.py"),
]


@pytest.mark.parametrize("case", WRONG_PLAYING, ids=[case[0] for case in WRONG_PLAYING])
def test_wrong_ways_to_play(
    case: tuple[str, ...], run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(play, "SHIPPED", Path("none shipped"))
    Path("taken").mkdir()
    Path("taken", "thesis.tex").write_text("precious")
    refused(play.main, *case)
    assert capsys.readouterr() == ("", "")  # the one line is still to come


def change_config(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    about = json.loads((run / "config.json").read_text())
    change(about["config"])
    (run / "config.json").write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: config["eyes"].update(encoder="nature"), ["does not fit", "another network"]),
        (lambda config: config["eyes"].update(feature_dim=64), ["does not fit", "encoder.body"]),
        (lambda config: config["eyes"].update(frames=3), ["does not fit"]),
        (lambda config: config["eyes"].update(encoder="resnet"), ["resnet"]),
        (lambda config: config["eyes"].update(pupils=2), ["unknown setting 'pupils'"]),
        (lambda config: config["eyes"].update(frames="two"), ["frames = 'two'"]),
        (lambda config: config["game"].update(env="Chess"), ["Chess"]),
        (lambda config: config["game"].update(preset="hard"), ["hard", "classic, head2023"]),
        (lambda config: config["learner"].update(gamma=None), ["gamma = None"]),
        (lambda config: config.update(precision="fp64"), ["fp64"]),
        (lambda config: config.update(layout="rows"), ["rows"]),
        (lambda config: config.update(algorithm="sac"), ["sac"]),
        (lambda config: config.pop("algorithm"), ["algorithm"]),
        (lambda config: config.pop("learner"), ["learner"]),
        (lambda config: config.update(learner=3), ["not those of a run", "'int'"]),
        (lambda config: config.clear(), ["not those of a run", "'algorithm'"]),
    ],
)
def test_a_run_with_other_settings(change: Callable[[dict[str, Any]], Any], words: list[str], run: Path) -> None:
    change_config(run, change)
    refused(play.main, "run --headless --episodes 1", *words)
    shutil.copytree(run, "run to resume")
    with pytest.raises(UserError) as caught:
        train.main(["--resume", "run to resume"])
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_race_of_runs_that_play_different_games(run: Path) -> None:
    shutil.copytree(run, "other")
    change_config(Path("other"), lambda config: config["game"].update(preset="head2023", frame_skip=3))
    refused(play.main, "--race run other", "a race is run on one game", "--preset and --frame-skip", "head2023 with 3")
    change_config(
        Path("other"), lambda config: config["game"].update(preset="classic", frame_skip=2, env_arg=["theme=night"])
    )
    refused(play.main, "--race run other --record race.png", "a race is run on one game", "differ in --env-arg")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda config: config.update(device="cuda"), "CUDA"),
        (lambda config: config.update(device="abacus"), "abacus"),
        (lambda config: config["runner"].update(keep="all"), "keep"),
        (lambda config: config["runner"].update(walk=1), "walk"),
        (lambda config: config.pop("runner"), "runner"),
        (lambda config: config.update(runner=None), "'NoneType'"),
    ],
)
def test_a_run_that_can_be_played_but_not_resumed(
    change: Callable[[dict[str, Any]], Any],
    word: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    change_config(run, change)
    with pytest.raises(UserError) as caught:
        train.main(["--resume", "run"])
    assert "\n" not in str(caught.value)
    assert word in str(caught.value)
    capsys.readouterr()
    assert play.main(["run", "--json", "--episodes", "1", "--score-cap", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 1


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[len(data) // 2 :]
    else:
        data[-100] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_a_damaged_policy(how: str, run: Path) -> None:
    damage(run / "best" / "state.safetensors", how)
    refused(play.main, "run --headless", "best", "damaged")
    oldest, newest = sorted((run / "checkpoints").iterdir())
    assert play.main([str(newest), "--headless", "--episodes", "1", "--score-cap", "1"]) == 0
    damage(newest / "state.safetensors", how)
    refused(play.main, f"{newest} --headless", str(newest), "damaged")
    damage(oldest / "state.safetensors", how)
    shutil.rmtree(run / "best")
    refused(play.main, "run --headless", "no sound checkpoint")
    with pytest.raises(UserError, match="no sound checkpoint"):
        train.main(["--resume", "run"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train.py ppo --preset hard --precision fp32", "FlappyBird has no preset 'hard'"),
        ("play.py nowhere --headless --json", "there is no run nowhere"),
    ],
)
def test_a_command_that_fails_says_one_line_and_returns_2(arguments: str, words: str, tmp_path: Path) -> None:
    done = command(arguments, tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr)
    assert words in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_window_without_a_display_says_one_line(run: Path) -> None:
    done = command("play.py run", run.parent, SDL_VIDEODRIVER="nowhere")
    assert done.returncode == 2
    assert re.fullmatch(r"error: no window can be opened [^\n]+--headless[^\n]+\n", done.stderr)


@pytest.mark.parametrize(
    ("main", "arguments", "flags"),
    [
        (train.main, "--help", ["--out", "--total-steps", "--env-arg", "--encoder", "--clip", "--final-cap"]),
        (train.main, "dqn --help", ["--capacity", "--dueling", "--no-dueling"]),
        (train.main, "--resume run --help", ["--resume", "--total-steps"]),
        (play.main, "--help", ["--human", "--versus", "--race", "--headless", "--json", "--record", "--overlay"]),
    ],
)
def test_help_names_the_flags(
    main: Callable[[list[str]], int], arguments: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    assert stopped.value.code in (0, None)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert all(flag in shown.out for flag in flags)


def test_what_the_system_refuses_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Here a name that no file system takes; likewise a folder that one may not look into."""

    def look(argv: list[str]) -> int:
        return Path("x" * 5000).stat().st_mode

    with pytest.raises(SystemExit) as stop:
        main_line(look)
    assert stop.value.code == 2
    assert re.fullmatch(r"error: x{5000}: [^\n]+\n", capsys.readouterr().err)


@pytest.mark.parametrize("take", [lambda: torch.zeros(2**50), lambda: np.zeros(2**50), lambda: bytearray(2**50)])
def test_too_little_memory_is_one_line(take: Callable[[], object], capsys: pytest.CaptureFixture[str]) -> None:
    def main(argv: list[str]) -> int:
        take()
        return 0

    with pytest.raises(SystemExit) as stop:
        main_line(main)
    assert stop.value.code == 2
    assert re.fullmatch(r"error: there is not enough memory for this[^\n]*\n", capsys.readouterr().err)


def test_a_reader_that_went_away_ends_no_training(tmp_path: Path) -> None:
    """As with `2> >(head -n 1)`."""
    words = "ppo --num-envs 4 --rollout-steps 8 --precision fp32 --threads 1 --total-steps 3000 --evaluate-seconds 0"
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words.split(), "--out", "run"], cwd=tmp_path, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(timeout=100) == 0
    assert (tmp_path / "run" / "checkpoints" / "000003008").is_dir()
