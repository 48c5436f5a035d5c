"""The checks: each looks at what was seen for one kind of fault. None touches the environment."""

import collections
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.doctor.finding import ERROR, NOTE, WARNING, Finding
from envs.doctor.making import parameters
from envs.doctor.probe import Record, brief, describe, leaves, number

PICTURE_SIDE = 8  # a box of three axes, two of them at least this long, is a picture
TRAINING_STEPS = 2_400_000
CHANCE = 1e-6  # of a false alarm, where a check must tell a fault from bad luck


@dataclass
class Evidence:
    """Everything that was seen; filled stage by stage."""

    env: Any
    limit: int | None = None  # the registered time limit
    play: Record = field(default_factory=Record)
    again: Record = field(default_factory=Record)  # the same seed in the same environment
    apart: Record = field(default_factory=Record)  # the same seed, another environment stepped in between
    other: Record = field(default_factory=Record)  # the same seed, other actions
    rendered: Record = field(default_factory=Record)  # the same seed, a frame rendered at each call
    frames: list[Any] = field(default_factory=list)
    render_error: str = ""
    seeded: list[str] = field(default_factory=list)  # what the starts with different seeds looked like
    unseeded: list[str] = field(default_factory=list)  # and those without
    twins: list[tuple[int, int]] = field(default_factory=list)
    twin_states: int = 0
    after_end: str = ""
    searched: int = 0  # steps of the longest episode, if none has ended
    steps_per_second: float = 0.0
    reset_seconds: float = 0.0
    grown: list[int] = field(default_factory=list)  # bytes that the process grew in each quarter of grown_steps
    grown_steps: int = 0
    printed: int = 0  # bytes written to standard output or error while playing
    complaints: list[str] = field(default_factory=list)

    @property
    def lengths(self) -> list[int]:
        """The episodes' lengths in steps."""
        return [episode.length for episode in self.play.episodes]

    def parts(self) -> Iterator[tuple[str, Any, list[Any]]]:
        """Yield (path, space, values seen) of each part of the observation."""
        rows = [list(leaves(self.env.observation_space, observation)) for observation in self.play.observations]
        for i, (path, space, _) in enumerate(leaves(self.env.observation_space, None)):
            yield path, space, [row[i][2] for row in rows]

    def boxes(self) -> Iterator[tuple[str, Any, NDArray[Any]]]:
        """Yield (path, space, values [n, *shape]) of the parts that are boxes and have the form of their space."""
        for path, space, values in self.parts():
            if isinstance(space, spaces.Box):
                good = [v for v in values if isinstance(v, np.ndarray) and v.shape == space.shape and v.dtype != object]
                if good:
                    yield path, space, np.stack(good)

    def pictures(self) -> Iterator[tuple[str, Any, NDArray[Any]]]:
        """Yield those boxes that are pictures."""
        return ((path, space, values) for path, space, values in self.boxes() if is_picture(space))


Check = Callable[[Evidence], Iterator[Finding]]


def is_picture(space: Any) -> bool:
    """Tell a picture from numbers: bytes, or 0 to 1 or 0 to 255, in two long axes and perhaps a short one."""
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3):
        return False
    long = sum(side >= PICTURE_SIDE for side in space.shape)
    scale = np.all(space.low == 0) and (np.all(space.high == 1) or np.all(space.high == 255))
    return long >= 2 and (space.dtype == np.uint8 or bool(scale and space.dtype.kind == "f"))


# ---------------------------------------------------------------------- interface


def space_missing(seen: Evidence) -> Iterator[Finding]:
    """Both spaces are Gymnasium's."""
    for name in ("observation_space", "action_space"):
        space = getattr(seen.env, name, None)
        if not isinstance(space, spaces.Space):
            yield Finding("space-missing", ERROR, f"{name} is {describe(space)}")


def reset_signature(seen: Evidence) -> Iterator[Finding]:
    """Reset takes a seed and options."""
    names, _ = parameters(seen.env.unwrapped.reset)
    if "**" not in names:
        for name, severity in (("seed", ERROR), ("options", WARNING)):
            if name not in names:
                yield Finding("reset-signature", severity, f"reset takes no {name}")


def seed_default(seen: Evidence) -> Iterator[Finding]:
    """Reset without a seed does not seed."""
    _, defaults = parameters(seen.env.unwrapped.reset)
    if defaults.get("seed") is not None:
        yield Finding("reset-reseeds", ERROR, f"reset has the default seed={brief(defaults['seed'])}: always the same")


def info_type(seen: Evidence) -> Iterator[Finding]:
    """Info is a dict."""
    if seen.play.odd_infos:
        yield Finding("info-type", ERROR, seen.play.odd_infos[0])


# ---------------------------------------------------------------------- seeds


def _difference(one: Record, two: Record) -> tuple[str, int] | None:
    """Return the label and the index of the first event in which two records differ."""
    for i, (a, b) in enumerate(zip(one.digests, two.digests, strict=False)):
        if a != b:
            return one.labels[i], i
    return None


def repeatable(seen: Evidence) -> Iterator[Finding]:
    """The same seed and actions give the same episodes."""
    if found := _difference(seen.play, seen.again):
        label, index = found
        if index == 0:
            yield Finding("seed-ignored", ERROR, "reset with one seed, twice, gives two different first observations")
        else:
            yield Finding("not-repeatable", ERROR, f"the same seed and actions give something else from {label} on")


def reseeding(seen: Evidence) -> Iterator[Finding]:
    """Starts without a seed vary if those with different seeds do.

    If the commonest seeded start has the share p, n unseeded ones that are all alike have the chance p^n at most.
    """
    counts = collections.Counter(seen.seeded).most_common(1)
    if counts and len(set(seen.unseeded)) == 1:
        share = (counts[0][1] + 2) / (len(seen.seeded) + 2)
        if share ** (len(seen.unseeded) - 1) < CHANCE:
            many = len(seen.unseeded)
            yield Finding("reset-reseeds", ERROR, f"{many} resets without a seed in a row all began the same episode")


def one_start(seen: Evidence) -> Iterator[Finding]:
    """Different seeds give different episodes."""
    if len(seen.seeded) > 1 and len(set(seen.seeded)) == 1 and len(set(seen.unseeded)) == 1:
        yield Finding("one-start", NOTE, f"{len(seen.seeded)} different seeds all began the same episode")


def global_random(seen: Evidence) -> Iterator[Finding]:
    """Nobody else's generator is touched."""
    severity = ERROR if _difference(seen.play, seen.again) else WARNING
    for name, label in seen.play.random_used.items():
        yield Finding("global-random", severity, f"{name}'s own generator is drawn from or seeded, first in {label}")


def sharing(seen: Evidence) -> Iterator[Finding]:
    """Two environments side by side do not disturb each other."""
    if _difference(seen.play, seen.again) is None and (found := _difference(seen.play, seen.apart)):
        yield Finding("instances-share", ERROR, f"a second one stepped in between changes the first from {found[0]} on")


# ---------------------------------------------------------------------- observations


def observation_form(seen: Evidence) -> Iterator[Finding]:
    """Every part of the observation has the type and the shape of its space."""
    for path, space, values in seen.parts():
        for value in values:
            if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
                shape = getattr(value, "shape", None)
                if isinstance(value, (np.ndarray, np.generic)) and shape == space.shape:
                    continue
                hint = ""
                if shape is not None and sorted(shape) == sorted(space.shape) and len(shape) == 3:
                    hint = ": the axes are in another order; np.moveaxis mends it"
                seen_is = f"an array of shape {list(shape)}" if shape is not None else describe(value)
                yield _part(
                    "observation-form", ERROR, path, f"is {seen_is}, the space's shape is {list(space.shape)}{hint}"
                )
            elif isinstance(space, spaces.Discrete):
                if isinstance(value, (int, np.integer)) or (isinstance(value, np.ndarray) and value.shape == ()):
                    continue
                yield _part("observation-form", ERROR, path, f"is {describe(value)}, the space is {space}")
            elif value is not None:
                continue
            else:
                yield _part("observation-form", ERROR, path, f"is missing, the space is {space}")
            break
    top = seen.env.observation_space
    if isinstance(top, spaces.Dict) and seen.play.observations and isinstance(seen.play.observations[0], dict):
        extra = sorted(map(str, seen.play.observations[0].keys() - top.spaces.keys()))
        if extra:
            yield Finding("observation-form", ERROR, f"the observation has keys the space has not: {', '.join(extra)}")


def observation_dtype(seen: Evidence) -> Iterator[Finding]:
    """The observation's dtype is the space's."""
    for path, space, values in seen.parts():
        if isinstance(space, (spaces.Box, spaces.MultiDiscrete, spaces.MultiBinary)):
            found = {v.dtype for v in values if isinstance(v, (np.ndarray, np.generic))} - {space.dtype}
            for dtype in sorted(found, key=str)[:1]:
                harmless = dtype.kind == space.dtype.kind
                why = "" if harmless else ": buffers of the space's type will cut it off"
                text = f"is {dtype}, the space's type is {space.dtype}{why}"
                yield _part("observation-dtype", WARNING if harmless else ERROR, path, text)


def observation_range(seen: Evidence) -> Iterator[Finding]:
    """Observations lie within the space."""
    for path, space, values in seen.boxes():
        tiny = 1e-6 * np.maximum(np.abs(values.astype(np.float64)), 1) * (space.dtype.kind == "f")
        over, under = values > space.high + tiny, values < space.low - tiny
        if over.any() or under.any():
            flat = values.reshape(len(values), -1)
            where = int((over | under).reshape(len(values), -1).any(axis=0).argmax())
            low, high = space.low.flat[where], space.high.flat[where]
            column = flat[:, where]
            text = f"number {where} goes from {column.min():g} to {column.max():g}, the space from {low:g} to {high:g}"
            yield _part("observation-range", ERROR, path, text)
    for path, space, shown in seen.parts():
        if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
            for value in shown:
                fits = getattr(value, "shape", ()) == space.shape and not isinstance(
                    value, (dict, tuple, str, type(None))
                )
                if fits and value not in space and _is_whole(value):
                    yield _part("observation-range", ERROR, path, f"is {brief(value)}, the space is {space}")
                    break


def _is_whole(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "iu"


def observation_finite(seen: Evidence) -> Iterator[Finding]:
    """There is no NaN and no infinity in an observation."""
    for path, _, values in seen.boxes():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = ~np.isfinite(values.reshape(len(values), -1))
            event = int(bad.any(axis=1).argmax())
            word = brief(values.reshape(len(values), -1)[event][bad[event]][0])
            yield _part("observation-not-finite", ERROR, path, f"has {word} in {seen.play.labels[event]}")


def aliased(seen: Evidence) -> Iterator[Finding]:
    """An observation stays what it was when it was returned."""
    if seen.play.aliased:
        yield Finding("observation-aliased", ERROR, seen.play.aliased)


def frozen(seen: Evidence) -> Iterator[Finding]:
    """Observations change while an episode goes on."""
    values = seen.play.observations
    starts = set(seen.play.firsts)
    pairs = [i for i in range(1, len(values)) if i not in starts]
    if len(pairs) < 50 or _elements(seen.env.observation_space) == 1:
        return
    parts = list(seen.parts())
    for path, space, column in parts:
        if len(parts) > 1 and not is_picture(space):
            continue  # of several parts, one may well stand still
        if isinstance(space, spaces.Box) and not all(isinstance(value, np.ndarray) for value in column):
            continue
        if all(np.array_equal(column[i], column[i - 1]) for i in pairs) and not _blank(column):
            severity = ERROR if is_picture(space) else WARNING
            yield _part("observation-frozen", severity, path, f"never changed within an episode, in {len(pairs)} steps")


def _elements(space: Any) -> int | None:
    return int(space.n) if isinstance(space, spaces.Discrete) else None


def _blank(column: list[Any]) -> bool:
    """Whether all are pictures of a single value: that is a finding of its own."""
    return all(isinstance(v, np.ndarray) and v.ndim >= 2 and v.size > 1 and v.min() == v.max() for v in column)


def observation_scale(seen: Evidence) -> Iterator[Finding]:
    """Numbers are of a size that networks can take."""
    for path, space, values in seen.boxes():
        if is_picture(space) or space.dtype == np.uint8:
            continue
        flat = np.abs(np.nan_to_num(values.reshape(len(values), -1).astype(np.float64), posinf=0, neginf=0))
        if flat.size and flat.max() > 1000:
            where = int(flat.max(axis=0).argmax())
            column = values.reshape(len(values), -1)[:, where]
            text = f"number {where} goes from {column.min():,.6g} to {column.max():,.6g}"
            yield _part("observation-scale", WARNING, path, text)


def observation_unbounded(seen: Evidence) -> Iterator[Finding]:
    """The space says how large numbers can become."""
    for path, space, values in seen.boxes():
        free = np.isinf(space.low.reshape(-1).astype(np.float64)) | np.isinf(space.high.reshape(-1).astype(np.float64))
        free |= np.abs(space.high.reshape(-1).astype(np.float64)) > 1e30
        if free.any():
            inside = values.reshape(len(values), -1)[:, free]
            finite = inside[np.isfinite(inside)]
            went = f"; seen: {finite.min():.3g} to {finite.max():.3g}" if finite.size else ""
            yield _part(
                "observation-unbounded", NOTE, path, f"has no bounds in {free.sum()} of {free.size} numbers{went}"
            )


def observation_numbers(seen: Evidence) -> Iterator[Finding]:
    """Observations are something that a network can take as it is."""
    for path, space, _ in seen.parts():
        if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
            yield _part("observation-numbers", NOTE, path, f"is a number without an order: {space}")


def picture_blank(seen: Evidence) -> Iterator[Finding]:
    """Pictures show something."""
    for path, _, values in seen.pictures():
        flat = values.reshape(len(values), -1)
        plain = flat.min(axis=1) == flat.max(axis=1)
        if plain.all():
            color = f"{flat.min():g}" if flat.min() == flat.max() else "one value each"
            yield _part("picture-blank", ERROR, path, f"is blank in all {len(flat)} frames: {color} everywhere")


def picture_scale(seen: Evidence) -> Iterator[Finding]:
    """What is declared as 0 to 255 uses more than 0 to 1."""
    for path, space, values in seen.pictures():
        top = values.max()
        if np.all(space.high == 255) and 0 < top <= 1:
            if space.dtype == np.uint8 and values.dtype == np.uint8 and len(np.unique(values)) > 1:
                yield _part("picture-scale", WARNING, path, "is declared as 0 to 255 and never exceeds 1: nearly black")
            else:
                yield _part("picture-scale", ERROR, path, f"is declared as 0 to 255 and never exceeds {top:.3g}")


def picture_floats(seen: Evidence) -> Iterator[Finding]:
    """Pictures are bytes."""
    for path, space, _ in seen.pictures():
        if space.dtype.kind == "f":
            text = f"is a picture of {space.dtype}, {space.low.min():g} to {space.high.max():g}"
            yield _part("picture-floats", WARNING, path, text)


def channel_order(seen: Evidence) -> Iterator[Finding]:
    """Say where the channels are, and that they are at an end."""
    for path, space, _ in seen.pictures():
        if len(space.shape) == 3:
            small = [axis for axis, side in enumerate(space.shape) if side in (1, 2, 3, 4) or side < PICTURE_SIDE]
            if small == [1]:
                yield _part("channel-order", WARNING, path, f"has its channels in the middle: {list(space.shape)}")
            elif small == [2]:
                yield _part("channel-order", NOTE, path, f"has its channels last: {list(space.shape)}")


# ---------------------------------------------------------------------- actions


def action_changed(seen: Evidence) -> Iterator[Finding]:
    """The action is only read."""
    if seen.play.action_changed:
        yield Finding("action-changed", ERROR, seen.play.action_changed)


def actions_ignored(seen: Evidence) -> Iterator[Finding]:
    """Other actions lead to something else."""
    same = _difference(seen.play, seen.other) is None and _difference(seen.play, seen.again) is None
    if same and seen.other.steps >= 20 and _elements(seen.env.action_space) != 1:
        severity = ERROR if seen.other.steps >= 200 else WARNING
        text = f"other actions gave the same observations, rewards and ends for {seen.other.steps:,} steps"
        yield Finding("actions-ignored", severity, text)


def action_twins(seen: Evidence) -> Iterator[Finding]:
    """Each action does something of its own."""
    if seen.twins:
        pairs = ", ".join(f"{a} and {b}" for a, b in seen.twins[:4])
        yield Finding("action-twins", NOTE, f"actions {pairs} did the same in {seen.twin_states} states")


def action_start(seen: Evidence) -> Iterator[Finding]:
    """Discrete actions count from 0."""
    space = seen.env.action_space
    if isinstance(space, spaces.Discrete) and space.start != 0:
        yield Finding("action-start", NOTE, f"actions go from {space.start} to {space.start + space.n - 1}, not from 0")


def _bounds(space: Any) -> str:
    low, high = (brief(bound if np.ptp(bound) else bound.flat[0]) for bound in (space.low, space.high))
    return f"{low} and {high}"


def action_scale(seen: Evidence) -> Iterator[Finding]:
    """Continuous actions are between -1 and 1."""
    for path, space, _ in leaves(seen.env.action_space, None):
        if isinstance(space, spaces.Box):
            low, high = float(space.low.min()), float(space.high.max())
            where = f"the action{path}"
            if not (np.isfinite(low) and np.isfinite(high)):
                yield Finding("action-scale", WARNING, f"{where} has no bounds: {low:g} to {high:g}")
            elif not (np.all(space.low == -1) and np.all(space.high == 1)):
                yield Finding("action-scale", NOTE, f"{where} is bounded by {_bounds(space)}, not by -1 and 1")


# ---------------------------------------------------------------------- rewards


def reward_type(seen: Evidence) -> Iterator[Finding]:
    """A reward is one number."""
    for reward, label in _steps(seen, seen.play.rewards):
        if isinstance(reward, (bool, np.bool_)):
            yield Finding("reward-type", WARNING, f"the reward of {label} is a bool, {reward}")
            return
        if not isinstance(reward, (int, float, np.integer, np.floating)):
            yield Finding("reward-type", ERROR, f"the reward of {label} is {describe(reward)}")
            return


def reward_finite(seen: Evidence) -> Iterator[Finding]:
    """There is no NaN and no infinity among the rewards."""
    for reward, label in _steps(seen, seen.play.rewards):
        if not np.isfinite(number(reward)):
            yield Finding("reward-not-finite", ERROR, f"the reward of {label} is {number(reward)}")
            return


def reward_scale(seen: Evidence) -> Iterator[Finding]:
    """Rewards are of a size that a value network can learn."""
    rewards = np.array([number(reward) for reward in seen.play.rewards])
    rewards = rewards[np.isfinite(rewards)]
    if len(rewards) and np.abs(rewards).max() > 1000:
        yield Finding("reward-scale", WARNING, f"rewards go from {rewards.min():,.6g} to {rewards.max():,.6g}")
    elif len(rewards) and 0 < np.abs(rewards).max() < 1e-4:
        yield Finding("reward-scale", WARNING, f"no reward is larger than {np.abs(rewards).max():.2g}")


def reward_zero(seen: Evidence) -> Iterator[Finding]:
    """Random play meets a reward now and then."""
    if seen.play.rewards and not any(number(reward) for reward in seen.play.rewards):
        count = f"{len(seen.play.rewards):,} steps and {len(seen.play.episodes):,} ends"
        yield Finding("reward-zero", NOTE, f"every reward was 0, in {count} of episodes of random play")


# ---------------------------------------------------------------------- ends


def end_type(seen: Evidence) -> Iterator[Finding]:
    """Both flags are bools."""
    for ends, label in _steps(seen, seen.play.ends):
        for word, flag in zip(("terminated", "truncated"), ends, strict=True):
            if not isinstance(flag, (bool, np.bool_)):
                harmless = isinstance(flag, (int, np.integer))
                severity = WARNING if harmless else ERROR
                yield Finding("end-type", severity, f"{word} is {describe(flag)}, not a bool, in {label}")
                return


def end_sticks(seen: Evidence) -> Iterator[Finding]:
    """A reset begins a whole episode."""
    lengths = seen.lengths
    if len(lengths) > 30 and lengths[0] > 1 and set(lengths[1:]) == {1}:
        text = f"the first episode had {lengths[0]} steps, all {len(lengths) - 1} others ended at their first step"
        yield Finding("end-sticks", ERROR, text)


def limit_terminates(seen: Evidence) -> Iterator[Finding]:
    """A time limit truncates.

    Terminations that come again and again at one length, and never later, look like a time limit. Three of them
    are asked for, at least a third of all that were even half as long, and twice as many as at any other length. An
    obstacle that always comes at the same step looks alike; then the last reward is usually one of its own.
    """
    if seen.play.limits_told:
        text = f"{seen.play.limits_told} ends that info calls time limits came as terminated"
        yield Finding("limit-terminates", ERROR, text)
        return
    lengths = [episode.length for episode in seen.play.episodes if episode.terminated and not episode.truncated]
    if not lengths or max(seen.lengths) > max(lengths):
        return
    longest, counts = max(lengths), collections.Counter(lengths)
    name = _attribute(seen.env, longest)
    rivals = [count for length, count in counts.items() if longest / 2 <= length < longest]
    clear = counts[longest] >= max(2 * max(rivals, default=0), sum(rivals) / 2)
    if longest < 10 or counts[longest] < (2 if name else 3) or not clear:
        return
    text = f"{counts[longest]} of {len(lengths)} episodes terminated at exactly {longest} steps, none later"
    if name:
        yield Finding("limit-terminates", ERROR, f"{text}: the environment's {name}")
    elif not _ends_with_its_own_reward(seen, longest) and (longest >= 100 or longest % 10 == 0):
        yield Finding("limit-terminates", WARNING, f"{text}, whatever the actions were")
    else:
        yield Finding("limit-terminates", NOTE, f"{text}; fine if the rules say so")


def _ends_with_its_own_reward(seen: Evidence, length: int) -> bool:
    """Whether episodes of this length end with rewards that are given at no other time."""
    starts = np.cumsum([0, *seen.lengths])
    final = set((starts[1:] - 1).tolist())
    usual = [number(reward) for i, reward in enumerate(seen.play.rewards) if i not in final]
    last = [episode.last for episode in seen.play.episodes if episode.length == length]
    return bool(usual) and not any(min(usual) <= reward <= max(usual) for reward in last)


def _attribute(env: Any, length: int) -> str:
    """Return the name of a setting of the environment that has this number and sounds like a time limit."""
    inner = env.unwrapped
    for name, value in {**vars(type(inner)), **vars(inner)}.items():
        words = name.lower()
        sounds = any(word in words for word in ("max", "limit", "horizon", "length", "budget"))
        if (
            sounds
            and isinstance(value, int)
            and not isinstance(value, bool)
            and value in (length, length - 1, length + 1)
        ):
            return f"{name} = {value}"
    return ""


def ends_both(seen: Evidence) -> Iterator[Finding]:
    """Terminated and truncated are two things."""
    both = [episode for episode in seen.play.episodes if episode.terminated and episode.truncated]
    single = [episode for episode in seen.play.episodes if episode.truncated and not episode.terminated]
    at_limit = seen.limit is not None and all(episode.length == seen.limit for episode in both)
    if len(both) >= 2 and not single and not (at_limit and len(both) < 3):
        text = f"all {len(both)} truncated episodes were terminated, too: nothing will be bootstrapped"
        yield Finding("ends-both", ERROR, text)


def never_ends(seen: Evidence) -> Iterator[Finding]:
    """Episodes end, or there is a time limit."""
    if not seen.play.episodes and seen.limit is None and seen.searched:
        severity = WARNING if seen.searched >= 5000 else NOTE
        yield Finding(
            "never-ends", severity, f"no end in {seen.searched:,} steps of random play, and no time limit is known"
        )


def step_after_end(seen: Evidence) -> Iterator[Finding]:
    """A step after the end does not go unnoticed."""
    if seen.after_end:
        yield Finding("step-after-end", NOTE, seen.after_end)


# ---------------------------------------------------------------------- pictures for people, speed, checker


def render_missing(seen: Evidence) -> Iterator[Finding]:
    """There is something to watch."""
    if "rgb_array" not in (getattr(seen.env, "metadata", None) or {}).get("render_modes", []):
        yield Finding("render-missing", NOTE, "there is no render mode rgb_array, so nobody can watch or film it")


def render_raises(seen: Evidence) -> Iterator[Finding]:
    """Rendering works."""
    if seen.render_error:
        yield Finding("render-raises", WARNING, seen.render_error)


def render_form(seen: Evidence) -> Iterator[Finding]:
    """A frame is a picture."""
    for frame in seen.frames:
        good = isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] == 3 and frame.dtype == np.uint8
        if not good:
            yield Finding("render-form", WARNING, f"render returns {describe(frame)} in the mode rgb_array")
            return


def render_blank(seen: Evidence) -> Iterator[Finding]:
    """A frame shows something."""
    if seen.frames and all(isinstance(f, np.ndarray) and f.size and f.min() == f.max() for f in seen.frames):
        yield Finding("render-blank", WARNING, f"all {len(seen.frames)} rendered frames are of one colour")


def render_moves(seen: Evidence) -> Iterator[Finding]:
    """Watching changes nothing."""
    if _difference(seen.play, seen.again) is None and (found := _difference(seen.play, seen.rendered)):
        yield Finding("render-moves", ERROR, f"rendering after each step changes the game from {found[0]} on")


def reset_slow(seen: Evidence) -> Iterator[Finding]:
    """Resets do not take most of the time."""
    if seen.play.episodes and seen.steps_per_second and len(seen.play.reset_seconds) > 1:
        length = float(np.mean(seen.lengths))
        share = seen.reset_seconds / (seen.reset_seconds + length / seen.steps_per_second)
        if seen.reset_seconds > 0.02 and share > 0.5:
            text = f"a reset takes {seen.reset_seconds * 1000:,.0f} ms, {share:.0%} of the time with random play"
            yield Finding("reset-slow", WARNING, text)


def step_slow(seen: Evidence) -> Iterator[Finding]:
    """It is fast enough to train on."""
    speed = seen.steps_per_second
    if 0 < speed < 1000:
        hours = TRAINING_STEPS / speed / 3600
        text = f"{speed:,.3g} steps/s: {TRAINING_STEPS / 1e6:g} million steps take {hours:,.1f} hours in one process"
        yield Finding("step-slow", WARNING if speed < 100 else NOTE, text)


def memory_grows(seen: Evidence) -> Iterator[Finding]:
    """Playing on needs no more and more memory: it grew in each of the later quarters, by a KiB a step or more."""
    later = seen.grown[1:]
    if later and min(later) > 0 and seen.grown_steps:
        each = sum(later) / (seen.grown_steps * len(later) / len(seen.grown))
        if each > 1024 and sum(later) > 2**20:
            total = f"{each * TRAINING_STEPS / 2**30:,.0f} GiB after {TRAINING_STEPS / 1e6:g} million"
            yield Finding("memory-grows", WARNING, f"the process grows by {each / 1024:,.1f} KiB a step, {total}")


def prints(seen: Evidence) -> Iterator[Finding]:
    """It plays in silence."""
    if seen.play.steps and seen.printed > 5 * seen.play.steps:
        text = f"{seen.printed:,} bytes were printed in {seen.play.steps:,} steps"
        yield Finding("prints", WARNING, text)


def gymnasium_checker(seen: Evidence) -> Iterator[Finding]:
    """What Gymnasium's own checker says beyond all this."""
    for complaint in seen.complaints:
        yield Finding("gymnasium-checker", WARNING, complaint)


def across_processes(mine: list[str], other: list[str], labels: list[str]) -> Iterator[Finding]:
    """The same seed and actions give the same episodes in another process."""
    for a, b, label in zip(mine, other, labels, strict=False):
        if a != b:
            text = f"the same seed and actions give something else in another process from {label} on"
            yield Finding("process-differs", ERROR, text)
            return


def _part(name: str, severity: str, path: str, text: str) -> Finding:
    return Finding(name, severity, f"the observation{path} {text}")


def _steps(seen: Evidence, values: list[Any]) -> Iterator[tuple[Any, str]]:
    """Yield (value, label) of each step."""
    return zip(values, (label for label in seen.play.labels if label.startswith("step")), strict=False)


BY_STAGE: dict[str, tuple[Check, ...]] = {
    "making": (space_missing, reset_signature, seed_default, render_missing),
    "playing": (
        info_type, observation_form, observation_dtype, observation_range, observation_finite, aliased, frozen,
        observation_scale, observation_unbounded, observation_numbers, picture_blank, picture_scale, picture_floats,
        channel_order, action_changed, action_start, action_scale, reward_type, reward_finite, reward_scale,
        reward_zero, end_type, end_sticks, limit_terminates, ends_both, prints,
    ),
    "repeating": (repeatable, global_random),
    "starting": (reseeding, one_start),
    "two side by side": (sharing,),
    "other actions": (actions_ignored, action_twins),
    "ending": (never_ends, step_after_end),
    "rendering": (render_raises, render_form, render_blank, render_moves),
    "timing": (reset_slow, step_slow, memory_grows),
    "Gymnasium's checker": (gymnasium_checker,),
}  # fmt: skip
