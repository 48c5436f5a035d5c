"""One environment that is not ours: found by name, given the form that agents know, and checked at every step."""

import contextlib
import importlib
import inspect
import math
import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.registry import FAULTS, user_module, words
from envs.screen import Screen, Squares, gray, picture_size, shrink

FAMILIES = {  # how ids begin whose packages register them only once these are imported, and how to install them
    "ALE/": ("ale_py", "ale-py"),
    "MinAtar/": ("minatar.gym", "minatar"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
    "FlappyBird-v0": ("flappy_bird_gymnasium", "flappy-bird-gymnasium"),
}
NUMBERS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)  # what can be a state, or part of one
MOST_ACTIONS = 4096  # combinations of a MultiDiscrete space, or of a Box's bins
MANY_ACTIONS, MOST_BINS = 1000, 11  # up to which bins are made unasked
SEEN = 200  # pixels that a picture which a person looks at has at least, about
Place = tuple[str | int, ...]  # of a part in an observation: the keys that lead to it
SIMPLE_NAME = re.compile(r"[\w.]+:[A-Za-z_]\w*")


class EnvFailure(RuntimeError):
    """An environment did what it must not: it raised, died, hung, or returned what is no number or of another form.

    Attributes:
        traceback: what is known of where it happened, perhaps nothing.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


def names_code(env_id: str) -> bool:
    """Whether making this environment imports a module that the id names: only whoever types it may ask for that."""
    return ":" in env_id


def setting(text: str) -> bool | int | float | str:
    """Read what an environment's setting is set to: True, False or a number, if it looks like one."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def short(seed: int, bits: int) -> int:
    """Make a seed of at most 32 bits of any other: many environments take no longer ones, as NumPy's old generator.

    Near ones do not become the same.
    """
    return int(np.random.SeedSequence(seed).generate_state(1)[0] >> (32 - bits))


def naming(env_id: str) -> str:
    """Return the flag that has to be typed again for an environment whose id names code, else nothing."""
    return f" --env {env_id}" if names_code(env_id) else ""


def register(env_id: str) -> None:
    """Import the package that registers this id if it is of a well-known family, and is installed.

    Raises:
        ValueError: if it is not installed.
    """
    for start, (module, package) in FAMILIES.items():
        if env_id.startswith(start) and env_id not in gym.registry:
            try:
                imported = importlib.import_module(module)
            except ImportError as error:
                raise ValueError(f"{env_id} needs a package: pip install {package} ({error})") from error
            if module == "minatar.gym":
                imported.register_envs()


def make_env(
    env_id: str, settings: Mapping[str, Any], render_mode: str | None = None, every_frame: bool = False
) -> gym.Env[Any, Any]:
    """Make one environment.

    Args:
        env_id: as for `gymnasium.make`, or `package.module:name` of a class or a function that makes one. A module is
            looked for where Python looks, and in the current folder.
        settings: for the environment itself.
        render_mode: None or "rgb_array".
        every_frame: it is not to skip frames by itself, if it does by a setting `frameskip`.

    Raises:
        ValueError: if there is no such environment, or it does not take the settings.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        register(env_id)
        maker = _maker(env_id)
        if maker is None:
            known = gym.registry.get(env_id.split(":")[-1])  # only now: importing its package may have registered it
            if every_frame and known and "frameskip" in known.kwargs:
                settings = {"frameskip": 1, **settings}
            return gym.make(env_id, render_mode=render_mode, disable_env_checker=True, **settings)  # `Guest` checks
        env = maker(**settings, **({"render_mode": render_mode} if render_mode else {}))
    except FAULTS as error:
        raise ValueError(f"the environment {env_id!r} can't be made: {words(error)}") from error
    if not isinstance(env, gym.Env):
        raise ValueError(f"{env_id} makes {type(env).__name__}, which is no gymnasium.Env")
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(env, name, None), spaces.Space):
            raise ValueError(f"{env_id} has no {name}")
    return env


def _maker(env_id: str) -> Callable[..., Any] | None:
    """Return the class or function that `module:name` names, None if it is an id of Gymnasium's."""
    if not names_code(env_id):
        return None
    module = user_module(env_id.split(":")[0])
    if not SIMPLE_NAME.fullmatch(env_id):
        return None
    name = env_id.split(":")[1]
    maker = getattr(module, name, None)
    if maker is None and name not in gym.registry:
        names = [key for key, value in vars(module).items() if inspect.isclass(value) and issubclass(value, gym.Env)]
        raise ValueError(f"{module.__name__} has no {name}" + (f"; it has {', '.join(names)}" if names else ""))
    return maker


class Guest:
    """One environment, stepped a decision at a time, straight into the caller's buffer.

    Attributes:
        observation_space: uint8 [1, height, width], gray, or float32 [1, 1, numbers].
        actions: how many there are, from 0 on.
        metadata: the environment's own.

    Args:
        env_id: see `make_env`.
        settings: see `make_env`.
        screen: what lies between.
        render_mode: None or "rgb_array".

    Raises:
        ValueError: if it can't be made, or its spaces do not fit.
    """

    def __init__(
        self, env_id: str, settings: Mapping[str, Any], screen: Screen, render_mode: str | None = None
    ) -> None:
        self.env_id, self.screen = env_id, screen
        # Frames are skipped here, not there: what is pooled are single ones.
        mode = "rgb_array" if screen.pixels else render_mode
        self.env = make_env(env_id, settings, mode, every_frame=screen.frame_skip > 1)
        self.metadata: dict[str, Any] = dict(self.env.metadata or {})
        self._rng = np.random.default_rng()
        self._last, self._ended, self._lives = 0, True, 0
        self.actions = self._count_actions()
        self.observation_space = self._choose_space()

    def _count_actions(self) -> int:
        space = self.env.action_space
        self._bins: list[NDArray[Any]] = []
        if isinstance(space, spaces.Discrete):
            return int(space.n)
        if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
            count = math.prod(int(n) for n in space.nvec)  # Python's numbers do not overflow
            if count <= MOST_ACTIONS:
                return count
        if isinstance(space, spaces.Box) and space.is_bounded():
            with np.errstate(over="ignore"):
                if space.dtype.kind == "f" and not np.isfinite(space.high - space.low).all():
                    raise ValueError(f"{self.env_id} takes {space}, whose bounds are too far apart for even steps")
            self._bins = bins(space, self.screen.bins)
            if (count := math.prod(map(len, self._bins))) <= MOST_ACTIONS:
                return count
        raise ValueError(
            f"{self.env_id} takes {space}; actions may be Discrete, MultiDiscrete or a Box with bounds, of at most "
            f"{MOST_ACTIONS} combinations"
        )

    def _choose_space(self) -> spaces.Box:
        space = self.env.observation_space
        parts = list(_parts(space))
        pictures = [(path, part.shape, fit) for path, part in parts if (fit := picture_size(part))]
        self._picture: tuple[int, ...] | None = None  # its shape
        self._place: Place = ()  # and where it is
        self._beside: list[tuple[Place, spaces.Space[Any]]] = []  # numbers that are drawn above it
        self._squares: Squares | None = None
        if self.screen.pixels:
            try:
                self.env.reset()
                self._picture = self._rendered().shape
            except FAULTS as error:
                raise ValueError(f"{self.env_id} can't be seen as pixels: {words(error)}") from error
            size = self._picture[0], self._picture[1]
        elif len(pictures) > 1:
            raise ValueError(f"{self.env_id} shows more than one picture, {space}; try --pixels")
        elif not all(isinstance(part, NUMBERS) for _, part in parts):
            raise ValueError(f"{self.env_id} shows {space}, which is not of one size; try --pixels")
        elif pictures:
            ((self._place, self._picture, size),) = pictures
            self._beside = [(path, part) for path, part in parts if path != self._place]
        else:
            numbers = int(np.prod(spaces.flatten_space(space).shape or ()))
            return spaces.Box(-np.inf, np.inf, (1, 1, numbers), np.float32)
        height, width = self.screen.small(*size)
        if self._beside:
            boxes = [spaces.flatten_space(part) for _, part in self._beside]
            low, high = (np.concatenate([getattr(box, end).ravel() for box in boxes]) for end in ("low", "high"))
            self._squares = Squares(low, high, width)
            if self._squares.height > self.screen.size // 2:
                raise ValueError(f"{self.env_id} shows too many numbers beside a picture, {len(low)}; try --pixels")
            height = min(height + self._squares.height, self.screen.size)
        return spaces.Box(0, 255, (1, height, width), np.uint8)

    def reset(self, seed: int | None, out: NDArray[Any]) -> None:
        """Begin an episode, or go on with a game of which one life is over; what it shows then goes into `out`.

        Raises:
            ValueError: if the observation is not what the space says.
        """
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        if self.screen.life_loss and seed is None and not self._ended:
            observation, _, terminated, truncated, info = self.env.step(self._action(0))
            if not (terminated or truncated):
                self._lives = info.get("lives", 0)
                self._show(observation, None, out)
                return
        observation, info = self.env.reset(seed=seed if seed is None or seed < 2**32 else short(seed, 32))
        for _ in range(self._rng.integers(self.screen.no_ops + 1) if self.screen.no_ops else 0):
            observation, _, terminated, truncated, info = self.env.step(self._action(0))
            if terminated or truncated:
                observation, info = self.env.reset()
        self._last, self._ended, self._lives = 0, False, info.get("lives", 0)
        self._show(observation, None, out)

    def step(self, action: int, out: NDArray[Any]) -> tuple[float, bool, bool]:
        """Step one decision; what it shows then goes into `out`. Returns (reward, terminated, truncated).

        Raises:
            ValueError: if reward or observation are no numbers, or not what the space says.
        """
        screen, before, total = self.screen, None, 0.0
        for left in reversed(range(screen.frame_skip)):
            if not (screen.sticky and self._rng.random() < screen.sticky):
                self._last = action
            observation, reward, terminated, truncated, info = self.env.step(self._action(self._last))
            total += float(reward)
            self._ended = bool(terminated or truncated)
            if screen.life_loss:
                lost, self._lives = info.get("lives", 0) < self._lives, info.get("lives", 0)
                terminated = terminated or lost
            if terminated or truncated:
                break
            if screen.pool and left == 1 and self._picture is not None:
                before = self._picture_in(observation).copy()
        if not np.isfinite(total):
            raise ValueError(f"the reward is {total}")
        self._show(observation, before, out)
        return total, bool(terminated), bool(truncated)

    def render(self) -> NDArray[np.uint8]:
        """Return what a person sees, uint8 [height, width, 3]; pictures that are tiny come enlarged.

        Raises:
            EnvFailure: if it shows nothing of the kind.
        """
        try:
            picture = self._rendered()
            times = SEEN // max(picture.shape[:2])
            return picture.repeat(times, 0).repeat(times, 1) if times > 1 else picture
        except FAULTS as error:
            raise EnvFailure(f"{self.env_id} can't be shown: {words(error)}", traceback.format_exc()) from error

    def close(self) -> None:
        """Close the environment. What fails at that is no reason to lose what was learned in it."""
        with contextlib.suppress(*FAULTS):
            self.env.close()

    def _action(self, action: int) -> Any:
        space = self.env.action_space
        if isinstance(space, spaces.MultiDiscrete):
            return (np.array(np.unravel_index(action, space.nvec)) + space.start).astype(space.dtype)
        if isinstance(space, spaces.Box):
            places = np.unravel_index(action, [len(positions) for positions in self._bins])
            numbers = [positions[place] for positions, place in zip(self._bins, places, strict=True)]
            return np.array(numbers, space.dtype).reshape(space.shape)
        assert isinstance(space, spaces.Discrete)
        return space.start + action

    def _rendered(self) -> NDArray[np.uint8]:
        picture = self.env.render()
        if isinstance(picture, np.ndarray) and picture.dtype.kind == "f" and ((picture >= 0) & (picture <= 1)).all():
            picture = np.rint(255 * picture).astype(np.uint8)  # as MinAtar's
        if not isinstance(picture, np.ndarray) or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"{self.env_id} renders no picture [height, width, 3] in the mode rgb_array")
        if picture.dtype != np.uint8:
            raise ValueError(f"{self.env_id} renders {picture.dtype}, where uint8 is expected")
        return picture

    def _picture_in(self, observation: Any) -> NDArray[np.uint8]:
        """Return the picture that it shows now, checked."""
        picture: NDArray[np.uint8]
        picture = self._rendered() if self.screen.pixels else np.asarray(_at(observation, self._place))
        if picture.shape != self._picture or picture.dtype != np.uint8:
            raise ValueError(
                f"the observation is {picture.dtype} {list(picture.shape)}, not uint8 {list(self._picture or ())}"
            )
        return picture

    def _show(self, observation: Any, before: NDArray[np.uint8] | None, out: NDArray[Any]) -> None:
        if self._picture is not None:
            picture = self._picture_in(observation)
            above = 0 if self._squares is None else self._show_numbers(self._squares, observation, out[0])
            shrink(gray(picture if before is None else np.maximum(picture, before)), out[0, above:])
            return
        space = self.env.observation_space
        if isinstance(space, spaces.Box):
            numbers = np.asarray(observation)
            if numbers.shape != space.shape:
                raise ValueError(f"the observation has the shape {list(numbers.shape)}, not {list(space.shape)}")
        else:
            numbers = np.asarray(spaces.flatten(space, observation))
        out.reshape(-1)[:] = numbers.reshape(-1)
        if not np.isfinite(out).all():
            raise ValueError(f"the observation is not finite: {numbers}")

    def _show_numbers(self, squares: Squares, observation: Any, out: NDArray[np.uint8]) -> int:
        """Draw the numbers beside a picture into the topmost rows; returns how many rows they take."""
        values = [np.asarray(spaces.flatten(part, _at(observation, path))).ravel() for path, part in self._beside]
        numbers = np.concatenate(values)
        if not np.isfinite(numbers).all():
            raise ValueError(f"the numbers beside the picture are not finite: {numbers}")
        squares.draw(numbers, out[: squares.height])
        return squares.height


def bins(space: spaces.Box, count: int = 0) -> list[NDArray[Any]]:
    """Choose positions of a Box's numbers, in even steps from the lowest to the highest; of integers the nearest, once.

    Args:
        space: with bounds.
        count: of each number; 0 for an odd one of at most 11, with no more than a thousand combinations unless it
            is 3. An odd number of positions has the middle among them, which is mostly rest.

    Returns:
        positions of each number, [count]; fewer where there are not so many integers.
    """
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    fitting = (k for k in range(MOST_BINS, 1, -2) if k ** len(low) <= MANY_ACTIONS)
    count = count or next(fitting, 3)
    positions = [np.linspace(a, b, count) for a, b in zip(low, high, strict=True)]
    return [np.unique(np.rint(each)) for each in positions] if space.dtype.kind in "biu" else positions


def _parts(space: spaces.Space[Any], path: Place = ()) -> Iterator[tuple[Place, spaces.Space[Any]]]:
    """Yield where each part is that is no Dict or Tuple itself, and the part."""
    inner: Iterable[tuple[str | int, spaces.Space[Any]]]
    if isinstance(space, spaces.Dict):
        inner = space.spaces.items()
    elif isinstance(space, spaces.Tuple):
        inner = enumerate(space.spaces)
    else:
        yield path, space
        return
    for key, part in inner:
        yield from _parts(part, (*path, key))


def _at(observation: Any, path: Place) -> Any:
    """Take a part of an observation."""
    return reduce(lambda whole, key: whole[key], path, observation)
