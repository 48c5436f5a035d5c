"""What a policy tells of itself: preferences and values held against the networks' definitions, worked by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from agents.actor_critic import ActorCritic, RecurrentActorCritic
from agents.dqn import QNetwork
from agents.learner import GreedyPolicy
from agents.sb3 import Greedy
from commands.looks import feature_maps, looks_of
from perception import LAYOUTS, EncoderSpec, make_encoder

SPEC = EncoderSpec(feature_dim=16)
CPU = torch.device("cpu")


def observations(count: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 2, 84, 84), np.uint8))


def networks() -> dict[str, Any]:
    torch.manual_seed(3)
    found = {
        "actor-critic": ActorCritic(make_encoder(SPEC), 3),
        "recurrent": RecurrentActorCritic(make_encoder(SPEC), 3, 8),
        "q": QNetwork(make_encoder(SPEC), 3, dueling=True),
        "sb3 logits": Greedy(make_encoder(SPEC), torch.nn.Linear(16, 3), probable=True),
        "sb3 values": Greedy(make_encoder(SPEC), torch.nn.Linear(16, 3), probable=False),
    }
    for network in found.values():
        for name, weight in network.named_parameters():
            if "encoder" not in name:
                torch.nn.init.normal_(weight, std=0.5)  # else all actions are nearly alike
    return found


NAMES = list(networks())


@pytest.mark.parametrize("name", NAMES)
def test_a_thought_is_about_what_is_done(name: str) -> None:
    policy = GreedyPolicy(networks()[name], CPU, "fp32")
    seen = observations(40)
    thought = policy.think(seen)
    assert torch.equal(thought.actions, policy(seen))
    assert len(set(thought.actions.tolist())) > 1
    assert thought.preferences is not None
    assert thought.preferences.shape == (40, 3)
    assert torch.equal(thought.preferences.argmax(1), thought.actions)
    assert thought.probable == (name not in ("q", "sb3 values"))
    assert (thought.values is None) == (name == "sb3 logits")
    if thought.probable:
        assert (thought.preferences >= 0).all()
        torch.testing.assert_close(thought.preferences.sum(1), torch.ones(40))


def test_probabilities_and_value_of_known_logits() -> None:
    network = networks()["actor-critic"]
    network.value.scale.fill_(2.0)
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]])) + 7
    values = torch.full((1, 255), -1e9)
    values[0, 0], values[0, 254] = 0.0, np.log(3.0)  # a quarter at -5 s, three at 5 s: 2.5 s in the mean
    thought = network.thought(logits, values)
    torch.testing.assert_close(thought.preferences, torch.tensor([[0.5, 0.25, 0.25]]))
    torch.testing.assert_close(thought.values, torch.tensor([5.0]))
    assert thought.actions.tolist() == [0]


def test_values_of_actions_are_told_as_they_are() -> None:
    q = torch.tensor([[1.0, -2.0, 3.5]])
    thought = networks()["q"].thought(q, q[..., None])
    assert torch.equal(thought.preferences, q)
    assert thought.values.tolist() == [3.5]
    assert thought.actions.tolist() == [2]


def test_an_lstm_thinks_with_its_memory() -> None:
    """As many thoughts one after the other as a whole episode at once, and not those of first observations."""
    network = networks()["recurrent"]
    seen = observations(6)
    policy = GreedyPolicy(network, CPU, "fp32").begin(1)
    told = [policy.think(seen[i : i + 1]) for i in range(6)]
    with torch.no_grad():
        first = torch.zeros(6, 1, dtype=torch.bool)
        logits, _, _ = network.recall(seen, first, network.blank(1))
        # What had been recalled before the last of them.
        _, _, before = network.recall(seen[:5], first[:5], network.blank(1))
    together = torch.cat([thought.preferences for thought in told if thought.preferences is not None])
    torch.testing.assert_close(together, logits.softmax(-1))
    assert not torch.allclose(together[1:], network(seen)[0].softmax(-1)[1:], atol=1e-3)
    assert policy.memory is not None
    torch.testing.assert_close(policy.memory, before)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_feature_maps_are_the_first_convolutions(layout: str) -> None:
    network = networks()["actor-critic"]
    network.encoder.layout = layout
    network.encoder.fit_normalization(observations(9)[:, 0])
    seen = observations(1)
    maps = feature_maps(GreedyPolicy(network, CPU, "fp32"), seen)
    convolution = network.encoder.body[0]
    x = (seen.float() - network.encoder.mean) * network.encoder.scale
    expected = F.relu(F.conv2d(x, convolution.weight, convolution.bias, convolution.stride))[0].detach()
    assert maps is not None
    assert maps.shape == (16, 13, 13)
    assert (maps == 0).any()
    torch.testing.assert_close(torch.from_numpy(maps), expected, atol=1e-4, rtol=1e-4)
    assert not network.encoder.body[0]._forward_hooks


def test_looks_of_a_network_without_pixels() -> None:
    network = ActorCritic(make_encoder(EncoderSpec("mlp", 1, 1, 4, 16)), 2)
    policy = GreedyPolicy(network, CPU, "fp32")
    assert list(looks_of(policy)) == ["maps"]
    assert feature_maps(policy, torch.zeros(1, 1, 1, 4)) is None


def test_looks_of_a_network_with_a_memory() -> None:
    policy = GreedyPolicy(networks()["recurrent"], CPU, "fp32").begin(1)
    looks = looks_of(policy)
    assert list(looks) == ["maps", "gradient", "occlusion"]
    seen = observations(2)
    fresh = looks["gradient"](policy, seen[1:])
    policy.think(seen[:1])
    policy.think(seen[1:])
    recalled = looks["gradient"](policy, seen[1:])
    assert fresh is not None
    assert recalled is not None
    assert fresh.shape == recalled.shape == (84, 84)
    assert np.abs(fresh - recalled).max() > 0.01 * fresh.max()


def test_the_shipped_agent_tells(tmp_path: Path) -> None:
    from commands.player import load_player
    from play import SHIPPED

    player = load_player(SHIPPED, "cpu")
    thought = player.policy.think(observations(4))
    assert thought.probable
    assert thought.values is not None
    assert thought.values.shape == (4,)
