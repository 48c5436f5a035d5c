"""What a network makes of what it sees: the action it ranks first, and why."""

from typing import NamedTuple

from torch import Tensor


class Thought(NamedTuple):
    """About n observations.

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
