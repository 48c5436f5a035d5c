"""Others' environments: step for step what Gymnasium's own vector env gives, in the form that agents know."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from envs import AdaptedVectorEnv
from envs.adapter import Hosting


def test_it_is_gymnasiums_vector_env_in_another_form() -> None:
    ours = AdaptedVectorEnv("CartPole-v1", 5, max_episode_steps=30)
    theirs: Any = gym.make_vec(
        "CartPole-v1", 5, "sync", {"autoreset_mode": AutoresetMode.NEXT_STEP}, max_episode_steps=30
    )
    rng = np.random.default_rng(0)
    out = np.zeros((5, 1, 1, 4), np.float32)
    observations, _ = ours.reset(seed=7, out=out)
    assert observations is out
    assert np.array_equal(out.reshape(5, 4), theirs.reset(seed=7)[0])
    begun, scores, over, ends = np.zeros(5), np.zeros(5), np.zeros(5, np.bool_), [0, 0]
    for _ in range(2000):
        actions = rng.integers(0, 2, 5)
        assert np.array_equal(ours.over, over)
        observations, rewards, terminated, truncated, info = ours.step(actions)
        expected = theirs.step(actions)
        assert np.array_equal(observations.reshape(5, 4), expected[0])
        for mine, other in zip((rewards, terminated, truncated), expected[1:4], strict=True):
            assert np.array_equal(mine, other)
        scores = np.where(over, 0, scores + expected[1])
        assert np.array_equal(info["score"], scores)
        over = terminated | truncated
        begun += over
        ends[0] += terminated.sum()
        ends[1] += truncated.sum()
    assert min(ends) > 50


def test_an_episode_ends_at_the_cap() -> None:
    envs = AdaptedVectorEnv("CartPole-v1", 2, score_cap=4)
    envs.reset(seed=0)
    steps = [envs.step(np.array([0, 1]))[2:] for _ in range(4)]
    assert [truncated.tolist() for _, truncated, _ in steps] == [[False] * 2] * 3 + [[True] * 2]
    assert steps[3][2]["score"].tolist() == [4, 4]
    assert envs.step(np.array([0, 1]))[4]["score"].tolist() == [0, 0]


def test_going_on_begins_new_episodes_always_the_same_ones() -> None:
    envs = [AdaptedVectorEnv("CartPole-v1", 3) for _ in range(3)]
    first, _ = envs[0].reset(seed=5)
    for _ in range(7):
        envs[0].step(np.array([0, 1, 0]))
    state = envs[0].get_state()
    shown = []
    for other in envs[1:]:
        other.reset(seed=9)
        other.set_state(state)
        assert other.over.all()
        observations, rewards, *_ = other.step(np.zeros(3, np.int64))
        assert rewards.tolist() == [0, 0, 0]
        shown.append(observations)
    assert np.array_equal(*shown)
    assert len({row.tobytes() for row in [*shown[0], *first]}) == 6


@pytest.mark.parametrize(
    ("env_id", "settings", "why"),
    [
        ("Nothing-v0", {}, "can't be made"),
        ("nobody:Nothing-v0", {}, "can't be made"),
        ("CartPole-v1", {"mass": 3}, "can't be made"),
        ("tests.envs.screens:Parts", {"pushes": 9}, "at most 4096 combinations"),
    ],
)
def test_what_does_not_fit_is_refused(env_id: str, settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        AdaptedVectorEnv(env_id, 1, **settings)


def test_a_person_sees_it() -> None:
    envs = AdaptedVectorEnv("CartPole-v1", 2, render_mode="rgb_array")
    envs.reset(seed=0)
    frames = envs.render() or ()
    assert [frame.shape for frame in frames] == [(400, 600, 3)] * 2
    assert AdaptedVectorEnv("CartPole-v1", 2).render() is None


@pytest.mark.parametrize("workers", [0, 1])
def test_who_rests_is_left_as_it_is(workers: int) -> None:
    """Film's reward is -2 t in its frame t, of which it has five; then it begins again."""
    envs = AdaptedVectorEnv("tests.envs.screens:Film", 2, hosting=Hosting(workers=workers))
    envs.reset(seed=0)
    actions = np.zeros(2, np.int64)
    envs.step(actions)
    envs.rest(np.array([True, False]))
    for t in (2, 3):
        _, rewards, terminated, _, info = envs.step(actions)
        assert rewards.tolist() == [0, -2 * t]
        assert info["score"].tolist() == [-2, -t * (t + 1)]
    envs.rest(np.zeros(2, np.bool_))
    for t in (4, 5):
        _, rewards, terminated, *_ = envs.step(actions)
        assert rewards.tolist() == [-2 * (t - 2), -2 * t]
    assert terminated.tolist() == [False, True]
    envs.rest(np.array([False, True]))
    assert envs.step(actions)[1].tolist() == [-8, 0]
    assert envs.over.tolist() == [False, True]  # still
    envs.rest(np.zeros(2, np.bool_))
    assert envs.step(actions)[1].tolist() == [-10, 0]
    assert envs.step(actions)[1].tolist() == [0, -2]
    envs.rest(np.ones(2, np.bool_))
    envs.reset(seed=0)
    assert envs.step(actions)[1].tolist() == [-2, -2]
    envs.close()


def test_actions_of_any_whole_numbers_will_do_and_no_others() -> None:
    """Over episodes' ends, too, where the action counts for nothing."""
    both = [AdaptedVectorEnv("CartPole-v1", 3, score_cap=3) for _ in range(2)]
    first = [envs.reset(seed=0)[0] for envs in both]
    assert np.array_equal(*first)
    for _ in range(9):
        one, other = (envs.step(np.ones(3, dtype)) for envs, dtype in zip(both, (np.int64, np.uint8), strict=True))
        for mine, its in zip(one[:4], other[:4], strict=True):
            assert np.array_equal(mine, its)
    for wrong in ([0, 1, 2], [-1, 0, 0], [-2, 0, 0], [0, 0], [0.0, 1.0, 0.0]):
        with pytest.raises(ValueError, match="actions must be"):
            both[0].step(np.array(wrong))
