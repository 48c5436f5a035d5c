"""Saliency of networks whose answer can be worked out on paper, and what must hold for all networks."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agents.actor_critic import ActorCritic, RecurrentActorCritic
from agents.dqn import QNetwork
from agents.saliency import METHODS, gradient_saliency, occlusion_saliency, see_centered
from perception import EncoderSpec, make_encoder
from perception.encoder import Encoder, freeze, make_reader

FRAMES, HEIGHT, WIDTH = 2, 4, 5
SIZE = FRAMES * HEIGHT * WIDTH


class Body(nn.Module):
    """Features are the pixels themselves, and their squares."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.flatten(1), x.flatten(1) ** 2], 1)


def linear(weight: Tensor, squares: Tensor | None = None) -> ActorCritic:
    """m(x) = w x + w' x^2 of centered pixels x, whose mean is 100 and whose scale is 1/10; action 1 if above 0."""
    encoder = Encoder(EncoderSpec("small", FRAMES, HEIGHT, WIDTH, 2 * SIZE), Body())
    encoder.mean.fill_(100.0)
    encoder.scale.fill_(0.1)
    network = ActorCritic(encoder, 2)
    with torch.no_grad():
        network.policy.weight.zero_()
        network.policy.weight[1] = torch.cat([weight, torch.zeros(SIZE) if squares is None else squares])
    return network


def pixels(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, FRAMES, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)


def shares(attribution: Tensor) -> Tensor:
    kept = attribution.clamp(min=0)
    return kept / kept.sum()


@pytest.mark.parametrize(
    ("method", "settings"), [("gradient", {}), ("gradient", {"samples": 3}), ("occlusion", {"patch": 1, "stride": 1})]
)
@pytest.mark.parametrize("seed", range(4))
def test_of_a_linear_network_each_pixel_has_what_it_adds(method: str, settings: dict[str, Any], seed: int) -> None:
    """The preference is a sum over pixels, whatever the noise: a pixel's part is w x, for action 0 it is -w x."""
    weight = torch.randn(SIZE, generator=torch.Generator().manual_seed(seed))
    observation = pixels(seed)
    parts = weight.view(FRAMES, HEIGHT, WIDTH) * (observation[0].float() - 100) / 10
    sign = 1 if parts.sum() > 0 else -1
    found = METHODS[method](linear(weight), observation, **settings)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, shares(sign * parts.sum(0)))


def test_gradients_are_integrated_from_the_mean_on() -> None:
    """Of m = x_1^2 + x_2 at (3, 6) the parts are 9 and 6. The gradient at the end times x would say 18 and 6."""
    weight, squares = torch.zeros(SIZE), torch.zeros(SIZE)
    squares[1], weight[2] = 1.0, 1.0
    observation = torch.full((1, FRAMES, HEIGHT, WIDTH), 100, dtype=torch.uint8)
    observation.view(-1)[1], observation.view(-1)[2] = 130, 160
    found = gradient_saliency(linear(weight, squares), observation, noise=0.0).flatten()
    assert found[1] == pytest.approx(9 / 15)
    assert found[2] == pytest.approx(6 / 15)
    assert found.sum() == pytest.approx(1)


def test_patches_are_hidden_in_all_frames_and_lap_over() -> None:
    """One pixel of the older frame decides: the mean over the patches that hide it is its part in every one of them.

    A pixel beside it is in 2 of its own 4 patches of 2 x 2 together with it, the one across in 1.
    """
    weight = torch.zeros(SIZE)
    weight[2 * WIDTH + 2] = 1.0
    observation = torch.full((1, FRAMES, HEIGHT, WIDTH), 110, dtype=torch.uint8)
    found = occlusion_saliency(linear(weight), observation, patch=2, stride=1)
    expected = torch.zeros(HEIGHT, WIDTH)
    expected[1:4, 1:4] = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    torch.testing.assert_close(found, expected / 16)


def test_noise_shows_what_lies_behind_a_kink() -> None:
    """With m = max(0, y - 1) + z the gradient of y is 0 on the whole way to y = 1; with noise it is not."""

    class Kinked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            flat = x.flatten(1)
            return torch.stack([(flat[:, 0] - 1).relu(), flat[:, 1]], 1)

    encoder = Encoder(EncoderSpec("small", FRAMES, HEIGHT, WIDTH, 2), Kinked())
    encoder.mean.fill_(100.0)
    encoder.scale.fill_(0.1)
    network = ActorCritic(encoder, 2)
    with torch.no_grad():
        network.policy.weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    observation = torch.full((1, FRAMES, HEIGHT, WIDTH), 100, dtype=torch.uint8)
    observation.view(-1)[:2] = 110
    assert gradient_saliency(network, observation, noise=0.0).flatten()[0] == 0
    assert gradient_saliency(network, observation, samples=256).flatten()[0] > 0.1


KINDS = ("policy", "recurrent", "values", "quantiles", "frozen")


def frozen(encoder: Encoder) -> Encoder:
    freeze(encoder)
    encoder.reader = make_reader(encoder.feature_dim)
    return encoder


def networks() -> dict[str, Any]:
    torch.manual_seed(0)
    spec = EncoderSpec("small", FRAMES, 44, 48, 32)
    made = {
        "policy": ActorCritic(make_encoder(spec), 3),
        "recurrent": RecurrentActorCritic(make_encoder(spec), 3, 8),
        "values": QNetwork(make_encoder(spec), 3, dueling=True),
        "quantiles": QNetwork(make_encoder(spec), 3, dueling=True, quantiles=5, noisy=True),
        "frozen": ActorCritic(frozen(make_encoder(spec)), 3),
    }
    for network in made.values():
        network.encoder.mean.copy_(torch.rand(44, 48) * 255)
    return made


def screen(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, FRAMES, 44, 48), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gradients", [False, True])
def test_every_network_is_explained_and_left_alone(method: str, kind: str, gradients: bool) -> None:
    network = networks()[kind].requires_grad_(gradients)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modules, random = list(network.modules()), torch.get_rng_state()
    with torch.no_grad():  # as in a loop that plays
        found = METHODS[method](network, screen())
    assert found.shape == (44, 48)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert found.max() > 2 / found.numel()
    assert torch.equal(found, METHODS[method](network, screen()))
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad == gradients for parameter in network.parameters())
    assert list(network.modules()) == modules
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize("kind", KINDS)
def test_centered_pixels_get_the_scores_of_the_observation(kind: str) -> None:
    network, observation = networks()[kind], screen()
    centered = (observation.float() - network.encoder.mean) * network.encoder.scale
    torch.testing.assert_close(see_centered(network)(centered)[0], network(observation)[0])


@pytest.mark.parametrize("method", METHODS)
def test_what_all_values_share_does_not_matter(method: str) -> None:
    network = networks()["values"]
    before = METHODS[method](network, screen())
    with torch.no_grad():
        network.value.weight.mul_(-50.0)
    torch.testing.assert_close(METHODS[method](network, screen()), before, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_a_memory_takes_part(method: str) -> None:
    network = networks()["recurrent"]
    blank = METHODS[method](network, screen(), network.blank(1))
    torch.testing.assert_close(blank, METHODS[method](network, screen()))
    other = METHODS[method](network, screen(), torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(1)))
    assert (other - blank).abs().sum() > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_if_no_pixel_speaks_for_it_all_are_alike(method: str) -> None:
    found = METHODS[method](linear(torch.zeros(SIZE)), pixels())
    torch.testing.assert_close(found, torch.full((HEIGHT, WIDTH), 1 / (HEIGHT * WIDTH)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("wrong", [pixels().float(), pixels().repeat(2, 1, 1, 1), pixels()[:, :1]])
def test_what_is_no_stack_of_frames_is_refused(method: str, wrong: Tensor) -> None:
    with pytest.raises(ValueError, match=r"saliency is of pixels, uint8 \[1, 2, 4, 5\]"):
        METHODS[method](linear(torch.ones(SIZE)), wrong)


def test_patches_that_leave_pixels_out_are_refused() -> None:
    with pytest.raises(ValueError, match="stride must be within 1 and patch = 2, not 3"):
        occlusion_saliency(linear(torch.ones(SIZE)), pixels(), patch=2, stride=3)
