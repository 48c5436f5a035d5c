"""What is to be seen of a network at play besides its answers: feature maps and saliency."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.learner import GreedyPolicy
from agents.saliency import METHODS, Saliency
from experiment.show import Look


def feature_maps(policy: GreedyPolicy, observation: Tensor) -> NDArray[np.float32] | None:
    """Return what the first convolution answers to [1, frames, height, width], float32 [channels, height, width]."""
    maps = policy.feature_maps(observation)
    return None if maps is None else maps[0].numpy()


def looks_of(policy: GreedyPolicy) -> dict[str, Look]:
    """Return all looks that this policy's network allows, by name: "maps", and its saliency maps if it sees pixels."""
    if policy.network.encoder.dtype != torch.uint8:
        return {"maps": feature_maps}
    return {"maps": feature_maps, **{name: _look(method) for name, method in METHODS.items()}}


def _look(saliency: Saliency) -> Look:
    def look(policy: GreedyPolicy, observation: Tensor) -> NDArray[np.float32]:
        return saliency(policy.network, observation, policy.memory).numpy()

    return look
