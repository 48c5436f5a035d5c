"""One game played frame by frame, for eyes: every frame is drawn, the agent decides at its own rate."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.stack import FrameStack
from experiment.evaluate import FRESH, begin


class Frame(NamedTuple):
    """What a person sees at one moment.

    Attributes:
        picture: uint8 [screen height, screen width, 3].
        score: of this episode.
        over: the episode ends with this frame.
    """

    picture: NDArray[np.uint8]
    score: int
    over: bool


def show(
    game: Any,
    act: Callable[[Tensor], Tensor],
    frames: int,
    seed: int = 0,
    score_cap: int | None = None,
) -> Iterator[Frame]:
    """Play one episode, every frame of it.

    The agent sees exactly what it sees in training: a new observation once a decision. The
    episode of a seed is the one that `evaluate` plays first with that seed.

    Args:
        game: what is played, an `agents.build.GameConfig`.
        act: the policy, observations [1, frames, height, width] to int64 [1].
        frames: frames in a stack.
        seed: which episode.
        score_cap: where the episode ends; None for no cap.
    """
    envs = game.make(1, score_cap=score_cap, frame_skip=1, render_mode="rgb_array")
    observations, info = envs.reset(seed=[FRESH + seed * 1_000_003])
    stack, same = FrameStack(frames, observations), np.zeros(1, np.bool_)
    act, _ = begin(act, 1)
    yield Frame(envs.render()[0], 0, False)
    while True:
        action = act(torch.from_numpy(stack.stacks)).cpu().numpy()
        for frame in range(game.decision_frames):
            tapped = envs.taps and frame > 0
            observations, _, terminated, truncated, info = envs.step(action * 0 if tapped else action)
            over = bool(terminated[0] or truncated[0])
            yield Frame(envs.render()[0], int(info["score"][0]), over)
            if over:
                return
        stack.push(observations, same)
