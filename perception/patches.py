"""Convolutions as single products: their inputs cut into the patches that the kernels are multiplied with.

All patches of a batch are the rows of one matrix. torch's own convolutions leave much of a CPU unused when channels
and pictures are few and small; what that is worth where stands in docs/limits.md.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
    """Cut max(x, 0) into patches, whose gradients go back to x.

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
    """The same of x [batch, height, width, channels]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int) -> Tensor:
        batch, height, width, channels = x.shape
        rows, columns = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        result = torch.empty(batch, rows, columns, kernel, kernel, channels, dtype=x.dtype)
        lines = _lines(x)
        rectified = np.empty(lines.shape[1:], lines.dtype)
        cut = _cutter(kernel, stride, channels, x.dtype == torch.bfloat16)
        cut(lines, rectified, rectified.view(np.uint8).ravel(), _bytes(result), rows, columns)
        ctx.save_for_backward(x)
        ctx.sizes = kernel, stride
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        kernel, stride = ctx.sizes
        result = torch.empty_like(x)
        paste = _paster(kernel, stride, x.shape[-1], x.dtype == torch.bfloat16)
        lines = _lines(x)
        paste(_lines(gradient), lines, np.empty(lines.shape[1:], np.float32), _lines(result))
        return result, None, None


def _lines(x: Tensor) -> NDArray[Any]:
    """View numbers [..., columns, channels] as [..., columns * channels]."""
    x = x.detach().contiguous().flatten(-2)
    return bits(x) if x.dtype == torch.bfloat16 else x.numpy()


def _bytes(x: Tensor) -> NDArray[np.uint8]:
    flat: NDArray[np.uint8] = x.view(-1).view(torch.uint8).numpy()
    return flat


# With sizes as constants a patch's row is moved in a few instructions.


@cache
def _pixel_cutter(kernel: int, stride: int, half: bool) -> Callable[..., None]:
    """Compile what cuts pictures; it centres them line by line."""
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


@cache
def _cutter(kernel: int, stride: int, channels: int, half: bool) -> Callable[..., None]:
    """Compile what cuts inputs of so many channels, after a ReLU."""
    size = 2 if half else 4
    count = kernel * channels * size  # bytes of a patch's row
    step = stride * channels * size

    def cut(
        x: NDArray[Any],
        rectified: NDArray[Any],
        rectified_bytes: NDArray[np.uint8],
        out: NDArray[np.uint8],
        rows: int,
        columns: int,
    ) -> None:
        _, height, line = x.shape
        at = 0
        for i in range(len(x)):
            for y in range(height):
                for j in range(line):
                    if half:
                        rectified[y, j] = x[i, y, j] if x[i, y, j] < 0x8000 else np.uint16(0)  # the sign is on top
                    else:
                        rectified[y, j] = max(x[i, y, j], np.float32(0))
            for above in range(rows):
                for left in range(columns):
                    for y in range(kernel):
                        start = (above * stride + y) * line * size + left * step
                        copy_bytes(out, at, rectified_bytes, start, count)
                        at += count

    function: Callable[..., None] = compiled(cut)
    return function


@cache
def _paster(kernel: int, stride: int, channels: int, half: bool) -> Callable[..., None]:
    """Compile what sums the patches' gradients where they came from, and passes them back through the ReLU."""
    count, step = kernel * channels, stride * channels

    def paste(gradient: NDArray[Any], x: NDArray[Any], total: NDArray[np.float32], out: NDArray[Any]) -> None:
        rows, columns = gradient.shape[1:3]
        _, height, line = x.shape
        for i in range(len(x)):
            total[:] = 0
            for above in range(rows):
                for left in range(columns):
                    for y in range(kernel):
                        for j in range(count):
                            if half:
                                total[above * stride + y, left * step + j] += number(gradient[i, above, left, y, j])
                            else:
                                total[above * stride + y, left * step + j] += gradient[i, above, left, y, j]
            for y in range(height):
                for j in range(line):
                    if half:
                        positive = 0 < x[i, y, j] < 0x8000
                        out[i, y, j] = upper_half(total[y, j]) if positive else np.uint32(0)
                    else:
                        out[i, y, j] = total[y, j] if x[i, y, j] > 0 else np.float32(0)

    function: Callable[..., None] = compiled(paste)
    return function
