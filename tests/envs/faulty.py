"""An environment that counts, and goes wrong in a chosen way at a chosen moment."""

import os
import signal
import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

FAULTS = {
    "killed": "SIGKILL",
    "exiting": "exit code 3",
    "leaving": "SystemExit",
    "raising": "RuntimeError: the left wing fell off",
    "crashing": "SIGSEGV",
    "hanging": "did not answer within 1 seconds",
    "stopping": "did not answer within 1 seconds",
    "nan": "the observation is not finite",
    "nan_reward": "the reward is nan",
    "shape": "the observation has the shape [4], not [3]",
}
HERE = ["raising", "leaving", "nan", "nan_reward", "shape"]  # what can be noticed without a process of its own


class Faulty(gym.Env[Any, Any]):
    """Shows [the episode's seed, its step, a random number]; the reward is the step's number.

    Args:
        fault: one of FAULTS, or none.
        seed: the fault happens in the episode of this seed.
        step: at this step, 0 for the reset.
        length: steps of an episode.
        closed: a file that gets a letter when one is closed; "" for none.
    """

    def __init__(self, fault: str = "", seed: int = -1, step: int = 3, length: int = 10, closed: str = "") -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._fault, self._seed, self._step, self._length = fault, seed, step, length
        self._episode, self._t, self._closed = 0, 0, closed

    def close(self) -> None:
        if self._closed:
            with open(self._closed, "a") as file:
                file.write("x")
        if self._fault == "raising":
            raise RuntimeError("the door is stuck")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._episode, self._t = self._episode + 1000 if seed is None else seed, 0
        return self._go_wrong()[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._t += 1
        observation, reward = self._go_wrong()
        return observation, reward, self._t >= self._length, False, {}

    def _go_wrong(self) -> tuple[Any, float]:
        observation = np.array([self._episode, self._t, self.np_random.random()], np.float32)
        reward = float(self._t)
        if (self._episode, self._t) != (self._seed, self._step):
            return observation, reward
        if self._fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._fault == "exiting":
            os._exit(3)
        elif self._fault == "leaving":
            raise SystemExit(4)
        elif self._fault == "raising":
            raise RuntimeError("the left wing\nfell off")
        elif self._fault == "crashing":
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)
        elif self._fault == "hanging":
            time.sleep(3600)
        elif self._fault == "stopping":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif self._fault == "nan":
            observation[2] = np.nan
        elif self._fault == "nan_reward":
            reward = float("nan")
        elif self._fault == "shape":
            observation = np.append(observation, 0).astype(np.float32)
        return observation, reward


def make_faulty(**settings: Any) -> Faulty:
    return Faulty(**settings)


def make_nothing() -> None:
    return None


class Dark(Faulty):
    """It takes a render mode, and renders nothing."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode


class Shy(Faulty):
    """It can be made in the process that asks for it, but in no other."""

    def __init__(self, owner: int) -> None:
        super().__init__()
        if os.getpid() != owner:
            raise RuntimeError("not here")


class Stuck(Faulty):
    """It begins, and fails at the first step."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        raise RuntimeError("no further")


class Stubborn(Faulty):
    """It fails at every reset but that of one seed's."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self._good = good

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None and not self._good <= seed < self._good + 8:
            raise RuntimeError("no more")
        return super().reset(seed=seed)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        raise RuntimeError("never")
