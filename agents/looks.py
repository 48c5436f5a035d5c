"""What is to be seen of a network at play besides its answers: feature maps."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from agents.learner import GreedyPolicy

Look = Callable[[Any, Tensor], NDArray[np.float32] | None]


def feature_maps(policy: GreedyPolicy, observation: Tensor) -> NDArray[np.float32] | None:
    """Return what the first convolution answers to [1, frames, height, width], float32 [channels, height, width]."""
    maps = policy.feature_maps(observation)
    return None if maps is None else maps[0].numpy()


def looks_of(policy: GreedyPolicy) -> dict[str, Look]:
    """Return all looks that this policy's network allows, by name; "maps" first, then its saliency maps."""
    return {"maps": feature_maps}
