"""The planner against places whose fate can be worked out on paper."""

from typing import Any

import numpy as np
import pytest

from benchmarks.last_chance import Settings, can_survive, last_chance, play_with_planner
from envs import FLAPPY_BIRD

RULES = FLAPPY_BIRD.rules("classic")


def place(y: float, velocity: float, pipe_x: float, gap_y: float) -> Any:
    """A bird and one pipe; the others are far away."""
    state = np.zeros(1, FLAPPY_BIRD.state_dtype)
    state["y"], state["velocity"] = y, velocity
    state["pipe_x"], state["gap_y"] = (pipe_x, 2000.0, 3000.0), (gap_y, 100.0, 100.0)
    return state[0]


def test_a_bird_before_a_wall_and_one_before_a_gap() -> None:
    """The pipe's edge at 100 is 9 pixels off: 3 frames. In these a bird falls 30 pixels at most."""
    assert can_survive(place(200.0, 10.0, 100.0, 180.0), RULES, 10)
    assert can_survive(place(150.0, 10.0, 100.0, 180.0), RULES, 1)
    assert can_survive(place(150.0, 10.0, 100.0, 180.0), RULES, 2)
    assert not can_survive(place(149.0, 10.0, 100.0, 180.0), RULES, 2)
    assert not can_survive(place(100.0, 10.0, 100.0, 180.0), RULES, 10)


def test_a_bird_above_the_ground_has_to_flap_at_once() -> None:
    """24 pixels tall, 10 pixels a frame: at 365 it meets the ground, at 404, in the second frame."""
    assert can_survive(place(365.0, 10.0, 1000.0, 100.0), RULES, 1, first=1)
    assert not can_survive(place(365.0, 10.0, 1000.0, 100.0), RULES, 1, first=0)
    assert can_survive(place(359.0, 10.0, 1000.0, 100.0), RULES, 1, first=0)
    assert not can_survive(place(371.0, 10.0, 1000.0, 100.0), RULES, 1, first=0)


def test_the_last_chance_is_counted_back_from_the_end() -> None:
    """Gliding into the ground: lost when a flap no longer helps, which is only when it is reached."""
    past = [place(y, 10.0, 1000.0, 100.0) for y in (319.0, 339.0, 359.0, 379.0)]
    assert last_chance(past, RULES, 3) == 0
    wall = [place(100.0, 10.0, 100.0 + 8 * back, 180.0) for back in (9, 8, 1, 0)]
    assert last_chance(wall, RULES, 20) == 2


@pytest.mark.parametrize(("reach", "low", "high"), [(2, 0, 1), (24, 10, 10)])
def test_a_planner_gets_as_far_as_it_sees(reach: int, low: int, high: int) -> None:
    scores = play_with_planner(Settings(episodes=3, score_cap=10, reach=reach))
    assert all(low <= score <= high for score in scores)
