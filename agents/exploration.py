"""Exploration by leaning: every game, for a whole episode, prefers actions of its own."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Leaning:
    """Offsets to the logits of a policy, normal, drawn anew for each episode of each game.

    Independent random actions cancel out: a bird that flaps at every second chance always flies against the
    ceiling and sees nothing else. Games that lean see much of what there is, whatever the game. Nothing
    here knows what an action does.

    Attributes:
        offsets: float [games, actions].

    Args:
        games: number of games.
        actions: number of actions.
        scale: standard deviation of the offsets.
        generator: what they are drawn from.
    """

    def __init__(self, games: int, actions: int, scale: float, generator: torch.Generator) -> None:
        self._scale, self._generator = scale, generator
        self.offsets = scale * torch.randn(games, actions, generator=generator)

    def renew(self, ended: NDArray[np.bool_]) -> None:
        """Draw new offsets for the games whose episodes have just ended; ended: bool [games]."""
        if ended.any():
            shape = (int(ended.sum()), self.offsets.shape[1])
            new = self._scale * torch.randn(shape, generator=self._generator)
            self.offsets.numpy()[ended] = new.numpy()

    def actions(self) -> Tensor:
        """Draw an action for every game from its leaning alone, int64 [games]."""
        return torch.multinomial(self.offsets.softmax(-1), 1, generator=self._generator).squeeze(-1)
