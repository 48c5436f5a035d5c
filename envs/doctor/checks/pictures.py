"""Pictures for people: whether there are any, and whether to look changes the game."""

from collections.abc import Iterator

import numpy as np

from envs.doctor.checks.evidence import Evidence, difference
from envs.doctor.finding import ERROR, NOTE, WARNING, Finding
from envs.doctor.probe import describe


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
        yield Finding("render-blank", WARNING, f"all {len(seen.frames)} rendered frames are of one color")


def render_moves(seen: Evidence) -> Iterator[Finding]:
    """Watching changes nothing."""
    if difference(seen.play, seen.again) is None and (found := difference(seen.play, seen.rendered)):
        yield Finding("render-moves", ERROR, f"rendering after each step changes the game from {found[0]} on")
