"""How true are drawn pictures, how varied, and are they copies? A GAN's and a VAE's, measured by other eyes.

    python train.py dataset --out data/flappy
    python train.py encoder-supervised --data data/flappy --frames 1 --out runs/eyes
    python train.py encoder-gan --data data/flappy --out runs/gan
    python train.py encoder-vae --data data/flappy --out runs/vae
    python -m benchmarks.generation --eyes runs/eyes --runs runs/gan runs/vae

Pictures are drawn from chance and looked at by an encoder that learned from labels and knows neither of them. Beside
them stand pictures that were played, of the validation episodes: the best that could be hoped for.

The kernel distance (Binkowski et al. 2018) is 0 for pictures that can't be told apart. Birds' heights, as the eyes tell
them, are counted in bins: a kind of picture that is left out leaves bins empty. Distances to the nearest picture that
was learned from, in gray levels, are smaller than those of played pictures if pictures were learned by heart.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from agents.device import set_threads
from benchmarks.common import machine, print_json
from experiment import files
from experiment.command import main_line, parse
from experiment.errors import UserError, explain
from experiment.evaluate import bootstrap_interval
from perception.build import load_way
from perception.dataset import Split
from perception.generative import COLUMNS, Generative
from perception.pages import panel, tile
from perception.supervised import LIKELY, Supervised

BLOCK = 200  # pictures of one estimate of the kernel distance
COPIED = 400  # pictures whose nearest is looked for
CHUNK = 512
FILLED = 0.1  # share of the played pictures in a bin from which on drawn ones fill it
KNOWN = 0.005  # share of all played pictures that makes a bin worth counting


@dataclass
class Settings:
    """Whose pictures, and who looks at them."""

    eyes: Path
    """the run of a supervised encoder of single frames"""
    runs: tuple[Path, ...]
    """runs of ways that draw: encoder-gan, encoder-vae"""
    pictures: int = 4000
    """drawn by each, and played"""
    number: str = "y"
    """the number of the state that is counted in bins"""
    bins: int = 20
    """of it"""
    seed: int = 0
    """of all chance"""
    out: Path = Path("runs/generation.png")
    """a page: of each run pictures from chance, and below each the nearest that was learned from"""
    json: bool = False
    """print one JSON object"""


def kernel_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Estimate the squared maximum mean discrepancy of two samples without bias.

    k(x, y) = (x y / d + 1)^3, and D = mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_ij k(a_i, b_j).

    Args:
        a: features [n, d].
        b: features [m, d].
    """

    def kernel(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: NDArray[Any]) -> float:
        k, n = kernel(x, x), len(x)
        return float((k.sum() - np.trace(k)) / (n * (n - 1)))

    return within(a) + within(b) - 2 * float(kernel(a, b).mean())


def distance_in_blocks(a: NDArray[Any], b: NDArray[Any]) -> dict[str, Any]:
    """Estimate the distance in blocks of their own; returns the mean and its bootstrap interval over blocks."""
    count = min(len(a), len(b)) // BLOCK
    blocks = [slice(BLOCK * k, BLOCK * (k + 1)) for k in range(count)]
    values = np.array([kernel_distance(a[block], b[block]) for block in blocks])
    return {"kid": float(values.mean()), "kid_ci95": bootstrap_interval(values)}


def cover(drawn: NDArray[Any], played: NDArray[Any], bins: int) -> dict[str, float]:
    """Compare two samples of a number in bins over the played one's range.

    Returns:
        covered: the share of bins, of those with any number of played pictures, that drawn ones fill.
        variation: half the sum of the differences of the bins' shares; 0 if all are alike, 1 if none has both.
    """
    edges = np.linspace(played.min(), played.max(), bins + 1)
    edges[0], edges[-1] = -np.inf, np.inf
    shares = [np.histogram(values, edges)[0] / len(values) for values in (drawn, played)]
    known = shares[1] >= KNOWN
    filled = shares[0][known] >= FILLED * shares[1][known]
    return {"covered": float(filled.mean()), "variation": float(np.abs(shares[0] - shares[1]).sum() / 2)}


def nearest(pictures: Tensor, split: Split) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Look for the nearest picture of a split.

    Args:
        pictures: uint8 [n, height, width].
        split: where to look.

    Returns:
        root mean square distances in gray levels, and rows, [n] each.
    """
    middle = pictures.float().mean()  # smaller numbers are squared more exactly
    wanted = pictures.flatten(1).float() - middle
    best, where = torch.full((len(wanted),), float("inf")), torch.zeros(len(wanted), dtype=torch.int64)
    for index in np.array_split(np.arange(len(split)), -(-len(split) // CHUNK)):
        known = split.batch(index).observations[:, -1].flatten(1).float() - middle
        squares = known.square().sum(1) - 2 * wanted @ known.T
        closest, place = squares.min(1)
        better = closest < best
        best = torch.where(better, closest, best)
        where = torch.where(better, torch.from_numpy(index)[place], where)
    found = split.batch(where.numpy()).observations[:, -1]
    return (found.double() - pictures.double()).square().mean((1, 2)).sqrt().numpy(), where.numpy()


@torch.no_grad()
def look(eyes: Supervised, frames: Tensor, number: int) -> dict[str, NDArray[Any]]:
    """Return features [n, d], the number [n], and how many moving sprites of the rarest kind are seen [n]."""
    features, numbers, birds = [], [], []
    rarest = len(eyes.classes) - 1  # the player is drawn last
    for part in torch.split(frames, CHUNK):
        features.append(eyes.encoder(part[:, None]).numpy())
        told, found = eyes.tell(part[:, None])
        numbers.append(told[:, number])
        birds.append(((found[..., 0] == rarest) & (found[..., 1] > LIKELY)).sum(1))
    return {
        "features": np.concatenate(features).astype(np.float64),
        "number": np.concatenate(numbers),
        "birds": np.concatenate(birds),
    }


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.generation", __doc__ or "")
    if settings.pictures < BLOCK or settings.bins < 2:
        raise UserError(f"--pictures must be at least {BLOCK}, and --bins at least 2")
    set_threads(0)
    eyes, data = load_way(settings.eyes)
    if not isinstance(eyes, Supervised) or data.frames != 1:
        raise UserError(f"--eyes takes a run of encoder-supervised --frames 1, which {settings.eyes} is not")
    if settings.number not in eyes.names:
        raise UserError(f"--number takes one of {', '.join(eyes.names)}, not {settings.number!r}")
    with explain(f"write {settings.out}"):
        settings.out.parent.mkdir(parents=True, exist_ok=True)
    number, rng = eyes.names.index(settings.number), np.random.default_rng(settings.seed)
    played = {name: data.splits[name].sample(settings.pictures, rng).observations[:, 0] for name in data.splits}
    real = look(eyes, played["test"], number)
    rows, panels = {}, []
    for path in (None, *settings.runs):
        known = data.splits["train"]
        if path is None:
            frames, name = played["validation"], "played"
        else:
            way, its_data = load_way(path)
            known = its_data.splits["train"]
            if not isinstance(way, Generative) or way.encoder.spec.height != data.about["size"][0]:
                raise UserError(f"{path} draws no pictures of this size; name runs of encoder-gan or encoder-vae")
            frames, name = way.dream(settings.pictures, torch.Generator().manual_seed(settings.seed)), str(path)
        seen = look(eyes, frames, number)
        distances, places = nearest(frames[:COPIED], known)
        rows[name] = {
            **distance_in_blocks(seen["features"], real["features"]),
            **cover(seen["number"], real["number"], settings.bins),
            "one_bird": float((seen["birds"] == 1).mean()),
            "nearest": float(np.median(distances)),
            "nearest_1_percent": float(np.quantile(distances, 0.01)),
        }
        if path is not None:
            near = known.batch(places[:COLUMNS]).observations[:, -1]
            panels += [panel(frame, [name]) for frame in frames[:COLUMNS].numpy()]
            panels += [
                panel(frame, [f"nearest: {distance:.1f} off"])
                for frame, distance in zip(near.numpy(), distances, strict=False)
            ]
    with files.writing(settings.out) as temporary:
        Image.fromarray(tile(panels, COLUMNS)).save(temporary, format="png")
    if settings.json:
        about = {"benchmark": "generation", "machine": machine("torch"), "pictures": settings.pictures}
        print_json({**about, "number": settings.number, "bins": settings.bins, "rows": rows})
        return 0
    Console(width=None if sys.stdout.isatty() else 140).print(_table(rows, settings.number))
    print(f"page: {settings.out}")
    return 0


def _table(rows: Mapping[str, Mapping[str, Any]], number: str) -> Table:
    columns = ("pictures", "kernel distance", "95%", f"bins of {number}", "variation", "one bird", "nearest, 1%")
    table = Table(*columns, title="Pictures from chance, as other eyes see them")
    for name, row in rows.items():
        low, high = row["kid_ci95"]
        table.add_row(
            name,
            f"{row['kid']:.4f}",
            f"{low:.4f} to {high:.4f}",
            f"{row['covered']:.0%}",
            f"{row['variation']:.3f}",
            f"{row['one_bird']:.1%}",
            f"{row['nearest']:.2f}, {row['nearest_1_percent']:.2f}",
        )
    return table


if __name__ == "__main__":
    main_line(main)
