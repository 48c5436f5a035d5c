"""Muon and Adam as one optimizer: who steps what, how far, and that a resumed one goes on alike."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agents import optimizer as muon
from agents.actor_critic import ActorCritic
from agents.learner import Learner, LearnerConfig
from agents.optimizer import PERIOD, HiddenMuon, orthogonal
from perception import EncoderSpec, make_encoder


class Network(nn.Module):
    """A convolution, a linear layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(36, 8), nn.LayerNorm(8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.encoder(x))
        return result


def learn(network: Network, optimizer: Any, steps: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        loss = network(torch.randn(16, 2, 5, 5, generator=generator)).square().mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()


@pytest.mark.parametrize("shape", [(16, 128), (64, 288), (288, 64), (128, 1024), (256, 128), (8, 3, 3, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_all_singular_values_become_about_one(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Against the iteration's polynomial, taken of the singular values by themselves."""
    torch.manual_seed(0)
    u, s, v = torch.linalg.svd(torch.randn(shape).flatten(1), full_matrices=False)
    s = torch.logspace(0, -1.5, len(s))
    expected = (s / s.norm()).double()
    for _ in range(5):
        expected = 3.4445 * expected - 4.7750 * expected**3 + 2.0315 * expected**5
    result = orthogonal(u * s @ v, dtype)
    assert result.dtype == torch.float32
    wanted = (u * expected.float()) @ v
    small = min(u.shape[0], v.shape[1]) <= 64  # and hence float32 in any case
    assert (result - wanted).norm() / wanted.norm() < (1e-4 if small or dtype == torch.float32 else 0.05)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_muon_multiplies_in_the_runs_format(
    precision: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor on which bfloat16 is slow has it nowhere: there its products once took half of a gradient step."""
    asked = []
    monkeypatch.setattr(muon, "orthogonal", lambda x, dtype: asked.append(dtype) or orthogonal(x, dtype))
    learner = Learner(ActorCritic(make_encoder(EncoderSpec()), 2), LearnerConfig(), torch.device("cpu"), precision)
    for _ in range(2):
        learner.step(learner.network(torch.zeros(2, 2, 84, 84, dtype=torch.uint8))[0].sum())
    assert asked == [dtype] * 5


def test_a_gradient_of_nothing_is_no_step() -> None:
    assert not orthogonal(torch.zeros(128, 200)).any()


def test_long_gradients_are_scaled_down_to_the_norm() -> None:
    """Of all of them together, as torch's own clip_grad_norm_ does it."""
    for norm in (1e-3, 1e3):
        network, other = Network(), Network()
        mine, theirs = (HiddenMuon(n, n.encoder, 1e-3, 1e-2) for n in (network, other))
        for seed in range(3):
            for n in (network, other):
                loss = n(torch.randn(16, 2, 5, 5, generator=torch.Generator().manual_seed(seed))).square().mean()
                n.zero_grad()
                torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(other.parameters(), norm)
            theirs.step()
            mine.step(norm)
        for a, b in zip(network.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_parameters_side_by_side_are_views_of_one_vector() -> None:
    network, before = Network(), Network()
    optimizer = HiddenMuon(network, network.encoder, 1e-3, 1e-2)
    named = dict(network.named_parameters())
    assert sorted(optimizer.names) == sorted(named)
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in network.state_dict().items())
    assert torch.equal(optimizer.vector, torch.cat([named[name].detach().flatten() for name in optimizer.names]))
    optimizer.vector.fill_(7.0)
    assert all(bool((parameter == 7).all()) for parameter in network.parameters())


def test_muon_steps_the_encoders_weights_by_orthogonal_matrices() -> None:
    """Whatever a gradient's singular values are, here from 1 down to 0.1, the step's are all near 1."""
    network = Network()
    optimizer = HiddenMuon(network, network.encoder, 1e-3, 1e-2)
    before = copy.deepcopy(network)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)  # Adam has something to do, too
    for weight in (network.encoder[0].weight, network.encoder[2].weight):
        u, s, v = torch.linalg.svd(torch.randn(weight.flatten(1).shape), full_matrices=False)
        weight.grad = (u * torch.logspace(0, -1, len(s)) @ v).view_as(weight)
    for _ in range(PERIOD):
        assert torch.equal(network.encoder[2].weight, before.encoder[2].weight)  # its turn has not come
        optimizer.step()
    for i in (0, 2):
        step = (before.encoder[i].weight - network.encoder[i].weight).detach().flatten(1)
        values = torch.linalg.svdvals(step) / (PERIOD * 1e-2 * 0.2 * max(step.shape) ** 0.5)
        assert 0.6 < values.min() <= values.max() < 1.3
        gradient = network.encoder[i].weight.grad.flatten(1)
        assert (step * gradient).sum() > 0  # downhill


def test_muon_steps_along_the_mean_of_the_gradients_since_its_last_step() -> None:
    """Torch's own Muon, given these means."""
    network = Network()
    optimizer = HiddenMuon(network, network.encoder, 1e-3, 1e-2)
    weight = network.encoder[2].weight
    alone = nn.Parameter(weight.detach().clone())
    theirs = torch.optim.Muon(
        [alone], lr=PERIOD * 1e-2, weight_decay=0.0, momentum=0.95**PERIOD, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(3):
        gradients = torch.randn(PERIOD, *weight.shape)
        for gradient in gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        alone.grad = gradients.mean(0)
        theirs.step()
        # A step changes entries by 0.02 or so; theirs computes in bfloat16.
        torch.testing.assert_close(weight.data, alone.data, atol=1e-3, rtol=0.0)


def test_without_muon_adam_steps_everything() -> None:
    network, alone = Network(), Network()
    learn(network, HiddenMuon(network, network.encoder, 1e-3, 0.0), 3)
    learn(alone, torch.optim.Adam(alone.parameters(), lr=1e-3, eps=1e-5), 3)
    for mine, other in zip(network.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_adam_steps_everything_else_as_it_would_alone() -> None:
    """After one step, for the gradients are the same: heads, biases and normalisation."""
    network, alone = Network(), Network()
    learn(network, HiddenMuon(network, network.encoder, 1e-3, 1e-2), 1)
    learn(alone, torch.optim.Adam(alone.parameters(), lr=1e-3, eps=1e-5), 1)
    others = dict(alone.named_parameters())
    for name, parameter in network.named_parameters():
        same = torch.allclose(parameter, others[name], atol=1e-7)
        assert same == (name not in ("encoder.0.weight", "encoder.2.weight")), name


def test_parts_that_learn_in_turn_are_kept_apart() -> None:
    """As by an Adam of torch's for each, that knows only of its own turn."""
    parts, alone = ([nn.Linear(3, 4), nn.Linear(3, 4)] for _ in range(2))
    for mine, other in zip(parts, alone, strict=True):
        other.load_state_dict(mine.state_dict())
    network = nn.ModuleList(parts)
    optimizer = HiddenMuon(network, nn.Identity(), 1e-3, 0.0, turns=network)
    adams = [torch.optim.Adam(other.parameters(), lr=1e-3, eps=1e-5) for other in alone]
    for turn in (0, 0, 0, 1, 1, 0):
        x = torch.randn(16, 3)
        for part, stepping in ((parts[turn], optimizer), (alone[turn], adams[turn])):
            stepping.zero_grad()
            part(x).square().mean().backward()
            stepping.step()
        for mine, other in zip(parts, alone, strict=True):
            torch.testing.assert_close(mine.state_dict(), other.state_dict())


def test_no_gradient_is_left_for_the_next_step() -> None:
    network = Network()
    optimizer = HiddenMuon(network, network.encoder, 1e-3, 1e-2)
    learn(network, optimizer, 1)
    assert all(parameter.grad is not None for parameter in network.parameters())
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_step_sizes_decay_together() -> None:
    network = Network()
    optimizer = HiddenMuon(network, network.encoder, 1e-3, 1e-2)
    optimizer.decay(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.5 * PERIOD * 1e-2, 5e-4])
    optimizer.decay(0.0)
    before = copy.deepcopy(network.state_dict())
    learn(network, optimizer, 2)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_loaded_state_goes_on_to_the_last_bit() -> None:
    straight, begun = Network(), Network()
    learn(straight, HiddenMuon(straight, straight.encoder, 1e-3, 1e-2), 3)
    optimizer = HiddenMuon(straight, straight.encoder, 1e-3, 1e-2)
    first = HiddenMuon(begun, begun.encoder, 1e-3, 1e-2)
    learn(begun, first, 3)
    assert not any(value.any() for value in optimizer.state_dict().values())
    state = {key: value.clone() for key, value in first.state_dict().items()}
    optimizer.load_state_dict(state)
    learn(straight, optimizer, 2, seed=1)
    learn(begun, first, 2, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), begun.parameters(), strict=True))
    forgetful = HiddenMuon(straight, straight.encoder, 1e-3, 1e-2)
    learn(straight, forgetful, 1)
    learn(begun, first, 1)
    assert not torch.equal(straight.encoder[2].weight, begun.encoder[2].weight)
