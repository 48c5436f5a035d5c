"""Environments with one fault each, of the kinds that people make; `EXPECTED` names the finding that tells it."""

import os
import random
import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Walk(gym.Env[Any, Any]):
    """A sound environment: a walk with wind on a line; it ends beyond 3, and each step there is rewarded."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 30}

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space: Any = spaces.Box(-10, 10, (2,), np.float32)
        self.action_space: Any = spaces.Discrete(3)
        self.x = self.wind = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.x = float(self.np_random.uniform(-1, 1))
        self.wind = 0.0
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        self.wind = float(self.np_random.uniform(-0.5, 0.5))
        self.x += (int(action) - 1) * 0.5 + self.wind
        return self.observe(), self.x / 3, abs(self.x) > 3, False, {}

    def observe(self) -> Any:
        return np.array([self.x, self.wind], np.float32)

    def render(self) -> Any:
        frame = np.zeros((24, 24, 3), np.uint8)
        frame[8:16, min(max(int(self.x * 3) + 10, 0), 20) :][:, :4] = 255
        return frame


class Screen(Walk):
    """The same walk, seen as a picture: uint8 [24, 24, 1]."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Box(0, 255, (24, 24, 1), np.uint8)

    def observe(self) -> Any:
        return super().render()[:, :, :1].copy()


class SeedIgnored(Walk):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._np_random = np.random.default_rng()
        return super().reset()


class UnseededWind(Walk):
    def step(self, action: Any) -> Any:
        self.x += float(np.random.default_rng().uniform(-0.1, 0.1))
        return super().step(action)


class GlobalNumpy(Walk):
    """Repeats, for it seeds NumPy's own generator, and so everybody's."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            np.random.seed(seed)
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.x += np.random.uniform(-0.1, 0.1)
        return super().step(action)


class GlobalRandom(Walk):
    def step(self, action: Any) -> Any:
        self.x += random.uniform(-0.1, 0.1)
        return super().step(action)


class HashOrder(Walk):
    """Takes the order of a set of words, which is another in each process."""

    def step(self, action: Any) -> Any:
        self.x += 0.01 * list({"north", "east", "south", "west", "up", "down"}).index("up")
        return super().step(action)


class ReseedsItself(Walk):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=seed or 0)


class DefaultSeed(Walk):
    def reset(self, *, seed: int | None = 42, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=seed)


class ClassState(Walk):
    """Its position is the class's."""

    position = [0.0]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        result = super().reset(seed=seed)
        self.position[0] = 0.0
        return result

    def step(self, action: Any) -> Any:
        self.position[0] += 0.01 * int(action)
        self.x += self.position[0]
        return super().step(action)


class Aliased(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.buffer = np.zeros(2, np.float32)

    def observe(self) -> Any:
        self.buffer[:] = self.x, self.wind
        return self.buffer


class DoubleBuffer(Screen):
    """Two buffers in turn, so that the last two are right."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.buffers, self.turn = np.zeros((2, 24, 24, 1), np.uint8), 0

    def observe(self) -> Any:
        self.turn = 1 - self.turn
        self.buffers[self.turn] = super().observe()
        return self.buffers[self.turn]


class Doubles(Walk):
    def observe(self) -> Any:
        return np.array([self.x, self.wind])


class OutOfBounds(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)


class WrongAxes(Screen):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Box(0, 255, (1, 24, 24), np.uint8)


class ListObservation(Walk):
    def observe(self) -> Any:
        return [self.x, self.wind]


class MissingKey(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        number = spaces.Box(-10, 10, (1,), np.float32)
        self.observation_space = spaces.Dict({"x": number, "wind": number})

    def observe(self) -> Any:
        return {"x": np.array([self.x], np.float32)}


class ChannelsBetween(Screen):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Box(0, 255, (24, 3, 24), np.uint8)

    def observe(self) -> Any:
        return np.repeat(np.moveaxis(super().observe(), -1, 1), 3, axis=1)


class Black(Screen):
    def observe(self) -> Any:
        return np.zeros((24, 24, 1), np.uint8)


class Frozen(Screen):
    """Draws in reset, and then shows that frame for ever."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.frame = None
        return super().reset(seed=seed)

    def observe(self) -> Any:
        self.frame = super().observe() if self.frame is None else self.frame
        return self.frame.copy()


class AlreadyScaled(Screen):
    """Divides by 255 and still says 0 to 255."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Box(0, 255, (24, 24, 1), np.float32)

    def observe(self) -> Any:
        return (super().observe() / 255).astype(np.float32)


class FloatPicture(Screen):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Box(0, 1, (24, 24, 1), np.float32)

    def observe(self) -> Any:
        return (super().observe() / 255).astype(np.float32)


class NanObservation(Walk):
    """The root of a number that is sometimes negative."""

    def observe(self) -> Any:
        with np.errstate(invalid="ignore"):
            return np.array([self.x, np.sqrt(np.float32(self.wind + 0.45))], np.float32)


class Unscaled(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)

    def observe(self) -> Any:
        return np.array([self.x * 1e5, self.wind], np.float32)


class ClipsInPlace(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = spaces.Box(-1, 1, (1,), np.float32)

    def step(self, action: Any) -> Any:
        np.clip(action, -0.5, 0.5, out=action)
        self.x += float(action[0])
        return super().step(1)


class Deaf(Walk):
    def step(self, action: Any) -> Any:
        return super().step(1)


class FromOne(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = spaces.Discrete(3, start=1)

    def step(self, action: Any) -> Any:
        return super().step(action - 1)


class ArrayReward(Walk):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, np.array([reward], np.float32), *rest


class NoReward(Walk):
    """Forgets to return it."""

    def step(self, action: Any) -> Any:
        observation, _, *rest = super().step(action)
        return observation, 0.0, *rest


class NanReward(Walk):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, float("nan") if self.wind > 0.4 else reward, *rest


class HugeReward(Walk):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward * 1e5, *rest


class LimitTerminates(Walk):
    """Its walls are far away, and its time limit is an end like any other."""

    max_steps = 60

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.count = 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.count += 1
        self.x *= 0.7
        observation, reward, over, _, info = super().step(action)
        return observation, reward, over or self.count >= self.max_steps, False, info


class NamelessLimit(LimitTerminates):
    """The same with a number that has no name, in the middle of natural ends."""

    max_steps = 0

    def step(self, action: Any) -> Any:
        self.x *= 0.2
        observation, reward, _, _, info = super().step(action)
        return observation, reward, self.count >= 50 or abs(self.x) > 0.98, False, info


class BothEnds(LimitTerminates):
    def step(self, action: Any) -> Any:
        observation, reward, over, _, info = super().step(action)
        return observation, reward, over, over, info


class Endless(Walk):
    def step(self, action: Any) -> Any:
        self.x *= 0.7
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, False, info


class NoneTruncated(Walk):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, None, info


class StickyEnd(Walk):
    over = False

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        self.over = self.over or terminated
        return observation, reward, self.over, truncated, info


class OldStep(Walk):
    def step(self, action: Any) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


class OldReset(Walk):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=seed)[0]


class OldSeed(Walk):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


class NoInfo(Walk):
    def step(self, action: Any) -> Any:
        return *super().step(action)[:4], None


class NoActionSpace(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = ["left", "stay", "right"]


class Raises(Walk):
    """One rare state was not thought of."""

    def step(self, action: Any) -> Any:
        return super().step([0, 1, 2][int(action) + (self.wind > 0.45)])


class NeedsFile(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        open("no/such/level.txt").close()


class Hangs(Walk):
    """Looks for a free place until it finds one."""

    def step(self, action: Any) -> Any:
        while self.wind > 0.4:
            time.sleep(0.01)
        return super().step(action)


class Dies(Walk):
    def step(self, action: Any) -> Any:
        if self.wind > 0.4:
            os.abort()
        return super().step(action)


class Quits(Walk):
    def step(self, action: Any) -> Any:
        if self.wind > 0.4:
            os._exit(3)
        return super().step(action)


class Prints(Walk):
    def step(self, action: Any) -> Any:
        print("position", self.x, "wind", self.wind)
        return super().step(action)


class GrayRender(Walk):
    def render(self) -> Any:
        return super().render()[:, :, 0] / 255


class BlackRender(Walk):
    def render(self) -> Any:
        return np.zeros((24, 24, 3), np.uint8)


class BrokenRender(Walk):
    def render(self) -> Any:
        return self.canvas


class DrawingDraws(Walk):
    """Its stars twinkle by the generator of the rules."""

    def render(self) -> Any:
        frame = super().render()
        frame[self.np_random.integers(0, 24), 0] = 200
        return frame


class SlowReset(Walk):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        time.sleep(0.03)
        return super().reset(seed=seed)


class SlowStep(Walk):
    def step(self, action: Any) -> Any:
        time.sleep(0.012)
        return super().step(action)


class Hoards(Walk):
    """Keeps every frame of its life."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.history: list[Any] = []

    def step(self, action: Any) -> Any:
        self.history.append(np.ones(8192, np.uint8) * int(action))
        return super().step(action)


EXPECTED: dict[str, str] = {
    "SeedIgnored": "seed-ignored", "UnseededWind": "not-repeatable", "GlobalNumpy": "global-random",
    "GlobalRandom": "global-random", "HashOrder": "process-differs", "ReseedsItself": "reset-reseeds",
    "DefaultSeed": "reset-reseeds", "ClassState": "instances-share", "Aliased": "observation-aliased",
    "DoubleBuffer": "observation-aliased", "Doubles": "observation-dtype", "OutOfBounds": "observation-range",
    "WrongAxes": "observation-form", "ListObservation": "observation-form", "MissingKey": "observation-form",
    "ChannelsBetween": "channel-order", "Black": "picture-blank", "Frozen": "observation-frozen",
    "AlreadyScaled": "picture-scale", "FloatPicture": "picture-floats", "NanObservation": "observation-not-finite",
    "Unscaled": "observation-scale", "ClipsInPlace": "action-changed", "Deaf": "actions-ignored",
    "FromOne": "action-start", "ArrayReward": "reward-type", "NoReward": "reward-zero",
    "NanReward": "reward-not-finite", "HugeReward": "reward-scale", "LimitTerminates": "limit-terminates",
    "NamelessLimit": "limit-terminates", "BothEnds": "ends-both", "Endless": "never-ends",
    "NoneTruncated": "end-type", "StickyEnd": "end-sticks", "OldStep": "step-returns", "OldReset": "reset-returns",
    "OldSeed": "reset-signature", "NoInfo": "info-type", "NoActionSpace": "space-missing", "Raises": "env-raises",
    "NeedsFile": "make-raises", "Hangs": "env-hangs", "Dies": "env-dies", "Quits": "env-dies", "Prints": "prints",
    "GrayRender": "render-form", "BlackRender": "render-blank", "BrokenRender": "render-raises",
    "DrawingDraws": "render-moves", "SlowReset": "reset-slow", "SlowStep": "step-slow", "Hoards": "memory-grows",
}  # fmt: skip


class Rare(Walk):
    """Sound: rewarded once in some hundred steps, and always ends by itself."""

    def step(self, action: Any) -> Any:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, float(self.wind > 0.499), terminated, truncated, info


class Noisy(Walk):
    """Sound: its rewards are mostly noise."""

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + float(self.np_random.normal()), *rest


class Long(LimitTerminates):
    """Sound: no end for 3,000 steps, then a truncation."""

    max_steps = 3000

    def step(self, action: Any) -> Any:
        observation, reward, over, _, info = super().step(action)
        return observation, reward, False, over, info


class Obstacle(Walk):
    """Sound: nobody who walks by chance gets past what stands in the way at step 20."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.count = 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        self.count += 1
        self.x *= 0.5
        reward = super().step(action)[1]
        crashed = self.count == 20 and abs(reward) < 1
        return self.observe(), -1.0 if crashed else 0.1, crashed, False, {}


class Parts(Walk):
    """Sound: a picture and numbers."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        picture, number = spaces.Box(0, 255, (24, 24, 3), np.uint8), spaces.Box(-10, 10, (1,), np.float32)
        self.observation_space = spaces.Dict({"picture": picture, "wind": number})

    def observe(self) -> Any:
        return {"picture": self.render(), "wind": np.array([self.wind], np.float32)}


SOUND = ("Walk", "Screen", "Rare", "Noisy", "Long", "Obstacle", "Parts")


class Nonsense(Walk):
    """Everything is of a wrong type."""

    def observe(self) -> Any:
        return [None, {"x": object()}, np.array([{}, "x"], object)][int(self.np_random.integers(3))]

    def step(self, action: Any) -> Any:
        return self.observe(), self.np_random, "no", np.zeros(2), "info"


class Trap(Walk):
    """Its observation space can't even be read."""

    @property
    def observation_space(self) -> Any:  # type: ignore[override]
        raise OSError("gone")

    @observation_space.setter
    def observation_space(self, value: Any) -> None:
        pass
