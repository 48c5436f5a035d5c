"""SB3's agents by the same commands: the same run folder, resumed and played, with SB3 or without."""

import json
import shutil
import sys
from pathlib import Path

import pytest

import play
import train
from agents.sb3 import ZIP
from experiment import checkpoint
from experiment.command import main_line
from experiment.metrics import read_metrics
from tests.commands.running import ANSWER, SHORT

AGENTS = {
    "sb3-ppo": "--num-envs 4 --n-steps 16 --batch-size 32",
    "sb3-a2c": "--num-envs 4 --n-steps 16",
    "sb3-dqn": "--num-envs 4 --learning-starts 32 --batch-size 16 --buffer-size 500",
}
COMMON = "--precision fp32 --threads 1 --total-steps 128 --out run --quiet"


def forget_sb3(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let imports of SB3 fail from here on, as where it is not installed."""
    for name in ["stable_baselines3", *sys.modules]:
        if name.partition(".")[0] == "stable_baselines3":
            monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("name", AGENTS)
def test_trained_resumed_and_played(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main([name, *AGENTS[name].split(), *COMMON.split(), *SHORT]) == 0
    names = {path.name for path in Path("run").iterdir()} - {".lock"}
    written = {"config.json", "metrics.jsonl", "tensorboard", "checkpoints", "best", "evaluation.json"}
    assert names == written | {"curve.png", "best.mp4", "progress.mp4", "progress.png", "stages", ZIP}
    assert json.loads(Path("run", "config.json").read_text())["config"]["algorithm"] == name
    assert {"train/score", "train/learning_rate", "train/n_updates"} <= read_metrics(Path("run", "metrics.jsonl"))[
        0
    ].keys()
    shutil.copytree("run", "copy")  # this process holds the other
    assert train.main(["--resume", "copy", "--total-steps", "192", "--quiet"]) == 0
    assert checkpoint.latest(Path("copy")).name == "000000192"
    assert Path("copy", ZIP).read_bytes() != Path("run", ZIP).read_bytes()
    lines = capfd.readouterr()
    assert lines.out == ""
    assert "warning" not in lines.err.lower()

    forget_sb3(monkeypatch)  # who plays need not have it
    assert play.main(["run", "--headless", "--json", "--episodes", "2", "--score-cap", "1"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer.keys() >= ANSWER
    assert answer == json.loads(Path("run", "evaluation.json").read_text())


@pytest.mark.parametrize("name", AGENTS)
def test_without_sb3_one_line_says_what_to_install(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", name, "--precision", "fp32"])
    forget_sb3(monkeypatch)
    with pytest.raises(SystemExit) as stop:
        main_line(train.main)
    assert stop.value.code == 2
    missing = 'Stable-Baselines3 is missing: pip install -c constraints.txt -e ".[sb3]"'
    assert capfd.readouterr() == ("", f"error: {missing}\n")
    assert not list(tmp_path.iterdir())
