"""The games as SB3's VecEnv, against SB3's own DummyVecEnv of single games."""

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, VecCheckNan, VecMonitor

from envs import FLAPPY_BIRD, GameEnv, GameVectorEnv
from envs.sb3 import GameVecEnv

SETTINGS: dict[str, Any] = {"frame_skip": 2, "max_frames": 41, "size": (40, 30)}


def ours(games: int, frames: int, **settings: Any) -> GameVecEnv:
    return GameVecEnv(GameVectorEnv(FLAPPY_BIRD, games, **{**SETTINGS, **settings}), frames)


def single(frames: int) -> gym.Env[Any, Any]:
    """One game with Gymnasium's own stack of frames."""
    env = gym.wrappers.FrameStackObservation(GameEnv(FLAPPY_BIRD, **SETTINGS), frames)
    return gym.wrappers.ReshapeObservation(env, (frames, *SETTINGS["size"]))


@pytest.mark.parametrize("frames", [1, 3])
def test_it_does_what_single_games_do(frames: int) -> None:
    """To the last bit, over episodes that end in death and such as are cut off."""
    games, steps = 5, 1000
    theirs = DummyVecEnv([partial(single, frames) for _ in range(games)])
    mine = ours(games, frames)
    assert (mine.observation_space, mine.action_space) == (theirs.observation_space, theirs.action_space)
    assert mine.seed(9) == theirs.seed(9)
    assert (mine.reset() == theirs.reset()).all()
    rng, deaths, cuts = np.random.default_rng(0), 0, 0
    for _ in range(steps):
        actions = (rng.random(games) < 0.12).astype(np.int64)
        *got, infos = mine.step(actions)
        *expected, expected_infos = theirs.step(actions)
        for array, wanted in zip(got, expected, strict=True):
            assert array.dtype == wanted.dtype
            assert (array == wanted).all()
        for info, wanted in zip(infos, expected_infos, strict=True):
            assert info["score"] == wanted["score"]
            assert info["TimeLimit.truncated"] == wanted["TimeLimit.truncated"]
            assert ("terminal_observation" in info) == ("terminal_observation" in wanted)
            if "terminal_observation" in info:
                assert (info["terminal_observation"] == wanted["terminal_observation"]).all()
                cuts += info["TimeLimit.truncated"]
                deaths += not info["TimeLimit.truncated"]
    assert min(deaths, cuts) > 30


def test_what_was_returned_is_never_overwritten() -> None:
    """SB3 stores the observations of a step after the next one."""
    env = ours(3, 2)
    env.seed(0)
    returned = [env.reset()]
    for t in range(60):
        if t == 30:
            copies = [array.copy() for array in returned]
        observations, rewards, dones, infos = env.step(np.array([0, t % 8 == 0, t % 16 == 0]))
        returned += [observations, rewards, dones, *(info.get("terminal_observation", rewards) for info in infos)]
    assert all((copy == array).all() for copy, array in zip(copies, returned, strict=False))


def test_sb3s_wrappers_are_content() -> None:
    env = VecMonitor(VecCheckNan(ours(4, 2), raise_exception=True))
    env.seed(0)
    env.reset()
    for _ in range(16):  # gliding falls to the ground on frame 31
        _, _, dones, infos = env.step(np.zeros(4, np.int64))
    assert dones.all()
    for info in infos:
        assert info["episode"]["l"] == 16
        assert info["episode"]["r"] == pytest.approx(30 * 0.1 - 1)


def test_state_can_be_taken_and_set() -> None:
    env, other = ours(3, 3), ours(3, 3)
    env.seed(1)
    other.seed(2)
    for each in (env, other):
        each.reset()
    actions = (np.random.default_rng(0).random((150, 3)) < 0.1).astype(np.int64)
    for action in actions[:40]:
        env.step(action)
    saved = env.get_state()
    expected = [env.step(action) for action in actions]
    other.set_state(saved)
    assert (other.observations == saved["stacks"]).all()
    for action, (observations, *rest, _) in zip(actions, expected, strict=True):
        now, *numbers, _ = other.step(action)
        assert (now == observations).all()
        assert [x.tolist() for x in numbers] == [x.tolist() for x in rest]


def test_pictures_for_people() -> None:
    env = ours(4, 2, render_mode="rgb_array")
    env.reset()
    picture = env.render()
    assert picture is not None
    assert picture.shape == (2 * 512, 2 * 288, 3)
    assert picture.std() > 10
    assert ours(2, 2).get_images() == [None, None]


@pytest.mark.parametrize("ask", [lambda env: env.set_attr("preset", "head2023"), lambda env: env.env_method("reset")])
def test_single_games_can_not_be_reached(ask: Callable[[GameVecEnv], Any]) -> None:
    env = ours(3, 1)
    with pytest.raises(NotImplementedError, match="the games are one batch"):
        ask(env)
    assert env.get_attr("preset", [0, 2]) == ["classic"] * 2
    assert env.env_is_wrapped(gym.Wrapper) == [False] * 3
