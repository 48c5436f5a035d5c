"""Many games as Stable-Baselines3 expects them: a VecEnv around a `GameVectorEnv`. Importing this needs SB3."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices

from envs.stack import FrameStack
from envs.vector import GameVectorEnv


class GameVecEnv(VecEnv):
    """All games in one call, frames stacked, no object a game.

    Observations: uint8 [n, frames, height, width], a new array at every step. At an episode's start the first frame
    fills the stack, as in Gymnasium's FrameStackObservation; SB3's VecFrameStack would put zeros there.

    SB3 resets within the step: when an episode ends, the observation returned is the first of the next one. The
    last one is in that game's info, as `terminal_observation`. The other games are not stepped for it.

    Every game's info has `score` and `TimeLimit.truncated` (cut off, and not dead).

    Args:
        games: the games; not to be stepped by anyone else.
        frames: frames in a stack.
    """

    def __init__(self, games: GameVectorEnv, frames: int) -> None:
        self.games = games
        _, height, width = games.single_observation_space.shape or (0, 0, 0)
        space = spaces.Box(0, 255, (frames, height, width), np.uint8)
        super().__init__(games.num_envs, space, games.single_action_space)
        self._nobody = np.zeros(games.num_envs, np.bool_)
        self._stack = FrameStack(frames, np.zeros((games.num_envs, 1, height, width), np.uint8))
        self._actions = np.zeros(games.num_envs, np.int64)

    @property
    def observations(self) -> NDArray[np.uint8]:
        """What the games show now; a copy, since SB3 still stores the last stacks when the next ones are there."""
        return self._stack.stacks.copy()

    def reset(self) -> NDArray[np.uint8]:
        """Start all games anew, with the seeds that `seed` has set; returns the observations."""
        observations, _ = self.games.reset(seed=self._seeds)
        self._reset_seeds()
        self._stack.begin(observations, ~self._nobody)
        return self.observations

    def step_async(self, actions: NDArray[Any]) -> None:
        """Note the actions, integers [n]."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Step all games; returns (observations, rewards, dones, infos)."""
        observations, rewards, terminated, truncated, info = self.games.step(self._actions)
        self._stack.push(observations, self._nobody)
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [
            {"score": score, "TimeLimit.truncated": cut}
            for score, cut in zip(info["score"].tolist(), truncated.tolist(), strict=True)
        ]
        if dones.any():
            for i in np.flatnonzero(dones):
                infos[i]["terminal_observation"] = self._stack.stacks[i].copy()
            observations, _ = self.games.reset(options={"reset_mask": dones})
            self._stack.begin(observations, dones)
        return self.observations, rewards.astype(np.float32), dones, infos

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return all that the future depends on: the games' own state, and the stacks."""
        return {**self.games.get_state(), "stacks": self.observations}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what `get_state` returned.

        Raises:
            ValueError: if the games do not fit.
        """
        self.games.set_state({key: value for key, value in state.items() if key != "stacks"})
        self._stack.stacks[:] = state["stacks"]

    def close(self) -> None:
        """Close the games."""
        self.games.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """Return what a person sees of each game; None unless the games were made with a render mode."""
        return self.games.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of the batch, once for each game."""
        return [getattr(self.games, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Refuse: one game of a batch has no attributes of its own."""
        raise NotImplementedError(f"the games are one batch; set {attr_name} when they are made")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: one game of a batch has no methods of its own."""
        raise NotImplementedError(f"the games are one batch; call {method_name} of `games`")

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """Return False for each game: there are no wrappers."""
        return [False for _ in self._get_indices(indices)]
