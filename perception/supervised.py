"""Supervised: the features must tell the state's numbers and where every sprite is.

The numbers are read off the features by one linear layer, as probes do it. The sprites are found by a light decoder
that sees nothing but the features either: what is not in them can't be found.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiment.ranges import NonNegative
from perception.dataset import Batch, Dataset, Split
from perception.detection import STRIDE, average_precision, box_loss, decode, focal_loss, make_targets
from perception.encoder import Encoder
from perception.pages import panel, tile
from perception.regression import r2
from perception.training import Way

FLOOR = 0.02  # squared error, in squared standard deviations, below which a smaller one hardly counts
LIKELY = 0.3  # score above which a found sprite is drawn
JUDGED = 4096  # pictures at most, in which sprites are counted
LOOKED_AT = 1024  # pictures that show which sprites move
CHUNK = 512


@dataclass
class SupervisedConfig:
    """Settings of supervised training."""

    numbers_coef: NonNegative = 1.0
    """weight of the state's numbers"""
    detection_coef: NonNegative = 1.0
    """weight of finding sprites; 0 for the numbers alone"""
    channels: int = 32
    """of the decoder that finds sprites"""


def scales(numbers: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Return each number's mean and standard deviation, float32 [numbers] each, of [n, numbers] with NaN for unknown.

    The mean of a number that is never known is 0, the deviation of one that never changes is 1.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of numbers that are never known
        center, spread = np.nanmean(numbers, 0), np.nanstd(numbers, 0)
    return torch.from_numpy(np.nan_to_num(center)), torch.from_numpy(np.where(spread > 1e-6, spread, 1.0)).float()


def numbers_loss(told: Tensor, wanted: Tensor) -> Tensor:
    """Gaussian likelihood with the best variance for each number: L = mean_k 1/2 log(mean_i (x_ik - m_ik)^2 + FLOOR).

    A number whose error is ten times smaller weighs a hundred times more, so that all numbers are learned alike,
    however exactly a picture shows them.

    Args:
        told: m, float [batch, numbers].
        wanted: x, in standard deviations; NaN where no picture shows it.
    """
    known = ~wanted.isnan()
    errors = torch.where(known, told - wanted.nan_to_num(), 0.0).square()
    any_known = known.any(0)
    means = errors.sum(0)[any_known] / known.sum(0)[any_known]
    return 0.5 * (means + FLOOR).log().sum() / max(1, len(means))  # 0 where nothing is known at all


def _movers(data: Dataset) -> list[str]:
    """Name the classes of sprites that are not always in the same place: only these are worth finding."""
    boxes = data.splits["train"].sample(LOOKED_AT, np.random.default_rng(0)).boxes.flatten(0, 1).numpy()
    places = [np.unique(boxes[boxes[:, 0] == k, 1:], axis=0) for k in range(len(data.envs.labels))]
    return [label for label, place in zip(data.envs.labels, places, strict=True) if len(place) > 1]


class Supervised(Way):
    """Numbers and sprites from the features.

    Args:
        encoder: the encoder to be trained.
        config: settings.
        data: the dataset to learn from.

    Attributes:
        names: of the numbers.
        classes: of the sprites that are found.
    """

    objective = "supervised"

    def __init__(self, encoder: Encoder, config: SupervisedConfig, data: Dataset) -> None:
        super().__init__(encoder)
        self.config, self.names, self._most = config, data.names, data.game.max_sprites
        self.numbers = nn.Linear(encoder.feature_dim, len(data.names))
        self.center: Tensor
        self.spread: Tensor
        self.register_buffer("center", torch.zeros(len(data.names)))
        self.register_buffer("spread", torch.ones(len(data.names)))
        self.classes = _movers(data)
        self._class_of = torch.tensor([self.classes.index(x) if x in self.classes else -1 for x in data.envs.labels])
        height, width = encoder.spec.height, encoder.spec.width
        self._shrink = torch.tensor([width / data.game.width, height / data.game.height] * 2)  # screen to picture
        self.grid = (-(-height // STRIDE), -(-width // STRIDE))
        coarse, channels = (-(-self.grid[0] // 2), -(-self.grid[1] // 2)), config.channels
        self.decoder = nn.Sequential(
            nn.Linear(encoder.feature_dim, channels * coarse[0] * coarse[1]),
            nn.ReLU(),
            nn.Unflatten(1, (channels, *coarse)),
            nn.Conv2d(channels, 4 * (len(self.classes) + 4), 3, padding=1),
            nn.PixelShuffle(2),  # four cells of the grid from each coarse one: [batch, classes + 4, 2 rows, 2 columns]
        )
        last = self.decoder[-2]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias[: 4 * len(self.classes)], -4.0)  # sprites are rare

    def prepare(self, data: Dataset) -> None:
        """Take each number's mean and standard deviation from the training split."""
        center, spread = scales(data.splits["train"].numbers)
        self.center.copy_(center)
        self.spread.copy_(spread)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum of the losses, and each."""
        features = self.encoder(batch.observations.to(self.device))
        wanted = (batch.numbers.to(self.device) - self.center) / self.spread
        with torch.autocast(self.device.type, enabled=False):
            logs = {"numbers": numbers_loss(self.numbers(features), wanted)}
        total = self.config.numbers_coef * logs["numbers"]
        if self.config.detection_coef:
            heat, maps = self._maps(features)
            boxes, labels = self.boxes(batch)
            targets = make_targets(boxes, labels, len(self.classes), self.grid)
            logs["heat"] = focal_loss(heat, targets.heat, targets.center.sum())
            logs["boxes"] = box_loss(maps, targets)
            total = total + self.config.detection_coef * (logs["heat"] + logs["boxes"])
        return total, logs

    def pictures(self, batch: Batch) -> NDArray[np.uint8]:
        """Draw sprites as they are (green) and as they are found (orange), and numbers likewise."""
        told, found = self.tell(batch.observations)
        boxes, labels = (x.cpu() for x in self.boxes(batch))
        panels = []
        for i in range(len(batch)):
            lines = [
                f"{name}: {told[i, k]:.1f}" + ("" if np.isnan(true) else f", is {true:.1f}")
                for k, (name, true) in enumerate(zip(self.names, batch.numbers[i].tolist(), strict=True))
            ]
            likely = found[i][found[i][:, 1] > LIKELY][:, 2:]
            newest = batch.observations[i, -1].numpy()
            panels.append(panel(newest, lines, boxes[i][labels[i] >= 0].tolist(), likely.tolist()))
        return tile(panels, 4)

    def retell(self, observations: Tensor) -> NDArray[np.uint8] | None:
        """Draw the sprites that are found in the first of these stacks, enlarged, [height, width, 3]."""
        if not self.config.detection_coef:
            return None
        found = self.tell(observations[:1])[1][0]
        return panel(observations[0, -1].numpy(), predicted=found[found[:, 1] > LIKELY][:, 2:].tolist())

    def judge(self, split: Split) -> dict[str, float]:
        """Measure R2 of each number, and the average precision of each class at half overlap."""
        told = []
        found: list[NDArray[np.float64]] = []
        true: list[tuple[NDArray[np.float64], NDArray[np.int64]]] = []
        # In random order: sprites are counted in the first pictures alone, and rows are in the order of episodes' ends.
        order = np.random.default_rng(0).permutation(len(split))
        for index in np.array_split(order, -(-len(split) // CHUNK)):
            batch = split.batch(index)
            numbers, boxes = self.tell(batch.observations)
            told.append(numbers)
            if len(found) < JUDGED:
                found += list(boxes)
                places, labels = (x.cpu().numpy() for x in self.boxes(batch))
                true += [
                    (place[label >= 0].astype(np.float64), label[label >= 0])
                    for place, label in zip(places, labels, strict=True)
                ]
        values = r2(np.concatenate(told), split.numbers[order])
        result = {f"r2/{name}": value for name, value in zip(self.names, values.tolist(), strict=True)}
        if self.config.detection_coef:
            for c, name in enumerate(self.classes):
                result[f"ap50/{name}"] = average_precision(
                    [boxes[boxes[:, 0] == c][:, 1:] for boxes in found],
                    [boxes[labels == c] for boxes, labels in true],
                )
            known = [value for key, value in result.items() if key.startswith("ap50/") and not np.isnan(value)]
            result["map50"] = float(np.mean(known)) if known else float("nan")
        return result

    def _maps(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return heatmaps [batch, classes, rows, columns] as logits, and the four maps of boxes."""
        maps = self.decoder(features)[:, :, : self.grid[0], : self.grid[1]].float()
        return maps[:, : len(self.classes)], maps[:, len(self.classes) :]

    def boxes(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sprites' boxes in the picture's pixels, float [batch, sprites, 4], and classes, -1 for none."""
        boxes = batch.boxes
        labels = torch.where(boxes[..., 0] >= 0, self._class_of[boxes[..., 0].clamp(min=0).long()], -1)
        return (boxes[..., 1:] * self._shrink).to(self.device), labels.to(self.device)

    @torch.no_grad()
    def tell(self, observations: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return numbers [batch, numbers] in their own units, named by `names`, and what `decode` finds."""
        features = self.encoder(observations.to(self.device))
        numbers = self.numbers(features) * self.spread + self.center
        found = decode(*self._maps(features), most=self._most)
        return numbers.cpu().numpy(), found.cpu().double().numpy()
