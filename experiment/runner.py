"""Runs an algorithm to its end: timing, record, progress, evaluation, checkpoints, signals."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import psutil
from torch import Tensor

from envs.guest import EnvFailure
from experiment import checkpoint, stages
from experiment.curves import learning_curve
from experiment.errors import UserError
from experiment.metrics import Metrics, read_metrics
from experiment.policy import Policy
from experiment.progress import Progress
from experiment.ranges import Endless, EndlessOrZero, Natural
from experiment.run import Run

BEST = "best"  # the checkpoint of the best evaluation, beside checkpoints/
PACE = 4.0  # after an evaluation, the next begins at least this many times as long later as that one took


@dataclass
class RunnerConfig:
    """What happens on the way."""

    max_seconds: EndlessOrZero = 0.0
    """stop after this much wall-clock time of one session, start-up included, and save; 0 for no limit"""
    checkpoint_seconds: Endless = 30.0
    """seconds from one checkpoint to the next"""
    keep: Natural = 2
    """checkpoints kept, the newest; 0 for all"""
    evaluate_seconds: EndlessOrZero = 30.0
    """seconds from one evaluation to the next, or four times as long as one takes; 0 for none, and none at the end"""
    evaluate_episodes: int = 32
    """episodes of an evaluation on the way"""
    evaluate_cap: int = 100
    """score at which these episodes end"""
    final_episodes: int = 100
    """episodes of the evaluation at the end, of the best policy"""
    final_cap: int = 200
    """score at which these end"""


class Trainee(Protocol):
    """What a run trains: an agent's algorithm, or an encoder's trainer."""

    @property
    def steps(self) -> int:
        """Decisions, or pictures, learned from so far."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from that."""


class Algorithm(Trainee, Protocol):
    """An algorithm that learns to play.

    Attributes:
        policy: the one that is evaluated and kept. Its tensors in `state_dict` begin with "average".
    """

    policy: Policy

    def iterate(self) -> dict[str, float]:
        """Play and learn a little; returns what is worth logging, "train/score" among it."""


@runtime_checkable
class Exports(Protocol):
    """An algorithm that has a file for other programs, too."""

    def export(self, folder: Path) -> None:
        """Write it into the run's folder, in the place of the one before."""


def take_up(run: Run, trainee: Trainee, tensors: dict[str, Tensor], total_steps: int | None) -> None:
    """Give a trainee what a checkpoint of its run holds, and drop what the run has recorded after that.

    Args:
        run: its folder, locked.
        trainee: fresh, of the run's settings.
        tensors: of the checkpoint.
        total_steps: a new length of the whole run, if it is to have one.

    Raises:
        UserError: if the checkpoint does not fit, the new length is shorter than what is done, or the disk refuses.
    """
    checkpoint.fit(trainee.state_dict(), tensors, f"the {run.config['algorithm']} run in {run.path}")
    trainee.load_state_dict(tensors)
    if total_steps and total_steps < trainee.steps:
        raise UserError(f"--total-steps {total_steps} is less than the {trainee.steps} that are done")
    checkpoint.rewind(run.path, trainee.steps)
    stages.rewind(run.path, trainee.steps)
    run.truncate_metrics(trainee.steps)
    if total_steps:
        run.set_total_steps(total_steps)


class Interruption:
    """Turns the first Ctrl-C, SIGTERM or closed terminal into a wish to stop; a second one kills as usual."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
            numbers.append(signal.SIGHUP)
        for number in numbers:
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def seconds_since_start() -> float:
    """Wall-clock seconds since this process started, imports and compilation included."""
    return time.time() - float(psutil.Process(os.getpid()).create_time())


def latest_seconds(record: Sequence[dict[str, Any]], saved: float) -> float:
    """Return how long a run has been trained: until its checkpoint was saved, or longer if its record says so.

    An evaluation after the save, for instance, took time that only the record has.
    """
    return max(saved, float(record[-1]["seconds"])) if record else saved


def draw_curve(run: Run, draw: Callable[[list[dict[str, Any]], Path, str], None]) -> None:
    """Draw a run's record into its curve.png; a picture is no reason to lose a run, so a failure is a warning.

    Args:
        run: which.
        draw: called with the record, the file and a title; see `experiment.curves`.
    """
    try:
        draw(read_metrics(run.metrics), run.path / "curve.png", run.path.name)
    except (UserError, OSError, ValueError) as error:
        print(f"warning: no curve.png: {error}", file=sys.stderr)


def refuse_divergence(numbers: dict[str, float], steps: int) -> None:
    """Stop a training that computes with NaN or infinity: it would do so for ever, and fill its checkpoints with it.

    Args:
        numbers: what was logged; those whose names end with "loss" are looked at.
        steps: done so far.

    Raises:
        UserError: naming the loss.
    """
    for name, value in numbers.items():
        if name.endswith("loss") and not math.isfinite(value):
            raise UserError(
                f"training has diverged: {name} is {value} at {steps:,} steps, which are not saved; try a smaller "
                "--learning-rate"
            )


class Runner:
    """Trains until the steps are done or somebody interrupts, and leaves a run that can go on.

    Args:
        run: the run's folder, locked.
        algorithm: the one that is trained.
        total_steps: when to stop.
        evaluate: called with (episodes, score cap, a function to call with how many episodes have ended); returns
            what `experiment.evaluate.evaluate` does.
        config: settings.
        seconds: spent in earlier sessions of this run.
        quiet: no progress line.
    """

    def __init__(
        self,
        run: Run,
        algorithm: Algorithm,
        total_steps: int,
        evaluate: Callable[[int, int, Callable[[int], None]], dict[str, Any]],
        config: RunnerConfig,
        seconds: float = 0.0,
        quiet: bool = False,
    ) -> None:
        self.run, self.algorithm, self.total_steps = run, algorithm, total_steps
        self.evaluate, self.config, self.quiet = evaluate, config, quiet
        record = read_metrics(run.metrics) if run.metrics.exists() else []
        self._earlier = latest_seconds(record, seconds)
        judged = {line["steps"]: line["eval/score_mean"] for line in record if "eval/score_mean" in line}
        self._evaluated = max(judged, default=0)  # the steps of the last evaluation
        self._best = max([*judged.values(), *self._kept_score()], default=float("-inf"))

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of this run so far, its start-up and earlier sessions included."""
        return self._earlier + seconds_since_start()

    def train(self, resumed: bool = False) -> bool:
        """Train until the steps or the time are over, or somebody interrupts; returns whether nobody did."""
        algorithm, config = self.algorithm, self.config
        first_steps, begun = algorithm.steps, time.monotonic()
        saved = logged = begun
        due = begun + config.evaluate_seconds
        steps_logged = first_steps
        with (
            Metrics(self.run.path, resume_steps=algorithm.steps if resumed else None) as metrics,
            Progress(self.total_steps, start_steps=first_steps, quiet=self.quiet) as progress,
            Interruption() as interruption,
        ):
            if not resumed:
                self.save()  # whatever happens, there is something to go on from
            while algorithm.steps < self.total_steps and not interruption.asked and not self._late():
                with self._saved_on_failure():
                    numbers = algorithm.iterate()
                refuse_divergence(numbers, algorithm.steps)
                now = time.monotonic()
                if now - logged >= 1.0 or algorithm.steps >= self.total_steps:
                    speed = (algorithm.steps - steps_logged) / (now - logged)
                    logged, steps_logged = now, algorithm.steps
                    self._log(metrics, numbers | {"train/steps_per_second": speed})
                progress.update(algorithm.steps, score=numbers["train/score"])
                if now - saved >= config.checkpoint_seconds:
                    self.save()  # before the evaluation: a person may kill the run during that
                    saved = time.monotonic()
                if config.evaluate_seconds and now >= due:
                    with self._saved_on_failure():
                        self._evaluate(metrics, progress)
                    ended = time.monotonic()
                    due = ended + max(config.evaluate_seconds, PACE * (ended - now))
            self.save()
            if config.evaluate_seconds and algorithm.steps > self._evaluated:
                with self._saved_on_failure():
                    self._evaluate(metrics, progress)
            if interruption.asked or algorithm.steps < self.total_steps:
                why = "stopped" if interruption.asked else "--max-seconds are over"
                progress.note(f"{why} at {algorithm.steps:,} steps; go on with {self.run.resuming}")
        draw_curve(self.run, learning_curve)
        return not interruption.asked

    @contextmanager
    def _saved_on_failure(self) -> Iterator[None]:
        """Save if an environment fails in here; only the rollout or evaluation that it broke off is lost."""
        try:
            yield
        except EnvFailure as failure:
            self.save()
            saved = f"saved at {self.algorithm.steps:,} steps, go on with {self.run.resuming}"
            raise EnvFailure(f"{failure}; {saved}", failure.traceback) from failure

    def _kept_score(self) -> list[float]:
        """The mean of the policy in best/, which may be from after the checkpoint that a run goes on from."""
        try:
            return [float(checkpoint.load(self.run.path / BEST)[1]["evaluation"]["score_mean"])]
        except (UserError, KeyError, TypeError):  # there is none, or it is damaged
            return []

    def _late(self) -> bool:
        return 0 < self.config.max_seconds <= seconds_since_start()

    def save(self) -> None:
        """Write a checkpoint."""
        checkpoint.save(self.run.checkpoint(self.algorithm.steps), self.algorithm.state_dict(), self._meta())
        if isinstance(self.algorithm, Exports):
            self.algorithm.export(self.run.path)
        if self.config.keep:
            checkpoint.prune(self.run.path, self.config.keep)

    def _meta(self) -> dict[str, Any]:
        return {"steps": self.algorithm.steps, "seconds": self.seconds}

    def _log(self, metrics: Metrics, numbers: dict[str, Any]) -> None:
        metrics.write({"steps": self.algorithm.steps, "seconds": round(self.seconds, 3), **numbers})

    def _evaluate(self, metrics: Metrics, progress: Progress) -> None:
        """Evaluate, record it, and keep the policy unless an earlier one was clearly better.

        A few dozen episodes can't tell good policies apart. Of those the newest has learned most, so it takes the
        place of the best one as long as the best mean lies within its interval.
        """
        steps, episodes = self.algorithm.steps, self.config.evaluate_episodes

        def watch(ended: int) -> None:
            progress.update(steps, evaluating=f"{ended} of {episodes}")

        result = self.evaluate(episodes, self.config.evaluate_cap, watch)
        wanted = ("score_mean", "score_median", "score_ci95", "score_cap", "reached_cap", "episodes")
        self._log(metrics, {f"eval/{key}": result[key] for key in wanted})
        self._evaluated = steps
        self._best = max(self._best, result["score_mean"])
        policy = checkpoint.nest("average", checkpoint.part("average", self.algorithm.state_dict()))
        meta = self._meta() | {"evaluation": result}
        stages.keep_stage(self.run.path, self.algorithm.steps, policy, meta)
        if result["score_ci95"][1] >= self._best:
            checkpoint.save(self.run.path / BEST, policy, meta)
        progress.update(steps, evaluating=float("nan"), greedy=result["score_mean"], best=self._best)
