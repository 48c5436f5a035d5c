"""What is done: whether it matters, and whether an agent can choose it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.doctor.checks.evidence import Evidence, difference, elements
from envs.doctor.finding import ERROR, NOTE, WARNING, Finding
from envs.doctor.probe import brief, leaves


def action_changed(seen: Evidence) -> Iterator[Finding]:
    """The action is only read."""
    if seen.play.action_changed:
        yield Finding("action-changed", ERROR, seen.play.action_changed)


def actions_ignored(seen: Evidence) -> Iterator[Finding]:
    """Other actions lead to something else."""
    same = difference(seen.play, seen.other) is None and difference(seen.play, seen.again) is None
    if same and seen.other.steps >= 20 and elements(seen.env.action_space) != 1:
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
