"""The contract between agents, which choose actions, and the code that plays, judges or shows them."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor


class Thought(NamedTuple):
    """A policy's answer to n observations: the actions it ranks first, and why.

    Attributes:
        actions: int64 [n], the best ones.
        preferences: float32 [n, actions], probabilities or values of the actions; None if nothing is told.
        probable: the preferences are probabilities; otherwise they are values, discounted rewards to come.
        values: float32 [n], discounted rewards to come; None if the network does not judge that.
    """

    actions: Tensor
    preferences: Tensor | None = None
    probable: bool = False
    values: Tensor | None = None

    def cpu(self) -> "Thought":
        """Return the same with its tensors on the CPU."""
        preferences = None if self.preferences is None else self.preferences.cpu()
        return Thought(
            self.actions.cpu(), preferences, self.probable, None if self.values is None else self.values.cpu()
        )


class Policy(Protocol):
    """Chooses actions for games that are played side by side.

    Observations are uint8 or, of numbers instead of pixels, float32 [n, frames, height, width].
    """

    @property
    def recurrent(self) -> bool:
        """It recalls earlier observations, so it must `begin` and then be asked about all games at every step."""

    def begin(self, games: int) -> "Policy":
        """Return the policy for this many games whose first observations come next."""

    def __call__(self, observations: Tensor) -> Tensor:
        """Choose actions, int64 [n]."""

    def think(self, observations: Tensor) -> Thought:
        """Choose them and tell why, on the CPU."""


class Plain:
    """A function of observations, as a policy that recalls nothing and tells no reasons.

    Args:
        choose: observations to actions; see `Policy`.
    """

    recurrent = False

    def __init__(self, choose: Callable[[Tensor], Tensor]) -> None:
        self._choose = choose

    def begin(self, games: int) -> "Plain":
        """Return it as it is."""
        return self

    def __call__(self, observations: Tensor) -> Tensor:
        """Choose actions, int64 [n]."""
        return self._choose(observations)

    def think(self, observations: Tensor) -> Thought:
        """Choose actions, on the CPU."""
        return Thought(self._choose(observations).cpu())
