"""A small dataset of a tiny game, and one of Flappy Bird, for whoever tests what is made of them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import FLAPPY_BIRD, GameVectorEnv
from perception.dataset import Dataset
from perception.recording import record


class Chance:
    """Flaps, or does whatever else, at a share of its decisions."""

    def __init__(self, actions: int, share: float = 0.12, frames: int = 1) -> None:
        self.frames, self._actions, self._share, self._rng = frames, actions, share, np.random.default_rng(0)
        self.seen: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]] = []
        self.did: list[NDArray[np.int64]] = []

    def __call__(self, stacks: NDArray[np.uint8], first: NDArray[np.bool_]) -> NDArray[np.int64]:
        n = len(stacks)
        acts = self._rng.random(n) < self._share
        actions = np.where(acts, self._rng.integers(1, self._actions, n), 0)
        self.seen.append((stacks.copy(), first.copy()))
        self.did.append(actions)
        return actions


def record_flappy(path: Path, pictures: int = 1500, games: int = 6, frames: int = 2, **changes: Any) -> Chance:
    """Record Flappy Bird; returns who played, who knows what was seen and done."""
    settings = {"max_frames": changes.pop("max_frames", None), **changes.pop("look", {})}
    envs = GameVectorEnv(FLAPPY_BIRD, games, frame_skip=2, **settings)
    look = {key: value for key, value in settings.items() if key != "max_frames"}
    about = {"env": "wingbeat/FlappyBird-v0", "preset": "classic", "frame_skip": 2, "look": look}
    policy = Chance(2, frames=frames)
    record(path, envs, policy, pictures, changes.pop("seed", 0), about, quiet=True)
    assert not changes
    return policy


def open_flappy(path: Path, frames: int = 2, **changes: Any) -> Dataset:
    """Record Flappy Bird and open what was recorded."""
    record_flappy(path, **changes)
    return Dataset(path, frames)
