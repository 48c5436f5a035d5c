"""The rollout against counting games that know what should be in it."""

import numpy as np
import pytest
import torch

from agents.rollout import Episodes, Rollout
from tests.agents.counters import Counters
from tests.agents.making import same

CPU = torch.device("cpu")


def collect(rollout: Rollout, rng: np.random.Generator, last: Rollout | None = None) -> None:
    rollout.begin(last or rollout)
    for t in range(rollout.steps):
        rollout.add(t, torch.from_numpy(rng.integers(4, size=rollout.envs.num_envs)))


@pytest.mark.parametrize("lost", [0.0, 0.2])
@pytest.mark.parametrize("games", [1, 3])
@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_everything_is_what_the_games_noted(frames: int, steps: int, games: int, lost: float) -> None:
    """Where a game is lost and begins anew, too: a rollout that has ended by then is not changed any more."""
    envs, rng = Counters(games, seed=frames, lost=lost), np.random.default_rng(0)
    rollout = Rollout(envs, steps, frames, CPU)
    rollout.start(0)
    for begin in range(0, 5 * steps + 20, steps):
        collect(rollout, rng)
        stacks = rollout.observations(torch.arange((steps + 1) * games))
        assert stacks.dtype == torch.uint8
        assert stacks.shape == ((steps + 1) * games, frames, 2, 2)
        for t in range(steps + 1):
            expected = np.stack([envs.stack(begin + t, game, frames) for game in range(games)])
            assert stacks[t * games : (t + 1) * games].numpy().tolist() == expected.tolist()
            assert rollout.at(t).gathered().numpy().tolist() == expected.tolist()
        now = slice(begin, begin + steps)
        assert rollout.actions.tolist() == envs.actions[now]
        assert rollout.rewards.tolist() == envs.rewards[now]
        assert rollout.valid.tolist() == envs.real[now]
        for kind, flags in (("terminated", rollout.terminated), ("truncated", rollout.truncated)):
            assert flags.tolist() == [[end == kind for end in ends] for ends in envs.ends[now]]
    assert {end for ends in envs.ends for end in ends} == {"", "terminated", "truncated"}


def test_no_stack_holds_frames_of_two_episodes() -> None:
    rollout = Rollout(Counters(8, longest=3), 50, 4, CPU)
    rollout.start(0)
    collect(rollout, np.random.default_rng(0))
    stacks = rollout.observations(torch.arange(51 * 8)).numpy()
    games, episodes, steps = stacks[:, :, 0, 0], stacks[:, :, 0, 1], stacks[:, :, 1, 0].astype(int)
    assert (games == np.tile(np.arange(8), 51)[:, None]).all()
    assert (episodes == episodes[:, :1]).all()
    assert len(np.unique(episodes)) > 10
    assert (steps == np.maximum(steps[:, -1:] + np.arange(-3, 1), 0)).all()


def test_what_follows_is_one_step_on() -> None:
    """Unless next observations shared their memory with current ones."""
    rollout = Rollout(Counters(8), 50, 2, CPU)
    rollout.start(0)
    collect(rollout, np.random.default_rng(0))
    current, following = (
        np.stack([rollout.at(t).gathered()[:, -1].numpy().astype(int) for t in range(k, 50 + k)]) for k in (0, 1)
    )
    valid = rollout.valid.numpy()
    assert (following[valid][:, 0] == current[valid][:, 0]).all()  # game and episode
    assert (following[valid][:, 1, 0] == current[valid][:, 1, 0] + 1).all()
    assert (following[~valid][:, 1, 0] == 0).all()  # the steps that are none: an episode's beginning follows
    assert (following[~valid][:, 0, 1] == current[~valid][:, 0, 1] + 1).all()
    assert 50 < (~valid).sum() < 200


def test_what_was_gathered_stays() -> None:
    rollout = Rollout(Counters(3), 5, 2, CPU)
    rollout.start(0)
    collect(rollout, np.random.default_rng(0))
    gathered = [rollout.at(t).gathered() for t in range(6)]
    copies = [stack.clone() for stack in gathered]
    for _ in range(3):
        collect(rollout, np.random.default_rng(1))
    assert all(torch.equal(stack, copy) for stack, copy in zip(gathered, copies, strict=True))


def test_a_reward_stays_with_the_step_that_earned_it() -> None:
    rollout = Rollout(Counters(6, longest=9, hot=2), 60, 1, CPU)
    rollout.start(0)
    collect(rollout, np.random.default_rng(0))
    shown = np.stack([rollout.at(t).gathered()[:, -1, 1, 0].numpy() for t in range(60)])
    assert rollout.rewards.sum() > 10
    assert (rollout.rewards.numpy() == ((shown == 2) & rollout.valid.numpy())).all()


def test_a_saved_rollout_goes_on_exactly() -> None:
    straight, saved, fresh = (Rollout(Counters(20), 5, 3, CPU) for _ in range(3))
    for rollout in (straight, saved):
        rollout.start(0)
        for seed in range(3):
            collect(rollout, np.random.default_rng(seed))
    assert saved.envs.over.any(), "some game should be saved between its end and its reset"
    state = {key: value.clone() for key, value in saved.state_dict().items()}
    saved.start(0)  # what was handed out is not changed by what happens later
    collect(saved, np.random.default_rng(5))
    fresh.load_state_dict(state)
    for seed in range(3, 6):
        for rollout in (straight, fresh):
            collect(rollout, np.random.default_rng(seed))
        every = torch.arange(6 * 20)
        assert torch.equal(straight.observations(every), fresh.observations(every))
        for name in ("actions", "rewards", "terminated", "truncated", "valid"):
            assert torch.equal(getattr(straight, name), getattr(fresh, name))


@pytest.mark.parametrize("games", [1, 3])
@pytest.mark.parametrize("frames", [1, 3])
def test_two_in_turn_are_as_one_alone(frames: int, games: int) -> None:
    """And what is in the one stays there while the other goes on."""
    alone = Rollout(Counters(games), 7, frames, CPU)
    envs = Counters(games)
    one, other = Rollout(envs, 7, frames, CPU), Rollout(envs, 7, frames, CPU)
    every = torch.arange(8 * games)
    for rollout in (alone, one):
        rollout.start(0)
        collect(rollout, np.random.default_rng(0))
    for seed in range(1, 6):
        before = one.record()
        collect(alone, np.random.default_rng(seed))
        collect(other, np.random.default_rng(seed), last=one)
        assert torch.equal(alone.observations(every), other.observations(every))
        assert same(before, one.record())
        one, other = other, one


def test_a_record_is_all_that_happened() -> None:
    rollout, other = Rollout(Counters(5), 7, 3, CPU), Rollout(Counters(5), 7, 3, CPU)
    rollout.start(0)
    for seed in range(3):
        collect(rollout, np.random.default_rng(seed))
    other.load_record(rollout.record())
    every = torch.arange(8 * 5)
    assert torch.equal(rollout.observations(every), other.observations(every))
    assert torch.equal(rollout.first, other.first)
    for name in ("actions", "rewards", "terminated", "truncated", "valid"):
        assert torch.equal(getattr(rollout, name), getattr(other, name))


@pytest.mark.parametrize("frames", [1, 3])
def test_first_marks_where_episodes_begin(frames: int) -> None:
    envs = Counters(4)
    rollout = Rollout(envs, 20, frames, CPU)
    rollout.start(0)
    for seed in range(2):
        before = len(envs.seen) - 1
        collect(rollout, np.random.default_rng(seed))
        expected = [[step == 0 for _, step in shown] for shown in envs.seen[before:]]
        assert rollout.first.tolist() == expected
    assert 10 < rollout.first.sum() < 60


def test_a_random_rollout_shows_the_frames_that_were_drawn() -> None:
    envs = Counters(3)
    rollout = Rollout(envs, 10, 2, CPU)
    rollout.start(0)
    frames = rollout.explore(torch.Generator().manual_seed(0))
    expected = [envs.stack(t, game, 1)[0].tolist() for t in range(1, 11) for game in range(3)]
    assert frames.tolist() == expected
    assert {action for actions in envs.actions for action in actions} == {0, 1, 2, 3}


def test_the_mean_score_is_that_of_the_last_episodes() -> None:
    episodes = Episodes(window=3)
    assert np.isnan(episodes.mean)
    episodes.add({"score": np.array([5, 9, 7])}, np.array([True, False, False]))
    assert episodes.mean == 5
    episodes.add({"score": np.array([1, 3, 8])}, np.array([True, True, True]))
    assert episodes.mean == 4  # of 1, 3 and 8
    episodes.add({"score": np.array([99, 99, 99])}, np.zeros(3, np.bool_))
    again = Episodes(window=3)
    again.load_state_dict(episodes.state_dict())
    assert again.mean == 4
    again.add({"score": np.array([0, 19, 0])}, np.array([False, True, False]))
    assert (again.mean, episodes.mean) == (10, 4)
