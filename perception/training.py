"""One trainer for every way of training an encoder: data order, optimizer, record, pictures, checkpoints.

A way is a module that knows a loss; see `Way`. Everything random in a gradient step follows from the run's seed and
the steps so far, so a resumed run goes on to the last bit.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from envs.guest import naming
from experiment import checkpoint, files
from experiment.curves import loss_curve
from experiment.metrics import Metrics, read_metrics
from experiment.progress import Progress
from experiment.ranges import Endless, EndlessOrZero, Natural, NonNegative, Share
from experiment.run import Run
from experiment.runner import Interruption, draw_curve, latest_seconds, refuse_divergence, seconds_since_start
from perception.dataset import Batch, Dataset, Split
from perception.encoder import Encoder
from perception.saving import FOLDER, save_encoder

FITTING_PICTURES = 4096  # to which the normalisation is fitted
JUDGED_ON_THE_WAY = 2048  # pictures of validation
PICTURED = 16


@dataclass
class TrainerConfig:
    """How an encoder is trained."""

    batch_size: int = 256
    """pictures a gradient step"""
    learning_rate: float = 1e-3
    """Adam's step size at the start, for heads, biases and normalisations; all fall to nothing, as half a cosine"""
    muon_rate: NonNegative = 2e-3
    """Muon's step size at the start, for the encoder's weights; 0 leaves them to Adam"""
    beta1: Share = 0.9
    """share of the average gradient that Adam keeps at each step"""
    max_grad_norm: Endless = 1.0
    """gradients are scaled down to this norm"""
    max_seconds: EndlessOrZero = 0.0
    """stop after this much wall-clock time of one session, start-up included, and save; 0 for no limit"""
    checkpoint_seconds: Endless = 30.0
    """seconds from one checkpoint, validation and page of pictures to the next"""
    keep: Natural = 2
    """checkpoints kept, the newest; 0 for all"""


class Way(nn.Module, ABC):
    """A way of training an encoder: the encoder, the layers that learn beside it, and a loss.

    Attributes:
        encoder: agents get it, and not the other layers.
        progress: share of the run that is done, 0 to 1, before each gradient step.
    """

    objective: str
    """what the encoder is trained for, in a word"""
    progress = 0.0

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def prepare(self, data: Dataset) -> None:
        """Take what is needed from the training split, once, before the first step: scales and the like, as buffers."""

    @abstractmethod
    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return (the loss to be minimised, numbers to be logged)."""

    @abstractmethod
    def pictures(self, batch: Batch) -> NDArray[np.uint8]:
        """Draw a page by which a person can judge, [height, width, 3]."""

    def stepped(self) -> None:
        """Update all that depends on the weights, which a gradient step has just changed."""

    def judge(self, split: Split) -> dict[str, float]:
        """Measure on a whole split how good the encoder is at what it was trained for."""
        return {}

    def retell(self, observations: Tensor) -> NDArray[np.uint8] | None:
        """Draw what the features tell of the first of these stacks, [height, width, 3]; None if they can't be drawn."""
        return None

    @property
    def turns(self) -> Iterable[nn.Module]:
        """Parts that learn one after the other, if there are any; the optimizer keeps them apart."""
        return ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height and width of what the encoder takes."""
        return self.encoder.spec.frames, self.encoder.spec.height, self.encoder.spec.width

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.encoder.mean.device


class Optimizer(Protocol):
    """Steps the weights; see `agents.optimizer.HiddenMuon`. The trainer is given it, as agents are above perception."""

    def decay(self, share: float) -> None:
        """Set all step sizes to this share of what they were at the start."""

    def zero_grad(self) -> None:
        """Forget all gradients."""

    def step(self, max_norm: float) -> None:
        """Take a step along the gradients, scaled down to this norm if they are longer."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return all tensors."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""


class Trainer:
    """Trains until the pictures are done or somebody interrupts, and leaves a run that can go on.

    Attributes:
        steps: pictures learned from so far, each as often as it was seen.

    Args:
        run: the run's folder, locked.
        data: the dataset to learn from.
        way: the encoder and its loss, on their device.
        optimizer: steps its weights.
        config: settings.
        total_steps: when to stop.
        seed: of the order and of all chance.
        precision: "fp32" or "bf16".
        seconds: spent in earlier sessions of this run.
        quiet: no progress line.
    """

    def __init__(
        self,
        run: Run,
        data: Dataset,
        way: Way,
        optimizer: Optimizer,
        config: TrainerConfig,
        total_steps: int,
        seed: int,
        precision: str,
        seconds: float = 0.0,
        quiet: bool = False,
    ) -> None:
        self.run, self.data, self.way, self.config = run, data, way, config
        self.total_steps, self.seed, self.quiet, self.steps = total_steps, seed, quiet, 0
        self._half, self._earlier = precision == "bf16", seconds
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))
        self._learns = any(weight.requires_grad for weight in way.parameters())
        self._optimizer = optimizer

    def prepare(self) -> None:
        """Fit the normalisation, and whatever else the way takes from the training pictures."""
        batch = self.data.splits["train"].sample(FITTING_PICTURES, np.random.default_rng(self.seed))
        self.way.encoder.fit_normalization(batch.observations[:, -1].to(self.way.device))
        self.way.prepare(self.data)

    def step(self) -> dict[str, float]:
        """Take one gradient step."""
        config = self.config
        batch = self.data.splits["train"].batch(self._next())
        self.way.progress = self._progress
        self._optimizer.decay(0.5 + 0.5 * math.cos(math.pi * self._progress))
        torch.manual_seed(int(np.random.SeedSequence([self.seed, self.steps]).generate_state(1)[0]))
        self.way.train()
        with self._autocast():
            loss, logs = self.way.loss(batch)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        self._optimizer.step(config.max_grad_norm)
        self.way.stepped()
        self.steps += len(batch)
        return {key: float(value.detach()) for key, value in {"loss": loss, **logs}.items()}

    def train(self, resumed: bool = False) -> bool:
        """Train until the pictures or the time are over, or somebody interrupts; returns False if somebody did."""
        if resumed and self.run.metrics.exists():
            self._earlier = latest_seconds(read_metrics(self.run.metrics), self._earlier)
        saved = logged = time.monotonic()
        recent: list[dict[str, float]] = []
        with (
            Metrics(self.run.path, resume_steps=self.steps if resumed else None) as metrics,
            Progress(self.total_steps, start_steps=self.steps, quiet=self.quiet) as progress,
            Interruption() as interruption,
        ):
            if not resumed:
                self.save()  # whatever happens, there is something to go on from
            while self._learns and self.steps < self.total_steps and not interruption.asked and not self._late():
                recent.append(self.step())
                refuse_divergence(recent[-1], self.steps)
                progress.update(self.steps, loss=recent[-1]["loss"])
                now = time.monotonic()
                if now - logged >= 1.0 or self.steps >= self.total_steps:
                    self._log(metrics, {f"train/{key}": np.mean([log[key] for log in recent]) for key in recent[0]})
                    logged, recent = now, []
                if now - saved >= self.config.checkpoint_seconds:
                    self.save()
                    progress.update(self.steps, validation=self._validate(metrics)["loss"])
                    saved = time.monotonic()
            self.save()  # now: a user who has stopped it may not wait for the validation
            self._validate(metrics)
            self.save()  # with the seconds that it took
            if interruption.asked or (self._learns and self.steps < self.total_steps):
                named = naming(self.data.about["env"])
                why = "stopped" if interruption.asked else "--max-seconds are over"
                progress.note(f"{why} at {self.steps:,} pictures; go on with {self.run.resuming}{named}")
        draw_curve(self.run, loss_curve)
        return not interruption.asked

    def judge(self) -> dict[str, float]:
        """Measure the way on the test split, and keep the result in the run's folder."""
        self.way.eval()
        with torch.no_grad():
            result = self.way.judge(self.data.splits["test"])
        known = {key: value if math.isfinite(value) else None for key, value in result.items()}
        files.write_json(self.run.path / "evaluation.json", known)
        return result

    def save(self) -> None:
        """Write a checkpoint, and the encoder to be handed on."""
        meta = {"steps": self.steps, "seconds": self._seconds}
        checkpoint.save(self.run.checkpoint(self.steps), self.state_dict(), meta)
        if self.config.keep:
            checkpoint.prune(self.run.path, self.config.keep)
        save_encoder(self.run.path / FOLDER, self.way.encoder, {"run": self.run.path.name, **meta})

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""
        return {
            **checkpoint.nest("way", self.way.state_dict()),
            **checkpoint.nest("optimizer", self._optimizer.state_dict()),
            "steps": torch.tensor(self.steps),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from what `state_dict` returned."""
        self.way.load_state_dict(checkpoint.part("way", state))
        self._optimizer.load_state_dict(checkpoint.part("optimizer", state))
        self.steps = int(state["steps"])

    def _next(self) -> NDArray[np.int64]:
        """Choose the next rows: each pass takes them once, in a random order of its own."""
        rows, size = len(self.data.splits["train"]), self.config.batch_size
        epoch, batch = divmod(self.steps // size, rows // size)
        if self._order[0] != epoch:
            self._order = epoch, np.random.default_rng([self.seed, epoch]).permutation(rows)
        return self._order[1][batch * size : (batch + 1) * size]

    def _validate(self, metrics: Metrics) -> dict[str, float]:
        """Measure the loss on validation and draw a page of pictures."""
        split, rng = self.data.splits["validation"], np.random.default_rng(self.seed)
        self.way.progress = self._progress  # a run that has just been resumed has not taken a step
        self.way.eval()
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(self.seed)
            parts = split.sample(JUDGED_ON_THE_WAY, rng).index
            logs, weights = [], []
            for index in np.array_split(parts, max(1, len(parts) // self.config.batch_size)):
                with self._autocast():
                    loss, more = self.way.loss(split.batch(index))
                logs.append({key: float(value) for key, value in {"loss": loss, **more}.items()})
                weights.append(len(index))
            page = self.way.pictures(split.sample(PICTURED, rng))
        result = {key: float(np.average([log[key] for log in logs], weights=weights)) for key in logs[0]}
        self._log(metrics, {f"eval/{key}": value for key, value in result.items()})
        with files.writing(self.run.path / "pictures.png") as temporary:
            Image.fromarray(page).save(temporary)
        return result

    def _log(self, metrics: Metrics, numbers: dict[str, Any]) -> None:
        metrics.write({"steps": self.steps, "seconds": round(self._seconds, 3), **numbers})

    def _autocast(self) -> Any:
        return torch.autocast(self.way.device.type, torch.bfloat16, enabled=self._half)

    def _late(self) -> bool:
        return 0 < self.config.max_seconds <= seconds_since_start()

    @property
    def _progress(self) -> float:
        return min(self.steps / self.total_steps, 1.0)

    @property
    def _seconds(self) -> float:
        return self._earlier + seconds_since_start()
