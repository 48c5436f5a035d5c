"""All algorithms on two tasks: how many seeds learn each, how soon, and how well they play at last.

    python -m benchmarks.algorithms --tasks cartpole --algorithms ppo pqn --seeds 3
    python -m benchmarks.algorithms --tasks catch rooftops breakout pong snake --algorithms ppo

The tasks are CartPole-v1, from its four numbers, and Flappy Bird from pixels; if they are named, our other games, too,
where a run ends soon after it has passed the bar. Each seed is timed and judged as in `benchmarks.time_to_solve`, one
after the other.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from agents.device import set_threads
from benchmarks import time_to_solve
from benchmarks.common import machine, print_json
from benchmarks.time_to_solve import EPISODES, Algorithm, measure, median
from commands.game import GameConfig
from experiment.command import main_line, parse
from experiment.errors import UserError
from experiment.evaluate import bootstrap_interval


@dataclass(frozen=True)
class Task:
    """What is learned, and when it counts as learned.

    Attributes:
        env: the environment's id.
        mean: the bar, a mean score.
        score_cap: score at which the episodes that judge end.
        seeds: runs of each algorithm, unless others are asked for.
        limit: seconds after which a run is stopped, unless others are asked for.
        every: seconds from one checkpoint to the next.
        flags: of train.py, for every algorithm.
        own: further ones, of single algorithms.
        stop_early: a run that has passed the bar is not gone on with.
    """

    env: str
    mean: float
    score_cap: int
    seeds: int
    limit: float
    every: float
    flags: str = ""
    own: dict[str, str] = field(default_factory=dict)
    stop_early: bool = False


# The defaults are for Flappy Bird. CartPole's states need a small network and little exploration, its episodes of up to
# 500 decisions a longer horizon, and its short runs many gradient steps. These flags were found by hand.
GROWING = "--gamma=0.98 --final-gamma=0.99 --num-envs=8"
ALIKE = f"--exploration=0 {GROWING} --rollout-steps=32 --epochs=4 --minibatch=64 --total-steps=120000"
# Our other games: the mean that counts as playing well, the cap, the seconds there are for it, and PPO's flags, each
# also found by hand.
GAMES: dict[str, tuple[float, int, float, str]] = {
    "Catch": (50.0, 100, 60.0, ""),
    "Rooftops": (50.0, 100, 300.0, ""),
    "Breakout": (60.0, 120, 300.0, ""),
    "Pong": (5.0, 100, 300.0, "--exploration=0 --gamma=0.97 --final-gamma=0.99 --epochs=3 --total-steps=1500000"),
    "Snake": (15.0, 100, 300.0, "--exploration=0 --entropy-coef=0.01"),
}


def game(name: str, mean: float, cap: int, limit: float, ppo: str) -> Task:
    """Say when a game of ours is learned."""
    return Task(f"wingbeat/{name}-v0", mean, cap, seeds=3, limit=limit, every=5.0, own={"ppo": ppo}, stop_early=True)


TASKS = {
    "cartpole": Task(
        env="CartPole-v1",
        mean=475.0,
        score_cap=500,
        seeds=5,
        limit=120.0,
        every=1.0,
        flags="--frames=1 --feature-dim=64 --precision=fp32 --threads=1",
        own={
            "ppo": ALIKE,
            "ppo-lstm": ALIKE,
            "a2c": f"--exploration=0 {GROWING} --gae-lambda=0.98 --rollout-steps=128 --learning-rate=3e-3 "
            "--muon-rate=6e-3 --total-steps=500000",
            "reinforce": "--exploration=0 --gamma=0.98 --final-gamma=0.99 --num-envs=4 --rollout-steps=256 "
            "--learning-rate=3e-3 --muon-rate=6e-3 --total-steps=500000",
            "dqn": "--exploration=0 --exploration-steps=10000 --gamma=0.99 --num-envs=4 --batch-size=128 "
            "--replay-ratio=16 --learning-starts=1000 --capacity=50000 --total-steps=120000",
            "pqn": f"--exploration-steps=20000 {GROWING} --rollout-steps=32 --epochs=4 --minibatch=64 "
            "--total-steps=100000",
        },
    ),
    "flappy": Task(
        env=GameConfig.env,
        mean=50.0,
        score_cap=200,
        seeds=3,
        limit=300.0,
        every=5.0,
        own={"ppo-lstm": "--frames=1"},  # what moves where, it has to remember
    ),
    **{name.lower(): game(name, *bar) for name, bar in GAMES.items()},
}


TaskName = Literal["cartpole", "flappy", "catch", "rooftops", "breakout", "pong", "snake"]


@dataclass
class Settings:
    """What to measure."""

    tasks: tuple[TaskName, ...] = ("cartpole", "flappy")
    """what is learned"""
    algorithms: tuple[Algorithm, ...] = get_args(Algorithm)
    """who learns"""
    seeds: int | None = None
    """runs of each, with seeds first_seed, first_seed + 1, ...; by default 5 on cartpole, 3 on others"""
    first_seed: int = 0
    """the first run's seed"""
    limit: float | None = None
    """seconds after which a run is stopped, whatever it has reached; by default 120 on cartpole, 60 on catch,
    300 on others"""
    json: bool = False
    """print one JSON object"""


def run_settings(task: Task, algorithm: Algorithm, settings: Settings) -> time_to_solve.Settings:
    """Put a cell of the table into the words of `time_to_solve`."""
    return time_to_solve.Settings(
        algo=algorithm,
        env=task.env,
        seeds=task.seeds if settings.seeds is None else settings.seeds,
        first_seed=settings.first_seed,
        limit=task.limit if settings.limit is None else settings.limit,
        every=task.every,
        mean=task.mean,
        score_cap=task.score_cap,
        share=0.0,
        stop_early=task.stop_early,
        train_args=(*task.flags.split(), *task.own.get(algorithm, "").split()),
        json=settings.json,
    )


def summarize(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Reduce what `measure` told of the seeds to a row of the table."""
    ends = [run["at_end"]["score_mean"] for run in runs]
    return {
        "reached": sum(run["seconds_to_mean"] is not None for run in runs),
        "seeds": len(runs),
        "median_seconds": median([run["seconds_to_mean"] for run in runs]),
        "median_steps": median([run.get("steps_to_mean") for run in runs]),
        "final_mean": statistics.mean(ends),
        "final_ci95": bootstrap_interval(np.array(ends)),
    }


def measure_task(name: str, settings: Settings) -> dict[str, Any]:
    """Train and judge all algorithms on one task; returns its part of the answer as in --json."""
    task, rows = TASKS[name], {}
    for algorithm in settings.algorithms:
        how, runs = run_settings(task, algorithm, settings), []
        for seed in range(how.first_seed, how.first_seed + how.seeds):
            runs.append(measure(how, seed))
            print(f"{name}, {algorithm}: {json.dumps(runs[-1])}", file=sys.stderr, flush=True)
        rows[algorithm] = {**summarize(runs), "train_args": how.train_args, "limit_seconds": how.limit, "runs": runs}
    bars = {"mean_bar": task.mean, "score_cap": task.score_cap, "resolution_seconds": task.every}
    return {**GameConfig(task.env).about, **bars, "algorithms": rows}


def table(name: str, answer: dict[str, Any]) -> Table:
    """Make a task's table for people."""
    title = f"{name}: {answer['env']}, a mean of {answer['mean_bar']:g}, cap {answer['score_cap']}"
    columns = Table("algorithm", "seeds there", "median seconds", "median steps", "mean at the end", title=title)
    for algorithm, row in answer["algorithms"].items():
        seconds, steps = row["median_seconds"], row["median_steps"]
        low, high = row["final_ci95"]
        columns.add_row(
            algorithm,
            f"{row['reached']} of {row['seeds']}",
            "never" if seconds is None else f"{seconds:.0f}",
            "never" if steps is None else f"{steps:,.0f}",
            f"{row['final_mean']:.1f} ({low:.1f} to {high:.1f})",
        )
    return columns


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.algorithms", __doc__ or "")
    if settings.seeds is not None and settings.seeds < 1:
        raise UserError(f"--seeds must be at least 1, not {settings.seeds}")
    if settings.limit is not None and settings.limit <= 0:
        raise UserError(f"--limit must be more than 0, not {settings.limit}")
    set_threads(0)
    about = {
        "benchmark": "algorithms",
        "machine": machine("torch", "gymnasium", "numba", "numpy"),
        "episodes": EPISODES,
    }
    tasks = {name: measure_task(name, settings) for name in settings.tasks}
    if settings.json:
        print_json({**about, "tasks": tasks})
        return 0
    for name, answer in tasks.items():
        Console().print(table(name, answer))
    return 0


if __name__ == "__main__":
    main_line(main)
