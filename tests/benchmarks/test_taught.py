"""The teacher's answers against places worked out on paper, and a student that has to learn from them."""

import numpy as np
import pytest
import torch

from agents.rollout import Rollout
from benchmarks.taught import Settings, judge, teach
from envs import FLAPPY_BIRD
from tests.benchmarks.test_last_chance import RULES, place


def test_the_teacher_says_which_actions_survive() -> None:
    """As in test_last_chance: at 365 only a flap saves, at 359 there is time to glide once, at the wall none."""
    states = np.array(
        [place(365.0, 10.0, 1000.0, 100.0), place(359.0, 10.0, 1000.0, 100.0), place(100.0, 10.0, 100.0, 180.0)]
    )
    answers = np.full((3, 2), -1, np.float32)
    for horizon, expected in ((1, [[0, 1], [1, 1], [1, 1]]), (10, [[0, 1], [1, 1], [0, 0]])):
        judge(states, RULES, horizon, np.zeros(horizon + 1, FLAPPY_BIRD.state_dtype), answers)
        assert answers.tolist() == expected


def test_a_student_that_sees_learns_more_than_a_blind_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Always giving the commoner answers is cheap, too, so the bar is a student whose pictures are black."""
    settings, gather = Settings(samples=60_000), Rollout.observations
    _, seeing = teach(settings)
    monkeypatch.setattr(Rollout, "observations", lambda self, index: torch.zeros_like(gather(self, index)))
    _, blind = teach(settings)
    assert seeing < 0.7 * blind
