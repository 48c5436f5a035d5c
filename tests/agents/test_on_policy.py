"""What must hold for every algorithm that learns from what it has just played."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from agents import a2c, on_policy, pqn, reinforce
from agents.rollout import Rollout
from envs import FLAPPY_BIRD
from envs.guest import EnvFailure
from tests.agents.games import CATCH
from tests.agents.making import ON_POLICY, copy, make, make_tiny, same

every = pytest.mark.parametrize("name", ON_POLICY)


def flappy(name: str, seed: int = 0) -> Any:
    algorithm, config = ON_POLICY[name]
    config = replace(config, num_envs=4, rollout_steps=16)
    return make(algorithm, config, FLAPPY_BIRD, seed, 10_000, {"frame_skip": 2})


def tiny(name: str, game: Any, **changes: Any) -> Any:
    algorithm, config = ON_POLICY[name]
    return make_tiny(algorithm, replace(config, num_envs=4, rollout_steps=16), game, **changes)


def heads(network: nn.Module) -> list[nn.Linear]:
    """What comes after the encoder and ranks the actions."""
    return [getattr(network, name) for name in ("policy", "advantage") if hasattr(network, name)]


@every
def test_acting_is_greedy_and_changes_nothing(name: str) -> None:
    agent = flappy(name)
    agent.iterate()
    networks = agent.learner.network, agent.learner.average
    for network in networks:
        network.train()
    observations = torch.randint(256, (300, 2, 84, 84), dtype=torch.uint8)
    (head,) = heads(agent.learner.average)
    with torch.no_grad():  # so that half of the observations ask for this, half for that
        nn.init.normal_(head.weight)
        ranks = agent.learner.average(observations)[0]
        head.bias[0] -= (ranks[:, 0] - ranks[:, 1]).median()
        wanted = agent.learner.average(observations)[0].argmax(-1)
    before = copy(agent.state_dict())
    modes = [module.training for network in networks for module in network.modules()]
    torch_rng, numpy_rng = torch.get_rng_state(), repr(np.random.get_state())
    actions = agent.policy(observations)
    assert torch.equal(actions, wanted)
    assert torch.equal(actions, agent.policy(observations))
    assert actions.shape == (300,)
    assert not actions.requires_grad
    assert set(actions.tolist()) == {0, 1}
    assert torch.equal(actions[:7], agent.policy(observations[:7]))
    assert same(before, agent.state_dict())
    assert modes == [module.training for network in networks for module in network.modules()]
    assert torch.equal(torch_rng, torch.get_rng_state())
    assert numpy_rng == repr(np.random.get_state())


@every
def test_a_resumed_run_goes_on_to_the_last_bit(name: str) -> None:
    """Also that evaluating on the way changes nothing: the run that is not resumed is asked what it would do."""
    straight, begun = flappy(name, seed=3), flappy(name, seed=3)
    observations = torch.randint(256, (64, 2, 84, 84), dtype=torch.uint8)
    expected = []
    for _ in range(3):
        expected.append(straight.iterate())
        straight.policy(observations)
    got = [begun.iterate()]
    resumed = flappy(name, seed=8)  # nothing of another seed may be left
    assert not same(resumed.state_dict(), begun.state_dict())
    resumed.load_state_dict(copy(begun.state_dict()))
    del begun
    got += [resumed.iterate() for _ in range(2)]
    assert repr(got) == repr(expected)  # "nan" included
    assert same(resumed.state_dict(), straight.state_dict())
    assert resumed.steps == straight.steps == 3 * 4 * 16


@every
def test_a_seed_repeats_and_another_differs(name: str) -> None:
    runs = [flappy(name, seed) for seed in (1, 1, 2)]
    logs = [repr([agent.iterate() for _ in range(2)]) for agent in runs]
    assert logs[0] == logs[1] != logs[2]
    assert same(runs[0].state_dict(), runs[1].state_dict())
    weights = [heads(agent.learner.network)[0].weight for agent in runs]
    assert not torch.equal(weights[0], weights[2])


@every
def test_only_real_steps_are_learned_from(name: str) -> None:
    """What a reset's pretended step is said to have brought and done changes nothing."""
    agents = [tiny(name, CATCH, rollout_steps=20) for _ in range(2)]
    for agent in agents:
        agent.iterate()
    lies = 0

    def lying(rollout: Rollout) -> Callable[[int, Tensor], dict[str, Any]]:
        add = rollout.add

        def lie(t: int, actions: Tensor) -> dict[str, Any]:
            nonlocal lies
            info: dict[str, Any] = add(t, actions)
            unreal = ~rollout.valid[t]
            rollout.rewards[t, unreal] = 100.0
            rollout.actions[t, unreal] = 2
            lies += int(unreal.sum())
            return info

        return lie

    actor = agents[1].actor
    for rollout in (actor.rollout, actor._next):  # they take turns
        rollout.add = lying(rollout)
    for agent in agents:
        agent.iterate()  # learns from what was played before, and plays
        told = lies
        agent.iterate()
    assert told > 8
    networks = [agent.learner.network.state_dict() for agent in agents]
    assert same(*networks)


@every
def test_what_is_learned_from_stays_as_it_was_played(name: str) -> None:
    """While the next rollout is played."""
    agent = tiny(name, CATCH)
    for _ in range(3):
        rollout, notes = agent.play()
        before = copy({**rollout.record(), **notes})
        agent.play()
        assert same(before, {**rollout.record(), **notes})


@every
def test_the_smallest_rollouts_leave_numbers(name: str) -> None:
    """The usual standard deviation of one advantage is not a number, nor is the mean of none."""
    sizes: list[tuple[int, dict[str, int]]] = [(2, {}), (3, {})]
    if name in ("ppo", "ppo-lstm", "pqn"):
        sizes = [(2, {"minibatch": 1}), (3, {"minibatch": 1}), (2, {"minibatch": 256}), (5, {"minibatch": 3})]
    for rollout_steps, changes in sizes:
        agent = tiny(name, CATCH, num_envs=1, rollout_steps=rollout_steps, **changes)
        for _ in range(7):
            agent.iterate()
        assert all(torch.isfinite(value).all() for value in agent.learner.network.state_dict().values())
    with pytest.raises(ValueError, match="--rollout-steps must be at least 2"):
        tiny(name, CATCH, rollout_steps=1)


@pytest.mark.parametrize("name", ["ppo", "ppo-lstm", "a2c", "reinforce"])
def test_the_bonus_makes_a_decided_policy_open_again(name: str) -> None:
    """Where it outweighs all else: entropy rises towards that of three equal chances, log 3."""
    agent = tiny(name, CATCH, exploration=0.0, entropy_coef=1000.0, learning_rate=0.02, anneal=False)
    with torch.no_grad():
        heads(agent.learner.network)[0].bias[0] += 2.0
    first, *_, last = (agent.iterate()["train/entropy"] for _ in range(12))
    assert first < 0.8
    assert last > 1.0


@every
@pytest.mark.parametrize("passes", [1, 3])
def test_who_plays_has_half_a_pass_of_steps_to_come(name: str, passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many passes there are, so that what is learned from is no older for them."""
    once = not hasattr(ON_POLICY[name][1], "epochs")
    agent = tiny(name, CATCH, **({} if once else {"epochs": passes, "minibatch": 8}))
    before: list[int] = []
    beside: list[int] = []

    def step(loss: Tensor) -> None:
        before.append(len(beside))

    def in_turn(play: Callable[[], Any], steps: Sequence[Callable[[], Any]]) -> tuple[Any, list[Any]]:
        beside.append(len(steps))
        return play(), [step() for step in steps]

    monkeypatch.setattr(agent.learner, "step", step)
    monkeypatch.setattr(on_policy, "beside", in_turn)
    agent.iterate()
    whole, rest = divmod(len(before), 1 if once else passes)
    assert rest == 0
    assert whole >= (1 if once else 4)
    assert beside == [before.count(1)] == [math.ceil(whole / 2)]


@every
@pytest.mark.parametrize("threads", [1, 2])
def test_after_a_failure_nothing_is_learned_twice(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment fails while the next rollout is played: the last one has been learned from, and only once."""
    agent, sound = tiny(name, CATCH), tiny(name, CATCH)
    for each in (agent, sound):
        each.iterate()
    learned, step = agent.steps, agent.actor._next.add

    def fail(t: int, actions: Tensor) -> dict[str, Any]:
        if t == 3:
            raise EnvFailure("environment 0 failed", "")
        done: dict[str, Any] = step(t, actions)
        return done

    torch.set_num_threads(threads)
    sound.iterate()
    with monkeypatch.context() as patch:
        patch.setattr(agent.actor._next, "add", fail)
        with pytest.raises(EnvFailure):
            agent.iterate()
    assert same(agent.learner.network.state_dict(), sound.learner.network.state_dict())
    assert agent.steps == agent.actor.steps == learned + 4 * 16
    resumed = tiny(name, CATCH, seed=5)
    resumed.load_state_dict(copy(agent.state_dict()))
    before = copy(resumed.learner.network.state_dict())
    assert resumed.iterate().keys() == {"train/score"}
    assert same(before, resumed.learner.network.state_dict())
    assert resumed.steps == learned + 4 * 16
    resumed.iterate()
    assert not same(before, resumed.learner.network.state_dict())
    assert resumed.steps == learned + 2 * 4 * 16


@pytest.mark.parametrize("name", ["a2c", "reinforce", "pqn"])
def test_the_horizon_grows_over_the_first_quarter_of_the_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 10 to 1000 steps; PPO's, in whose minibatches it is not seen, is asked in test_ppo.py."""
    agent = tiny(name, CATCH, total_steps=8 * 64, gamma=0.9, final_gamma=0.999)
    module, estimator, at = {
        "a2c": (a2c, "gae", 4), "pqn": (pqn, "gae", 4), "reinforce": (reinforce, "monte_carlo", 3)
    }[name]  # fmt: skip
    estimate, seen = getattr(module, estimator), list[float]()

    def noted(*args: Any) -> Any:
        seen.append(args[at])
        return estimate(*args)

    monkeypatch.setattr(module, estimator, noted)
    for _ in range(4):
        agent.iterate()
    assert list(dict.fromkeys(seen)) == pytest.approx([0.99, 0.999])
