"""PPO: its losses by hand, its bookkeeping to the last bit, and that it learns what can be learned."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents import ppo
from agents.ppo import PPO, ActorCritic, PPOConfig, growing, policy_loss
from agents.returns import gae
from envs import FLAPPY_BIRD
from perception import EncoderSpec, make_encoder
from tests.agents.games import CATCH, STILL
from tests.agents.making import copy, make, make_tiny, same, share_caught

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


def test_the_first_minibatch_meets_the_policy_that_played(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = flappy(exploration=0.0, epochs=2)
    off: list[float] = []

    def noted(log_prob: Tensor, old_log_prob: Tensor, advantages: Tensor, clip: float) -> Tensor:
        assert log_prob.shape == old_log_prob.shape == advantages.shape == (len(log_prob),)
        off.append((log_prob - old_log_prob).exp().sub(1).abs().max().item())
        return policy_loss(log_prob, old_log_prob, advantages, clip)

    monkeypatch.setattr(ppo, "policy_loss", noted)
    for _ in range(3):
        off.clear()
        agent.iterate()
        assert len(off) >= 2 * 2
        assert off[0] < 1e-5
        assert max(off[1:]) > 1e-4  # or nothing would have been learned


def test_only_real_steps_are_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each once an epoch: the step that only resets a game is none."""
    agent = make_tiny(PPO, CONFIG, CATCH, rollout_steps=20, epochs=2)
    learned: list[int] = []
    step = agent._gradient_step

    def noted(index: Tensor, *rest: Tensor) -> dict[str, Tensor]:
        learned.extend(index.tolist())
        logs: dict[str, Tensor] = step(index, *rest)
        return logs

    monkeypatch.setattr(agent, "_gradient_step", noted)
    agent.iterate()
    real = agent.rollout.valid.flatten().nonzero().flatten().tolist()
    assert 60 < len(real) <= 80 - 3 * 4  # episodes last 5 steps, and then one resets
    assert sorted(learned) == sorted(2 * real)


def test_acting_is_greedy_and_changes_nothing() -> None:
    agent = flappy()
    agent.iterate()
    agent.network.train()
    agent.average.train()
    observations = torch.randint(256, (300, 2, 84, 84), dtype=torch.uint8)
    with torch.no_grad():  # so that half of the observations ask for this, half for that
        torch.nn.init.normal_(agent.average.policy.weight)
        logits, _ = agent.average(observations)
        agent.average.policy.bias[0] -= (logits[:, 0] - logits[:, 1]).median()
    before = copy(agent.state_dict())
    modes = [module.training for network in (agent.network, agent.average) for module in network.modules()]
    torch_rng, numpy_rng = torch.get_rng_state(), repr(np.random.get_state())
    actions = agent.act(observations)
    assert torch.equal(actions, agent.act(observations))
    assert actions.shape == (300,)
    assert not actions.requires_grad
    assert set(actions.tolist()) == {0, 1}
    assert torch.equal(actions[:7], agent.act(observations[:7]))
    assert same(before, agent.state_dict())
    assert modes == [module.training for network in (agent.network, agent.average) for module in network.modules()]
    assert torch.equal(torch_rng, torch.get_rng_state())
    assert numpy_rng == repr(np.random.get_state())


def test_a_resumed_run_goes_on_to_the_last_bit() -> None:
    straight, begun = flappy(seed=3), flappy(seed=3)
    expected = [straight.iterate() for _ in range(3)]
    got = [begun.iterate()]
    resumed = flappy(seed=8)  # nothing of another seed may be left
    assert not same(resumed.state_dict(), begun.state_dict())
    resumed.load_state_dict(copy(begun.state_dict()))
    del begun
    got += [resumed.iterate() for _ in range(2)]
    assert repr(got) == repr(expected)  # "nan" included
    assert same(resumed.state_dict(), straight.state_dict())
    assert resumed.steps == straight.steps == 3 * 4 * 16


def test_a_seed_repeats_and_another_differs() -> None:
    runs = [flappy(seed) for seed in (1, 1, 2)]
    logs = [repr([agent.iterate() for _ in range(2)]) for agent in runs]
    assert logs[0] == logs[1] != logs[2]
    assert same(runs[0].state_dict(), runs[1].state_dict())
    weights = [agent.network.policy.weight for agent in runs]
    assert not torch.equal(weights[0], weights[2])


def test_the_average_follows_the_weights() -> None:
    agent = flappy(averaging=0.0)
    agent.iterate()
    assert same(agent.average.state_dict(), agent.network.state_dict())
    assert not any(parameter.requires_grad for parameter in agent.average.parameters())
    agent = flappy(averaging=1.0)
    first = copy(agent.average.state_dict())
    agent.iterate()
    scale = {"value.scale": agent.average.value.scale}
    assert same(agent.average.state_dict(), {**first, **scale})
    assert not same(agent.network.state_dict(), {**first, **scale})
    assert agent.average.value.scale == agent.network.value.scale > 0
    agent = flappy(averaging=0.75, minibatch=64)  # one gradient step an iteration
    for _ in range(2):
        before = copy(dict(agent.average.named_parameters()))
        agent.iterate()
        now = dict(agent.network.named_parameters())
        for key, value in agent.average.named_parameters():
            torch.testing.assert_close(value, 0.75 * before[key] + 0.25 * now[key])


def test_the_learning_rate_falls_to_a_twentieth() -> None:
    agent = flappy(total_steps=4 * 64, learning_rate=1.0e-3)
    rates = [agent.iterate()["train/learning_rate"] for _ in range(5)]
    assert rates == pytest.approx([5.84375e-4, 2.875e-4, 1.09375e-4, 5e-5, 5e-5])
    assert [group["lr"] for group in agent.optimizer.param_groups] == pytest.approx([0.05 * 4e-3, rates[-1]])
    assert flappy(learning_rate=0.5, anneal=False).iterate()["train/learning_rate"] == 0.5


def test_the_horizon_grows_by_equal_factors_and_then_stays() -> None:
    """From 10 steps to 1000: 100 halfway."""
    assert [growing(0.9, 0.999, p) for p in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([0.9, 0.99, 0.999, 0.999])
    assert growing(0.5, 1.0, 0.0) == 0.5
    assert growing(0.0, 0.0, 0.3) == 0.0


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


def test_advantages_are_scaled_by_their_root_mean_square_of_late() -> None:
    """By hand: the first rollout's alone, then 19 parts of what was and one of what is new."""
    agent = flappy()
    assert agent._advantage_scale(numbers(3.0, -4.0, 0.0, 5.0)) == pytest.approx(12.5**0.5)
    assert agent._advantage_scale(numbers(10.0, -10.0)) == pytest.approx((0.95 * 12.5 + 5.0) ** 0.5)
    assert agent._advantage_scale(numbers(0.0)) == pytest.approx((0.95 * (0.95 * 12.5 + 5.0)) ** 0.5)


@pytest.mark.parametrize(("rollout_steps", "minibatch"), [(2, 1), (3, 1), (2, 256), (5, 3)])
def test_the_smallest_rollouts_and_minibatches_leave_numbers(rollout_steps: int, minibatch: int) -> None:
    """The usual standard deviation of one advantage is not a number, nor is the mean of none."""
    agent = make_tiny(PPO, CONFIG, CATCH, minibatch=minibatch, num_envs=1, rollout_steps=rollout_steps)
    for _ in range(7):
        agent.iterate()
    assert all(torch.isfinite(value).all() for value in agent.network.state_dict().values())
    with pytest.raises(ValueError, match="--rollout-steps must be at least 2"):
        make_tiny(PPO, CONFIG, CATCH, rollout_steps=1)


def test_it_learns_to_catch() -> None:
    """A random player catches a quarter. So does this one with advantages of the wrong sign, or all 0: tried."""
    agent = make_tiny(
        PPO, CONFIG, CATCH, total_steps=40_000, num_envs=16, rollout_steps=32, minibatch=128, epochs=2,
        learning_rate=4e-3, averaging=0.9, exploration_steps=10_000,
    )  # fmt: skip
    while agent.steps < agent.total_steps:
        metrics = agent.iterate()
    assert metrics["train/score"] > 0.8
    assert share_caught(agent, CATCH) >= 0.97


def test_a_reward_without_end_is_worth_what_it_should_be() -> None:
    """1 / (1 - gamma) = 10; 3 if the cut every fourth step were taken for an end, 8 if resets counted as steps."""
    agent = make_tiny(
        PPO, CONFIG, STILL, max_frames=4, gamma=0.9, final_gamma=0.9, epochs=4, minibatch=16,
        learning_rate=0.02, anneal=False, exploration=0.0,
    )  # fmt: skip
    for _ in range(120):
        agent.iterate()
    with torch.no_grad():
        values = agent.network.value.mean(agent.network(agent.rollout.at(0))[1])
    assert values.tolist() == pytest.approx([10.0] * 4, rel=0.1)
