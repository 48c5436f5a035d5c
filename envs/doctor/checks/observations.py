"""What is seen: its form, its range, and whether it moves."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.doctor.checks.evidence import PICTURE_SIDE, Evidence, elements, is_picture, of_part
from envs.doctor.finding import ERROR, NOTE, WARNING, Finding
from envs.doctor.probe import brief, describe


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
                yield of_part(
                    "observation-form", ERROR, path, f"is {seen_is}, the space's shape is {list(space.shape)}{hint}"
                )
            elif isinstance(space, spaces.Discrete):
                if isinstance(value, (int, np.integer)) or (isinstance(value, np.ndarray) and value.shape == ()):
                    continue
                yield of_part("observation-form", ERROR, path, f"is {describe(value)}, the space is {space}")
            elif value is not None:
                continue
            else:
                yield of_part("observation-form", ERROR, path, f"is missing, the space is {space}")
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
                yield of_part("observation-dtype", WARNING if harmless else ERROR, path, text)


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
            yield of_part("observation-range", ERROR, path, text)
    for path, space, shown in seen.parts():
        if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
            for value in shown:
                fits = getattr(value, "shape", ()) == space.shape and not isinstance(
                    value, (dict, tuple, str, type(None))
                )
                if fits and value not in space and _is_whole(value):
                    yield of_part("observation-range", ERROR, path, f"is {brief(value)}, the space is {space}")
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
            yield of_part("observation-not-finite", ERROR, path, f"has {word} in {seen.play.labels[event]}")


def aliased(seen: Evidence) -> Iterator[Finding]:
    """An observation stays what it was when it was returned."""
    if seen.play.aliased:
        yield Finding("observation-aliased", ERROR, seen.play.aliased)


def frozen(seen: Evidence) -> Iterator[Finding]:
    """Observations change while an episode goes on."""
    values = seen.play.observations
    starts = set(seen.play.firsts)
    pairs = [i for i in range(1, len(values)) if i not in starts]
    if len(pairs) < 50 or elements(seen.env.observation_space) == 1:
        return
    parts = list(seen.parts())
    for path, space, column in parts:
        if len(parts) > 1 and not is_picture(space):
            continue  # of several parts, one may well stand still
        if isinstance(space, spaces.Box) and not all(isinstance(value, np.ndarray) for value in column):
            continue
        if all(np.array_equal(column[i], column[i - 1]) for i in pairs) and not _blank(column):
            severity = ERROR if is_picture(space) else WARNING
            yield of_part(
                "observation-frozen", severity, path, f"never changed within an episode, in {len(pairs)} steps"
            )


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
            yield of_part("observation-scale", WARNING, path, text)


def observation_unbounded(seen: Evidence) -> Iterator[Finding]:
    """The space says how large numbers can become."""
    for path, space, values in seen.boxes():
        free = np.isinf(space.low.reshape(-1).astype(np.float64)) | np.isinf(space.high.reshape(-1).astype(np.float64))
        free |= np.abs(space.high.reshape(-1).astype(np.float64)) > 1e30
        if free.any():
            inside = values.reshape(len(values), -1)[:, free]
            finite = inside[np.isfinite(inside)]
            went = f"; seen: {finite.min():.3g} to {finite.max():.3g}" if finite.size else ""
            yield of_part(
                "observation-unbounded", NOTE, path, f"has no bounds in {free.sum()} of {free.size} numbers{went}"
            )


def observation_numbers(seen: Evidence) -> Iterator[Finding]:
    """Observations are something that a network can take as it is."""
    for path, space, _ in seen.parts():
        if isinstance(space, (spaces.Discrete, spaces.MultiDiscrete)):
            yield of_part("observation-numbers", NOTE, path, f"is a number without an order: {space}")


def picture_blank(seen: Evidence) -> Iterator[Finding]:
    """Pictures show something."""
    for path, _, values in seen.pictures():
        flat = values.reshape(len(values), -1)
        plain = flat.min(axis=1) == flat.max(axis=1)
        if plain.all():
            color = f"{flat.min():g}" if flat.min() == flat.max() else "one value each"
            yield of_part("picture-blank", ERROR, path, f"is blank in all {len(flat)} frames: {color} everywhere")


def picture_scale(seen: Evidence) -> Iterator[Finding]:
    """What is declared as 0 to 255 uses more than 0 to 1."""
    for path, space, values in seen.pictures():
        top = values.max()
        if np.all(space.high == 255) and 0 < top <= 1:
            if space.dtype == np.uint8 and values.dtype == np.uint8 and len(np.unique(values)) > 1:
                yield of_part(
                    "picture-scale", WARNING, path, "is declared as 0 to 255 and never exceeds 1: nearly black"
                )
            else:
                yield of_part("picture-scale", ERROR, path, f"is declared as 0 to 255 and never exceeds {top:.3g}")


def picture_floats(seen: Evidence) -> Iterator[Finding]:
    """Pictures are bytes."""
    for path, space, _ in seen.pictures():
        if space.dtype.kind == "f":
            text = f"is a picture of {space.dtype}, {space.low.min():g} to {space.high.max():g}"
            yield of_part("picture-floats", WARNING, path, text)


def channel_order(seen: Evidence) -> Iterator[Finding]:
    """Say where the channels are, and that they are at an end."""
    for path, space, _ in seen.pictures():
        if len(space.shape) == 3:
            small = [axis for axis, side in enumerate(space.shape) if side in (1, 2, 3, 4) or side < PICTURE_SIDE]
            if small == [1]:
                yield of_part("channel-order", WARNING, path, f"has its channels in the middle: {list(space.shape)}")
            elif small == [2]:
                yield of_part("channel-order", NOTE, path, f"has its channels last: {list(space.shape)}")
