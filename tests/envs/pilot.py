"""A pilot that reads the state: good enough to score, noisy enough to die now and then."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BIRD_LEFT, BIRD_HEIGHT, PIPE_WIDTH = 57, 24, 52


def pilot(states: NDArray[Any], gap: int, rng: np.random.Generator, noise: float = 0.0) -> NDArray[np.int64]:
    """Flap when the bird's bottom nears the lower pipe of the next gap; int64 [n] for states [n].

    A share `noise` of the actions is turned round.
    """
    ahead = states["pipe_x"] + PIPE_WIDTH > BIRD_LEFT
    floor = states["gap_y"][np.arange(len(states)), ahead.argmax(1)] + gap
    flap = states["y"] + BIRD_HEIGHT > floor - 14
    return (flap ^ (rng.random(len(states)) < noise)).astype(np.int64)
