"""Wall-clock seconds from typing the command to an agent that plays well, over seeds.

    python -m benchmarks.time_to_solve --algo ppo --seeds 5 --json

Each seed trains in a fresh process, one after the other, with nothing beside it: imports, compilation and
saving are counted. The run leaves a checkpoint every few seconds. Afterwards, off the clock, checkpoints
are judged in order by 100 fresh greedy episodes, in Flappy Bird of up to 200 pipes; a bar is passed at the time at
which the first checkpoint was written that passes it. A seed that never passes counts as infinite in the median.
The last checkpoint is judged in any case.
"""

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from agents.device import set_threads
from benchmarks.common import machine, print_json
from commands.game import GameConfig
from commands.player import Player, load_player
from experiment import checkpoint
from experiment.command import main_line, parse
from experiment.errors import UserError
from experiment.metrics import FILE, read_metrics
from experiment.series import CHECKPOINTS, Series

EPISODES = 100
INTERRUPTED = 130  # exit code of a run that was asked to stop
Algorithm = Literal["ppo", "ppo-lstm", "a2c", "reinforce", "dqn", "pqn"]


@dataclass
class Settings:
    """What to measure."""

    algo: Algorithm = "ppo"
    """the algorithm"""
    env: str = GameConfig.env
    """the environment's id"""
    seeds: int = 5
    """runs, with seeds first_seed, first_seed + 1, ..."""
    first_seed: int = 0
    """the first run's seed"""
    limit: float = 300.0
    """seconds after which a run is stopped, whatever it has reached"""
    every: float = 5.0
    """seconds from one checkpoint to the next: the resolution of the answer"""
    mean: float = 50.0
    """the first bar: a mean score of this much; in Flappy Bird, pipes"""
    score_cap: int = 200
    """score at which the episodes that judge end"""
    share: float = 0.95
    """the second bar: this share of episodes reaches the cap; 0 leaves it out"""
    stop_early: bool = False
    """without the second bar: stop a seed once its training score and its newest checkpoint have passed the first"""
    train_args: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """more flags for train.py, each as --train-args=--flag=value"""
    json: bool = False
    """print one JSON object"""


class _HopelessError(Exception):
    """So many episodes ended early that the second bar is out of reach."""


def judge(player: Player, cap: int, share: float | None = None) -> dict[str, Any] | None:
    """Evaluate a policy; None once it is certain that less than `share` of its episodes reach the cap."""
    game, soonest, step = player.settings.game, 0, 0
    if game.env == GameConfig.env:
        # A pipe every so many decisions: nobody reaches the cap sooner than this.
        rules = game.game.rules(str(game.about["preset"]))
        soonest = cap * int(rules.spacing / rules.pipe_speed) // game.decision_frames - 2

    def watch(ended: int) -> None:
        nonlocal step
        step += 1
        if share is not None and step < soonest and ended > (1 - share) * EPISODES + 1e-9:
            raise _HopelessError

    try:
        return player.evaluate(EPISODES, 2, cap, watch)
    except _HopelessError:
        return None


def words(settings: Settings, seed: int, folder: Path) -> list[str]:
    """Say to train.py what a seed's run is."""
    return [
        settings.algo,
        f"--seed={seed}",
        f"--out={folder}",
        f"--env={settings.env}",
        "--evaluate-seconds=0",
        f"--checkpoint-seconds={settings.every}",
        f"--max-seconds={settings.limit}",
        "--keep=0",
        "--quiet",
        *settings.train_args,
    ]


def train(settings: Settings, seed: int, folder: Path) -> None:
    """Train one seed in a process of its own."""
    command = [sys.executable, "train.py", *words(settings, seed, folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        if settings.stop_early and not settings.share:
            stop_once_passed(process, folder, settings)
        said = process.communicate()[1]
    except BaseException:
        process.kill()
        raise
    if process.returncode not in (0, INTERRUPTED):
        raise SystemExit(f"training failed: {said.strip()}")


def stop_once_passed(process: "subprocess.Popen[str]", folder: Path, settings: Settings) -> None:
    """Have a run save and leave when its training score has stood at the mean, and its newest checkpoint passes it."""
    since: float | None = None
    while process.poll() is None:
        time.sleep(min(0.5, settings.every / 2))
        lines = read_metrics(folder / FILE) if (folder / FILE).exists() else []
        score = lines[-1].get("train/score") if lines else None  # None before the first episode has ended
        if score is None or score < settings.mean:
            since = None
        elif since is None:
            since = time.monotonic()
        elif time.monotonic() - since > 2 * settings.every:
            result = judge(load_player(checkpoint.latest(folder), "cpu"), settings.score_cap)
            if result is not None and result["score_mean"] >= settings.mean:
                process.send_signal(signal.SIGINT)
                return
            since = None


def trained_checkpoints(folder: Path) -> list[Path]:
    """A run's checkpoints, oldest first, but for the one from before its first step."""
    return [path for path in Series(folder / CHECKPOINTS).all() if int(path.name)]


def measure(settings: Settings, seed: int) -> dict[str, Any]:
    """Train one seed and find when it passed each bar, and how well it played at last."""
    answer: dict[str, Any] = {"seed": seed, "seconds_to_mean": None, "seconds_to_share": None}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "run"
        train(settings, seed, folder)
        checkpoints = trained_checkpoints(folder)
        for path in checkpoints:
            last = path == checkpoints[-1]
            passed = answer["seconds_to_mean"] is not None
            if passed and not last and (not settings.share or answer["seconds_to_share"]):
                continue
            wanted = settings.share if passed and not last else None
            result = judge(load_player(path, "cpu"), settings.score_cap, wanted)
            if result is None:
                continue
            _, meta = checkpoint.load(path)
            at = {"steps": meta["steps"], "seconds": meta["seconds"]}
            scores = {key: result[key] for key in ("score_mean", "score_ci95", "score_median", "reached_cap")}
            _say(settings, f"seed {seed}: {at['seconds']:.0f} s, {at['steps']:,} steps: {scores}")
            bars = {"mean": result["score_mean"] >= settings.mean}
            bars["share"] = settings.share > 0 and result["reached_cap"] >= settings.share
            for bar, reached in bars.items():
                if reached and answer[f"seconds_to_{bar}"] is None:
                    answer |= {f"seconds_to_{bar}": at["seconds"], f"steps_to_{bar}": at["steps"], f"at_{bar}": scores}
            if last:
                answer |= {"trained_seconds": at["seconds"], "trained_steps": at["steps"], "at_end": scores}
    return answer


def median(values: Sequence[float | None]) -> float | None:
    """Median of times or steps, where None (never) is the longest of all; None if the median itself is never."""
    middle = statistics.median([float("inf") if value is None else value for value in values])
    return None if middle == float("inf") else middle


def _say(settings: Settings, text: str) -> None:
    print(text, file=sys.stderr if settings.json else sys.stdout, flush=True)


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.time_to_solve", __doc__ or "")
    for name in ("seeds", "limit", "every"):
        if getattr(settings, name) <= 0:
            raise UserError(f"--{name} must be more than 0")
    about = GameConfig(settings.env).about
    set_threads(0)
    runs = []
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        runs.append(measure(settings, seed))
        _say(settings, json.dumps(runs[-1]))
    answer = {
        "benchmark": "time_to_solve",
        "algorithm": settings.algo,
        **about,
        "mean_bar": settings.mean,
        "share_bar": settings.share,
        "score_cap": settings.score_cap,
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
        return 0
    for name in ("mean", "share"):
        times = ", ".join(f"{run[f'seconds_to_{name}'] or float('inf'):.0f}" for run in runs)
        print(f"seconds to {name}: median {answer[f'median_seconds_to_{name}']}, seeds {times}")
    return 0


if __name__ == "__main__":
    main_line(main)
