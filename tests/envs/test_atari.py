"""Atari games in ALE's own vector environment are played as they are one by one."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ale_py", reason="the extra atari is not installed")

from commands.game import GameConfig
from envs.adapter import AdaptedVectorEnv, Hosting
from envs.atari import Atari, wishes
from envs.guest import register, short
from envs.hosts import Here
from envs.screen import Screen

BREAKOUT = "ALE/Breakout-v5"
USUAL = Screen(frame_skip=4, pool=True)


def games(workers: int | None = None, num_envs: int = 3, **settings: Any) -> AdaptedVectorEnv:
    """Make some without sticky actions, so that what they do depends on the actions alone."""
    settings = {"screen": USUAL, "repeat_action_probability": 0.0, **settings}
    return AdaptedVectorEnv(BREAKOUT, num_envs, hosting=Hosting(workers, vector=True), **settings)


def actions(steps: int, num_envs: int = 3) -> Any:
    """Draw random ones, int64 [steps, num_envs]."""
    return np.random.default_rng(0).integers(4, size=(steps, num_envs))


def test_they_are_played_as_one_by_one() -> None:
    """Rewards, ends and scores are the same; pictures but for rounding and what flickers, and the last."""
    vector, single = games(), games(workers=0)
    assert isinstance(vector.host, Atari)
    assert isinstance(single.host, Here)
    assert vector.single_observation_space == single.single_observation_space
    before, other = vector.reset(seed=3)[0].copy(), single.reset(seed=3)[0]
    off = [np.abs(before.astype(int) - other)]
    ends = 0
    for row in actions(700):
        (shown, *mine, info), (other, *its, other_info) = vector.step(row), single.step(row)
        off.append(np.abs(shown.astype(int) - other)[~vector.over])
        assert (np.abs(shown.astype(int) - before)[vector.over] <= 1).all()  # an end shows what was before
        before = shown.copy()
        assert all((a == b).all() for a, b in zip(mine, its, strict=True))
        assert (info["score"] == other_info["score"]).all()
        ends += int(vector.over.sum())
    assert ends > 3
    apart = np.concatenate([each.ravel() for each in off])
    assert apart.mean() < 0.01
    assert (apart > 1).mean() < 1e-3


def test_a_worker_plays_them_as_this_process_does() -> None:
    """It imports ALE anew, which must have skipped no frames of its own by the time that the first game is made."""
    here, there = games(workers=0, num_envs=2), games(workers=1, num_envs=2)
    assert np.array_equal(here.reset(seed=3)[0], there.reset(seed=3)[0])
    for row in actions(40, 2):
        for mine, its in zip(here.step(row)[:4], there.step(row)[:4], strict=True):
            assert np.array_equal(mine, its)
    there.close()


def test_a_seed_repeats_and_another_differs() -> None:
    """With sticky actions, which are all that is random in it."""

    def played(seed: int) -> Any:
        envs = games(repeat_action_probability=0.25)
        return np.array([envs.reset(seed=seed)[0], *(envs.step(row)[0] for row in actions(300))])

    first, again, other = played(1), played(1), played(2)
    assert (first == again).all()
    assert (first != other).any((0, 2, 3, 4)).all()


def test_a_game_that_is_cut_off_begins_anew_and_the_others_go_on() -> None:
    cut, whole = games(score_cap=1), games()
    shown, _ = cut.reset(seed=0)
    whole.reset(seed=0)
    begin, going_on, cuts = shown.copy(), np.ones(3, np.bool_), 0
    for row in actions(300):
        over = cut.over.copy()
        shown, rewards, _, truncated, info = cut.step(row)
        other = whole.step(row)[0]
        going_on &= ~over
        assert (shown[going_on] == other[going_on]).all()
        assert (shown[over] == begin[over]).all()
        assert not rewards[over].any()
        assert not info["score"][over].any()
        cuts += int(truncated.sum())
    assert cuts > 2
    assert going_on.sum() < 3


def test_nobody_can_rest() -> None:
    envs = games()
    envs.reset(seed=0)
    envs.rest(np.array([False, True, False]))
    with pytest.raises(ValueError, match="no game can rest"):
        envs.step(np.zeros(3, np.int64))


def test_only_training_is_played_like_that() -> None:
    """An agent is judged by what people see, and while it is judged finished games rest."""
    config = GameConfig(BREAKOUT, screen="atari")
    assert isinstance(config.make(2, training=True).host, Atari)
    assert not isinstance(config.make(2).host, Atari)
    assert not isinstance(GameConfig(BREAKOUT, screen="atari", workers=0).make(2, training=True).host, Atari)


def test_seeds_stay_different() -> None:
    """Of evaluations, which are large, and of training."""
    numbers = [short(start + i, 31) for start in (0, 2**33, 2**31 - 1) for i in range(200)]
    assert len(set(numbers)) == 600
    assert all(0 <= number < 2**31 for number in numbers)


def test_a_state_begins_new_episodes_that_repeat() -> None:
    envs = games(repeat_action_probability=0.25)
    envs.reset(seed=5)
    for row in actions(50):
        envs.step(row)
    state = envs.get_state()
    runs = []
    for each in (envs, games(repeat_action_probability=0.25)):  # as it is, and in a new process
        envs = each
        envs.set_state(state)
        runs.append(np.array([envs.step(row)[0] for row in actions(100)]))
    assert (runs[0] == runs[1]).all()


@pytest.mark.parametrize(
    ("env_id", "settings", "screen"),
    [
        ("CartPole-v1", {}, USUAL),
        ("nobody:knows", {}, USUAL),
        (BREAKOUT, {"mode": 4}, USUAL),
        (BREAKOUT, {"frameskip": 2}, USUAL),
        (BREAKOUT, {"frameskip": (2, 5)}, Screen()),
        (BREAKOUT, {"max_num_frames_per_episode": 0}, USUAL),
        *((BREAKOUT, {}, Screen(frame_skip=4, **{name: value})) for name, value in {
            "pixels": True, "sticky": 0.1, "no_ops": 30, "life_loss": True,
        }.items()),
    ],
)  # fmt: skip
def test_what_it_can_not_do_is_left_to_others(env_id: str, settings: dict[str, Any], screen: Screen) -> None:
    register(BREAKOUT)
    assert wishes(env_id, settings, screen) is None


def test_frames_are_skipped_by_whoever_was_asked() -> None:
    register(BREAKOUT)
    for settings, screen, expected, pools in (
        ({}, Screen(), 4, False),  # as ALE registers it
        ({}, Screen(pool=True), 4, False),  # nothing is skipped here, so nothing is pooled
        ({"frameskip": 2}, Screen(), 2, False),
        ({}, Screen(frame_skip=3, pool=True), 3, True),
    ):
        asked = wishes(BREAKOUT, settings, screen)
        assert asked is not None
        assert (asked["frameskip"], asked["maxpool"]) == (expected, pools)


def test_settings_may_come_from_the_command_line() -> None:
    """Where 1 stands for True."""
    envs = games(full_action_space=1, repeat_action_probability=0)
    assert isinstance(envs.host, Atari)
    assert envs.single_action_space.n == 18
    envs.reset(seed=0)
    envs.step(np.full(3, 17))
    envs.close()
    envs.close()
