"""The last few frames of each game, for whoever looks at games from outside a rollout or replay."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class FrameStack:
    """Keeps the last `frames` observations of n games, oldest first.

    At an episode's start the first frame fills the whole stack, so that no stack mixes two episodes.

    Attributes:
        stacks: [n, frames * channels, height, width], uint8 or, of numbers instead of pixels, float32.
    """

    def __init__(self, frames: int, observations: NDArray[Any]) -> None:
        self._channels = observations.shape[1]
        self.stacks = np.tile(observations, (1, frames, 1, 1))

    def push(self, observations: NDArray[Any], first: NDArray[np.bool_]) -> None:
        """Add the newest observations, [n, channels, height, width]; `first` marks new episodes."""
        kept = self.stacks.shape[1] - self._channels
        self.stacks[:, :kept] = self.stacks[:, self._channels :]
        self.stacks[:, kept:] = observations
        self.begin(observations, first)

    def begin(self, observations: NDArray[Any], first: NDArray[np.bool_]) -> None:
        """Fill the whole stacks of the games marked `first` with these observations of theirs."""
        if first.any():
            frames = self.stacks.shape[1] // self._channels
            self.stacks[first] = np.tile(observations[first], (1, frames, 1, 1))
