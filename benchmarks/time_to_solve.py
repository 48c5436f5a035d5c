"""Wall-clock seconds from typing the command to an agent that plays well, over seeds.

    python -m benchmarks.time_to_solve --algo ppo --seeds 5 --json

Each seed trains in a fresh process, one after the other, with nothing beside it: imports, compilation and
saving are counted. The run leaves a checkpoint every few seconds. Afterwards, off the clock, checkpoints
are judged in order by 100 fresh greedy episodes of up to 200 pipes; a bar is passed at the time at which the
first checkpoint was written that passes it. A seed that never passes counts as infinite in the median.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from agents.build import Player, load_player
from agents.device import set_threads
from benchmarks.common import machine, print_json
from experiment import checkpoint
from experiment.evaluate import evaluate

CAP, EPISODES = 200, 100


@dataclass
class Settings:
    """What to measure."""

    algo: Literal["ppo", "dqn"] = "ppo"
    """the algorithm"""
    seeds: int = 5
    """runs, with seeds first_seed, first_seed + 1, ..."""
    first_seed: int = 0
    """the first run's seed"""
    limit: float = 300.0
    """seconds after which a run is stopped, whatever it has reached"""
    every: float = 5.0
    """seconds from one checkpoint to the next: the resolution of the answer"""
    mean: float = 50.0
    """the first bar: a mean of this many pipes"""
    share: float = 0.95
    """the second bar: this share of episodes reaches the cap; 0 leaves it out"""
    train_args: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """more flags for train.py, each as --train-args=--flag=value"""
    json: bool = False
    """print one JSON object"""


class _HopelessError(Exception):
    """So many episodes ended early that the second bar is out of reach."""


def judge(player: Player, share: float | None = None) -> dict[str, Any] | None:
    """Evaluate a policy; None once it is certain that less than `share` of its episodes reach the cap."""
    envs = player.settings.game.make(1)
    # A pipe every so many decisions: nobody reaches the cap sooner than this.
    soonest = CAP * int(envs.game.rules(envs.preset).spacing / envs.game.rules(envs.preset).pipe_speed)
    soonest = soonest // envs.frame_skip - 2
    step = 0

    def watch(ended: int) -> None:
        nonlocal step
        step += 1
        if share is not None and step < soonest and ended > (1 - share) * EPISODES + 1e-9:
            raise _HopelessError

    try:
        return evaluate(player.settings.game.make, player.act, player.settings.eyes.frames, EPISODES, 2, CAP, watch)
    except _HopelessError:
        return None


def train(settings: Settings, seed: int, folder: Path) -> None:
    """Train one seed in a process of its own."""
    flags = [
        "--evaluate-seconds=0",
        f"--checkpoint-seconds={settings.every}",
        f"--max-seconds={settings.limit}",
        "--keep=0",
        "--quiet",
    ]
    command = [sys.executable, "train.py", settings.algo, f"--seed={seed}", f"--out={folder}", *flags]
    done = subprocess.run([*command, *settings.train_args], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"training failed: {done.stderr.strip()}")


def measure(settings: Settings, seed: int) -> dict[str, Any]:
    """Train one seed and find when it passed each bar."""
    answer: dict[str, Any] = {"seed": seed, "seconds_to_mean": None, "seconds_to_share": None}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        train(settings, seed, folder)
        checkpoints = sorted((folder / "checkpoints").iterdir())
        for path in checkpoints:
            wanted = settings.share if answer["seconds_to_mean"] is not None else None
            if answer["seconds_to_mean"] is not None and (not settings.share or answer["seconds_to_share"]):
                break
            result = judge(load_player(path, "cpu"), wanted)
            _, meta = checkpoint.load(path)
            if result is None:
                continue
            at = {"steps": meta["steps"], "seconds": meta["seconds"]}
            scores = {key: result[key] for key in ("score_mean", "score_ci95", "score_median", "reached_cap")}
            _say(settings, f"seed {seed}: {at['seconds']:.0f} s, {at['steps']:,} steps: {scores}")
            if answer["seconds_to_mean"] is None and result["score_mean"] >= settings.mean:
                answer |= {"seconds_to_mean": at["seconds"], "steps_to_mean": at["steps"], "at_mean": scores}
            if settings.share and result["reached_cap"] >= settings.share:
                answer |= {"seconds_to_share": at["seconds"], "steps_to_share": at["steps"], "at_share": scores}
        _, meta = checkpoint.load(checkpoints[-1])
        answer |= {"trained_seconds": meta["seconds"], "trained_steps": meta["steps"]}
    return answer


def median(values: list[float | None]) -> float | None:
    """Median of times, where None (never) is the longest of all; None if the median itself is never."""
    middle = statistics.median([float("inf") if value is None else value for value in values])
    return None if middle == float("inf") else middle


def _say(settings: Settings, text: str) -> None:
    print(text, file=sys.stderr if settings.json else sys.stdout, flush=True)


def main() -> None:
    """Measure and print."""
    settings = tyro.cli(Settings, description=__doc__)
    set_threads(0)
    runs = []
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        runs.append(measure(settings, seed))
        _say(settings, json.dumps(runs[-1]))
    answer = {
        "benchmark": "time_to_solve",
        "algorithm": settings.algo,
        "env": "wingbeat/FlappyBird-v0",
        "preset": "classic",
        "mean_bar": settings.mean,
        "share_bar": settings.share,
        "score_cap": CAP,
        "episodes": EPISODES,
        "resolution_seconds": settings.every,
        "limit_seconds": settings.limit,
        "train_args": settings.train_args,
        "machine": machine("torch", "numba", "numpy"),
        "median_seconds_to_mean": median([run["seconds_to_mean"] for run in runs]),
        "median_seconds_to_share": median([run["seconds_to_share"] for run in runs]),
        "runs": runs,
    }
    if settings.json:
        print_json(answer)
        return
    for name in ("mean", "share"):
        times = ", ".join(f"{run[f'seconds_to_{name}'] or float('inf'):.0f}" for run in runs)
        print(f"seconds to {name}: median {answer[f'median_seconds_to_{name}']}, seeds {times}")


if __name__ == "__main__":
    main()
