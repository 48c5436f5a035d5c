"""How an actor draws actions."""

import numpy as np
import pytest
import torch

from agents.actor import Actor, ActorConfig, _draw
from envs import GameVectorEnv
from experiment.errors import UserError
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
