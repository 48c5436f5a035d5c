"""Pixels to centred numbers: what every look at a picture begins with, in one pass over it."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs.scene import compiled


def centered(pixels: Tensor, mean: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """Return (pixels - mean) scale.

    In bfloat16 on a CPU, where most of it is done, this takes a third of the time that torch's operations would, and
    rounds once.

    Args:
        pixels: uint8 [..., height, width].
        mean: float32 [height, width].
        scale: float32 [].
        dtype: of the result.
    """
    if pixels.device.type != "cpu" or dtype != torch.bfloat16:
        return torch.addcmul((-mean * scale).to(dtype), pixels.to(dtype), scale.to(dtype))
    result = torch.empty(pixels.shape, dtype=dtype)
    flat = (-1, mean.numel())
    _center(
        pixels.contiguous().numpy().reshape(flat), mean.numpy().ravel(), np.float32(scale), _bits(result).reshape(flat)
    )
    return result


def patches(pixels: Tensor, mean: Tensor, scale: Tensor, dtype: torch.dtype, kernel: int, stride: int) -> Tensor:
    """Return (pixels - mean) scale, cut into the squares that a convolution multiplies with its kernels.

    Args:
        pixels: uint8 [batch, frames, height, width], on the CPU.
        mean: float32 [height, width].
        scale: float32 [].
        dtype: of the result, float32 or bfloat16.
        kernel: side of a square.
        stride: from one square to the next.

    Returns:
        [batch, rows, columns, frames, kernel * kernel].
    """
    batch, frames, height, width = pixels.shape
    rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    result = torch.empty(batch, rows, columns, frames, kernel * kernel, dtype=dtype)
    half = dtype == torch.bfloat16
    out = _bits(result) if half else result.numpy()
    _cutter(kernel, stride, half)(
        pixels.contiguous().numpy(), mean.numpy(), np.float32(scale), out, np.empty(width, out.dtype)
    )
    return result


def _bits(numbers: Tensor) -> NDArray[np.uint16]:
    """View bfloat16s as numpy can take them."""
    return numbers.view(torch.int16).numpy().view(np.uint16)


@compiled
def _upper_half(number: np.float32) -> np.uint32:
    """Return the bits of bfloat16: the upper half of a float32's, rounded to nearest, ties to even."""
    bits = np.float32(number).view(np.uint32)
    return (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)


@compiled
def _center(pixels: NDArray[np.uint8], mean: NDArray[np.float32], scale: np.float32, bits: NDArray[np.uint16]) -> None:
    """Write the centred numbers' bits, [pictures, pixels]."""
    for i in range(len(pixels)):
        for j in range(len(mean)):
            bits[i, j] = _upper_half((np.float32(pixels[i, j]) - mean[j]) * scale)


@cache
def _cutter(kernel: int, stride: int, half: bool) -> Callable[..., Any]:
    """Compile what cuts pictures into such squares: with these as constants, a square's row is a single move."""

    def cut(
        pixels: NDArray[np.uint8], mean: NDArray[np.float32], scale: np.float32, out: NDArray[Any], row: NDArray[Any]
    ) -> None:
        rows, columns = out.shape[1], out.shape[2]
        for i in range(len(pixels)):
            for frame in range(pixels.shape[1]):
                for y in range((rows - 1) * stride + kernel):
                    for x in range(pixels.shape[3]):
                        number = np.float32((np.float32(pixels[i, frame, y, x]) - mean[y, x]) * scale)
                        if half:
                            row[x] = _upper_half(number)
                        else:
                            row[x] = number
                    for above in range(max(0, (y - kernel) // stride + 1), min(rows, y // stride + 1)):
                        start = (y - above * stride) * kernel
                        for left in range(columns):
                            for x in range(kernel):
                                out[i, above, left, frame, start + x] = row[left * stride + x]

    kernels: Callable[..., Any] = compiled(cut)
    return kernels
