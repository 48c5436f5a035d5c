"""How an actor draws actions, and what it leans to."""

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.actor import Actor, ActorConfig, _draw
from agents.exploration import Leaning
from agents.rollout import Rollout
from envs import GameVectorEnv
from experiment.errors import UserError
from tests.agents.counters import Counters
from tests.agents.games import CATCH


def test_actions_are_drawn_from_the_softmax() -> None:
    """By NumPy: the first whose cumulated probability is more than the chance; and its log probability.

    The softmax is of what the network says and a quarter of what a game leans to.
    """
    rng = np.random.default_rng(0)
    logits = np.concatenate([rng.normal(0, 3, (4000, 5)), [[0.0, 0, 0, 0, -200], [500, 0, 0, 0, 0]]]).astype(np.float32)
    chances = np.concatenate([rng.random(4000), [1 - 2**-24, 1 - 2**-24]]).astype(np.float32)
    actions, log_probs = np.empty(len(logits), np.int64), np.empty(len(logits), np.float32)
    offsets = rng.integers(-8, 9, logits.shape).astype(np.float32)
    assert _draw(logits - offsets / 4, offsets, np.float32(1 / 4), chances, actions, log_probs)
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    expected = (p.cumsum(-1) > chances[:, None]).argmax(-1)
    assert (actions == expected).mean() > 0.9995  # a chance may lie on the very edge
    assert set(actions.tolist()) == {0, 1, 2, 3, 4}
    assert actions[-2:].tolist() == [3, 0]
    np.testing.assert_allclose(log_probs, np.log(p[np.arange(len(p)), actions]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_policy_is_noticed(wrong: float) -> None:
    games = GameVectorEnv(CATCH, 4, size=(CATCH.height, CATCH.width))
    actor = Actor(games, 1, ActorConfig(num_envs=4), 0, torch.device("cpu"))
    logits = torch.zeros(4, 3)
    actions, log_probs = actor.draw(logits)
    assert actions.shape == log_probs.shape == (4,)
    logits[2, 1] = wrong
    with pytest.raises(UserError, match="training has diverged"):
        actor.draw(logits)


def test_who_has_ended_leans_elsewhere_and_nobody_else() -> None:
    """Offsets are normal, with the standard deviation asked for."""
    leaning = Leaning(1000, 3, 2.0, torch.Generator().manual_seed(0))
    drawn = [leaning.offsets.clone()]
    ended = np.arange(1000) % 3 == 0
    for _ in range(5):
        leaning.renew(ended)
        drawn.append(leaning.offsets.clone())
        same = (drawn[-1] == drawn[-2]).numpy()
        assert same[~ended].all()
        assert not same[ended].any()
    everything = torch.cat([drawn[0], *(each[torch.from_numpy(ended)] for each in drawn[1:])])
    assert everything.mean().abs() < 0.1  # of 8,010 numbers: 4 standard errors are 0.09
    assert everything.std() == pytest.approx(2.0, abs=0.07)


@pytest.mark.parametrize(("steps", "wanted"), [(96, [1.0, 2 / 3, 1 / 3, 0.0, 0.0]), (0, [0.0] * 5)])
def test_leaning_fades(steps: int, wanted: list[float]) -> None:
    """By 32 steps a rollout."""
    games = GameVectorEnv(CATCH, 4, size=(CATCH.height, CATCH.width))
    config = ActorConfig(num_envs=4, rollout_steps=8, exploration_steps=steps)
    actor = Actor(games, 1, config, 0, torch.device("cpu"))
    for expected in wanted:
        assert actor.exploring == pytest.approx(expected)
        assert torch.equal(actor.lean, actor.exploring * actor.leaning.offsets)
        actor.play(lambda rollout, t: torch.zeros(4, dtype=torch.int64))


def test_a_game_that_is_lost_leans_elsewhere_in_its_next_episode() -> None:
    envs = Counters(50, longest=9, lost=0.1)
    actor = Actor(envs, 1, ActorConfig(num_envs=50), 0, torch.device("cpu"))
    before, lost = actor.leaning.offsets.clone(), 0

    def choose(rollout: Rollout, t: int) -> Tensor:
        nonlocal before, lost
        if t:
            ended = np.array(envs.ends[-1]) != ""
            assert ((actor.leaning.offsets != before).any(-1).numpy() == (ended | envs.lost_now)).all()
            lost += int((envs.lost_now & ~ended).sum())
        before = actor.leaning.offsets.clone()
        return torch.zeros(50, dtype=torch.int64)

    actor.play(choose)
    assert lost > 50
