"""Random features, frozen: the control that every way of training must beat."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from perception.dataset import Batch, Dataset
from perception.encoder import Encoder, freeze
from perception.pages import panel, tile
from perception.training import Way

SHOWN = 12  # features


@dataclass
class RandomConfig:
    """Nothing can be set."""


class Random(Way):
    """Learns nothing; its normalisation is fitted to the pictures, as every encoder's."""

    objective = "random"

    def __init__(self, encoder: Encoder, config: RandomConfig, data: Dataset) -> None:
        super().__init__(encoder)
        freeze(encoder)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """There is nothing to be minimised."""
        return self.encoder.mean.new_zeros(()), {}

    def pictures(self, batch: Batch) -> NDArray[np.uint8]:
        """Draw pictures with their largest features."""
        features = self.encoder(batch.observations.to(self.device)).cpu()
        panels = []
        for picture, row in zip(batch.observations[:, -1].numpy(), features, strict=True):
            values, places = row.topk(min(SHOWN, len(row)))
            pairs = [f"{place}: {value:.1f}" for place, value in zip(places.tolist(), values.tolist(), strict=True)]
            panels.append(panel(picture, ["   ".join(pairs[k : k + 3]) for k in range(0, len(pairs), 3)]))
        return tile(panels, 4)
