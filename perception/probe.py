"""What do the features know? Linear probes for every number of the state, beside random features.

    python -m perception.probe runs/enc
    python -m perception.probe runs/enc --data data/flappy --env-arg theme=night --json

A probe is a ridge regression from features to a number, in closed form, fitted to the training episodes. Its strength
is chosen on the validation episodes, and its R2 is measured on the test episodes: 1 is perfect, 0 is the mean.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from numpy.typing import NDArray

from experiment.command import main_line, parse
from experiment.errors import UserError
from perception.build import EncoderSettings, look_of
from perception.dataset import Dataset, Split
from perception.encoder import Encoder, make_encoder
from perception.regression import r2, ridge
from perception.saving import load_encoder

STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of the ridge, times the features' mean square
CHUNK = 512


@torch.no_grad()
def features_of(encoder: Encoder, split: Split, most: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (features [n, feature_dim], numbers [n, numbers]) of a split, or of `most` rows spread over it."""
    rows = np.unique(np.linspace(0, len(split) - 1, min(most, len(split))).astype(np.int64))
    parts = [encoder(split.batch(index).observations) for index in np.array_split(rows, -(-len(rows) // CHUNK))]
    return torch.cat(parts).double().numpy(), split.numbers[rows].astype(np.float64)


def probe(encoder: Encoder, data: Dataset, pictures: int = 20_000) -> dict[str, float]:
    """Return R2 on the test split by the number's name; NaN for what never changes.

    Args:
        encoder: the encoder to be probed.
        data: with stacks as the encoder takes them.
        pictures: at most, of each split.
    """
    train, validation, test = (features_of(encoder, data.splits[name], pictures) for name in data.splits)
    result = {}
    for k, name in enumerate(data.names):
        known = ~np.isnan(train[1][:, k])
        if known.sum() < 2:
            result[name] = float("nan")
            continue
        fits = [ridge(train[0][known], train[1][known, k], strength) for strength in STRENGTHS]
        best = max(fits, key=lambda w: np.nan_to_num(_score(w, validation, k), nan=-np.inf))
        result[name] = _score(best, test, k)
    return result


def _score(w: NDArray[np.float64], part: tuple[NDArray[np.float64], NDArray[np.float64]], k: int) -> float:
    told = part[0] @ w[:-1] + w[-1]
    return float(r2(told[:, None], part[1][:, k : k + 1])[0])


def random_encoder(encoder: Encoder, data: Dataset, seed: int) -> Encoder:
    """Make the control: the same network with fresh weights, and its normalisation fitted to this data."""
    torch.manual_seed(seed)
    fresh = make_encoder(encoder.spec)
    fresh.fit_normalization(data.splits["train"].sample(4096, np.random.default_rng(seed)).observations[:, -1])
    return fresh


@dataclass
class Probe:
    """Measure what an encoder's features know of the state's numbers, beside random features."""

    run: Annotated[Path, tyro.conf.Positional]
    """an encoder's run folder"""
    data: Path | None = None
    """the dataset to probe on; the one it was trained on, in the look it was trained in, if not given"""
    env: str | None = None
    """the game that the dataset is of, if that is code of your own: package.module:MY_GAME"""
    env_arg: tuple[str, ...] = ()
    """another look to draw the dataset in, as theme=night pipe_color=red"""
    pictures: int = 20_000
    """pictures of each split, at most"""
    seed: int = 0
    """of the random features"""
    json: bool = False
    """print one JSON object"""


def main(argv: list[str]) -> int:
    """Probe and print; returns the exit code."""
    command = parse(Probe, argv, "-m perception.probe")
    if command.pictures < 1 or command.seed < 0:
        raise UserError("--pictures must be more than 0 and --seed at least 0")
    encoder = load_encoder(command.run)
    if command.data is None:
        settings = EncoderSettings.open(command.run)
        settings.look = command.env_arg or settings.look
        data = settings.open_data(command.run, command.env)
    else:
        data = Dataset(command.data, encoder.spec.frames, look_of(command.env_arg) or None, command.env)
    data.check(encoder.spec)
    trained = probe(encoder.eval(), data, command.pictures)
    control = probe(random_encoder(encoder, data, command.seed), data, command.pictures)
    if command.json:
        about = {"encoder": str(command.run), "data": str(data.path), "look": data.look, "pictures": command.pictures}
        clean = [{k: v if np.isfinite(v) else None for k, v in r2s.items()} for r2s in (trained, control)]
        print(json.dumps({**about, "objective": encoder.spec.objective, "r2": clean[0], "r2_random": clean[1]}))
        return 0
    print(f"R2 of linear probes on the test episodes of {data.path}", file=sys.stderr)
    print(f"{'':14}{encoder.spec.objective:>12}{'random':>12}")
    for name in data.names:
        print(f"{name:14}{trained[name]:12.4f}{control[name]:12.4f}")
    return 0


if __name__ == "__main__":
    main_line(main)
