"""How long steps and resets take, and whether memory grows."""

from collections.abc import Iterator

import numpy as np

from envs.doctor.checks.evidence import Evidence
from envs.doctor.finding import NOTE, WARNING, Finding

TRAINING_STEPS = 2_400_000


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
