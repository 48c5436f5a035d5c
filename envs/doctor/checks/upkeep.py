"""What it takes to run one: pictures for people, speed, memory, and what Gymnasium's own checker says."""

from collections.abc import Iterator

import numpy as np

from envs.doctor.checks.evidence import TRAINING_STEPS, Evidence, difference
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
