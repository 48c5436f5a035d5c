"""What is to be seen of a network at play besides its answers: feature maps and saliency."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.learner import GreedyPolicy
from agents.saliency import METHODS, Saliency
from experiment.errors import UserError
from experiment.show import Look
from perception.build import load_way


def feature_maps(policy: GreedyPolicy, observation: Tensor) -> NDArray[np.float32] | None:
    """Return what the first convolution answers to [1, frames, height, width], float32 [channels, height, width]."""
    maps = policy.feature_maps(observation)
    return None if maps is None else maps[0].numpy()


def looks_of(policy: GreedyPolicy, trained: str = "") -> dict[str, Look]:
    """Return all looks that this policy's network allows.

    Args:
        policy: whose.
        trained: the run that its encoder comes from, "" for none.

    Returns:
        by name: "maps"; its saliency maps if it sees pixels; "eyes" if that run is still there and can draw.
    """
    if policy.network.encoder.dtype != torch.uint8:
        return {"maps": feature_maps}
    eyes = _retold(trained) if trained else None
    told = {"eyes": eyes} if eyes else {}
    return {"maps": feature_maps, **told, **{name: _look(method) for name, method in METHODS.items()}}


def _retold(trained: str) -> Look | None:
    """Return what draws the features of now by what the encoder was trained with; None if nothing can."""
    try:
        way = load_way(Path(trained))[0]
    except UserError:
        return None
    if way.retell(torch.zeros(1, *way.shape, dtype=torch.uint8)) is None:
        return None

    def look(policy: GreedyPolicy, observation: Tensor) -> NDArray[Any] | None:
        now = policy.network.encoder.state_dict()  # it may have been trained further
        way.encoder.load_state_dict({key: now[key] for key in way.encoder.state_dict()})
        return way.retell(observation)

    return look


def _look(saliency: Saliency) -> Look:
    def look(policy: GreedyPolicy, observation: Tensor) -> NDArray[np.float32]:
        return saliency(policy.network, observation, policy.memory).numpy()

    return look
