"""Evaluation counts every game once, shares no episode with training, and leaves no trace."""

import itertools
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from envs import FLAPPY_BIRD, AdaptedVectorEnv, GameVectorEnv
from envs.guest import EnvFailure
from experiment.evaluate import bootstrap_interval, evaluate, one_line
from experiment.policy import Plain
from experiment.show import show

SCORES = (4, 0, 9, 2, 2)


class Scripted:
    """Game i scores one a step up to its score and dies two steps later; the episodes after it score 1000.

    A picture holds the game and the step. Every action must be that of the picture; see `act`.
    """

    seeds: list[int]

    def __init__(self, num_envs: int, score_cap: int | None) -> None:
        self.num_envs, self.cap = num_envs, math.inf if score_cap is None else score_cap
        self.scores = np.resize(SCORES, num_envs)
        self.steps, self.ended = np.zeros(num_envs, int), np.zeros(num_envs, int)
        self.over = np.zeros(num_envs, np.bool_)

    def reset(self, seed: list[int]) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        assert len(seed) == self.num_envs
        Scripted.seeds = list(seed)
        return self._picture(), {}

    def rest(self, which: NDArray[np.bool_]) -> None:
        assert which.tolist() == (self.ended > 0).tolist()

    def step(self, actions: NDArray[np.int64]) -> tuple[Any, ...]:
        first = self.ended == 0
        assert (actions[first] == (np.arange(self.num_envs) + self.steps)[first]).all()
        self.steps = np.where(self.over, 0, self.steps + 1)
        score = np.where(self.ended > 0, 1000, np.minimum(self.steps, self.scores))
        terminated = ~self.over & (self.steps == self.scores + 2)
        truncated = ~self.over & ~terminated & (score >= self.cap) & (self.ended == 0)
        self.over = terminated | truncated
        self.ended += self.over
        return self._picture(), np.zeros(self.num_envs), terminated, truncated, {"score": score}

    def _picture(self) -> NDArray[np.uint8]:
        return np.stack([np.arange(self.num_envs), self.steps], -1).astype(np.uint8).reshape(-1, 1, 1, 2)


def act(stacks: torch.Tensor) -> torch.Tensor:
    """Game + step. Also checks that the stack holds the steps before."""
    assert stacks.dtype == torch.uint8
    assert stacks.shape[1:] == (3, 1, 2)
    games, steps = stacks[:, :, 0, 0].long(), stacks[:, :, 0, 1].long()
    assert (games == games[:, :1]).all()
    assert (steps == (steps[:, -1:] + torch.tensor([-2, -1, 0])).clamp(min=0)).all()
    return games[:, -1] + steps[:, -1]


def test_every_game_plays_one_episode() -> None:
    told: list[int] = []
    result = evaluate(Scripted, Plain(act), 3, episodes=5, score_cap=None, watch=told.append)
    assert result["scores"] == list(SCORES)
    assert result["score_mean"] == 17 / 5
    assert result["score_median"] == 2
    assert result["score_min"] == 0
    assert result["score_cap"] is None
    assert result["reached_cap"] == 0
    assert result["episodes"] == 5
    assert result["steps"] == sum(score + 2 for score in SCORES)
    assert told == [0, 1, 1, 3, 3, 4, 4, 4, 4, 4, 5]  # they end after 6, 2, 11, 4 and 4 steps


def test_the_cap_ends_an_episode_and_is_counted() -> None:
    result = evaluate(Scripted, Plain(act), 3, episodes=5, score_cap=4)
    assert result["scores"] == [4, 0, 4, 2, 2]
    assert result["score_cap"] == 4
    assert result["reached_cap"] == 2 / 5
    assert result["steps"] == 4 + 2 + 4 + 4 + 4
    assert "40% of 5 episodes reached the cap of 4" in one_line(result)


class Failing(Scripted):
    """Some games' environments fail at some step of their first episode, and the step after begins another."""

    fails: dict[int, int]

    def step(self, actions: NDArray[np.int64]) -> tuple[Any, ...]:
        observations, rewards, terminated, truncated, info = super().step(actions)
        lost = np.array([self.fails.get(i) == step for i, step in enumerate(self.steps)]) & (self.ended == 0)
        self.steps[lost] = 0
        self.ended += lost
        observations = self._picture()
        return observations, rewards, terminated, truncated, info | {"interrupted": lost}


def test_episodes_that_an_environment_broke_off_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of scores 4, 0, 9, 2 and 2 the third is lost in its 3rd step and the fifth in its first."""
    told: list[int] = []
    monkeypatch.setattr(Failing, "fails", {2: 3, 4: 1}, raising=False)
    result = evaluate(Failing, Plain(act), 3, episodes=5, score_cap=4, watch=told.append)
    assert result["scores"] == [4, 0, 2]
    assert result["score_mean"] == 2
    assert result["reached_cap"] == 1 / 3
    assert result["steps"] == 4 + 2 + 4
    assert (result["episodes"], result["interrupted"]) == (3, 2)
    assert told == [1, 2, 3, 5]  # ended, one way or the other
    assert "33% of 3 episodes reached the cap of 4" in one_line(result)
    assert "interrupted" not in evaluate(Scripted, Plain(act), 3, episodes=5)


def test_an_evaluation_of_nothing_but_failures_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Failing, "fails", dict.fromkeys(range(5), 1), raising=False)
    with pytest.raises(EnvFailure, match="no episode came to an end"):
        evaluate(Failing, Plain(act), 3, episodes=5)


def test_seeds_are_fresh() -> None:
    """Training draws seeds below 2^32; see --seed. No two evaluations share one."""
    seen: list[int] = []
    for seed in (0, 1, 2, 77):
        evaluate(Scripted, Plain(act), 3, episodes=50, seed=seed)
        seen += Scripted.seeds
    assert len(set(seen)) == 4 * 50
    assert min(seen) > 2**32 + 10**6  # game i of a training takes its seed + i
    evaluate(Scripted, Plain(act), 3, episodes=50, seed=2)
    assert Scripted.seeds == seen[100:150]


def flappy(num_envs: int, **settings: Any) -> GameVectorEnv:
    """With gaps so wide that a bird flapping in time never dies."""
    wide = FLAPPY_BIRD.rules("classic")._replace(gap=300, gap_low=40, gap_high=60)
    game = replace(FLAPPY_BIRD, presets={"wide": wide})
    return GameVectorEnv(game, num_envs, **{"frame_skip": 2, **settings})


class Metronome:
    """Flaps every 9th, then 10th decision, and so on; keeps what it has seen."""

    def __init__(self) -> None:
        self.seen: list[NDArray[np.uint8]] = []

    def __call__(self, stacks: torch.Tensor) -> torch.Tensor:
        self.seen.append(stacks.numpy().copy())
        return torch.full((len(stacks),), int(len(self.seen) % 19 in (9, 0)))


@pytest.mark.parametrize(("seed", "cap"), [(0, 4), (3, 2)])
def test_what_is_shown_is_what_is_evaluated(seed: int, cap: int) -> None:
    one, other = Metronome(), Metronome()
    result = evaluate(flappy, Plain(one), 2, 1, seed=seed, score_cap=cap)
    assert result["scores"] == [cap]
    frames = list(show(SimpleNamespace(make=flappy, decision_frames=2), Plain(other), 2, seed, cap))
    assert frames[-1].score == cap
    assert [frame.over for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert len(frames) - 1 == 60 + 36 * (cap - 1)  # the first pipe's middle passes at frame 60, then one every 36
    assert len(other.seen) == result["steps"] == (len(frames) - 1) / 2
    assert (np.stack(one.seen) == np.stack(other.seen)).all()
    assert all(frame.picture.shape == (512, 288, 3) for frame in frames)
    assert all((a.picture != b.picture).any() for a, b in itertools.pairwise(frames))


def test_nothing_global_is_touched() -> None:
    torch_rng, numpy_rng = torch.get_rng_state(), repr(np.random.get_state())
    evaluate(flappy, Plain(Metronome()), 2, 3, score_cap=1)
    assert torch.equal(torch_rng, torch.get_rng_state())
    assert numpy_rng == repr(np.random.get_state())


def test_intervals_of_known_cases() -> None:
    assert bootstrap_interval(np.full(30, 7.0)) == (7.0, 7.0)
    assert bootstrap_interval(np.array([3.0])) == (3.0, 3.0)
    assert bootstrap_interval(np.array([0.0, 1.0])) == (0.0, 1.0)  # a quarter of the resamples each
    # Of 0/1 values the resampled sum is binomial: 2.5% and 97.5% points of Binomial(100, 0.3) are 21 and 39.
    low, high = bootstrap_interval(np.repeat([0.0, 1.0], [70, 30]))
    assert (low, high) == (pytest.approx(0.21, abs=0.0101), pytest.approx(0.39, abs=0.0101))
    # Of many values it is the normal one.
    values = np.random.default_rng(5).normal(3, 2, 500)
    half = 1.96 * values.std() / math.sqrt(500)
    assert bootstrap_interval(values) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05 * half)
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_words() -> None:
    result = evaluate(Scripted, Plain(act), 3, episodes=5, score_cap=None)
    low, high = result["score_ci95"]
    assert one_line(result) == f"score 3.4 (95% interval {low:.1f} to {high:.1f}), median 2"
    assert low < 3.4 < high


def test_others_environments_rest_when_their_episode_has_ended() -> None:
    """Each would fail at a second episode; the lengths are 5, 10 or 15 frames, whose rewards are -2 t."""
    result = evaluate(
        partial(AdaptedVectorEnv, "tests.envs.screens:Once"),
        Plain(lambda seen: torch.zeros(len(seen)).long()),
        1,
        9,
        0,
        None,
    )
    assert set(result["scores"]) == {-30, -110, -240}
    assert result["steps"] == sum({-30: 5, -110: 10, -240: 15}[score] for score in result["scores"])
