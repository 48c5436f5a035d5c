"""How well are sprites found? A supervised encoder's detector beside template matching, on the same pictures.

    python train.py encoder-supervised --data data/flappy --out runs/sup
    python -m benchmarks.detection runs/sup
    python -m benchmarks.detection runs/sup --env-arg theme=night

Template matching knows pieces of training pictures, cut out by the labels, and looks for each of them at every place by
normalised cross-correlation; of places that overlap the best one counts. Both are judged by the average precision at
half overlap, on pictures of the test episodes.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from agents.device import set_threads
from benchmarks.common import machine, print_json
from experiment.command import main_line, parse
from experiment.errors import UserError
from perception.build import load_way, look_of
from perception.dataset import Dataset, Split
from perception.detection import average_precision, overlap
from perception.supervised import Supervised

LIKELY = 0.5  # correlation from which on a place is looked at
PEAKS = 12  # places of each template, at most
OVERLAP = 0.3  # of two places, above which the better one counts alone
SMALLEST = 3  # pixels a side of a template
CHUNK = 100


@dataclass
class Settings:
    """Whose detector, on what."""

    run: Annotated[Path, tyro.conf.Positional]
    """a run of encoder-supervised"""
    env_arg: tuple[str, ...] = ()
    """another look to draw the pictures in, as theme=night; templates are of that look, too"""
    pictures: int = 400
    """of the test episodes"""
    templates: int = 60
    """pieces of each class"""
    json: bool = False
    """print one JSON object"""


def cut_templates(way: Supervised, split: Split, count: int) -> list[list[NDArray[np.uint8]]]:
    """Cut whole sprites out of training pictures, no two alike; returns up to `count` pieces of each class."""
    found: list[dict[bytes, NDArray[np.uint8]]] = [{} for _ in way.classes]
    batch = split.sample(40 * count, np.random.default_rng(0))
    boxes, labels = (x.cpu().numpy() for x in way.boxes(batch))
    for picture, places, kinds in zip(batch.observations[:, -1].numpy(), boxes, labels, strict=True):
        height, width = picture.shape
        for (x, y, w, h), kind in zip(places, kinds, strict=True):
            left, top, right, bottom = round(x), round(y), round(x + w), round(y + h)
            inside = left >= 0 and top >= 0 and right <= width and bottom <= height
            if kind < 0 or not inside or min(right - left, bottom - top) < SMALLEST or len(found[kind]) >= count:
                continue
            piece = picture[top:bottom, left:right]
            found[kind][piece.tobytes() + bytes(piece.shape)] = piece
    return [list(pieces.values()) for pieces in found]


def correlate(pictures: Tensor, template: NDArray[np.uint8]) -> Tensor:
    """Return Pearson's correlation of a template with every place, float32 [n, rows, columns].

    Args:
        pictures: float32 [n, 1, height, width].
        template: uint8 [h, w].
    """
    piece = torch.from_numpy(template.astype(np.float32))
    piece = piece - piece.mean()
    ones, n = torch.ones_like(piece)[None, None], piece.numel()
    sums, squares = F.conv2d(pictures, ones), F.conv2d(pictures.square(), ones)
    spread = (squares - sums.square() / n).clamp(min=0) * piece.square().sum()
    result: Tensor = F.conv2d(pictures, piece[None, None]) / spread.clamp(min=1.0).sqrt()
    return result[:, 0]


def match(pictures: Tensor, templates: list[NDArray[np.uint8]]) -> list[NDArray[np.float64]]:
    """Look for all templates of a class; returns (score, x, y, width, height) [found, 5] of each picture."""
    gray = pictures.float()[:, None] - pictures.float().mean()
    places: list[list[Tensor]] = [[] for _ in pictures]
    for template in templates:
        height, width = template.shape
        map_ = correlate(gray, template)
        peaks = (map_ == F.max_pool2d(map_[:, None], 3, 1, 1)[:, 0]) & (map_ > LIKELY)
        for i, (peak, scores) in enumerate(zip(peaks, map_, strict=True)):
            rows, columns = peak.nonzero(as_tuple=True)
            values = scores[rows, columns]
            best = values.topk(min(PEAKS, len(values))).indices
            size = torch.tensor([width, height], dtype=torch.float32).expand(len(best), 2)
            where = torch.stack([columns[best], rows[best]], 1).float()
            places[i].append(torch.cat([values[best, None], where, size], 1))
    return [_suppress(torch.cat(found).double().numpy()) if found else np.zeros((0, 5)) for found in places]


def _suppress(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of places that overlap leave the best."""
    left, kept = found[np.argsort(-found[:, 0], kind="stable")], []
    while len(left):
        kept.append(left[0])
        left = left[overlap(left[0, 1:], left[:, 1:]) <= OVERLAP]
    return np.array(kept).reshape(-1, 5)


def compare(way: Supervised, data: Dataset, pictures: int, templates: int) -> dict[str, dict[str, float]]:
    """Return the average precision of each class, and their mean, of both."""
    batch = data.splits["test"].sample(pictures, np.random.default_rng(0))
    boxes, labels = (x.cpu().numpy() for x in way.boxes(batch))
    pieces = cut_templates(way, data.splits["train"], templates)
    told = way.tell(batch.observations)[1]
    rows: dict[str, dict[str, float]] = {"encoder": {}, "templates": {}}
    for k, name in enumerate(way.classes):
        true = [places[kinds == k].astype(np.float64) for places, kinds in zip(boxes, labels, strict=True)]
        mine = [found[found[:, 0] == k][:, 1:] for found in told]
        theirs = [found for part in torch.split(batch.observations[:, -1], CHUNK) for found in match(part, pieces[k])]
        rows["encoder"][name], rows["templates"][name] = (average_precision(found, true) for found in (mine, theirs))
    for row in rows.values():
        row["mean"] = float(np.nanmean(list(row.values())))
    return rows


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.detection", __doc__ or "")
    if min(settings.pictures, settings.templates) < 1:
        raise UserError("--pictures and --templates must be more than 0")
    set_threads(0)
    way, data = load_way(settings.run)
    if not isinstance(way, Supervised) or not way.config.detection_coef:
        raise UserError(f"{settings.run} finds no sprites; name a run of encoder-supervised")
    if settings.env_arg:
        data = Dataset(data.path, data.frames, look_of(settings.env_arg))
    rows = compare(way, data, settings.pictures, settings.templates)
    if settings.json:
        about: dict[str, Any] = {"benchmark": "detection", "machine": machine("torch"), "run": str(settings.run)}
        print_json({**about, "look": data.look, "pictures": settings.pictures, "ap50": rows})
        return 0
    table = Table("", *rows["encoder"], title="Average precision at half overlap, test episodes")
    for name, row in rows.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 100).print(table)
    return 0


if __name__ == "__main__":
    main_line(main)
