"""Which policy a run keeps as its best."""

from pathlib import Path
from typing import Any

import pytest
import torch

from experiment import checkpoint
from experiment.metrics import Metrics
from experiment.run import Run
from experiment.runner import BEST, Runner, RunnerConfig


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

    def evaluate(episodes: int, cap: int) -> dict[str, Any]:
        mean, interval, _ = next(results)
        scores = {"score_mean": mean, "score_median": mean, "score_ci95": list(interval)}
        return {**scores, "score_cap": cap, "reached_cap": 0.0, "episodes": episodes}

    algorithm = Algorithm()
    run = Run.create(tmp_path / "run", {}, "x")
    runner = Runner(run, algorithm, 100, evaluate, RunnerConfig(), quiet=True)
    with Metrics(run.path) as metrics:
        for _, _, kept in evaluations:
            algorithm.steps += 1
            runner._evaluate(metrics)
            tensors, meta = checkpoint.load(run.path / BEST)
            assert int(tensors["average.age"]) == meta["steps"] == kept


def test_what_was_learned_is_saved_before_the_last_evaluation(tmp_path: Path) -> None:
    """Whoever stops a run, or the machine, may not wait until a hundred episodes have been played."""

    class Learns(Algorithm):
        def iterate(self) -> dict[str, float]:
            self.steps += 50
            return {"train/score": 0.0}

    def evaluate(episodes: int, cap: int) -> dict[str, Any]:
        raise KeyboardInterrupt

    run = Run.create(tmp_path / "run", {}, "x")
    with pytest.raises(KeyboardInterrupt):
        Runner(run, Learns(), 100, evaluate, RunnerConfig(), quiet=True).train()
    assert checkpoint.load(checkpoint.latest(run.path))[1]["steps"] == 100
