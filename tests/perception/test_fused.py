"""Convolutions picture by picture, held against NumPy's sums and torch's own convolutions."""

from typing import Any

import numba
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from envs.scene import compiled
from perception import EncoderSpec, Stacks, contraction, make_encoder
from perception.centering import centered
from perception.contraction import LANES, Plan, Tile, best_tile
from perception.fused import fusible, rectified_convolutions

MEAN, SCALE = 127.0, torch.tensor(0.02)


def pictures(batch: int, frames: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (batch, frames, height, width), dtype=torch.uint8, generator=generator)


def test_a_step_is_the_sum_that_it_says() -> None:
    """Of whole numbers, by NumPy's einsum; two tiles, places anywhere, nothing written beside."""
    plans = (
        Plan(Tile(2, 3, 2), 4, 5, (150, 40), (60, 7, 31, 3), (200, 36), (160, 50)),
        Plan(Tile(1, 1, 1), 3, 2, (0, 0), (0, 0, 9, 2), (100, 17), (0, 0)),
    )
    rng = np.random.default_rng(0)
    a, b, start = (rng.integers(-9, 10, size).astype(np.float32) for size in (300, 900, 400))
    for which, ((over, beside, vectors), lines, run, by_start, by_a, by_b, by_out) in enumerate(plans):
        for rectified in (False, True):
            step, out = contraction.contraction(plans, rectified), np.full(400, 7, np.float32)

            @compiled
            def call(start: Any, a: Any, b: Any, out: Any, which: int, step: Any = step) -> None:
                step(which, start, 11, a, 2, b, 13, out, 1)

            call(start, a, b, out, which)
            o, r, line, k, c = np.ogrid[:over, :beside, :lines, :run, : vectors * LANES]
            a_there = a[2 + by_a[0] * o + by_a[1] * r + by_a[2] * line + by_a[3] * k][..., 0]
            b_there = b[13 + by_b[0] * line + by_b[1] * k + c][0, 0]
            o, r, c = np.ogrid[:over, :beside, : vectors * LANES]
            sums = np.einsum("orlk,lkc->orc", a_there, b_there) + start[11 + by_start[0] * o + by_start[1] * r + c]
            expected = np.full(400, 7, np.float32)
            expected[1 + by_out[0] * o + by_out[1] * r + c] = np.maximum(sums, 0) if rectified else sums
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("features", ["+avx512f,+avx", "+avx,-avx512f", "-avx,-avx512f"])
@pytest.mark.parametrize(
    ("over", "beside", "columns"), [(13, 13, 16), (3, 6, 32), (4, 4, 64), (1, 1, 48), (20, 20, 32), (1, 7, 80)]
)
@pytest.mark.parametrize("length", [1, 300])
@pytest.mark.parametrize("dividing", [False, True])
def test_tiles_fit_any_processor(
    features: str,
    over: int,
    beside: int,
    columns: int,
    length: int,
    dividing: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contraction, "_features", lambda: features.split(","))
    tile = best_tile.__wrapped__(over, beside, columns, length, dividing)
    assert 1 <= tile.over <= over
    assert 1 <= tile.beside <= beside
    assert columns % (tile.vectors * LANES) == 0
    assert not (dividing and (over % tile.over or beside % tile.beside))
    registers, numbers = {"+avx512f": (32, 16), "+avx": (16, 8), "-avx": (32, 4)}[features.split(",")[0]]
    assert tile.rows * tile.vectors * LANES <= registers * numbers


CASES = [
    # frames, height, width, (channels, kernel, stride) of each convolution
    (2, 84, 84, [(16, 8, 6), (32, 3, 2), (64, 3, 1)]),
    (4, 84, 84, [(32, 8, 4), (64, 4, 2), (64, 3, 1)]),
    (1, 37, 50, [(16, 5, 5), (48, 3, 1)]),
    (3, 40, 43, [(32, 7, 3), (16, 2, 3), (16, 1, 1)]),
    (1, 30, 9, [(16, 6, 2), (16, 2, 1), (32, 1, 5)]),  # in the end three positions, one above the other
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("threads", "batch"), [(1, 9), (3, 50), (2, 1)], indirect=["threads"])
@pytest.mark.usefixtures("threads")
def test_convolutions_are_torchs(case: tuple[int, int, int, list[tuple[int, int, int]]], batch: int) -> None:
    """And so are the gradients of all weights, by torch in float64, twice in a row; frames lie anywhere."""
    frames, height, width, layers = case
    torch.manual_seed(0)
    pool = pictures(1, batch + 3, height, width)[0]
    stacks = Stacks(pool, np.random.default_rng(0).integers(batch + 3, size=(batch, frames)))
    mean = torch.rand(width, height).T * 255
    channels = [frames, *(layer[0] for layer in layers)]
    mine = [nn.Conv2d(before, *layer) for before, layer in zip(channels, layers, strict=False)]
    torchs = [nn.Conv2d(before, *layer).double() for before, layer in zip(channels, layers, strict=False)]
    for one, other in zip(mine, torchs, strict=True):
        other.load_state_dict(one.state_dict())
    expected = (pool[torch.from_numpy(stacks.index)].double() - mean) * SCALE
    for layer in torchs:
        expected = F.relu(layer(expected))
    found = rectified_convolutions(stacks, mean, SCALE, mine)
    gradient = torch.randn(found.shape[1:]).expand(found.shape)
    found.backward(gradient, retain_graph=True)
    once = [weight.grad.clone() for layer in mine for weight in layer.parameters() if weight.grad is not None]
    for layer in mine:
        layer.zero_grad()
    found.backward(gradient)
    assert all(map(torch.equal, once, (weight.grad for layer in mine for weight in layer.parameters())))
    expected.backward(gradient)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    for one, other in zip(mine, torchs, strict=True):
        for weight, its in zip(one.parameters(), other.parameters(), strict=True):
            assert weight.grad is not None
            assert its.grad is not None
            assert (weight.grad - its.grad).norm() <= 1e-5 * its.grad.norm()


def test_nothing_that_is_no_number_is_hidden() -> None:
    """A run that has diverged is noticed by its NaN, which no ReLU takes away."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 16, 4, 2), nn.Conv2d(16, 16, 2)]
    with torch.no_grad():
        layers[0].weight[3, 0, 1, 1] = torch.nan
    found = rectified_convolutions(Stacks.of(pictures(2, 1, 12, 12)), torch.zeros(12, 12), SCALE, layers)
    assert found.isnan().all()
    found.sum().backward()
    assert layers[1].weight.grad is not None
    assert layers[1].weight.grad[:, 3].isnan().all()


def test_no_pictures_at_all() -> None:
    layers = [nn.Conv2d(1, 16, 4, 2), nn.Conv2d(16, 16, 2)]
    found = rectified_convolutions(Stacks.of(pictures(0, 1, 12, 12)), torch.zeros(12, 12), SCALE, layers)
    assert found.shape == (0, 16, 4, 4)
    found.sum().backward()
    assert all(torch.equal(weight.grad, torch.zeros_like(weight)) for layer in layers for weight in layer.parameters())


def test_centered_in_half_precision_rounds_once() -> None:
    seen, mean = pictures(4, 1, 16, 16), torch.full((16, 16), MEAN)
    expected = ((seen.float() - MEAN) * SCALE).to(torch.bfloat16)
    assert torch.equal(centered(seen, mean, SCALE, torch.bfloat16), expected)


NETWORKS = [
    ("small", 2, 84, 84),
    ("small", 1, 50, 61),
    ("small", 3, 40, 43),
    ("nature", 4, 84, 84),
    ("lstm", 3, 84, 84),
]


@pytest.mark.parametrize(("network", "frames", "height", "width"), NETWORKS)
def test_layouts_differ_by_rounding_alone(network: str, frames: int, height: int, width: int) -> None:
    """Features, and the gradients of every weight; in bfloat16 both from those in float32."""
    torch.manual_seed(0)
    encoder, seen = make_encoder(EncoderSpec(network, frames, height, width)), pictures(9, frames, height, width)
    encoder.fit_normalization(seen[:, 0])
    asked: list[int] = []
    for layer in encoder.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_pre_hook(lambda module, inputs: asked.append(len(inputs[0])))
    found = []
    for layout, half in (("planes", False), ("fused", False), ("planes", True), ("fused", True)):
        encoder.layout = layout
        encoder.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            features = encoder(seen)
        features.square().sum().backward()
        gradients = [weight.grad for weight in encoder.parameters()]
        assert all(gradient is not None for gradient in gradients)
        found.append([features.detach(), *gradients])
    exact, *others = found
    fused, half_planes, half_fused = (
        [float((mine - its).norm() / its.norm()) for mine, its in zip(other, exact, strict=True)] for other in others
    )
    assert max(fused) <= 1e-5
    for features, *gradients in (half_planes, half_fused):
        assert features <= 0.02
        assert max(gradients) <= 0.2
    assert asked == [9 * frames if network == "lstm" else 9] * 6  # torch's convolutions, for planes alone


@pytest.mark.parametrize(("network", "frames", "height", "width"), NETWORKS)
@pytest.mark.parametrize(("threads", "batch"), [(1, 9), (2, 64)], indirect=["threads"])
@pytest.mark.usefixtures("threads")
def test_what_is_fixed_sees_the_same(network: str, frames: int, height: int, width: int, batch: int) -> None:
    """Also with layers that normalise as learned; afterwards, and in between, weights are what they are by then."""
    torch.manual_seed(0)
    encoder = make_encoder(EncoderSpec(network, frames, height, width))
    for layer in encoder.modules():
        if isinstance(layer, nn.LayerNorm):
            nn.init.normal_(layer.weight, 1, 0.3)
            nn.init.normal_(layer.bias)
    seen = Stacks.of(pictures(batch, frames, height, width))
    encoder.fit_normalization(seen.pictures)
    with torch.no_grad():
        expected = encoder(seen)
        encoder.layout = "fused"
        for _ in range(2):
            with encoder.fixed():
                torch.testing.assert_close(encoder(seen), expected, rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(encoder(seen.gathered()[:3]), expected[:3], rtol=1e-4, atol=1e-5)
            for weight in encoder.parameters():
                weight.mul_(1.1)
            encoder.layout = "planes"
            expected = encoder(seen)
            encoder.layout = "fused"
            torch.testing.assert_close(encoder(seen), expected, rtol=1e-4, atol=1e-5)


def test_what_has_no_fixed_pass_goes_on_as_it_was() -> None:
    torch.manual_seed(0)
    seen = pictures(5, 2, 84, 84)
    for network, width in (("small", 100), ("impala", 64)):
        encoder = make_encoder(EncoderSpec(network, feature_dim=width))
        encoder.layout = "fused"
        with torch.no_grad():
            expected = encoder(seen)
            with encoder.fixed():
                assert torch.equal(encoder(seen), expected)


def test_what_is_fixed_is_in_float32() -> None:
    """Whatever else is computed in."""
    torch.manual_seed(0)
    encoder, seen = make_encoder(EncoderSpec("small")), pictures(5, 2, 84, 84)
    encoder.layout = "fused"
    with torch.no_grad():
        expected = encoder(seen)
        with torch.autocast("cpu", torch.bfloat16), encoder.fixed():
            torch.testing.assert_close(encoder(seen), expected, rtol=1e-4, atol=1e-5)


def test_networks_that_have_no_fused_pass_go_on_as_they_were() -> None:
    torch.manual_seed(0)
    encoder, seen = make_encoder(EncoderSpec("impala")), pictures(2, 2, 84, 84)
    before = encoder(seen)
    encoder.layout = "fused"
    assert torch.equal(encoder(seen), before)


def test_where_there_is_no_fused_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    two = [nn.Conv2d(1, 16, 3), nn.Conv2d(16, 16, 3)]
    assert fusible(two)
    assert not fusible(two[:1])
    assert not fusible([nn.Conv2d(1, 16, 3), nn.Conv2d(16, 24, 3)])  # no whole vectors of channels
    assert not fusible([two[0], nn.Conv2d(16, 16, 3).double()])
    assert not fusible([two[0], nn.Conv2d(16, 16, 3, device="meta")])
    for features, sensible in (("+sse2,-fma", False), ("+avx,+fma", True), ("+neon", True)):
        monkeypatch.setattr(contraction, "_features", features.split(",").copy)
        assert fusible(two) == sensible
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert not fusible(two)


def test_a_step_takes_nothing_else_for_its_numbers() -> None:
    """Numbers of twice the size would be read as two."""
    plan = Plan(Tile(1, 1, 1), 1, 1, (0, 0), (0, 0, 0, 0), (0, 0), (0, 0))
    step, numbers = contraction.contraction((plan,)), np.zeros(64, np.float32)

    @compiled
    def call(start: Any, a: Any) -> None:
        step(0, start, 0, a, 0, a, 0, a, 0)

    call(numbers, numbers)
    for other in (numbers.astype(np.float64), numbers[::2]):
        with pytest.raises(numba.TypingError):
            call(other, numbers)
