"""The last few frames of each game, for whoever looks at games from outside a rollout or replay."""

import numpy as np
from numpy.typing import NDArray


class FrameStack:
    """Keeps the last `frames` observations of n games, oldest first.

    At an episode's start the first frame fills the whole stack, so that no stack mixes two episodes.

    Attributes:
        stacks: uint8 [n, frames * channels, height, width].
    """

    def __init__(self, frames: int, observations: NDArray[np.uint8]) -> None:
        self._channels = observations.shape[1]
        self.stacks = np.tile(observations, (1, frames, 1, 1))

    def push(self, observations: NDArray[np.uint8], first: NDArray[np.bool_]) -> None:
        """Add the newest observations, uint8 [n, channels, height, width]; `first` marks new episodes."""
        kept = self.stacks.shape[1] - self._channels
        self.stacks[:, :kept] = self.stacks[:, self._channels :]
        self.stacks[:, kept:] = observations
        self.begin(observations, first)

    def begin(self, observations: NDArray[np.uint8], first: NDArray[np.bool_]) -> None:
        """Fill the whole stacks of the games marked `first` with these observations of theirs."""
        if first.any():
            frames = self.stacks.shape[1] // self._channels
            self.stacks[first] = np.tile(observations[first], (1, frames, 1, 1))
