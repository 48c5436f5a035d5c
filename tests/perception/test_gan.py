"""The GAN: its losses by hand, and that each reaches the weights it is for and no others."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perception.dataset import Dataset
from perception.gan import gradient_penalty, relativistic_loss
from tests.perception.recording import open_flappy
from tests.perception.test_training import make


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_flappy(tmp_path_factory.mktemp("gan") / "flappy", pictures=3000, max_frames=60)


def test_the_relativistic_loss_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([1.0, 3.0])
    by_hand = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(3))) / 2
    assert relativistic_loss(real, fake).item() == pytest.approx(by_hand, rel=1e-6)


class Plane(nn.Module):
    """D(x, z) = a x + sum z^2: its gradient at z is 2 z."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([[1.0, -2.0], [0.0, 3.0]]))

    def forward(self, picture: Tensor, code: Tensor) -> Tensor:
        return (picture * self.a).sum((1, 2, 3)) + code.square().sum(1)


def test_the_gradient_penalty_by_hand() -> None:
    plane, code = Plane(), torch.tensor([[1.0], [2.0]])
    picture = torch.randn(2, 1, 2, 2)
    penalty = gradient_penalty(plane, picture, code)
    assert penalty.item() == pytest.approx(14 + (4 + 16) / 2)
    penalty.backward()  # of a: the gradient at x is a itself
    torch.testing.assert_close(plane.a.grad, 2 * plane.a.detach())


def test_each_loss_reaches_its_own_weights(data: Dataset, tmp_path: Path) -> None:
    """The discriminator's gradient is of its own loss with pairs held fixed, the others' of theirs with it held."""
    way: Any = make("encoder-gan", data, tmp_path / "run", 640).way
    way.train()
    batch = data.splits["train"].batch(np.arange(32))
    torch.manual_seed(5)
    way.loss(batch)[0].backward()
    got = {name: weight.grad.clone() for name, weight in way.named_parameters()}
    torch.manual_seed(5)
    z = torch.randn(32, way.latents)
    real = (batch.observations.float() - way.encoder.mean) * way.encoder.scale
    code, drawn = way.encode(batch.observations), way.generator(z)
    own_weights = [weight for name, weight in way.named_parameters() if name.startswith("judge")]
    others = [(name, weight) for name, weight in way.named_parameters() if not name.startswith("judge")]
    told = F.mse_loss(way.code(way.encoder.body(drawn)), z)
    theirs = F.softplus(way.judge_pair(real, code) - way.judge_pair(drawn, z)).mean() + told
    for (name, _), gradient in zip(others, torch.autograd.grad(theirs, [w for _, w in others]), strict=True):
        torch.testing.assert_close(got[name], gradient, atol=1e-5, rtol=1e-3)
    fixed = [(real, code.detach()), (drawn.detach(), z)]
    logits = [way.judge_pair(*pair) for pair in fixed]
    penalty = sum(gradient_penalty(way.judge_pair, picture[:8], latents[:8]) for picture, latents in fixed)
    own = F.softplus(logits[1] - logits[0]).mean() + 500 * penalty
    for weight, gradient in zip(own_weights, torch.autograd.grad(own, own_weights), strict=True):
        name = next(name for name, other in way.named_parameters() if other is weight)
        torch.testing.assert_close(got[name], gradient, atol=1e-5, rtol=1e-3)


def test_codes_are_told_from_what_was_drawn_of_them(data: Dataset, tmp_path: Path) -> None:
    """Of chance that was never seen before; the mean alone would be off by 1. And the discriminator beats a coin."""
    trainer = make("encoder-gan", data, tmp_path / "run", 2560)
    way: Any = trainer.way
    while trainer.steps < trainer.total_steps:
        trainer.step()
    z = torch.randn(256, way.latents, generator=torch.Generator().manual_seed(7))
    played = data.splits["test"].sample(256, np.random.default_rng(0)).observations
    with torch.no_grad():
        drawn = way.generator(z)
        assert F.mse_loss(way.code(way.encoder.body(drawn)), z) < 0.75
        real = (played.float() - way.encoder.mean) * way.encoder.scale
        right = way.judge_pair(real, way.encode(played)) > way.judge_pair(drawn, z)
    assert right.float().mean() > 0.6


def test_training_and_validation_measure_the_same_loss(data: Dataset, tmp_path: Path) -> None:
    """They are drawn as one curve each; the discriminator's, which learns only in training, is beside it."""
    way: Any = make("encoder-gan", data, tmp_path / "run", 640).way
    batch, logs = data.splits["train"].batch(np.arange(32)), []
    for training in (True, False):
        torch.manual_seed(5)
        way.train(training)
        logs.append(way.loss(batch)[1])
    assert "discriminator" in logs[0]
    torch.testing.assert_close(logs[0]["loss"], logs[1]["loss"])
