"""One game as an ordinary Gymnasium environment. A batch of one: the same rules, the same pictures."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.game import Game
from envs.vector import GameVectorEnv


class GameEnv(gym.Env[NDArray[np.uint8], np.int64]):
    """One game, pixels out. Arguments, observations and actions are those of `GameVectorEnv`, without n.

    info carries `score` (int), `state` (the game's numbers by name) and `boxes`, int16 [max_sprites, 5]
    with (label index, x, y, width, height) of every visible sprite; the labels' names are `env.labels`.

    Raises:
        ValueError: if an argument does not fit the game.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, game: Game, render_mode: str | None = None, **settings: Any) -> None:
        self._games = GameVectorEnv(game, 1, render_mode=render_mode, **settings)
        self.game, self.preset, self.labels = game, self._games.preset, self._games.labels
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": self._games.metadata["render_fps"]}
        self.observation_space = self._games.single_observation_space
        self.action_space = self._games.single_action_space
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Start a new episode; returns (observation, info)."""
        super().reset(seed=seed)
        observations, info = self._games.reset(seed=seed)
        self._running = True
        return observations[0], self._first(info)

    def step(self, action: Any) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Step the game; returns (observation, reward, terminated, truncated, info).

        Raises:
            ValueError: if the action is not within the action space.
            RuntimeError: if no episode is under way.
        """
        if not self._running:
            raise RuntimeError("no episode is under way: call reset first")
        observations, rewards, terminated, truncated, info = self._games.step(np.array([action]))
        self._running = not (terminated[0] or truncated[0])
        return observations[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), self._first(info)

    def render(self) -> Any:
        """Return what a person sees, uint8 [screen height, screen width, 3], or None."""
        frames = self._games.render()
        return None if frames is None else frames[0]

    def _first(self, info: dict[str, Any]) -> dict[str, Any]:
        state = info["state"][0]
        numbers = {name: state[name].tolist() for name in state.dtype.names if name != "rng"}
        return {"score": int(info["score"][0]), "state": numbers, "boxes": info["boxes"][0]}
