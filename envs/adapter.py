"""Anyone's Gymnasium environment, many at once, with the face of our own games."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray


class AdaptedVectorEnv(VectorEnv[Any, Any, Any]):
    """N environments of one kind, stepped one after the other.

    Observations: a state of d numbers, of whatever shape, as float32 [n, 1, 1, d]: a picture one pixel high.
    Actions: Discrete. Autoreset is next-step, as in `GameVectorEnv`.

    info:
        score: float64 [n], the sum of the episode's rewards so far.

    Args:
        env_id: as for `gymnasium.make`, so `package:Name-v0` works, too.
        num_envs: number of environments.
        score_cap: truncate an episode at this score; None for no cap.
        render_mode: None or "rgb_array".
        **settings: for the environment itself.

    Raises:
        ValueError: if there is no such environment, it does not take the settings, or its spaces are others.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.NEXT_STEP}
    taps = False  # an action lasts for as long as a decision

    def __init__(
        self,
        env_id: str,
        num_envs: int = 1,
        score_cap: float | None = None,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        self.num_envs, self.render_mode, self._cap = num_envs, render_mode, score_cap
        try:
            self.envs = [gym.make(env_id, render_mode=render_mode, **settings) for _ in range(num_envs)]
        except (gym.error.Error, ImportError, TypeError) as error:
            raise ValueError(f"the environment {env_id!r} can't be made: {error}") from error
        observations, actions = self.envs[0].observation_space, self.envs[0].action_space
        if not isinstance(observations, spaces.Box) or observations.dtype == np.uint8:
            raise ValueError(f"{env_id} shows {observations}; only states, boxes of floating point numbers, are known")
        if not isinstance(actions, spaces.Discrete) or actions.start != 0:
            raise ValueError(f"{env_id} takes {actions}; only Discrete actions from 0 on are known")
        size = int(np.prod(observations.shape))
        self.single_observation_space = spaces.Box(-np.inf, np.inf, (1, 1, size), np.float32)
        self.single_action_space = spaces.Discrete(int(actions.n))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {**type(self).metadata, "render_fps": self.envs[0].metadata.get("render_fps", 30)}
        self.over = np.ones(num_envs, np.bool_)
        self._scores = np.zeros(num_envs)
        self._seeds: list[int | None] = [None] * num_envs
        self._begun = np.zeros(
            2, np.int64
        )  # the seed, and episodes begun since: what a resumed run's seeds are made of

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
        out: NDArray[np.float32] | None = None,
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start every environment anew; arguments and results as in `GameVectorEnv.reset`."""
        if isinstance(seed, (int, np.integer)):
            self._begun[:] = seed, 0
            self._seeds = [int(seed) + i for i in range(self.num_envs)]
        elif seed is not None:
            self._seeds = list(seed)
        self.over[:] = True
        observations, _, _, _, info = self.step(np.zeros(self.num_envs, np.int64), out)
        return observations, info

    def step(
        self, actions: Any, out: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every environment; arguments and results as in `GameVectorEnv.step`."""
        n = self.num_envs
        if out is None:
            out = np.empty((n, *(self.single_observation_space.shape or ())), np.float32)
        rewards, terminated, truncated = np.zeros(n), np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        for i, (env, action) in enumerate(zip(self.envs, np.asarray(actions).tolist(), strict=True)):
            if self.over[i]:  # next-step autoreset: this action is ignored
                observation, _ = env.reset(seed=self._seeds[i])
                self._seeds[i], self._scores[i] = None, 0.0
                self._begun[1] += 1
            else:
                observation, reward, terminated[i], truncated[i], _ = env.step(action)
                rewards[i] = float(reward)
                self._scores[i] += rewards[i]
                truncated[i] |= self._cap is not None and self._scores[i] >= self._cap
            out[i] = np.asarray(observation, np.float32).reshape(1, 1, -1)
        self.over = terminated | truncated
        return out, rewards, terminated, truncated, {"score": self._scores.copy()}

    def render(self) -> tuple[Any, ...] | None:
        """Return what a person sees of each environment, uint8 [height, width, 3], or None."""
        return None if self.render_mode is None else tuple(env.render() for env in self.envs)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return what `set_state` needs. Nobody knows how to keep another's environment: all will begin anew."""
        return {"begun": self._begun.copy()}

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Begin new episodes at the next step, with seeds that follow from the state and were not used before."""
        self._begun[:] = state["begun"]
        self._seeds = np.random.SeedSequence(self._begun.tolist()).generate_state(self.num_envs).tolist()
        self.over[:] = True

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment."""
        for env in self.envs:
            env.close()
