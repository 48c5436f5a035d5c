"""What is an encoder worth where labels are few? It is trained further on some, beside the same network afresh.

    python train.py encoder-dbn --out runs/dbn
    python -m benchmarks.labels runs/dbn --labels 100 1000 10000 --seeds 3

Both networks learn to tell the state's numbers, by one linear layer, from the same labelled pictures. A fifth of these
is kept back: it chooses each network's step size and when to stop. R2 is measured on the test episodes.
"""

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from agents.device import set_threads
from benchmarks.common import machine, print_json
from experiment.command import main_line, parse
from experiment.errors import UserError
from experiment.evaluate import bootstrap_interval
from perception import Encoder, load_encoder
from perception.build import EncoderSettings
from perception.dataset import Dataset
from perception.probe import random_encoder
from perception.regression import r2
from perception.supervised import numbers_loss, scales

RATES = (3e-4, 1e-3, 3e-3)  # Adam's step sizes that are tried
KEPT_BACK = 0.2
LOOKS = 20  # times that the pictures kept back are looked at
MINIBATCH = 128
JUDGED = 4000  # test pictures
CHUNK = 512


@dataclass
class Settings:
    """What is compared, on how many labels."""

    run: Annotated[Path, tyro.conf.Positional]
    """an encoder's run"""
    labels: tuple[int, ...] = (100, 1000, 10_000)
    """labelled pictures to learn from"""
    seeds: int = 3
    """choices of pictures, and of fresh weights"""
    steps: int = 1000
    """gradient steps of each training"""
    json: bool = False
    """print one JSON object"""


class Pupil(nn.Module):
    """An encoder and a linear layer for the numbers."""

    def __init__(self, encoder: Encoder, numbers: int) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(encoder.feature_dim, numbers)

    def forward(self, observations: Tensor) -> Tensor:
        told: Tensor = self.head(self.encoder(observations))
        return told

    @torch.no_grad()
    def tell(self, observations: Tensor) -> Tensor:
        """Return the numbers, [n, numbers]."""
        return torch.cat([self(part) for part in torch.split(observations, CHUNK)])


def teach(encoder: Encoder, pictures: Tensor, wanted: Tensor, steps: int, seed: int) -> Pupil:
    """Train a copy of an encoder, at each step size; returns the pupil that was best on what was kept back.

    Args:
        encoder: to begin with.
        pictures: uint8 [n, frames, height, width].
        wanted: the numbers in standard deviations, float32 [n, numbers], NaN where unknown.
        steps: gradient steps at each step size.
        seed: of the order.
    """
    kept = max(1, int(KEPT_BACK * len(pictures)))
    best: tuple[float, Pupil | None] = (float("inf"), None)
    for rate in RATES:
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        pupil = Pupil(copy.deepcopy(encoder), wanted.shape[1])
        optimizer = torch.optim.Adam(pupil.parameters(), rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for step in range(1, steps + 1):
            rows = rng.integers(kept, len(pictures), min(MINIBATCH, len(pictures) - kept))
            optimizer.zero_grad()
            torch.autograd.backward(numbers_loss(pupil(pictures[rows]), wanted[rows]))
            optimizer.step()
            schedule.step()
            if step % max(1, steps // LOOKS) == 0 or step == steps:
                loss = float(numbers_loss(pupil.tell(pictures[:kept]), wanted[:kept]))
                if loss < best[0]:
                    best = loss, copy.deepcopy(pupil)
    assert best[1] is not None
    return best[1]


def compare(encoder: Encoder, data: Dataset, labels: int, seed: int, steps: int) -> dict[str, NDArray[np.float64]]:
    """Teach both networks; returns R2 [numbers] of each on the test split."""
    rng = np.random.default_rng([seed, labels])
    rows = rng.choice(len(data.splits["train"]), labels, replace=False)
    batch, test = data.splits["train"].batch(rows), data.splits["test"].sample(JUDGED, np.random.default_rng(0))
    center, spread = scales(batch.numbers.numpy())
    wanted = (batch.numbers - center) / spread
    found = {}
    for name, begin in (("trained", encoder), ("fresh", random_encoder(encoder, data, seed))):
        pupil = teach(begin, batch.observations, wanted, steps, seed)
        told = pupil.tell(test.observations) * spread + center
        found[name] = r2(told.numpy(), test.numbers.numpy())
    return found


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.labels", __doc__ or "")
    if min(settings.seeds, settings.steps) < 1 or min(settings.labels) < 2:
        raise UserError("--seeds and --steps must be more than 0, and --labels at least 2")
    set_threads(0)
    encoder = load_encoder(settings.run)
    data = EncoderSettings.open(settings.run).open_data(settings.run)
    most = len(data.splits["train"])
    if max(settings.labels) > most:
        raise UserError(f"--labels {max(settings.labels)} is more than the {most} training pictures in {data.path}")
    rows: dict[int, dict[str, list[NDArray[np.float64]]]] = {}
    for labels in settings.labels:
        rows[labels] = {"trained": [], "fresh": []}
        for seed in range(settings.seeds):
            for name, values in compare(encoder, data, labels, seed, settings.steps).items():
                rows[labels][name].append(values)
            print(f"{labels} labels, seed {seed}", file=sys.stderr, flush=True)
    if settings.json:
        answers = {
            str(labels): {name: _summary(found, data.names) for name, found in row.items()}
            for labels, row in rows.items()
        }
        about = {
            "benchmark": "labels",
            "machine": machine("torch"),
            "encoder": str(settings.run),
            "steps": settings.steps,
        }
        print_json({**about, "objective": encoder.spec.objective, "labels": answers})
        return 0
    Console(width=None if sys.stdout.isatty() else 140).print(_table(rows, data.names, encoder.spec.objective))
    return 0


def _summary(found: Sequence[NDArray[np.float64]], names: Sequence[str]) -> dict[str, Any]:
    means = np.array([np.nanmean(values) for values in found])
    per_number = dict(zip(names, np.mean(found, 0).tolist(), strict=True))
    return {"r2_mean": float(means.mean()), "r2_ci95": bootstrap_interval(means), "r2": per_number}


def _table(rows: dict[int, dict[str, list[NDArray[np.float64]]]], names: Sequence[str], objective: str) -> Table:
    table = Table("labels", "network", "mean R2", "95%", *names, title="R2 on the test episodes, means over seeds")
    for labels, row in rows.items():
        for name, found in row.items():
            known = _summary(found, names)
            low, high = known["r2_ci95"]
            each = [f"{value:.2f}" for value in known["r2"].values()]
            title = objective if name == "trained" else name
            table.add_row(f"{labels:,}", title, f"{known['r2_mean']:.3f}", f"{low:.3f} to {high:.3f}", *each)
    return table


if __name__ == "__main__":
    main_line(main)
