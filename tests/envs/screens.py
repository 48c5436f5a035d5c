"""Environments whose pictures and numbers tell what was done to them."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Film(gym.Env[Any, Any]):
    """Frame t is all of brightness 10 t, or 255 on the left half of odd frames if it flickers; the reward is 2 t.

    Args:
        shape: of the observation.
        flicker: see above.
        lives: lost one by one at every fifth frame, the last of which ends the game.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 60}

    def __init__(
        self,
        shape: tuple[int, ...] = (20, 30, 3),
        flicker: bool = False,
        lives: int = 1,
        render_mode: str | None = None,
    ) -> None:
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(5, start=3)
        self.render_mode, self._flicker, self._all = render_mode, flicker, lives
        self._t, self.lives = 0, lives
        self.actions: list[int] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._t, self.lives, self.actions = 0, self._all, []
        return self._frame(self.observation_space.shape or ()), {"lives": self.lives}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.actions.append(int(action))
        self._t += 1
        self.lives -= self._t % 5 == 0
        frame = self._frame(self.observation_space.shape or ())
        return frame, -2.0 * self._t, self.lives == 0, False, {"lives": self.lives}

    def render(self) -> Any:
        return self._frame((48, 64, 3))

    def _frame(self, shape: tuple[int, ...]) -> Any:
        frame = np.full(shape, 10 * self._t % 256, np.uint8)
        if self._flicker and self._t % 2:
            frame[:, : shape[1] // 2] = 255
        return frame


class Once(Film):
    """A film that is shown once: with one seed longer than with another, and never again."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        assert seed is not None, "nobody asked for another episode"
        self._all = 1 + seed % 3
        return super().reset(seed=seed, options=options)


class Old(Film):
    """A film of so many frames as NumPy's old generator says, which takes seeds of 32 bits and no more."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._all = int(np.random.RandomState(seed).randint(1, 10**6))
        return super().reset(options=options)


class Told(gym.ObservationWrapper[Any, Any, Any]):
    """A film, and beside it the number of the frame, of ten."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(Film(**settings))
        self.observation_space = spaces.Tuple((spaces.Box(0, 10, (1,), np.float32), self.env.observation_space))

    def observation(self, observation: Any) -> Any:
        return np.array([self.env.unwrapped._t], np.float32), observation


class Parts(gym.Env[Any, Any]):
    """A dict of numbers, and actions of several parts; the observation tells what the last action was.

    Args:
        eyes: pictures in the dict, of brightness 200 and 100 columns by columns.
        most: the highest position of a Box's numbers; also of those that are shown if there are eyes.
    """

    def __init__(
        self, eyes: int = 0, text: bool = False, levers: int = 3, pushes: int = 0, most: float = 1.0, places: int = 4
    ) -> None:
        parts: dict[str, spaces.Space[Any]] = {
            "last": spaces.Box(-1, most if eyes else 100, (2,), np.float64),
            "place": spaces.Discrete(places),
        }
        self._eyes = {f"eye{i}": spaces.Box(0, 255, (24, 40), np.uint8) for i in range(eyes)}
        if eyes:
            parts["eyes"] = spaces.Dict(self._eyes)
        if text:
            parts["speech"] = spaces.Sequence(spaces.Discrete(2))
        self.observation_space = spaces.Dict(parts)
        self.action_space: spaces.Space[Any] = spaces.MultiDiscrete([2, levers])
        if pushes:
            self.action_space = spaces.Box(-most, most, (pushes,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._tell([-1.0, -1.0], 2), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        return self._tell(action, 3), 0.0, False, False, {}

    def _tell(self, last: Any, place: int) -> dict[str, Any]:
        told: dict[str, Any] = {"last": np.asarray(last, np.float64)[:2], "place": place}
        picture = np.tile(np.array([200, 100], np.uint8), (24, 20))
        return {**told, "eyes": dict.fromkeys(self._eyes, picture)} if self._eyes else told


class Bare(gym.Env[Any, Any]):
    """Spaces of any kind; it checks its actions, shows zeros and keeps the last action. Without spaces it has none."""

    def __init__(self, shows: spaces.Space[Any] | None = None, takes: spaces.Space[Any] | None = None) -> None:
        if shows is not None:
            self.observation_space = shows
        if takes is not None:
            self.action_space = takes
        self.action: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return np.zeros(self.observation_space.shape or (), self.observation_space.dtype), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.action = action
        return self.reset()[0], 1.0, False, False, {}


class Blind(gym.Env[Any, Any]):
    """It renders nothing."""

    observation_space = spaces.Box(0, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.zeros(2, np.float32), 0.0, False, False, {}
