"""Playing an environment and writing down what it did, without judging it."""

import collections
import copy
import hashlib
import random
import re
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.doctor.making import parameters

KEPT_BYTES = 64 * 2**20  # of observations; beyond that only their digests are kept
HELD = 8  # observations that are watched for later changes


class EnvRaised(Exception):
    """The environment raised: where, and the traceback's last line."""

    def __init__(self, where: str, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
        place = f", at {Path(own[-1].filename).name} line {own[-1].lineno}" if own else ""
        line = traceback.format_exception_only(error)[-1].strip()
        super().__init__(f"{where} raised {line}{place}")
        self.where, self.error = where, error


class Malformed(Exception):
    """A result of another form than Gymnasium's; holds the finding's name and what was seen."""

    def __init__(self, name: str, seen: str) -> None:
        super().__init__(seen)
        self.name, self.seen = name, seen


@dataclass
class Episode:
    """One episode that came to its end."""

    length: int
    total: float
    last: float  # reward
    terminated: bool
    truncated: bool


@dataclass
class Record:
    """What one playing gave. An event is a reset or a step; `labels` names each."""

    digests: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    observations: list[Any] = field(default_factory=list)  # copies, of the first events only if they are large
    firsts: list[int] = field(default_factory=list)  # the events that are resets
    rewards: list[Any] = field(default_factory=list)  # as they came
    ends: list[tuple[Any, Any]] = field(default_factory=list)  # terminated and truncated, as they came
    episodes: list[Episode] = field(default_factory=list)
    odd_infos: list[str] = field(default_factory=list)
    limits_told: int = 0  # ends that info called a time limit although they were terminations
    aliased: str = ""
    action_changed: str = ""
    random_used: dict[str, str] = field(default_factory=dict)  # which global generator, and where first
    reset_seconds: list[float] = field(default_factory=list)
    step_seconds: float = 0.0

    @property
    def steps(self) -> int:
        """Steps taken, resets not counted."""
        return len(self.rewards)


class Player:
    """Plays one environment by chance.

    Args:
        make: makes the environment, from further settings.
        seed: of everything that is drawn.
        beat: called after each call of the environment, to tell that it came back.
    """

    def __init__(self, make: Callable[..., Any], seed: int, beat: Callable[[], None]) -> None:
        self.make, self.seed, self.beat = make, seed, beat

    def call(self, where: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call the environment; what it raises becomes `EnvRaised`."""
        try:
            return function(*arguments, **named)
        except (Exception, SystemExit) as error:
            raise EnvRaised(where, error) from error
        finally:
            self.beat()

    def reset(self, env: Any, seed: int | None = None) -> tuple[Any, Any]:
        """Reset; returns (observation, info)."""
        named = {} if seed is None else {"seed": seed}
        if seed is not None and not parameters(env.unwrapped.reset)[0] & {"seed", "**"}:
            named = {}
        result = self.call("reset", env.reset, **named)
        if not isinstance(result, tuple) or len(result) != 2:
            raise Malformed("reset-returns", f"reset returns {describe(result)}, not the pair observation, info")
        return result

    def step(self, env: Any, action: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Step; returns (observation, reward, terminated, truncated, info)."""
        result = self.call("step", env.step, action)
        if not isinstance(result, tuple) or len(result) != 5:
            old = " (the interface of old Gym: one done instead of terminated and truncated)"
            seen = f"step returns {describe(result)}, not five things"
            raise Malformed("step-returns", seen + old * (isinstance(result, tuple) and len(result) == 4))
        return result

    def actions(self, env: Any, seed: int) -> Iterator[Any]:
        """Yield random actions, drawn from a copy of the space so that the environment's own is left alone."""
        space = copy.deepcopy(env.action_space)
        space.seed(seed)
        while True:
            yield space.sample()

    def play(
        self,
        env: Any,
        steps: int,
        record: Record | None = None,
        seconds: float = 1e9,
        action_seed: int | None = None,
        between: Callable[[], None] = lambda: None,
    ) -> Record:
        """Play random actions from a seeded reset on, over episodes' ends, and write down everything.

        Args:
            env: what is played.
            steps: how many steps.
            record: filled while playing, so that it is there even if the environment raises.
            seconds: stop after so long.
            action_seed: other actions than those of the player's seed.
            between: called before each call of the environment.
        """
        record = Record() if record is None else record
        actions = self.actions(env, self.seed if action_seed is None else action_seed)
        begun, held, kept = time.perf_counter(), Held(), 0
        length, total, over, reset_seed = 0, 0.0, True, self.seed
        while record.steps < steps and time.perf_counter() - begun < seconds:
            between()
            before = global_random()
            started = time.perf_counter()
            if over:
                observation, info = self.reset(env, reset_seed if not record.firsts else None)
                record.reset_seconds.append(time.perf_counter() - started)
                outcome: tuple[Any, ...] = ()
                label = f"reset {len(record.firsts) + 1}"
                record.firsts.append(len(record.digests))
                over, length, total = False, 0, 0.0
            else:
                action = next(actions)
                meant = copy.deepcopy(action)
                started = time.perf_counter()
                observation, reward, terminated, truncated, info = self.step(env, action)
                record.step_seconds += time.perf_counter() - started
                length += 1
                label = f"step {length} of episode {len(record.firsts)}"
                if digest(meant) != digest(action) and not record.action_changed:
                    record.action_changed = f"{label} changed its action from {brief(meant)} to {brief(action)}"
                outcome = (reward, terminated, truncated)
                record.rewards.append(reward)
                record.ends.append((terminated, truncated))
                total += number(reward)
                over = truth(terminated) or truth(truncated)
                if over:
                    record.episodes.append(Episode(length, total, number(reward), truth(terminated), truth(truncated)))
                    told = isinstance(info, dict) and truth(info.get("TimeLimit.truncated", False))
                    record.limits_told += told and truth(terminated) and not truth(truncated)
            for name in changed(before, global_random()):
                record.random_used.setdefault(name, label)
            if not isinstance(info, dict) and len(record.odd_infos) < 3:
                record.odd_infos.append(f"{label} gives {describe(info)} as info")
            if kept < KEPT_BYTES and len(record.observations) == len(record.digests):
                record.observations.append(duplicate(observation))
                kept += size(observation)
            record.digests.append(digest((observation, *outcome)))
            record.labels.append(label)
            record.aliased = record.aliased or held.add(label, observation)
        record.aliased = record.aliased or held.look(record.labels[-1] if record.labels else "")
        return record


class Held:
    """The last observations as they were returned, and copies: do they change later?"""

    def __init__(self) -> None:
        self._last: collections.deque[tuple[str, Any, str]] = collections.deque(maxlen=HELD)

    def add(self, label: str, observation: Any) -> str:
        """Hold one more, and look at the others; returns what was seen, or nothing."""
        seen = self.look(label)
        self._last.append((label, observation, digest(observation)))
        return seen

    def look(self, now: str) -> str:
        """Return which held observation is no longer what it was."""
        for label, observation, before in self._last:
            if digest(observation) != before:
                return f"the observation of {label} had changed after {now}"
        return ""


def digest(value: Any) -> str:
    """Return a name of the content: equal values have equal names, in any process."""
    state = hashlib.blake2b(digest_size=8)
    _feed(state, value)
    return state.hexdigest()


def _feed(state: Any, value: Any) -> None:
    if isinstance(value, np.ndarray) and value.dtype != object:
        state.update(f"{value.dtype}{value.shape}".encode())
        state.update(np.ascontiguousarray(value).data if value.size else b"")
    elif isinstance(value, dict):
        for key in sorted(value, key=str):
            state.update(str(key).encode())
            _feed(state, value[key])
    elif isinstance(value, (tuple, list, np.ndarray)):
        state.update(f"{len(value)}".encode())
        for part in value:
            _feed(state, part)
    else:
        state.update(re.sub(r" at 0x[0-9a-f]+", "", repr(value)).encode())


def duplicate(value: Any) -> Any:
    """Copy an observation."""
    try:
        return copy.deepcopy(value)
    except Exception:  # anything may be in there; what can't be copied is kept as it is
        return value


def size(value: Any) -> int:
    """Return about how many bytes an observation takes."""
    if isinstance(value, dict):
        return sum(map(size, value.values()))
    return sum(map(size, value)) if isinstance(value, tuple) else int(getattr(value, "nbytes", 64))


def leaves(space: Any, value: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (path, space, value) of every part that is no Dict or Tuple itself; value None where one is missing."""
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from leaves(part, value.get(key) if isinstance(value, dict) else None, f"{path}[{key!r}]")
    elif isinstance(space, spaces.Tuple):
        whole = isinstance(value, (tuple, list)) and len(value) == len(space.spaces)
        for i, part in enumerate(space.spaces):
            yield from leaves(part, value[i] if whole else None, f"{path}[{i}]")
    else:
        yield path, space, value


def global_random() -> tuple[Any, Any]:
    """Return the states of the generators that everybody shares: NumPy's and Python's."""
    state: Any = np.random.get_state(legacy=False)
    return (state["state"]["key"].tobytes(), state["state"]["pos"]), random.getstate()


def changed(before: tuple[Any, Any], after: tuple[Any, Any]) -> list[str]:
    """Name the generators whose states differ."""
    return [name for name, old, new in zip(("np.random", "random"), before, after, strict=True) if old != new]


def truth(value: Any) -> bool:
    """Return an end's flag as bool, whatever it is."""
    try:
        return bool(value)
    except (TypeError, ValueError):
        return bool(np.any(value))


def number(value: Any) -> float:
    """Return a reward as a number, 0 if it is none."""
    try:
        return float(np.sum(value))
    except (TypeError, ValueError):
        return 0.0


def describe(value: Any) -> str:
    """Name a value's type and size in words."""
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype}{list(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else f"{type(value).__name__} {brief(value)}"


def brief(value: Any) -> str:
    """Print a value on a short line."""
    text = " ".join(repr(value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value).split())
    return text if len(text) <= 50 else text[:47] + "..."
