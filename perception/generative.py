"""Shared by the ways that draw pictures: the decoder, the page for people, the errors of reconstructions."""

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from perception.dataset import Batch, Split
from perception.encoder import Encoder
from perception.pages import panel, tile
from perception.training import Way

STILL = 4.0  # gray levels: a pixel that changes by more from one frame to the next shows something that moves
CHUNK = 512
COLUMNS = 8


def make_decoder(latents: int, channels: int, frames: int, height: int, width: int) -> nn.Module:
    """Build the decoder that draws pictures: float [batch, latents] to [batch, frames, height, width]."""
    coarse = (-(-height // 12), -(-width // 12))
    return nn.Sequential(
        nn.Linear(latents, 2 * channels * coarse[0] * coarse[1]),
        nn.ReLU(),
        nn.Unflatten(1, (2 * channels, *coarse)),  # [batch, 64, 7, 7] of 84 x 84 pixels
        nn.Conv2d(2 * channels, 9 * channels, 3, padding=1),
        nn.PixelShuffle(3),  # [batch, 32, 21, 21]
        nn.ReLU(),
        nn.Conv2d(channels, 16 * frames, 3, padding=1),
        nn.PixelShuffle(4),  # [batch, frames, 84, 84]
        _Crop(height, width),
    )


class _Crop(nn.Module):
    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.height, : self.width]


class Generative(Way):
    """A way that can reconstruct a picture from its features, and draw new ones from random latents.

    Args:
        encoder: the encoder to be trained.
        latents: numbers from which a picture is drawn; for new pictures they have a normal distribution.
    """

    def __init__(self, encoder: Encoder, latents: int) -> None:
        super().__init__(encoder)
        self.latents = latents

    @abstractmethod
    def encode(self, observations: Tensor) -> Tensor:
        """Return the latents of stacks, float32 [batch, latents]."""

    @abstractmethod
    def draw(self, latents: Tensor) -> Tensor:
        """Draw newest frames in gray levels, float32 [batch, height, width]."""

    @torch.no_grad()
    def dream(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw frames from random latents, uint8 [count, height, width]."""
        latents = torch.randn(count, self.latents, generator=generator).to(self.device)
        return torch.cat([_pixels(self.draw(part)) for part in torch.split(latents, CHUNK)])

    @torch.no_grad()
    def pictures(self, batch: Batch) -> NDArray[np.uint8]:
        """Draw frames, below them their reconstructions, and below these, frames drawn from random latents."""
        panels = []
        drawn = _pixels(self.draw(self.encode(batch.observations.to(self.device))))
        dreamt = self.dream(len(batch), torch.Generator().manual_seed(0))
        for start in range(0, len(batch), COLUMNS):
            for frames in (batch.observations[:, -1], drawn, dreamt):
                panels += [panel(frame) for frame in frames[start : start + COLUMNS].numpy()]
        return tile(panels, min(COLUMNS, len(batch)))

    @torch.no_grad()
    def retell(self, observations: Tensor) -> NDArray[np.uint8]:
        """Reconstruct the newest frame of the first of these stacks, [height, width, 3]."""
        return np.repeat(_pixels(self.draw(self.encode(observations[:1].to(self.device))))[0, ..., None].numpy(), 3, -1)

    @torch.no_grad()
    def judge(self, split: Split) -> dict[str, float]:
        """Measure errors in gray levels: of all pixels, and of those that show something that moves."""
        sums, counts = np.zeros(2), np.zeros(2)  # of squared errors: of all pixels, of those that moved
        for index in np.array_split(np.arange(len(split)), -(-len(split) // CHUNK)):
            observations = split.batch(index).observations.to(self.device)
            frame = observations[:, -1].float()
            errors = (self.draw(self.encode(observations)) - frame).square()
            parts = [errors]
            if observations.shape[1] > 1:
                parts.append(errors[(frame - observations[:, -2].float()).abs() > STILL])
            for k, part in enumerate(parts):
                sums[k] += part.sum(dtype=torch.float64).item()
                counts[k] += part.numel()
        with np.errstate(invalid="ignore"):
            rms = np.sqrt(sums / counts).tolist()
        return {"rms_error": rms[0]} | ({"rms_error_moving": rms[1]} if split.data.frames > 1 else {})


def _pixels(drawn: Tensor) -> Tensor:
    return drawn.round().clamp(0, 255).to(torch.uint8).cpu()
