"""Sprites found as points (CenterNet, Zhou et al. 2019): targets, boxes from predictions, average precision.

The picture is seen as a grid of cells of STRIDE pixels. A class has a heatmap with a peak in the cell of each
sprite's center; there, four more maps tell the center's place within the cell and the box's width and height, in cells.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

STRIDE = 4
SMALLEST = 2.0  # pixels; smaller boxes, slivers at the screen's edge, count neither as missed nor as wrongly found


class Targets(NamedTuple):
    """The outputs that a detector is trained to give.

    Attributes:
        heat: float [batch, classes, rows, columns], 1 at centers and falling off around them.
        center: bool [batch, sprites], where there is a sprite.
        cell: int64 [batch, sprites], its cell, row * columns + column.
        box: float [batch, sprites, 4]: the center's place in its cell (x, y), width and height, in cells.
        label: int64 [batch, sprites], its class; -1 where there is none.
    """

    heat: Tensor
    center: Tensor
    cell: Tensor
    box: Tensor
    label: Tensor


def make_targets(boxes: Tensor, labels: Tensor, classes: int, grid: tuple[int, int]) -> Targets:
    """Turn boxes into targets.

    Args:
        boxes: float [batch, sprites, 4], (x, y, width, height) in the picture's pixels.
        labels: int64 [batch, sprites], the class or -1 for none.
        classes: how many.
        grid: (rows, columns).
    """
    rows, columns = grid
    size = boxes[..., 2:] / STRIDE
    middle = boxes[..., :2] / STRIDE + size / 2
    column = middle[..., 0].floor().clamp(0, columns - 1)
    row = middle[..., 1].floor().clamp(0, rows - 1)
    spread = (size / 6).clamp(min=0.5)  # cells; a long sprite's peak is long
    across = (torch.arange(columns, device=boxes.device) - column[..., None]) / spread[..., :1]
    down = (torch.arange(rows, device=boxes.device) - row[..., None]) / spread[..., 1:]
    peak = (-0.5 * (down.square()[..., :, None] + across.square()[..., None, :])).exp()  # [batch, sprites, rows, cols]
    heat = torch.stack([(peak * (labels == c)[..., None, None]).amax(1) for c in range(classes)], 1)
    within = middle - torch.stack([column, row], -1)
    return Targets(heat, labels >= 0, (row * columns + column).long(), torch.cat([within, size], -1), labels)


def focal_loss(logits: Tensor, heat: Tensor, count: Tensor) -> Tensor:
    """Penalty-reduced focal loss (Law & Deng 2018), p = sigmoid(logits), g the heat, N the count of sprites.

    L = -1/N sum (1 - p)^2 log p where g = 1, and (1 - g)^4 p^2 log(1 - p) elsewhere.
    """
    p = logits.sigmoid()
    at = (1 - p).square() * F.logsigmoid(logits)
    elsewhere = (1 - heat).pow(4) * p.square() * F.logsigmoid(-logits)
    return -torch.where(heat == 1, at, elsewhere).sum() / count.clamp(min=1)


def box_loss(maps: Tensor, targets: Targets) -> Tensor:
    """Mean absolute error L = 1/(4N) sum |b - b*| of the boxes told at the N sprites' cells; maps [batch, 4, ...]."""
    told = maps.flatten(2).transpose(1, 2).gather(1, targets.cell[..., None].expand(-1, -1, 4))
    errors = (told - targets.box).abs() * targets.center[..., None]
    return errors.sum() / (4 * targets.center.sum().clamp(min=1))


def decode(logits: Tensor, maps: Tensor, most: int) -> Tensor:
    """Read boxes off the peaks; returns float [batch, most, 6]: class, score, then x, y, width, height in pixels."""
    rows, columns = logits.shape[2:]
    p = logits.float().sigmoid()
    p = p * (F.max_pool2d(p, 3, 1, 1) == p)  # a cell with a higher neighbour is no peak
    score, place = p.flatten(1).topk(min(most, p[0].numel()))
    label, cell = place // (rows * columns), place % (rows * columns)
    box = maps.float().flatten(2).transpose(1, 2).gather(1, cell[..., None].expand(-1, -1, 4))
    corner = torch.stack([cell % columns, cell // columns], -1) + box[..., :2] - box[..., 2:] / 2
    found = torch.cat([corner, box[..., 2:].clamp(min=0)], -1) * STRIDE
    return torch.cat([label[..., None].float(), score[..., None], found], -1)


def overlap(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of a box [4] with boxes [n, 4], (x, y, width, height)."""
    low = np.maximum(one[:2], others[:, :2])
    high = np.minimum(one[:2] + one[2:], others[:, :2] + others[:, 2:])
    shared = (high - low).clip(0).prod(1)
    union = one[2:].prod() + others[:, 2:].prod(1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9))


def average_precision(found: list[NDArray[np.float64]], true: list[NDArray[np.float64]], least: float = 0.5) -> float:
    """Area under the precision-recall curve for one class (Everingham et al. 2010, all points); NaN if there are none.

    Args:
        found: for each picture [n, 5]: score, x, y, width, height.
        true: for each picture [m, 4]; those narrower or lower than SMALLEST are left out, as is what is found there.
        least: intersection over union that counts as found.
    """
    scores, hits = [], []
    wanted = 0
    for boxes, truth in zip(found, true, strict=True):
        large = truth[:, 2:].min(1) >= SMALLEST if len(truth) else np.zeros(0, np.bool_)
        wanted += int(large.sum())
        free = np.ones(len(truth), np.bool_)
        for box in boxes[np.argsort(-boxes[:, 0], kind="stable")]:
            shared = np.where(free, overlap(box[1:], truth), 0) if len(truth) else np.zeros(1)
            best = int(shared.argmax())
            hit = bool(shared[best] >= least)
            if hit:
                free[best] = False
                if not large[best]:
                    continue
            elif len(truth) and (overlap(box[1:], truth)[~large] > 0).any():
                continue
            scores.append(box[0])
            hits.append(hit)
    if not wanted:
        return float("nan")
    right = np.cumsum(np.array(hits, np.float64)[np.argsort(-np.array(scores), kind="stable")])
    precision = right / np.arange(1, len(right) + 1)
    best_yet = np.maximum.accumulate(precision[::-1])[::-1]  # at this recall or a higher one
    recall = np.concatenate([[0.0], right / wanted])
    return float((np.diff(recall) * best_yet).sum())
