"""Observations as they lie: every frame once, and which of them each observation shows."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Stacks:
    """Stacks of frames, not yet put together. `Encoder` takes them like the tensor that they stand for.

    Attributes:
        pictures: uint8 or float32 [pictures, height, width], which must stay as they are while they are learned from.
        index: which of them each stack has, int64 [batch, frames].
    """

    pictures: Tensor
    index: NDArray[np.int64]

    @classmethod
    def of(cls, observations: Tensor) -> "Stacks":
        """Take observations [batch, frames, height, width] for stacks of pictures that lie one after the other."""
        batch, frames = observations.shape[:2]
        return cls(observations.flatten(0, 1), np.arange(batch * frames).reshape(batch, frames))

    def __len__(self) -> int:
        return len(self.index)

    @property
    def shape(self) -> torch.Size:
        """Of the tensor."""
        return torch.Size((*self.index.shape, *self.pictures.shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        """Of the tensor."""
        return self.pictures.dtype

    def single(self) -> "Stacks":
        """Take every frame of every stack for a stack of its own."""
        return Stacks(self.pictures, self.index.reshape(-1, 1))

    def gathered(self) -> Tensor:
        """Return the tensor, [batch, frames, height, width]."""
        rows = torch.from_numpy(self.index.reshape(-1)).to(self.pictures.device)
        return self.pictures.index_select(0, rows).view(self.shape)
