"""What is seen, where it is a picture: neither blank nor nearly black, and in an order that is known."""

from collections.abc import Iterator

import numpy as np

from envs.doctor.checks.evidence import PICTURE_SIDE, Evidence, of_part
from envs.doctor.finding import ERROR, NOTE, WARNING, Finding


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
