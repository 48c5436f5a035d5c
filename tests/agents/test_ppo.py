"""PPO: its loss by hand, and what no other algorithm has. The rest is in test_on_policy.py."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents import ppo
from agents.actor_critic import ActorCritic
from agents.ppo import PPO, PPOConfig, policy_loss
from agents.returns import gae
from agents.rollout import Rollout
from envs import FLAPPY_BIRD
from perception import EncoderSpec, make_encoder
from tests.agents.definitions import advantages
from tests.agents.games import CATCH
from tests.agents.making import copy, make, make_tiny, same

CONFIG = replace(PPOConfig(), num_envs=4, rollout_steps=16, minibatch=32)


def flappy(seed: int = 0, total_steps: int = 10_000, **changes: Any) -> PPO:
    agent: PPO = make(PPO, replace(CONFIG, **changes), FLAPPY_BIRD, seed, total_steps, {"frame_skip": 2})
    return agent


def numbers(*values: float) -> Tensor:
    return torch.tensor(values)


def test_policy_loss_by_hand() -> None:
    """Ratios 1.5 and 0.5, clipped to 1.2 and 0.8, for a good and a bad action each."""
    old = numbers(-1.0, -2.0, -3.0, -4.0, -1.0)
    log_prob = old + numbers(1.5, 1.5, 0.5, 0.5, 1.1).log()
    advantages = numbers(1.0, -1.0, 1.0, -1.0, 2.0)
    by_hand = [1.2, -1.5, 0.5, -0.8, 2.2]
    assert policy_loss(log_prob, old, advantages, 0.2).item() == pytest.approx(-sum(by_hand) / 5)
    singles = [policy_loss(log_prob[[i]], old[[i]], advantages[[i]], 0.2).item() for i in range(5)]
    assert singles == pytest.approx([-value for value in by_hand])


def test_policy_loss_pushes_no_further_than_the_clip() -> None:
    for ratio, advantage, pushes in ((1.5, 1.0, False), (1.5, -1.0, True), (0.5, 1.0, True), (0.5, -1.0, False)):
        log_prob = numbers(math.log(ratio)).requires_grad_()
        (gradient,) = torch.autograd.grad(policy_loss(log_prob, numbers(0.0), numbers(advantage), 0.2), log_prob)
        assert gradient.item() == pytest.approx(-ratio * advantage if pushes else 0.0)


def test_shapes_of_the_network() -> None:
    """Values are [batch], not [batch, 1]: the difference of the two would be [batch, batch], without a word."""
    network = ActorCritic(make_encoder(EncoderSpec("small", 2, 40, 48, 32)), 5)
    logits, value_logits = network(torch.randint(256, (7, 2, 40, 48), dtype=torch.uint8))
    assert logits.shape == (7, 5)
    values = network.value.mean(value_logits)
    assert values.tolist() == [0.0] * 7
    assert logits.dtype == values.dtype == torch.float32


def test_notes_are_of_the_policy_that_played() -> None:
    """By the network that plays, each step looked at once more."""
    agent = flappy(exploration=0.0)
    for _ in range(3):
        agent.iterate()
        rollout, notes = agent.played
        with torch.no_grad():
            logits, values = agent.playing(rollout.observations(torch.arange(17 * 4)))
            every = agent.playing.value.mean(values).view(17, 4)
            log_probs = logits.log_softmax(-1)[: 16 * 4].gather(-1, rollout.actions.view(-1, 1)).view(16, 4)
        torch.testing.assert_close(notes["values"], every)
        torch.testing.assert_close(notes["log_probs"], log_probs)
    assert every.abs().max() > 0.01


@pytest.mark.parametrize(("epochs", "wanted"), [(1, [False, True, False, False]), (2, [False, False, True, False])])
def test_it_plays_before_the_last_half_pass(epochs: int, wanted: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy that plays is the one after half of the gradient steps: of several passes, half of the last one's."""
    agent = flappy(exploration=0.0, epochs=epochs, minibatch=16 * epochs)  # four gradient steps
    after: list[dict[str, Tensor]] = []
    step = agent.learner.step

    def noted(loss: Tensor) -> None:
        step(loss)
        after.append(copy(agent.learner.network.state_dict()))

    monkeypatch.setattr(agent.learner, "step", noted)
    for _ in range(3):
        after.clear()
        agent.iterate()
        assert len(after) == 4
        playing = agent.playing.state_dict()
        assert [same(playing, weights) for weights in after] == wanted


def test_only_real_steps_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once an epoch: the step that only resets a game is none."""
    agent = make_tiny(PPO, CONFIG, CATCH, rollout_steps=20, epochs=2)
    agent.iterate()
    learned: list[int] = []
    step = agent._gradient_step

    def noted(rollout: Rollout, notes: dict[str, Tensor], index: Tensor, *rest: Tensor) -> dict[str, Tensor]:
        learned.extend(index.tolist())
        return step(rollout, notes, index, *rest)

    monkeypatch.setattr(agent, "_gradient_step", noted)
    real = agent.played.rollout.valid.flatten().nonzero().flatten().tolist()
    agent.iterate()
    assert 60 < len(real) <= 80 - 3 * 4  # episodes last 5 steps, and then one resets
    assert sorted(learned) == sorted(2 * real)


def test_both_horizons_grow_over_the_first_quarter_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = flappy(total_steps=8 * 64, gamma=0.9, final_gamma=0.99, gae_lambda=0.5, final_gae_lambda=0.875)
    seen: list[tuple[float, float]] = []

    def noted(*args: Any) -> tuple[Tensor, Tensor]:
        seen.append(args[-2:])
        return gae(*args)

    monkeypatch.setattr(ppo, "gae", noted)
    for _ in range(4):
        agent.iterate()
    assert np.array(seen) == pytest.approx(np.array([(1 - 10**-1.5, 0.75), *[(0.99, 0.875)] * 3]))


@pytest.mark.parametrize("max_frames", [None, 4])
def test_a_minibatch_holds_what_belongs_together(max_frames: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every step its action, with what probability it was drawn, its advantage and its return, by definition.

    Episodes terminate, or are cut short. Values are not known to be any good: they come from random weights.
    """
    gamma, lam, steps, games = 0.9, 0.7, 20, 4
    agent = make_tiny(
        PPO, CONFIG, CATCH, max_frames=max_frames, rollout_steps=steps, exploration=0.0,
        gamma=gamma, final_gamma=gamma, gae_lambda=lam, final_gae_lambda=lam,
    )  # fmt: skip
    torch.nn.init.normal_(agent.learner.network.value.linear.weight)
    agent.learner.network.value.scale.fill_(1.0)
    agent.learner.lend(agent.playing)
    met: dict[int, tuple[float, ...]] = {}

    def noted(_: Rollout, __: dict[str, Tensor], index: Tensor, *parts: Tensor) -> dict[str, Tensor]:
        assert all(part.shape == index.shape for part in parts)
        met.update(zip(index.tolist(), zip(*(part.tolist() for part in parts), strict=True), strict=True))
        return {}

    monkeypatch.setattr(agent, "_gradient_step", noted)
    rollout, notes = agent.play()
    with torch.no_grad():
        logits, value_logits = agent.playing(rollout.observations(torch.arange((steps + 1) * games)))
    values = agent.playing.value.mean(value_logits).view(steps + 1, games).numpy()
    log_probs = logits.log_softmax(-1).view(steps + 1, games, -1)
    for step in agent.learn(rollout, notes)[0]:
        step()
    flags = rollout.terminated.numpy(), rollout.truncated.numpy()
    by_definition = advantages(rollout.rewards.numpy(), values, *flags, gamma, lam)
    scale = np.sqrt((by_definition[rollout.valid.numpy()] ** 2).mean())
    for t, game in rollout.valid.nonzero().tolist():
        action = int(rollout.actions[t, game])
        wanted = by_definition[t, game] / scale, by_definition[t, game] + values[t, game]
        log_prob, advantage, returns, chosen = met.pop(t * games + game)
        assert chosen == action
        assert log_prob == pytest.approx(log_probs[t, game, action].item(), abs=1e-5)
        assert (advantage, returns) == pytest.approx(wanted, abs=1e-4)
    assert met == {}
    assert np.abs(values).max() > 0.1
    assert rollout.terminated.any() == (max_frames is None)
    assert rollout.truncated.any() == (max_frames is not None)


def test_the_first_ratio_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the weights that play are those that learn, and nothing leans."""
    agent = flappy(exploration=0.0)
    met: list[Tensor] = []

    def noted(log_prob: Tensor, old: Tensor, *rest: Any) -> Tensor:
        met.append((log_prob - old).detach())
        return policy_loss(log_prob, old, *rest)

    monkeypatch.setattr(ppo, "policy_loss", noted)
    agent.iterate()  # what it learns from was played with the weights that it has
    assert len(met) == 2
    assert met[0].exp().sub(1).abs().max() < 1e-5
    assert met[1].abs().max() > 1e-5  # a gradient step later
