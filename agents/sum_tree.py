"""A binary tree of sums: draw in proportion to priorities in logarithmic time."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


class SumTree:
    """Priorities of `capacity` items; any capacity. Operations are vectorised over a batch.

    A parent is always recomputed from its children, never adjusted by a difference, so that rounding
    errors can't pile up.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._leaves = self._leaves_for(capacity)
        self._nodes = np.zeros(2 * self._leaves)  # node 1 is the root, node k has children 2k and 2k + 1

    @classmethod
    def memory_for(cls, capacity: int) -> int:
        """Bytes that a tree of this capacity takes."""
        return 2 * cls._leaves_for(capacity) * np.dtype(np.float64).itemsize

    @staticmethod
    def _leaves_for(capacity: int) -> int:
        return 1 << max(0, capacity - 1).bit_length()

    @property
    def total(self) -> float:
        """Sum of all priorities."""
        return float(self._nodes[1])

    def get(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return priorities, float64 [n]."""
        return self._nodes[index + self._leaves]

    def set(self, index: NDArray[np.int64], priorities: ArrayLike) -> None:
        """Set priorities at int64 [n]; of an index given twice the last counts."""
        nodes = index + self._leaves
        self._nodes[nodes] = priorities
        while nodes[0] > 1:
            nodes = np.unique(nodes // 2)
            self._nodes[nodes] = self._nodes[2 * nodes] + self._nodes[2 * nodes + 1]

    def sample(self, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the items at these shares, float64 [n] in [0, 1), of the cumulative sum."""
        rest = uniform * self.total
        nodes = np.ones(len(uniform), np.int64)
        while nodes[0] < self._leaves:
            left = self._nodes[2 * nodes]
            # An empty right half is never entered, however the sums were rounded.
            right = (rest >= left) & (self._nodes[2 * nodes + 1] > 0)
            rest = np.where(right, rest - left, rest)
            nodes = 2 * nodes + right
        return nodes - self._leaves
