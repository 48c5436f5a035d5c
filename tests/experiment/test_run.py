"""A run's folder is whole from its first moment, never overwritten, and trained into by one process."""

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from experiment import checkpoint
from experiment.errors import UserError
from experiment.metrics import Metrics, read_metrics
from experiment.run import Run

ROOT = Path(__file__).parents[2]
CONFIG = {"algo": "ppo", "lr": 1e-3, "out": Path("a") / "b", "sizes": (16, 32), "cap": None}


def test_create_then_open(tmp_path: Path) -> None:
    made = Run.create(tmp_path / "deep" / "x", CONFIG, "ppo")
    opened = Run.open(tmp_path / "deep" / "x")
    assert made.path == opened.path == tmp_path / "deep" / "x"
    assert made.config == opened.config == {**CONFIG, "out": os.path.join("a", "b"), "sizes": [16, 32]}
    about = json.loads((made.path / "config.json").read_text())
    assert about["versions"]["python"] == platform.python_version()
    assert about["versions"]["torch"] == torch.__version__
    assert about["versions"]["numpy"] == np.__version__
    assert about["command"] == sys.argv
    assert about["cpu"]
    assert 1 <= about["cpus"] <= (os.cpu_count() or 1)
    assert about["threads"] == torch.get_num_threads()
    assert about["started"].endswith("+00:00")
    assert [path.name for path in made.path.parent.iterdir()] == ["x"]


def test_commit_is_that_of_git(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    commit = Run.create(tmp_path / "x", {}, "ppo").about["commit"]
    assert commit.removesuffix("-dirty") == head.stdout.strip()


def test_a_taken_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.tex").write_text("precious")
    with pytest.raises(UserError, match="exists already") as caught:
        Run.create(tmp_path / "x", CONFIG, "ppo")
    assert "--resume" not in str(caught.value)
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["thesis.tex"]
    Run.create(tmp_path / "run", CONFIG, "ppo")
    with pytest.raises(UserError, match="--resume"):
        Run.create(tmp_path / "run", {"algo": "dqn"}, "ppo")
    assert Run.open(tmp_path / "run").config["algo"] == "ppo"
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match="exists already"):
        Run.create(tmp_path / "file", CONFIG, "ppo")
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(UserError, match="cannot make"):
        Run.create(tmp_path / "file" / "below", CONFIG, "ppo")


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    Run.create(tmp_path / "x", CONFIG, "ppo")
    assert Run.open(tmp_path / "x").config["algo"] == "ppo"


def test_of_two_commands_with_one_empty_folder_the_later_leaves_it_alone(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    faster = Run(tmp_path / "x", {})
    faster.lock()
    with pytest.raises(UserError, match="is training into"):
        Run.create(tmp_path / "x", CONFIG, "ppo")
    assert [path.name for path in (tmp_path / "x").iterdir()] == [".lock"]


def test_a_link_to_a_disk_that_is_gone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").symlink_to("nowhere")
    with pytest.raises(UserError, match="cannot make"):
        Run.create(None, CONFIG, "ppo")


def test_commands_are_printed_as_a_shell_takes_them(tmp_path: Path) -> None:
    assert Run.create(tmp_path / "my run", CONFIG, "ppo").resuming == f"--resume '{tmp_path / 'my run'}'"


def test_fresh_names_count_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = [Run.create(None, {}, name).path.as_posix() for name in ("ppo", "ppo", "dqn", "ppo-ALE/Pong")]
    assert names == ["runs/ppo-1", "runs/ppo-2", "runs/dqn-1", "runs/ppo-ALE-Pong-1"]
    (tmp_path / "runs" / "ppo-11").mkdir()
    (tmp_path / "runs" / "ppo-11" / "x").touch()
    (tmp_path / "runs" / "ppo-mine").mkdir()
    assert Run.create(None, {}, "ppo").path == Path("runs/ppo-12")


def test_a_config_that_json_cannot_hold_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="config can't hold"):
        Run.create(tmp_path / "x", {"x": object()}, "ppo")
    assert not list(tmp_path.iterdir())


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(UserError, match=r"cannot make the run's folder .*: No space left on device"):
        Run.create(tmp_path / "x", {}, "ppo")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", "{}", '{"format": "wingbeat run", "version": 1}', b"\xff\xfe", "[" * 100_000],
)
def test_what_is_no_run_is_refused_in_one_line(tmp_path: Path, text: str | bytes | None) -> None:
    if text is not None:
        (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        Run.open(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_and_newer_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Run.create(None, {}, "ppo")
    with pytest.raises(UserError, match="there is no run ppo-1; did you mean runs/ppo-1"):
        Run.open(Path("ppo-1"))
    with pytest.raises(UserError, match="there is no run ppo-2; name a folder"):
        Run.open(Path("ppo-2"))
    (run.path / "config.json").write_text(json.dumps({**run.about, "version": 2}))
    with pytest.raises(UserError, match="update Wingbeat"):
        Run.open(run.path)


HOLD = """
import pathlib, sys
from experiment.run import Run
run = Run.open(pathlib.Path(sys.argv[1]))
run.lock()
print("locked", flush=True)
input()
"""


def test_one_process_trains_at_a_time(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "x", {}, "ppo")
    run.lock()  # has it already
    with pytest.raises(UserError, match=f"process {os.getpid()} is training"):
        Run.open(tmp_path / "x").lock()  # looking is allowed
    shutil.copytree(tmp_path / "x", tmp_path / "y")  # which nobody has locked
    second = Run.open(tmp_path / "y")
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "y")],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert other.stdout
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(UserError, match=f"process {other.pid} is training"):
            second.lock()
        other.send_signal(signal.SIGKILL)  # no chance to tidy up
        other.wait()
        (tmp_path / "y" / ".lock").write_text("12345678901234567890\n")  # whatever is there
        second.lock()
        assert (tmp_path / "y" / ".lock").read_text() == f"{os.getpid()}\n"
    finally:
        other.kill()
        other.communicate()


def test_truncate_metrics_goes_back_to_a_checkpoint(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "x", {}, "ppo")
    run.truncate_metrics(0)  # nothing recorded yet
    with Metrics(run.path) as metrics:
        for steps in (10, 20, 30, 40):
            metrics.write({"steps": steps, "seconds": steps / 10})
    with run.metrics.open("ab") as file:
        file.write(b'{"steps": 50, "sec')
    run.truncate_metrics(20)
    assert run.metrics.read_bytes() == b'{"steps": 10, "seconds": 1.0}\n{"steps": 20, "seconds": 2.0}\n'
    run.truncate_metrics(20)
    with Metrics(run.path, resume_steps=20) as metrics:
        metrics.write({"steps": 30, "seconds": 2.5})
    assert [line["steps"] for line in read_metrics(run.metrics)] == [10, 20, 30]


def test_checkpoints_are_found_by_their_steps(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "x", {}, "ppo")
    for steps in (5, 123_456):
        checkpoint.save(run.checkpoint(steps), {"x": torch.tensor(steps)}, {"steps": steps})
    assert run.checkpoint(5) == run.checkpoints / "000000005"
    assert checkpoint.latest(run.path) == run.checkpoint(123_456)
