"""The teacher's answers against places worked out on paper, and a student that has to learn from them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agents.rollout import Rollout
from benchmarks import taught
from benchmarks.taught import GAMES, STEPS, Settings, judge, teach
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


def test_a_student_that_sees_learns_more_than_anybody_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Always giving the commoner answers is cheap, too: the bar is the entropy of the last round's answers.

    Who sees nothing can expect no smaller loss there, even knowing how often each answer is right.
    """
    answers, rollouts, begin = list[NDArray[np.float32]](), list[Rollout](), Rollout.begin

    def note(states: Any, rules: Any, horizon: int, spare: Any, told: NDArray[np.float32]) -> None:
        judge(states, rules, horizon, spare, told)
        answers.append(told.copy())

    def note_rollout(self: Rollout, after: Rollout) -> None:
        rollouts.append(self)
        begin(self, after)

    monkeypatch.setattr(taught, "judge", note)
    monkeypatch.setattr(Rollout, "begin", note_rollout)
    _, seeing = teach(Settings(samples=60_000))
    real = np.stack(answers[-STEPS:])[rollouts[-1].valid.numpy()]
    assert len(real) > 0.9 * STEPS * GAMES
    shares = real.mean(0, dtype=np.float64)
    assert ((shares > 0) & (shares < 1)).all()
    blind = -(shares * np.log(shares) + (1 - shares) * np.log(1 - shares)).mean()
    assert seeing < 0.7 * blind
