"""Convolutions as products of patches, held against torch's own operations."""

import pytest
import torch
import torch.nn.functional as F

from perception import EncoderSpec, make_encoder
from perception.centering import centered
from perception.patches import centered_patches, rectified_patches

MEAN, SCALE = 127.0, torch.tensor(0.02)


def pictures(batch: int, frames: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (batch, frames, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("kernel", "stride"), [(8, 6), (8, 4), (5, 5), (3, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_patches_of_pictures_are_those_of_unfold(kernel: int, stride: int, dtype: torch.dtype) -> None:
    """Of the same numbers to the last bit, in the order of a convolution's weights."""
    seen, mean = pictures(3, 2, 29, 37), torch.rand(29, 37, generator=torch.Generator().manual_seed(2)) * MEAN
    expected = F.unfold(((seen.float() - mean) * SCALE), kernel, stride=stride).to(dtype)
    found = centered_patches(seen, mean, SCALE, dtype, kernel, stride)
    rows, columns = (29 - kernel) // stride + 1, (37 - kernel) // stride + 1
    assert found.shape == (3, rows, columns, 2, kernel * kernel)
    assert torch.equal(found.flatten(3).flatten(1, 2).mT, expected)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (3, 1), (4, 2), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_patches_after_a_relu_are_those_of_unfold(kernel: int, stride: int, dtype: torch.dtype) -> None:
    """To the last bit; and so is what comes back of their gradients, of whole numbers, which are summed exactly."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 5, 11, 8, generator=generator).to(dtype)
    x[0, :, :4], x[0, :, 4:8] = 0, -0.0  # where a ReLU lets no gradient pass
    mine, torchs = x.clone().requires_grad_(), x.float().requires_grad_()
    found = rectified_patches(mine, kernel, stride)
    rows, columns = (11 - kernel) // stride + 1, (8 - kernel) // stride + 1
    assert found.shape == (2, rows, columns, kernel, kernel, 5)
    assert found.dtype == dtype
    unfolded = F.unfold(F.relu(torchs), kernel, stride=stride)  # [2, 5 * kernel * kernel, rows * columns]
    expected = unfolded.mT.unflatten(1, (rows, columns)).unflatten(3, (5, kernel, kernel)).permute(0, 1, 2, 4, 5, 3)
    assert torch.equal(found, expected.to(dtype))

    gradient = torch.randint(-9, 10, found.shape, generator=generator).float()
    found.backward(gradient.to(dtype))
    expected.backward(gradient)
    assert mine.grad is not None
    assert torchs.grad is not None
    assert torch.equal(mine.grad.float(), torchs.grad)


def test_centered_in_half_precision_rounds_once() -> None:
    seen, mean = pictures(4, 1, 16, 16), torch.full((16, 16), MEAN)
    expected = ((seen.float() - MEAN) * SCALE).to(torch.bfloat16)
    assert torch.equal(centered(seen, mean, SCALE, torch.bfloat16), expected)


@pytest.mark.parametrize(("frames", "height", "width"), [(2, 84, 84), (1, 50, 61), (3, 40, 43)])
@pytest.mark.parametrize(("precision", "near"), [(None, 1e-5), (torch.bfloat16, 0.05)])
def test_layouts_differ_by_rounding_alone(
    frames: int, height: int, width: int, precision: torch.dtype | None, near: float
) -> None:
    """Features, and the gradients of every weight."""
    torch.manual_seed(0)
    encoder, seen = (
        make_encoder(EncoderSpec(frames=frames, height=height, width=width)),
        pictures(9, frames, height, width),
    )
    encoder.fit_normalization(seen[:, 0])
    given: list[int] = []
    for layer in encoder.body:  # type: ignore[attr-defined]
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0].ndim))
    found = []
    for layout in ("planes", "patches"):
        encoder.layout = layout
        encoder.zero_grad()
        with torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None):
            features = encoder(seen)
        features.square().sum().backward()
        gradients = [weight.grad for weight in encoder.parameters()]
        assert all(gradient is not None for gradient in gradients)
        found.append([features.detach(), *gradients])
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= near * one.norm()
    assert given == [4, 4, 4, 5, 6, 6]  # pictures, then patches


def test_networks_without_patches_go_on_as_they_were() -> None:
    torch.manual_seed(0)
    encoder, seen = make_encoder(EncoderSpec("nature")), pictures(2, 2, 84, 84)
    before = encoder(seen)
    encoder.layout = "patches"
    assert torch.equal(encoder(seen), before)
