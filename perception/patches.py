"""Convolutions as single products: their inputs cut into the patches that the kernels are multiplied with.

All patches of a batch are the rows of one matrix. torch's own convolutions leave much of a CPU unused when channels
and pictures are few and small; docs/limits.md has measurements of what this gains.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from envs.scene import compiled, copy_bytes
from perception.centering import bits, number, upper_half


def centered_patches(
    pixels: Tensor, mean: Tensor, scale: Tensor, dtype: torch.dtype, kernel: int, stride: int
) -> Tensor:
    """Cut (pixels - mean) scale into patches.

    Args:
        pixels: uint8 [batch, frames, height, width], on the CPU.
        mean: float32 [height, width].
        scale: float32 [].
        dtype: of the result, float32 or bfloat16.
        kernel: side of a patch.
        stride: from one patch to the next.

    Returns:
        [batch, rows, columns, frames, kernel * kernel].
    """
    batch, frames, height, width = pixels.shape
    rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    result = torch.empty(batch, rows, columns, frames, kernel * kernel, dtype=dtype)
    half = dtype == torch.bfloat16
    row = np.empty(width, np.uint16 if half else np.float32)
    cut = _pixel_cutter(kernel, stride, half)
    cut(pixels.contiguous().numpy(), mean.numpy(), np.float32(scale), row, row.view(np.uint8), _bytes(result), rows)
    return result


def rectified_patches(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Cut max(x, 0) into patches; their gradients are summed at the places they were cut from, and go back to x.

    Args:
        x: float32 or bfloat16 [batch, channels, height, width], on the CPU; fastest with its channels last in memory.
        kernel: side of a patch.
        stride: from one patch to the next.

    Returns:
        [batch, rows, columns, kernel, kernel, channels].
    """
    patches: Tensor = _RectifiedPatches.apply(  # type: ignore[no-untyped-call]
        x.permute(0, 2, 3, 1).contiguous(), kernel, stride
    )
    return patches


class _RectifiedPatches(torch.autograd.Function):
    """`rectified_patches` of x with its channels last, [batch, height, width, channels]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int) -> Tensor:
        batch, height, width, channels = x.shape
        rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        result = torch.empty(batch, rows, columns, kernel, kernel, channels, dtype=x.dtype)
        rectified, size = x.relu(), channels * x.element_size()
        shape = batch, height, rows, columns, kernel
        _cut(_bytes(rectified), _bytes(result), shape, width * size, stride, stride * size, kernel * size)
        ctx.save_for_backward(rectified)
        ctx.stride = stride
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (rectified,) = ctx.saved_tensors
        result = torch.empty_like(rectified)
        gradients, there, out = _lines(gradient.contiguous()), _lines(rectified), _lines(result)
        total, across = np.empty(out.shape[1:], np.float32), ctx.stride * rectified.shape[-1]
        _paster(result.dtype == torch.bfloat16)(gradients, there, total, out, ctx.stride, across)
        return result, None, None


def _lines(x: Tensor) -> NDArray[Any]:
    """View numbers [..., columns, channels] as [..., columns * channels]."""
    x = x.flatten(-2)
    return bits(x) if x.dtype == torch.bfloat16 else x.numpy()


def _bytes(x: Tensor) -> NDArray[np.uint8]:
    flat: NDArray[np.uint8] = x.detach().view(-1).view(torch.uint8).numpy()
    return flat


# With its size as a constant a patch's row is moved in a few instructions. That pays for the short rows of pictures.
# Rows of many channels are long, and compiling for one more size takes a part of a second.


@cache
def _pixel_cutter(kernel: int, stride: int, half: bool) -> Callable[..., None]:
    """Compile the function that cuts pictures into patches, and centers them line by line."""
    size = 2 if half else 4
    count = kernel * size  # bytes of a patch's row

    def cut(
        pixels: NDArray[np.uint8],
        mean: NDArray[np.float32],
        scale: np.float32,
        row: NDArray[Any],
        row_bytes: NDArray[np.uint8],
        out: NDArray[np.uint8],
        rows: int,
    ) -> None:
        _, frames, _, width = pixels.shape
        columns = (width - kernel) // stride + 1
        patch = frames * kernel * count
        for i in range(len(pixels)):
            for frame in range(frames):
                for y in range((rows - 1) * stride + kernel):
                    for x in range(width):
                        centered = np.float32((np.float32(pixels[i, frame, y, x]) - mean[y, x]) * scale)
                        if half:
                            row[x] = upper_half(centered)
                        else:
                            row[x] = centered
                    for above in range(max(0, (y - kernel) // stride + 1), min(rows, y // stride + 1)):
                        start = (i * rows + above) * columns * patch
                        start += (frame * kernel + y - above * stride) * count
                        for left in range(columns):
                            copy_bytes(out, start + left * patch, row_bytes, left * stride * size, count)

    function: Callable[..., None] = compiled(cut)
    return function


@compiled
def _cut(
    x: NDArray[np.uint8],
    out: NDArray[np.uint8],
    shape: tuple[int, int, int, int, int],
    line: int,
    down: int,
    across: int,
    count: int,
) -> None:
    """Cut inputs, [batch, height, line], into rows of `count` bytes; from one patch to the next: lines and bytes."""
    batch, height, rows, columns, kernel = shape
    at = 0
    for i in range(batch):
        for above in range(rows):
            for left in range(columns):
                for y in range(kernel):
                    copy_bytes(out, at, x, (i * height + above * down + y) * line + left * across, count)
                    at += count


@cache
def _paster(half: bool) -> Callable[..., None]:
    """Compile the function that sums patches' gradients at the places they were cut from, where these were above 0."""

    def paste(
        gradient: NDArray[Any],
        rectified: NDArray[Any],
        total: NDArray[np.float32],
        out: NDArray[Any],
        down: int,
        across: int,
    ) -> None:
        batch, rows, columns, kernel, count = gradient.shape
        for i in range(batch):
            total[:] = 0
            for above in range(rows):
                for left in range(columns):
                    for y in range(kernel):
                        # Slices, so that indices are known to be in range: else this takes three times as long.
                        come, to = gradient[i, above, left, y], total[above * down + y, left * across :]
                        for j in range(count):
                            if half:
                                to[j] += number(come[j])
                            else:
                                to[j] += come[j]
            for y in range(len(total)):
                for j in range(total.shape[1]):
                    if half:
                        there = rectified[i, y, j] & 0x7FFF != 0  # without the sign: a ReLU leaves -0 as it is
                        out[i, y, j] = upper_half(total[y, j] if there else np.float32(0))
                    else:
                        there = rectified[i, y, j] != 0
                        out[i, y, j] = total[y, j] if there else np.float32(0)

    function: Callable[..., None] = compiled(paste)
    return function
