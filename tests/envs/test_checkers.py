"""The envs are what Gymnasium and Stable-Baselines3 expect, down to their warnings (errors in this suite)."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from envs import GAMES, GameEnv, GameVectorEnv

IDS = list(GAMES)


def every_preset() -> list[tuple[str, str]]:
    return [(name, preset) for name in IDS for preset in GAMES[name].presets]


@pytest.mark.parametrize(("name", "preset"), every_preset())
@pytest.mark.parametrize("settings", [{}, {"render_mode": "rgb_array", "size": (64, 96), "frame_skip": 2}])
def test_both_checkers_are_content(name: str, preset: str, settings: dict[str, Any]) -> None:
    env = gym.make(f"envs:{name}", preset=preset, **settings)
    check_env(env.unwrapped)
    check_env_for_sb3(env.unwrapped, warn=True)
    check_env_for_sb3(env, warn=True)
    env.close()


@pytest.mark.parametrize("name", IDS)
def test_make_hands_its_arguments_on(name: str) -> None:
    env = gym.make(name, preset=list(GAMES[name].presets)[-1], size=(40, 60), frame_skip=3, theme="night")
    assert isinstance(env.unwrapped, GameEnv)
    assert env.unwrapped.preset == list(GAMES[name].presets)[-1]
    observation, _ = env.reset(seed=1)
    assert observation.shape == (1, 40, 60)
    assert observation.dtype == np.uint8


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("mode", ["vector_entry_point", "sync"])
def test_make_vec_gives_many(name: str, mode: str) -> None:
    envs = gym.make_vec(f"envs:{name}", num_envs=3, vectorization_mode=mode, size=(40, 60), frame_skip=2)
    assert isinstance(envs.unwrapped, GameVectorEnv) == (mode == "vector_entry_point")
    observations, _ = envs.reset(seed=1)
    assert observations.shape == envs.observation_space.shape == (3, 1, 40, 60)
    observations, rewards, terminated, truncated, _ = envs.step(np.zeros(3, np.int64))
    assert observations in envs.observation_space
    assert rewards.shape == terminated.shape == truncated.shape == (3,)
    assert envs.metadata["autoreset_mode"] == gym.vector.AutoresetMode.NEXT_STEP
    envs.close()


def test_make_vec_does_not_copy_the_game() -> None:
    """A copy would be compiled all over again: a second each time."""
    envs = gym.make_vec(IDS[0], num_envs=1)
    assert isinstance(envs, GameVectorEnv)
    assert envs.game is GAMES[IDS[0]]


def test_a_vector_env_and_gymnasiums_own_agree() -> None:
    ours, theirs = (
        gym.make_vec(IDS[0], num_envs=3, vectorization_mode=mode) for mode in ("vector_entry_point", "sync")
    )
    seen, info = ours.reset(seed=5)
    expected, expected_info = theirs.reset(seed=5)
    rng = np.random.default_rng(0)
    for _ in range(300):
        assert (seen == expected).all()
        assert (info["score"] == expected_info["score"]).all()
        actions = (rng.random(3) < 0.08).astype(np.int64)
        seen, rewards, terminated, truncated, info = ours.step(actions)
        expected, *rest, expected_info = theirs.step(actions)
        for ours_is, theirs_is in zip((rewards, terminated, truncated), rest, strict=True):
            assert (ours_is == theirs_is).all()


def test_episode_statistics_come_from_gymnasiums_wrapper() -> None:
    envs = gym.wrappers.vector.RecordEpisodeStatistics(gym.make_vec(IDS[0], num_envs=4))
    envs.reset(seed=0)
    for _ in range(40):  # gliding falls to the ground on frame 31, with 30 frames' 0.1 and -1
        _, _, terminated, _, info = envs.step(np.zeros(4, np.int64))
        if terminated.any():
            assert info["episode"]["l"].tolist() == [31] * 4
            np.testing.assert_allclose(info["episode"]["r"], 30 * 0.1 - 1, atol=1e-6)
            return
    pytest.fail("no episode ended")
