"""The tree of sums against plain cumulative sums."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.sum_tree import SumTree


@pytest.mark.parametrize("capacities", [range(1, 65), range(65, 129), range(129, 193), range(193, 258)])
def test_every_capacity_draws_by_the_cumulative_sum(capacities: range) -> None:
    for capacity in capacities:
        rng = np.random.default_rng(capacity)
        tree, priorities = SumTree(capacity), np.zeros(capacity, np.int64)
        assert tree.total == 0
        for _ in range(4):
            index = rng.integers(capacity, size=rng.integers(1, capacity + 1))
            for i, value in zip(index, values := rng.integers(0, 6, len(index)), strict=True):
                priorities[i] = value  # of an index given twice the last counts
            tree.set(index, values)
            assert tree.total == priorities.sum()
            assert tree.get(np.arange(capacity)).tolist() == priorities.tolist()
        total = priorities.sum()
        if total:
            shares = (np.arange(total) + 0.5) / total
            expected = np.searchsorted(np.cumsum(priorities), np.arange(total), side="right")
            assert tree.sample(shares).tolist() == expected.tolist()
            assert tree.sample(rng.permutation(shares)).size == total


@settings(deadline=None, derandomize=True)
@given(st.data(), st.integers(1, 257))
def test_any_updates_draw_by_the_cumulative_sum(data: st.DataObject, capacity: int) -> None:
    tree, priorities = SumTree(capacity), [Fraction(0)] * capacity
    quarters = st.integers(0, 2**40).map(lambda quarter: quarter / 4)  # sums of these are exact
    updates = st.dictionaries(st.integers(0, capacity - 1), quarters, min_size=1, max_size=9)
    for update in data.draw(st.lists(updates, min_size=1, max_size=5)):
        tree.set(np.array(list(update)), list(update.values()))
        for item, priority in update.items():
            priorities[item] = Fraction(priority)
    assert Fraction(tree.total) == sum(priorities)
    if tree.total:
        share = data.draw(st.floats(0, 0.999))
        (item,) = tree.sample(np.array([share])).tolist()
        below, place = sum(priorities[:item]), Fraction(share * tree.total)
        assert below <= place < below + priorities[item]


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 100, 257])
def test_empty_leaves_are_never_drawn(capacity: int) -> None:
    rng = np.random.default_rng(0)
    edges = np.array([0.0, 5e-324, 0.5, np.nextafter(0.5, 1), np.nextafter(1.0, 0.0)])
    for _ in range(50):
        tree = SumTree(capacity)
        filled = rng.choice(capacity, max(1, capacity // 3), replace=False)
        tree.set(np.arange(capacity), np.zeros(capacity))
        tree.set(filled, 10 ** rng.uniform(-12, 12, len(filled)))
        drawn = tree.sample(np.concatenate([edges, rng.random(200)]))
        assert set(drawn.tolist()) <= set(filled.tolist())


def test_shares_are_kept() -> None:
    tree, priorities = SumTree(7), np.array([0.1, 0.0, 3.0, 0.7, 2.2, 0.0, 1.0])
    tree.set(np.arange(7), priorities)
    drawn = np.bincount(tree.sample(np.random.default_rng(0).random(100_000)), minlength=7) / 100_000
    assert np.abs(drawn - priorities / 7).max() < 4 * math.sqrt(0.25 / 100_000)


def test_rounding_errors_do_not_pile_up_over_a_million_updates() -> None:
    rng, tree = np.random.default_rng(0), SumTree(1000)
    for _ in range(10_000):
        tree.set(rng.integers(1000, size=100), 10 ** rng.uniform(-3, 9, 100))
        assert tree.total >= 0
    assert tree.total == pytest.approx(math.fsum(tree.get(np.arange(1000))), rel=1e-12)
    for _ in range(40):  # what is small again must not be lost in what was left of the large
        tree.set(rng.integers(1000, size=400), np.full(400, 1e-3))
    assert math.fsum(tree.get(np.arange(1000))) == pytest.approx(1.0)
    assert tree.total == pytest.approx(1.0, rel=1e-12)
