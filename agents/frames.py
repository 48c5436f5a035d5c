"""Where a replay's frames come from: stored as they were drawn, or drawn again from what was in them."""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs import GameVectorEnv
from perception.sharing import share

DRAWN = 256  # frames that are worth a part of their own: a quarter of a millisecond


class Frames(Protocol):
    """The frames of N games, [slots, games]. Whoever keeps frames steps the games, too.

    Attributes:
        small: a view, uint8, of all from which the frames come, to be saved or filled; None if that is too much.
    """

    small: Tensor | None

    def reset(self, slot: int, seed: int) -> None:
        """Reset all games; what they show then is kept in this slot."""

    def step(self, slot: int, actions: NDArray[np.int64]) -> tuple[Any, Any, Any, dict[str, Any]]:
        """Step all games and keep what they show; returns (rewards, terminated, truncated, info)."""

    def gather(self, index: NDArray[np.int64]) -> Tensor:
        """Return frames [len(index), height, width] of flat slots (slot * games + game)."""


class StoredFrames:
    """Every frame once, [slots, games, 1, height, width], or states. For any games that draw into `out`."""

    def __init__(self, envs: Any, slots: int) -> None:
        self._envs = envs
        self.small: Tensor | None = None  # a checkpoint of all these pictures would take gigabytes
        space = envs.single_observation_space
        self._frames = np.zeros((slots, envs.num_envs, *space.shape), space.dtype)

    @staticmethod
    def frame_bytes(envs: Any) -> int:
        """Bytes a frame."""
        space = envs.single_observation_space
        return int(np.prod(space.shape)) * int(space.dtype.itemsize)

    def reset(self, slot: int, seed: int) -> None:
        """See `Frames`."""
        self._envs.reset(seed=seed, out=self._frames[slot])

    def step(self, slot: int, actions: NDArray[np.int64]) -> tuple[Any, Any, Any, dict[str, Any]]:
        """See `Frames`."""
        _, rewards, terminated, truncated, info = self._envs.step(actions, out=self._frames[slot])
        return rewards, terminated, truncated, info

    def gather(self, index: NDArray[np.int64]) -> Tensor:
        """See `Frames`."""
        frames = torch.from_numpy(self._frames).flatten(0, 2)
        return frames.index_select(0, torch.from_numpy(index))


class RedrawnFrames:
    """The games' numbers, records [slots, games]; a frame is drawn from them when it is wanted. For our own games."""

    def __init__(self, envs: GameVectorEnv, slots: int) -> None:
        self._envs, self._shape = envs, envs.single_observation_space.shape or ()
        self._records = np.zeros((slots, envs.num_envs), envs.game.scene_dtype)
        self.small: Tensor | None = torch.from_numpy(self._records.view(np.uint8))

    @staticmethod
    def frame_bytes(envs: GameVectorEnv) -> int:
        """Bytes a frame."""
        return envs.game.scene_dtype.itemsize

    def reset(self, slot: int, seed: int) -> None:
        """See `Frames`."""
        _, info = self._envs.reset(seed=seed)
        self._records[slot] = self._envs.game.visible(info["state"])

    def step(self, slot: int, actions: NDArray[np.int64]) -> tuple[Any, Any, Any, dict[str, Any]]:
        """See `Frames`."""
        rewards, terminated, truncated, info = self._envs.advance(actions)
        self._records[slot] = self._envs.game.visible(info["state"])
        return rewards, terminated, truncated, info

    def gather(self, index: NDArray[np.int64]) -> Tensor:
        """See `Frames`."""
        frames, records = np.empty((len(index), *self._shape), np.uint8), self._records.reshape(-1)[index]

        def draw(first: int, last: int) -> None:
            self._envs.draw(records[first:last], frames[first:last])

        share(len(index), draw, least=DRAWN)
        return torch.from_numpy(frames).squeeze(1)


def kind(envs: Any, redraw: bool) -> type[StoredFrames] | type[RedrawnFrames]:
    """Choose how these games' frames are kept: drawn again if that is wished for and they can be."""
    return RedrawnFrames if redraw and isinstance(envs, GameVectorEnv) else StoredFrames
