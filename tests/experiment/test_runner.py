"""Which policy a run keeps as its best."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from experiment import checkpoint, runner
from experiment.errors import UserError
from experiment.metrics import Metrics, read_metrics
from experiment.progress import Progress
from experiment.run import Run
from experiment.runner import BEST, Interruption, Runner, RunnerConfig, draw_curve, take_up


class Algorithm:
    """Holds nothing but its age."""

    steps = 0

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"average.age": torch.tensor(self.steps)}


def test_the_newest_policy_is_kept_unless_an_earlier_one_was_clearly_better(tmp_path: Path) -> None:
    evaluations = [  # mean, interval, and whose policy is kept after it
        (10.0, (8.0, 12.0), 1),
        (9.0, (7.0, 11.0), 2),  # may well be as good
        (8.0, (6.0, 9.5), 2),  # beaten by the first
        (9.4, (8.0, 9.9), 2),  # not beaten by the second, which is kept, but by the first
        (11.0, (11.0, 11.0), 5),
    ]
    results = iter(evaluations)

    def evaluate(episodes: int, cap: int, watch: Any) -> dict[str, Any]:
        mean, interval, _ = next(results)
        scores = {"score_mean": mean, "score_median": mean, "score_ci95": list(interval)}
        return {**scores, "score_cap": cap, "reached_cap": 0.0, "episodes": episodes}

    algorithm = Algorithm()
    run = Run.create(tmp_path / "run", {}, "x")
    keeper = Runner(run, algorithm, 100, evaluate, RunnerConfig(), quiet=True)
    with Metrics(run.path) as metrics, Progress(100, quiet=True) as progress:
        for _, _, kept in evaluations:
            algorithm.steps += 1
            keeper._evaluate(metrics, progress)
            tensors, meta = checkpoint.load(run.path / BEST)
            assert int(tensors["average.age"]) == meta["steps"] == kept


def judged(mean: float, cap: int = 100) -> dict[str, Any]:
    """An evaluation without doubt."""
    scores = {"score_mean": mean, "score_median": mean, "score_ci95": [mean, mean]}
    return {**scores, "score_cap": cap, "reached_cap": 0.0, "episodes": 1}


def test_an_evaluation_that_was_cut_off_is_made_up_for(tmp_path: Path) -> None:
    """The last one, of the finished policy: without it an older one would be filmed in the end."""
    run, clock = Run.create(tmp_path / "run", {}, "x"), Clock()

    def killed(*args: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Runner(run, Counts(clock), 3, killed, RunnerConfig(), quiet=True).train()
    again = Counts(clock)
    again.steps = int(checkpoint.load(checkpoint.latest(run.path))[1]["steps"])
    assert again.steps == 3
    assert Runner(run, again, 3, lambda *args: judged(5.0), RunnerConfig(), quiet=True).train(resumed=True)
    assert checkpoint.load(run.path / BEST)[1]["steps"] == 3
    unasked = Runner(run, again, 3, killed, RunnerConfig(), quiet=True)
    assert unasked.train(resumed=True)  # once is enough


def test_a_better_policy_of_after_the_checkpoint_is_kept(tmp_path: Path) -> None:
    """Killed between an evaluation and the next checkpoint, a run goes on from before; its record knows no 80."""
    run, algorithm = Run.create(tmp_path / "run", {}, "x"), Algorithm()
    algorithm.steps = 100
    with Metrics(run.path) as metrics, Progress(100, quiet=True) as progress:
        Runner(run, algorithm, 200, lambda *args: judged(80.0), RunnerConfig(), quiet=True)._evaluate(metrics, progress)
    run.metrics.unlink()
    algorithm.steps = 60
    with Metrics(run.path) as metrics, Progress(100, quiet=True) as progress:
        Runner(run, algorithm, 200, lambda *args: judged(6.0), RunnerConfig(), quiet=True)._evaluate(metrics, progress)
    assert checkpoint.load(run.path / BEST)[1]["evaluation"]["score_mean"] == 80.0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_training_that_diverges_ends_and_saves_nothing_of_it(tmp_path: Path, value: float) -> None:
    class Diverges(Counts):
        def iterate(self) -> dict[str, float]:
            return super().iterate() | {"train/value_loss": 1.0 if self.steps < 5 else value}

    run = Run.create(tmp_path / "run", {}, "x")
    config = RunnerConfig(evaluate_seconds=0.0, checkpoint_seconds=1e-9, keep=0)
    with pytest.raises(UserError, match=r"diverged: train/value_loss is .* at 5 steps.*--learning-rate"):
        Runner(run, Diverges(Clock()), 200, lambda *args: {}, config, quiet=True).train()
    assert sorted(int(path.name) for path in run.checkpoints.iterdir()) == [0, 1, 2, 3, 4]


def test_a_run_can_not_become_shorter_than_it_is(tmp_path: Path) -> None:
    class Old(Algorithm):
        steps = 30

        def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
            self.steps = int(state["average.age"])

    run = Run.create(tmp_path / "run", {"algorithm": "x", "total_steps": 50}, "x")
    checkpoint.save(run.checkpoint(30), Old().state_dict(), {})
    with pytest.raises(UserError, match="--total-steps 20 is less than the 30 that are done"):
        take_up(run, Old(), Old().state_dict(), 20)
    take_up(run, Old(), Old().state_dict(), 30)
    assert Run.open(run.path).config["total_steps"] == 30


def test_what_was_learned_is_saved_before_the_last_evaluation(tmp_path: Path) -> None:
    """Whoever stops a run, or the machine, may not wait until a hundred episodes have been played."""

    class Learns(Algorithm):
        def iterate(self) -> dict[str, float]:
            self.steps += 50
            return {"train/score": 0.0}

    def evaluate(episodes: int, cap: int, watch: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    run = Run.create(tmp_path / "run", {}, "x")
    with pytest.raises(KeyboardInterrupt):
        Runner(run, Learns(), 100, evaluate, RunnerConfig(), quiet=True).train()
    assert checkpoint.load(checkpoint.latest(run.path))[1]["steps"] == 100


class Counts(Algorithm):
    """Takes a second for each of its steps."""

    def __init__(self, clock: "Clock") -> None:
        self.clock = clock

    def iterate(self) -> dict[str, float]:
        self.steps += 1
        self.clock.now += 1.0
        return {"train/score": 0.0}


class Clock:
    """Stands in for the module `time`."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return time.time()


class Judge:
    """Takes 20 seconds for an evaluation."""

    def __init__(self, algorithm: Counts) -> None:
        self.algorithm, self.asked = algorithm, list[int]()

    def __call__(self, episodes: int, cap: int, watch: Any) -> dict[str, Any]:
        self.asked.append(self.algorithm.steps)
        self.algorithm.clock.now += 20.0
        return {"score_mean": 1.0, "score_median": 1.0, "score_ci95": [1.0, 1.0], "score_cap": cap,
                "reached_cap": 0.0, "episodes": episodes}  # fmt: skip


def test_evaluations_that_take_long_come_less_often(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 s each, every 5 s: after 5 steps, and then after 80 each; another at the end."""
    clock = Clock()
    monkeypatch.setattr(runner, "time", clock)
    algorithm = Counts(clock)
    evaluate = Judge(algorithm)
    asked = evaluate.asked
    config = RunnerConfig(evaluate_seconds=5.0)
    Runner(Run.create(tmp_path / "run", {}, "x"), algorithm, 200, evaluate, config, quiet=True).train()
    assert asked == [5, 85, 165, 200]
    found = Run.open(tmp_path / "run")
    last = read_metrics(found.metrics)[-1]["seconds"]
    with monkeypatch.context() as begins:
        begins.setattr(runner, "seconds_since_start", lambda: 0.0)
        again = Runner(found, algorithm, 200, evaluate, config, seconds=0.5, quiet=True)
        assert again.seconds == last > 0.5  # not the save's before the last evaluation
    algorithm.steps = 0
    del asked[:]
    Runner(Run.create(tmp_path / "other", {}, "x"), algorithm, 85, evaluate, config, quiet=True).train()
    assert asked == [5, 85]  # the same policy is not judged again


def test_checkpoints_come_when_they_are_due_however_long_evaluations_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every 30 s, all kept. Evaluations take from second 5 to 25, 105 to 125 and 205 to 225, as above.

    So checkpoints are due at seconds 30, 60 and 90, which are steps 10, 40 and 70; at 120, and then it is evaluated, so
    in the step after, at 126; 30 s later each, at 156 and 186; at 216, so at 226; at 256; and at the end.
    """
    clock = Clock()
    monkeypatch.setattr(runner, "time", clock)
    algorithm, run = Counts(clock), Run.create(tmp_path / "run", {}, "x")
    config = RunnerConfig(evaluate_seconds=5.0, checkpoint_seconds=30.0, keep=0)
    Runner(run, algorithm, 200, Judge(algorithm), config, quiet=True).train()
    found = sorted(int(path.name) for path in run.checkpoints.iterdir())
    # So many seconds less 20 for each evaluation; and one before the first step.
    assert found == [0, 10, 40, 70, 86, 116, 146, 166, 196, 200]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_wish_to_stop_and_a_second_one_ends_at_once(number: signal.Signals) -> None:
    """The second one does what it did before: here it is noted, in a command it ends the process."""
    came: list[int] = []
    both = (signal.SIGINT, signal.SIGTERM)
    before = {one: signal.signal(one, lambda number, frame: came.append(number)) for one in both}
    try:
        with Interruption() as interruption:
            assert not interruption.asked
            os.kill(os.getpid(), number)
            assert interruption.asked
            assert came == []
            for one in both:
                os.kill(os.getpid(), one)
            assert came == [*both]
        with Interruption() as unasked:
            pass
        os.kill(os.getpid(), number)
        assert came == [*both, number]
        assert not unasked.asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system's terminals say nothing when they are closed")
def test_a_closed_terminal_is_a_wish_to_stop_unless_it_is_to_be_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert interruption.asked
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with Interruption() as interruption:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interruption.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_is_told_to_end_saves_what_was_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Told(Counts):
        def iterate(self) -> dict[str, float]:
            if self.steps == 2:
                os.kill(os.getpid(), signal.SIGTERM)  # as a machine that is shut down does
            return super().iterate()

    run, config = Run.create(tmp_path / "run", {}, "x"), RunnerConfig(evaluate_seconds=0.0)
    assert not Runner(run, Told(Clock()), 200, lambda *args: {}, config).train()
    assert checkpoint.load(checkpoint.latest(run.path))[1]["steps"] == 3
    assert "stopped at 3 steps; go on with --resume" in capsys.readouterr().err


def test_a_run_that_the_clock_ended_says_how_far_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = RunnerConfig(max_seconds=1e-9, evaluate_seconds=0.0)
    Runner(Run.create(tmp_path / "run", {}, "x"), Counts(Clock()), 200, lambda *args: {}, config).train()
    assert "--max-seconds are over at 0 steps; go on with --resume" in capsys.readouterr().err


def test_a_curve_that_can_not_be_drawn_is_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run.create(tmp_path / "run", {}, "x")
    (run.path / "curve.png").mkdir()
    assert Runner(run, Counts(Clock()), 3, lambda *args: {}, RunnerConfig(evaluate_seconds=0.0), quiet=True).train()
    assert "warning: no curve.png" in capsys.readouterr().err


@pytest.mark.parametrize("error", [UserError("the disk is full"), OSError("no fonts"), ValueError("no such font")])
def test_whatever_fails_in_drawing_a_curve_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    run = Run.create(tmp_path / "run", {}, "x")
    with Metrics(run.path) as metrics:
        metrics.write({"steps": 1, "seconds": 2.0})

    def draw(record: list[dict[str, Any]], path: Path, title: str) -> None:
        assert (record, path, title) == ([{"steps": 1, "seconds": 2.0}], run.path / "curve.png", "run")
        raise error

    draw_curve(run, draw)
    assert capsys.readouterr().err == f"warning: no curve.png: {error}\n"
