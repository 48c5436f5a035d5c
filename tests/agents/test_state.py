"""A generator goes on from its saved state as if nothing had happened."""

import numpy as np
import pytest

from agents.state import generator_state, load_generator_state


@pytest.mark.parametrize("halves", [0, 1])
def test_a_generator_goes_on_from_its_state(halves: int) -> None:
    begun, other = np.random.default_rng(3), np.random.default_rng(4)
    begun.normal(size=100)
    begun.integers(2**32, size=halves, dtype=np.uint32)  # of 64 drawn bits the other half is kept for the next
    state = generator_state(begun)
    assert state.shape == (64,)
    load_generator_state(other, state)
    for dtype in (np.uint32, np.uint64, np.uint32):
        one, two = (generator.integers(2**32 - 1, size=7, dtype=dtype).tolist() for generator in (begun, other))
        assert one == two
    assert begun.random(5).tolist() == other.random(5).tolist()
