"""What encoders take and give, and that nothing of them is lost on the disk."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiment import checkpoint
from perception import ENCODERS, STATES, EncoderSpec, make_encoder
from perception.encoder import Symlog

NETWORKS = sorted(set(ENCODERS) - set(STATES))
SPEC = EncoderSpec(frames=3, height=40, width=52, feature_dim=12)


def observations(spec: EncoderSpec, batch: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (batch, spec.frames, spec.height, spec.width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    "spec", [SPEC, EncoderSpec(feature_dim=8), EncoderSpec(frames=1, height=36, width=100, feature_dim=7)]
)
def test_shapes(network: str, spec: EncoderSpec) -> None:
    encoder = make_encoder(replace(spec, network=network))
    for batch in (1, 3):
        features = encoder(observations(spec, batch))
        assert features.shape == (batch, spec.feature_dim)
        assert features.dtype == torch.float32
    assert encoder.feature_dim == spec.feature_dim
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(observations(spec)).dtype == torch.float32


def test_two_networks_are_those_of_the_papers() -> None:
    """Numbers of weights, counted by hand from the papers' tables, and LayerNorm's two a feature."""
    conv = {
        "nature": (32 * 8 * 8 * 4 + 32) + (64 * 4 * 4 * 32 + 64) + (64 * 3 * 3 * 64 + 64),  # Mnih et al. 2015
        # Espeholt et al. 2018: three stages of one convolution and four in two residual blocks
        "impala": (16 * 9 * 4 + 16) + 4 * (16 * 9 * 16 + 16) + (32 * 9 * 16 + 32) + 9 * (32 * 9 * 32 + 32),
    }
    flat = {"nature": 64 * 7 * 7, "impala": 32 * 11 * 11}
    for network, convolutions in conv.items():
        body = ENCODERS[network](EncoderSpec(network, 4, 84, 84, 512))
        expected = convolutions + (flat[network] * 512 + 512) + 2 * 512
        assert sum(parameter.numel() for parameter in body.parameters()) == expected


def test_the_small_network_is_that_of_the_docs() -> None:
    """docs/train.md: 84 pixels, 13 positions after the first convolution, 6 after the second, 4 after the third."""
    convolutions = (16 * 8 * 8 * 2 + 16) + (32 * 3 * 3 * 16 + 32) + (64 * 3 * 3 * 32 + 64)
    linear = (64 * 4 * 4 * 128 + 128) + (128 * 256 + 256)
    body = ENCODERS["small"](EncoderSpec("small", 2, 84, 84, 256))
    assert sum(parameter.numel() for parameter in body.parameters()) == convolutions + linear + 2 * (128 + 256)


def test_small_pictures_fit_the_small_network() -> None:
    """43 pixels leave 2 positions for the third convolution, which is 1 x 1 then."""
    for side, weights in ((43, 64 * 32), (44, 64 * 32 * 9)):
        body = ENCODERS["small"](EncoderSpec("small", 1, side, side, 8))
        assert weights in [parameter.numel() for parameter in body.parameters()]


def test_states_are_normalised_number_by_number(tmp_path: Path) -> None:
    """Numbers of very different units come out alike: mean 0, deviation 1. One that never changes comes out 0."""
    encoder = make_encoder(EncoderSpec("mlp", 1, 1, 3, 8))
    given: list[torch.Tensor] = []
    encoder.body.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    states = torch.randn(1000, 1, 3) * torch.tensor([100.0, 1.0, 0.0]) + torch.tensor([5.0, -2.0, 7.0])
    encoder.fit_normalization(states)
    features = encoder(states[:, None])
    assert features.shape == (1000, 8)
    torch.testing.assert_close(given[0].mean((0, 1, 2)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(given[0].std((0, 1, 2)), torch.tensor([1.0, 1.0, 0.0]), atol=0.01, rtol=0)
    checkpoint.save(tmp_path / "eyes", encoder.state_dict(), {})
    other = make_encoder(encoder.spec)
    other.load_state_dict(checkpoint.load(tmp_path / "eyes")[0])
    assert torch.equal(other(states[:, None]), features)
    with pytest.raises(ValueError, match=r"takes float32 \[batch, 1, 1, 3\]"):
        encoder(torch.zeros(2, 1, 1, 3, dtype=torch.uint8))


def test_far_numbers_come_nearer_and_keep_their_sign() -> None:
    """sign(x) log(1 + |x|), by hand; near 0 it is x."""
    states = torch.tensor([0.0, 1.718282, -6.389056, 0.001, -0.001])
    torch.testing.assert_close(Symlog()(states), torch.tensor([0.0, 1.0, -2.0, 0.0009995, -0.0009995]))


@torch.no_grad()
def test_a_far_number_does_not_drown_the_others() -> None:
    """A cart 24 deviations off, where CartPole's track ends: which way the pole leans still moves the features.

    As a share of what it moves them when the cart is in the middle; without the logarithm less than a tenth is left.
    """
    moved = []
    for far in (0.0, 24.0):
        total = 0.0
        for seed in range(10):
            torch.manual_seed(seed)
            encoder = make_encoder(EncoderSpec("mlp", 1, 1, 4, 64))
            left, right = encoder(torch.tensor([[[[far, 0.0, lean, 0.0]]] for lean in (-1.0, 1.0)]))
            total += float((left - right).norm())
        moved.append(total)
    assert moved[1] > 0.2 * moved[0]


@pytest.mark.parametrize("network", NETWORKS)
def test_each_picture_has_its_own_features(network: str) -> None:
    torch.manual_seed(0)
    encoder, seen = make_encoder(replace(SPEC, network=network)), observations(SPEC, 6)
    together = encoder(seen)
    for i in range(6):
        torch.testing.assert_close(encoder(seen[i : i + 1])[0], together[i], atol=1e-5, rtol=1e-4)
    assert len({tuple(row) for row in together.tolist()}) == 6
    assert not torch.allclose(encoder(seen.flip(1)), together)  # the order of frames matters


def test_the_seed_makes_the_weights() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(make_encoder(SPEC)(observations(SPEC)))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (torch.zeros(2, 3, 40, 52), r"torch.float32 \[2, 3, 40, 52\]"),
        (torch.zeros(2, 3, 40, 52, dtype=torch.int64), "torch.int64"),
        (torch.zeros(2, 4, 40, 52, dtype=torch.uint8), r"\[2, 4, 40, 52\]"),
        (torch.zeros(2, 3, 52, 40, dtype=torch.uint8), r"\[2, 3, 52, 40\]"),
        (torch.zeros(3, 40, 52, dtype=torch.uint8), r"\[3, 40, 52\]"),
        (torch.zeros(2, 40, 52, 3, dtype=torch.uint8), r"\[2, 40, 52, 3\]"),
    ],
    ids=["float", "int64", "frames", "turned", "no batch", "channels last"],
)
def test_what_does_not_fit_is_refused(wrong: torch.Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=r"takes uint8 \[batch, 3, 40, 52\], not .*" + said):
        make_encoder(SPEC)(wrong)


@pytest.mark.parametrize("network", ["small", "nature"])
def test_pictures_that_are_too_small_are_refused(network: str) -> None:
    for height, width in ((7, 84), (84, 7), (1, 1), (12, 12)):
        with pytest.raises(ValueError, match=f"{height} x {width} pixels are too few for the {network} encoder"):
            make_encoder(EncoderSpec(network, 1, height, width, 8))


def test_the_smallest_picture_for_nature() -> None:
    spec = EncoderSpec("nature", 1, 36, 36, 8)  # 8 + 4 * (4 + 2 * (3 - 1) - 1)
    assert make_encoder(spec)(observations(spec)).shape == (5, 8)
    for height, width in ((35, 84), (84, 35)):
        with pytest.raises(ValueError, match="too few for the nature encoder"):
            make_encoder(replace(spec, height=height, width=width))


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no encoder 'resnet'; choose from small, nature, impala"):
        make_encoder(EncoderSpec("resnet"))


def test_normalisation_by_hand() -> None:
    """Two frames: each pixel lies 10 about its mean, but one that never moves."""
    spec = EncoderSpec(frames=1, height=40, width=40, feature_dim=4)
    low = torch.arange(1600, dtype=torch.float32).reshape(40, 40).remainder(200).to(torch.uint8)
    high = low + 20
    high[0, 0] = low[0, 0]
    encoder = make_encoder(spec)
    given: list[torch.Tensor] = []
    encoder.body.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    encoder(torch.stack([low, high])[:, None])
    torch.testing.assert_close(given[0][0, 0], (low.float() - 127.5) / 64)
    encoder.fit_normalization(torch.stack([low, high]))
    middle = low.float() + 10
    middle[0, 0] = low[0, 0]
    torch.testing.assert_close(encoder.mean, middle)
    root_mean_square = (100 * 1599 / 1600) ** 0.5
    assert encoder.scale.item() == pytest.approx(1 / root_mean_square)
    encoder(torch.stack([low, high])[:, None])
    by_hand = torch.full((40, 40), 10 / root_mean_square)
    by_hand[0, 0] = 0
    torch.testing.assert_close(given[1][0, 0], -by_hand)
    torch.testing.assert_close(given[1][1, 0], by_hand)


def test_a_picture_that_never_changes_is_not_blown_up() -> None:
    encoder = make_encoder(SPEC)
    encoder.fit_normalization(torch.full((10, 40, 52), 77, dtype=torch.uint8))
    assert encoder.scale == 1
    assert encoder(observations(SPEC)).isfinite().all()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_same_features_after_saving_and_loading(network: str, tmp_path: Path) -> None:
    """Normalisation included, to the last bit: what plays sees what was trained."""
    spec, seen = replace(SPEC, network=network), observations(SPEC, 16)
    encoder = make_encoder(spec)
    plain = encoder(seen)
    encoder.fit_normalization(seen[:, 0] // 2)
    expected = encoder(seen)
    assert not torch.allclose(expected, plain)
    checkpoint.save(tmp_path / "eyes", encoder.state_dict(), {})
    tensors, _ = checkpoint.load(tmp_path / "eyes")
    other = make_encoder(spec)
    checkpoint.fit(other.state_dict(), tensors, "the encoder")
    other.load_state_dict(tensors)
    assert torch.equal(other(seen), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(other(seen), encoder(seen))
