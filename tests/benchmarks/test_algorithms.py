"""The table over algorithms: who is timed and judged how, worked out by hand, and one short run."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import train
from benchmarks import algorithms, time_to_solve
from benchmarks.algorithms import TASKS, Settings, Task, main, run_settings, summarize
from benchmarks.common import print_json
from benchmarks.time_to_solve import Algorithm, measure
from commands import training
from experiment.errors import UserError
from experiment.ranges import check

CELLS = [(name, algorithm) for name in TASKS for algorithm in Settings().algorithms]


@pytest.mark.parametrize(("name", "algorithm"), CELLS)
def test_train_takes_every_cells_flags(name: str, algorithm: Algorithm, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    taken: list[Any] = []

    class Done:
        returncode = 0

        def communicate(self) -> tuple[None, str]:
            return None, ""

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(time_to_solve.subprocess, "Popen", lambda words, **_: commands.append(words) or Done())
    monkeypatch.setattr(training, "train", lambda chosen, flags: taken.append((chosen, flags)) or 0)
    monkeypatch.setattr(train, "_compile", lambda env: None)
    time_to_solve.train(run_settings(TASKS[name], algorithm, Settings(limit=7.0)), 3, Path("run"))
    assert commands[0][:2] == [sys.executable, "train.py"]
    train.main(commands[0][2:])
    ((chosen, flags),) = taken
    assert chosen == algorithm
    assert (flags.common.seed, flags.common.out, flags.runner.max_seconds) == (3, Path("run"), 7.0)
    ours = {"flappy": "FlappyBird"}.get(name, name.capitalize())
    assert flags.game.env == ("CartPole-v1" if name == "cartpole" else f"wingbeat/{ours}-v0")
    check(flags.common, flags.game, flags.eyes, flags.learner, flags.runner)


def told(monkeypatch: pytest.MonkeyPatch, means: list[float], **settings: Any) -> tuple[dict[str, Any], list[int]]:
    """What `measure` makes of checkpoints after 1, 2, ... seconds with these mean scores, and which it judged."""
    judged: list[int] = []

    def judge(player: int, cap: int, share: float | None) -> dict[str, Any]:
        judged.append(player)
        ends = {"score_ci95": (0.0, 0.0), "score_median": 0.0}
        return {"score_mean": means[player - 1], "reached_cap": means[player - 1] / cap, **ends}

    def leave(settings: Any, seed: int, folder: Path) -> None:
        for second in range(1, len(means) + 1):
            (folder / "checkpoints" / f"{100 * second:09d}").mkdir(parents=True)

    monkeypatch.setattr(time_to_solve, "train", leave)
    monkeypatch.setattr(time_to_solve, "load_player", lambda path, _: int(path.name) // 100)
    monkeypatch.setattr(time_to_solve, "judge", judge)
    meta = lambda path: (None, {"steps": int(path.name), "seconds": int(path.name) / 100})  # noqa: E731
    monkeypatch.setattr(time_to_solve.checkpoint, "load", meta)
    return measure(time_to_solve.Settings(score_cap=100, mean=50.0, **settings), 0), judged


def test_a_bar_is_passed_by_the_first_checkpoint_above_it_and_the_last_is_judged_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer, judged = told(monkeypatch, [10.0, 60.0, 95.0, 70.0], share=0.0)
    assert judged == [1, 2, 4]
    assert (answer["seconds_to_mean"], answer["steps_to_mean"]) == (2, 200)
    assert answer["at_mean"]["score_mean"] == 60.0
    assert (answer["trained_seconds"], answer["at_end"]["score_mean"]) == (4, 70.0)
    assert answer["seconds_to_share"] is None
    answer, judged = told(monkeypatch, [10.0, 60.0, 95.0, 70.0], share=0.9)
    assert judged == [1, 2, 3, 4]
    assert (answer["seconds_to_mean"], answer["seconds_to_share"], answer["steps_to_share"]) == (2, 3, 300)
    answer, judged = told(monkeypatch, [10.0, 20.0], share=0.0)
    assert judged == [1, 2]
    assert answer["seconds_to_mean"] is None
    assert answer["at_end"]["score_mean"] == 20.0


def test_a_run_is_stopped_when_its_training_score_and_its_newest_checkpoint_have_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that each wait puts on by a second; no line, no score yet and half a line are no scores."""
    clock, sent, judged = [0.0], [], []
    scores = ["null", "9.0", "11.0", "9.0", "10.0"]
    lines = ["", *(f'{{"steps": {i}, "seconds": {i}.0, "train/score": {score}}}\n' for i, score in enumerate(scores))]
    lines.append('{"steps": 6, "train/sc')

    class Running:
        def poll(self) -> int | None:
            return None if clock[0] < 50 else 0

        def send_signal(self, number: int) -> None:
            sent.append((number, clock[0]))

    def sleep(seconds: float) -> None:
        clock[0] += 1
        (tmp_path / "metrics.jsonl").write_text("".join(lines[: int(clock[0])]))

    def judge(player: str, cap: int) -> dict[str, float]:
        judged.append((player, clock[0]))
        return {"score_mean": 9.0 if len(judged) == 1 else 12.0}

    monkeypatch.setattr(time_to_solve.time, "sleep", sleep)
    monkeypatch.setattr(time_to_solve.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time_to_solve, "judge", judge)
    monkeypatch.setattr(time_to_solve, "load_player", lambda path, _: path)
    monkeypatch.setattr(time_to_solve.checkpoint, "latest", lambda folder: f"newest of {folder.name}")
    process: Any = Running()
    time_to_solve.stop_once_passed(process, tmp_path, time_to_solve.Settings(mean=10.0, every=2.0))
    # Passed for good at 6 and more than 4 seconds ago at 11; then judged too low, and once more from 12 on.
    newest = f"newest of {tmp_path.name}"
    assert judged == [(newest, 11.0), (newest, 17.0)]
    assert sent == [(time_to_solve.signal.SIGINT, 17.0)]


def test_a_row_by_hand() -> None:
    """Three draws of three are all the worst one time in 27, so the 95% interval begins there; likewise the best."""
    runs = [
        {"seconds_to_mean": 10.0, "steps_to_mean": 1000, "at_end": {"score_mean": 500.0}},
        {"seconds_to_mean": None, "at_end": {"score_mean": 200.0}},
        {"seconds_to_mean": 30.0, "steps_to_mean": 3000, "at_end": {"score_mean": 440.0}},
    ]
    row = summarize(runs)
    assert row["final_ci95"] == (200.0, 500.0)
    assert (row["reached"], row["seeds"], row["final_mean"]) == (2, 3, 380.0)
    assert (row["median_seconds"], row["median_steps"]) == (30.0, 3000)
    row = summarize([runs[1], runs[0], runs[1]])
    assert (row["reached"], row["median_seconds"], row["median_steps"]) == (1, None, None)


def test_a_short_run_answers_in_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No pole falls within five decisions, so a bar of five is passed by any policy at its first checkpoint."""
    flags = "--frames=1 --feature-dim=8 --precision=fp32 --threads=1 --num-envs=2 --rollout-steps=8 --total-steps=64"
    task = Task(env="CartPole-v1", mean=5.0, score_cap=5, seeds=1, limit=60.0, every=30.0, flags=flags)
    monkeypatch.setitem(algorithms.TASKS, "cartpole", task)
    assert main(["--json", "--tasks", "cartpole", "--algorithms", "a2c", "--first-seed", "4"]) == 0
    (part,) = json.loads(capsys.readouterr().out)["tasks"].values()
    assert (part["env"], part["preset"], part["mean_bar"]) == ("CartPole-v1", None, 5.0)
    row = part["algorithms"]["a2c"]
    assert (row["reached"], row["seeds"], row["median_steps"]) == (1, 1, 64)
    assert (row["final_mean"], row["final_ci95"]) == (5.0, [5.0, 5.0])
    (run,) = row["runs"]
    assert (run["seed"], run["trained_steps"], run["at_end"]["reached_cap"]) == (4, 64, 1.0)
    assert 0 < run["seconds_to_mean"] == run["trained_seconds"]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="--algorithms"):
        main(["--algorithms", "sac"])
    with pytest.raises(UserError, match="--seeds must be at least 1"):
        main(["--seeds", "0"])
    with pytest.raises(UserError, match="--limit must be more than 0"):
        main(["--limit", "0"])
    for flag in ("seeds", "limit", "every"):
        with pytest.raises(UserError, match=f"--{flag} must be more than 0"):
            time_to_solve.main([f"--{flag}", "0"])


def test_what_is_no_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"found": [1.0, float("nan")], "limit": float("inf")})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"found": [1.0, None], "limit": None}
