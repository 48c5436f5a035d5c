"""What was seen of an environment: all that checks look at."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.doctor.finding import Finding
from envs.doctor.probe import Record, leaves

PICTURE_SIDE = 8  # a box of three axes, two of them at least this long, is a picture


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


def is_picture(space: Any) -> bool:
    """Tell a picture from numbers: bytes, or 0 to 1 or 0 to 255, in two long axes and perhaps a short one."""
    if not isinstance(space, spaces.Box) or len(space.shape) not in (2, 3):
        return False
    long = sum(side >= PICTURE_SIDE for side in space.shape)
    scale = np.all(space.low == 0) and (np.all(space.high == 1) or np.all(space.high == 255))
    return long >= 2 and (space.dtype == np.uint8 or bool(scale and space.dtype.kind == "f"))


def elements(space: Any) -> int | None:
    """How many values there are; None if they are no plain choice."""
    return int(space.n) if isinstance(space, spaces.Discrete) else None


def steps(seen: Evidence, values: list[Any]) -> Iterator[tuple[Any, str]]:
    """Yield (value, label) of each step."""
    return zip(values, (label for label in seen.play.labels if label.startswith("step")), strict=False)


def difference(one: Record, two: Record) -> tuple[str, int] | None:
    """Return the label and the index of the first event in which two records differ."""
    for i, (a, b) in enumerate(zip(one.digests, two.digests, strict=False)):
        if a != b:
            return one.labels[i], i
    return None


def of_part(name: str, severity: str, path: str, text: str) -> Finding:
    """Make a finding about the part of the observation that has this path."""
    return Finding(name, severity, f"the observation{path} {text}")
