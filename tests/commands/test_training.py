"""What a training leaves on the disk, and that it survives whatever happens to it."""

import itertools
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import imageio.v3 as iio
import pytest
import torch

import play
import train
from commands.player import load_player
from commands.progress_film import film_progress
from experiment import checkpoint
from experiment.errors import UserError
from experiment.metrics import read_metrics
from experiment.run import Run
from experiment.stages import keep_stage
from perception import LAYOUTS
from tests.commands.running import ANSWER, ROOT, SHORT, TINY, film_frames


def test_a_run_leaves_what_it_should(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()} - {".lock"}
    pictures = {"curve.png", "best.mp4", "progress.mp4", "progress.png", "stages"}
    assert names == {"config.json", "metrics.jsonl", "tensorboard", "checkpoints", "best", "evaluation.json"} | pictures
    config = json.loads((trained / "config.json").read_text())["config"]
    assert config["algorithm"] == "ppo"
    assert config["seed"] == 5
    assert config["total_steps"] == 256
    assert config["learner"]["num_envs"] == 4
    assert config["runner"]["final_cap"] == 1
    assert sorted(path.name for path in (trained / "checkpoints").iterdir()) == ["000000000", "000000256"]
    tensors, meta = checkpoint.load(trained / "checkpoints" / "000000256")
    assert meta["steps"] == 256
    assert int(tensors["actor.steps"]) == 256 + tensors["played.rollout.actions"].numel()  # a rollout ahead
    policy, meta = checkpoint.load(trained / "best")
    assert meta["evaluation"]["seed"] == 999_983  # it was chosen by other episodes than those that judge it
    assert all(torch.equal(policy[key], tensors[key]) for key in policy)
    assert all(key.startswith("average.") for key in policy)
    lines = read_metrics(trained / "metrics.jsonl")
    assert [line["steps"] for line in lines] == [256, 256]
    assert {"train/score", "train/steps_per_second", "train/policy_loss"} <= lines[0].keys()
    assert {"eval/score_mean", "eval/score_ci95", "eval/reached_cap"} <= lines[1].keys()
    assert 0 < lines[0]["seconds"] <= lines[1]["seconds"] < 100
    assert list((trained / "tensorboard").iterdir())
    assert iio.imread(trained / "curve.png").shape[:2] == (480, 1200)
    assert len(film_frames(trained / "best.mp4")) >= 31  # nobody dies before
    evaluation = json.loads((trained / "evaluation.json").read_text())
    assert evaluation.keys() >= ANSWER
    assert (evaluation["episodes"], evaluation["score_cap"], evaluation["seed"]) == (2, 1, 0)


def test_a_film_tells_how_it_learned(trained: Path, tmp_path: Path) -> None:
    """An earlier stage first, then the best; that stage stays, and one between that is not in the film goes."""
    run = shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns(".lock"))
    shutil.rmtree(run / "stages")
    policy, meta = checkpoint.load(run / "best")
    for steps, score in ((64, 0.0), (128, 9.0), (192, 10.0)):
        early = {**meta, "steps": steps, "seconds": 65.0, "evaluation": {**meta["evaluation"], "score_mean": score}}
        keep_stage(run, steps, {key: torch.zeros_like(value) for key, value in policy.items()}, early)
    film_progress(Run.open(run), "cpu", "wingbeat/FlappyBird-v0")
    frames = film_frames(run / "progress.mp4")
    bare = film_frames(run / "best.mp4")
    assert frames[0].shape[0] == 512
    assert len(frames) > len(bare)
    assert iio.imread(run / "progress.png").shape[0] == 8 + 3 * (200 + 26 + 8)
    assert sorted(path.name for path in (run / "stages").iterdir()) == ["000000064", "000000128"]


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def start(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    words = [sys.executable, str(ROOT / "train.py"), *TINY, *SHORT, "--total-steps", "100000000", "--out", "run"]
    words += arguments
    return subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def resume(folder: Path, more: int) -> list[dict[str, Any]]:
    """Go on for some steps; returns the record, which must tell one story."""
    steps = int(checkpoint.latest(folder).name)
    assert train.main(["--resume", str(folder), "--total-steps", str(steps + more), "--quiet"]) == 0
    assert checkpoint.latest(folder).name == f"{steps + more:09d}"
    checkpoint.load(checkpoint.latest(folder))
    lines = read_metrics(folder / "metrics.jsonl")
    for kind in ("train/score", "eval/score_mean"):
        of_kind = [line["steps"] for line in lines if kind in line]
        assert of_kind[-1] == steps + more
        assert all(a < b for a, b in itertools.pairwise(of_kind))
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    return lines


def test_interrupted_and_resumed(tmp_path: Path) -> None:
    process, folder = start(cwd=tmp_path), tmp_path / "run"
    try:
        record = folder / "metrics.jsonl"
        wait_for(lambda: record.exists() and record.read_bytes().count(b"\n") >= 2, process)
        with pytest.raises(UserError, match=f"process {process.pid} is training"):
            train.main(["--resume", str(folder)])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert "go on with --resume run" in err
    assert (folder / "curve.png").exists()
    assert not (folder / "evaluation.json").exists()  # only a complete run is judged
    steps = int(checkpoint.latest(folder).name)
    before = read_metrics(folder / "metrics.jsonl")
    assert before[-1]["steps"] == steps
    lines = resume(folder, 128)
    assert lines[: len(before)] == before
    assert (folder / "evaluation.json").exists()


def test_killed_and_resumed(tmp_path: Path) -> None:
    process, folder = start("--checkpoint-seconds", "0.5", cwd=tmp_path), tmp_path / "run"
    try:
        wait_for(lambda: len(list(folder.glob("checkpoints/0*/state.json"))) >= 2, process)
        time.sleep(0.3)
        process.kill()
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"steps": 99999999, "seconds": 9999.0, "train/sco')  # as a line that the kill tore
    steps = int(checkpoint.latest(folder).name)
    lines = resume(folder, 128)
    assert max(line["steps"] for line in lines) == steps + 128
    assert len(list((folder / "checkpoints").iterdir())) <= 2


def test_stopped_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    limits = ["--total-steps", "100000000", "--max-seconds", "0.1"]  # this process has run for longer
    assert train.main([*TINY, *SHORT, *limits, "--out", "run", "--quiet"]) == 0
    assert Path("run", "checkpoints", "000000000").is_dir()
    assert Path("run", "evaluation.json").exists()


def test_a_run_from_elsewhere_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a GPU, here on the CPU; and from before, when a layout was called otherwise."""
    assert get_args(get_type_hints(train.Common)["layout"]) == ("auto", *LAYOUTS)
    monkeypatch.chdir(tmp_path)
    rest = ["--layout", "fused", "--total-steps", "256", "--evaluate-seconds", "0", "--quiet", "--out", "run"]
    assert train.main([*TINY, *rest]) == 0
    copy = shutil.copytree("run", Path("copy"), ignore=shutil.ignore_patterns(".lock"))
    about = json.loads((copy / "config.json").read_text())
    assert about["config"]["layout"] == "fused"
    about["config"].update(layout="patches", device="cuda")
    (copy / "config.json").write_text(json.dumps(about))
    assert train.main(["--resume", str(copy), "--device", "cpu", "--total-steps", "384", "--quiet"]) == 0
    assert checkpoint.latest(copy).name == "000000384"
    agent: Any = load_player(copy).policy
    assert agent.network.encoder.layout == "fused"


def test_dqn_without_evaluations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = "dqn --num-envs 4 --capacity 1000 --batch-size 16 --learning-starts 64 --precision fp32 --threads 1"
    rest = "--total-steps 256 --evaluate-seconds 0 --quiet --env-arg theme=night"
    assert train.main(f"{tiny} {rest}".split()) == 0
    assert "takes 0.1 MB of memory" in capsys.readouterr().err  # 89 bytes for each of 1,000 transitions
    (run,) = Path("runs").iterdir()
    assert run.name == "dqn-FlappyBird-0-1"
    names = {path.name for path in run.iterdir()} - {".lock"}
    assert names == {"config.json", "metrics.jsonl", "tensorboard", "checkpoints", "curve.png"}
    assert read_metrics(run / "metrics.jsonl")[-1]["train/loss"] > 0
    copy = shutil.copytree(run, Path("copy"), ignore=shutil.ignore_patterns(".lock"))  # the run is this process's own
    assert train.main(["--resume", str(copy), "--total-steps", "384", "--quiet"]) == 0
    assert checkpoint.latest(copy).name == "000000384"
    assert Run.open(copy).config["total_steps"] == 384  # or the next resume would learn at another rate
    assert play.main([str(copy), "--headless", "--episodes", "2", "--score-cap", "1"]) == 0
