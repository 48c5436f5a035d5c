"""A stack of convolutions, each with the ReLU after it, on a CPU in float32: picture by picture, in the cache.

torch's convolutions leave half of a CPU unused where channels are few and pictures small. Here a convolution, the
gradient of its weights and that of its inputs are made of one small step, `perception.contraction`, whose rows and
columns are

    positions beside each other, and channels;
    for the weights' gradient some weights of a kernel's line, and channels;
    for the inputs' gradient positions beside each other, and what a line of a kernel covers.

No input is cut into patches: with channels last, each line of a kernel covers numbers that follow each other.
docs/limits.md has measurements.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from envs.scene import compiled
from perception.contraction import LANES, Tile, best_tile, contraction, fast

Done = TypeVar("Done")
Floats = NDArray[np.float32]
Tiles = tuple[Tile, ...]

SHARE = 16  # pictures that are worth a thread of their own
_helpers = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="convolution")


class _Walk(NamedTuple):
    """How a convolution goes over a picture, [height, numbers of a line].

    Attributes:
        lines: that a kernel covers.
        run: numbers of each of them.
        line: numbers from a line to the next.
        down: numbers from a position to the one below.
        across: numbers from a position to the next.
        rows: of positions.
        columns: of positions.
        channels: that come out.
    """

    lines: int
    run: int
    line: int
    down: int
    across: int
    rows: int
    columns: int
    channels: int


def fusible(convolutions: Sequence[nn.Conv2d]) -> bool:
    """Whether a fused pass of convolutions that are square and without padding can be computed, and fast."""
    return fast() and all(
        layer.weight.device.type == "cpu"
        and layer.weight.dtype == torch.float32
        and layer.out_channels % LANES == 0
        and layer.bias is not None
        for layer in convolutions
    )


def rectified_convolutions(pixels: Tensor, mean: Tensor, scale: Tensor, convolutions: Sequence[nn.Conv2d]) -> Tensor:
    """Center pictures and apply two or more convolutions to them, each followed by ReLU.

    Args:
        pixels: uint8 [batch, frames, height, width]; (pixels - mean) scale is looked at, and once more for gradients.
        mean: float32 [height, width].
        scale: float32 [].
        convolutions: float32, square, without padding; see `fusible`.

    Returns:
        float32 [batch, channels, rows, columns], with channels last in memory.
    """
    strides = tuple(layer.stride[0] for layer in convolutions)
    weights = [parameter for layer in convolutions for parameter in (layer.weight, layer.bias)]
    result: Tensor = _RectifiedConvolutions.apply(pixels, mean, scale, strides, *weights)  # type: ignore[no-untyped-call]
    return result.permute(0, 3, 1, 2)


class _RectifiedConvolutions(torch.autograd.Function):
    """`rectified_convolutions`, with its channels last. Weights lie as [line, run, channels]; see `_Walk`."""

    @staticmethod
    def forward(
        ctx: Any, pixels: Tensor, mean: Tensor, scale: Tensor, strides: tuple[int, ...], *weights: Tensor
    ) -> Tensor:
        walks = _walks(pixels.shape[2:], strides, weights[::2])
        # A line of each frame, then the next of each: those that a kernel covers are equally far apart.
        orders = ((2, 1, 3, 0), *[(2, 3, 1, 0)] * (len(walks) - 1))
        kernels = tuple(weight.permute(order).contiguous() for weight, order in zip(weights[::2], orders, strict=True))
        sizes = [(len(pixels), walk.rows * walk.columns * walk.channels) for walk in walks]
        outs = tuple(torch.empty(size, dtype=torch.float32) for size in sizes)
        pixels, mean = pixels.contiguous(), mean.contiguous()
        ctx.walks, ctx.orders, ctx.scale = walks, orders, np.float32(scale)
        ctx.save_for_backward(pixels, mean, *kernels, *outs)
        forward = _forward(tuple(best_tile(walk.columns, walk.channels) for walk in walks))
        arrays = pixels.numpy(), tuple(out.numpy() for out in outs)
        center = mean.numpy(), ctx.scale
        flat = (
            tuple(kernel.numpy().ravel() for kernel in kernels),
            tuple(bias.contiguous().numpy() for bias in weights[1::2]),
        )
        _share(len(pixels), lambda first, last: forward(first, last, *arrays, *center, *flat, walks))
        last = walks[-1]
        return outs[-1].view(len(pixels), last.rows, last.columns, last.channels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        count, walks = len(ctx.walks), ctx.walks
        pixels, mean, *saved = ctx.saved_tensors
        kernels, outs = saved[:count], saved[count:]
        turned = tuple(
            kernel.view(walk.lines, walk.run, walk.channels).mT.contiguous().numpy().ravel()
            for kernel, walk in zip(kernels, walks, strict=True)
        )
        backward = _backward(
            tuple(best_tile(walk.run, walk.channels, dividing=True) for walk in walks),
            tuple(best_tile(walk.columns, walk.run) for walk in walks[1:]),
        )
        arrays = pixels.numpy(), tuple(out.numpy() for out in outs), gradient.contiguous().view(outs[-1].shape).numpy()

        def work(first: int, last: int) -> list[Floats]:
            sums = [np.zeros(kernel.numel(), np.float32) for kernel in kernels]
            biases = [np.zeros(walk.channels, np.float32) for walk in walks]
            backward(first, last, *arrays, mean.numpy(), ctx.scale, turned, tuple(sums), tuple(biases), walks)
            return sums + biases

        total = [torch.from_numpy(np.sum(parts, 0)) for parts in zip(*_share(len(pixels), work), strict=True)]
        result: list[Tensor | None] = [None] * 4
        for kernel, order, weights, bias in zip(kernels, ctx.orders, total[:count], total[count:], strict=True):
            result += [weights.view(kernel.shape).permute(sorted(range(4), key=order.__getitem__)), bias]
        return tuple(result)


def _walks(size: Sequence[int], strides: Sequence[int], weights: Sequence[Tensor]) -> tuple[_Walk, ...]:
    """Return how each convolution walks, the first of them over pictures of this size."""
    walks: list[_Walk] = []
    height, width = size
    for weight, stride in zip(weights, strides, strict=True):
        channels, inputs, kernel, _ = weight.shape
        positions = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        if walks:
            line = width * inputs
            walk = _Walk(kernel, kernel * inputs, line, stride * line, stride * inputs, *positions, channels)
        else:
            walk = _Walk(kernel * inputs, kernel, width, stride * inputs * width, stride, *positions, channels)
        walks.append(walk)
        height, width = positions
    return tuple(walks)


def _share(pictures: int, work: Callable[[int, int], Done]) -> list[Done]:
    """Share pictures, from the first to before the last, among as many threads as torch uses.

    Returns:
        what the parts returned, in order.
    """
    parts = max(1, min(torch.get_num_threads(), pictures // SHARE))
    mine, *others = pairwise(i * pictures // parts for i in range(parts + 1))
    helping = [_helpers.submit(work, *part) for part in others]
    return [work(*mine), *(helper.result() for helper in helping)]


@cache
def _forward(tiles: Tiles) -> Callable[..., None]:
    """Compile a stack of convolutions."""
    step, beside, widths = contraction(tiles, rectified=True), *_sizes(tiles)

    def forward(
        first: int,
        last: int,
        pixels: NDArray[np.uint8],
        outs: tuple[Floats, ...],
        mean: Floats,
        scale: np.float32,
        kernels: tuple[Floats, ...],
        biases: tuple[Floats, ...],
        walks: tuple[_Walk, ...],
    ) -> None:
        """Take some of the pictures through it."""
        centered = np.empty(pixels.shape[1] * mean.size, np.float32)
        for i in range(first, last):
            _center(pixels[i], mean, scale, centered)
            x = centered
            for n in range(len(walks)):
                walk, out = walks[n], outs[n][i]
                for row in range(walk.rows):
                    for left in range(0, walk.columns, beside[n]):
                        column = min(left, walk.columns - beside[n])
                        for channel in range(0, walk.channels, widths[n]):
                            step(
                                n,
                                biases[n], channel, 0,
                                x, row * walk.down + column * walk.across, walk.across, walk.line, 1,
                                walk.lines, walk.run,
                                kernels[n], channel, walk.run * walk.channels, walk.channels,
                                out, (row * walk.columns + column) * walk.channels + channel, walk.channels,
                            )  # fmt: skip
                x = out

    function: Callable[..., None] = compiled(forward)
    return function


@cache
def _backward(tiles: Tiles, inputs_tiles: Tiles) -> Callable[..., None]:
    """Compile the gradients of a stack: of its weights, and of all inputs but the first."""
    add_weights, add_inputs = _weights_gradient(tiles), _inputs_gradient(inputs_tiles)

    def backward(
        first: int,
        last: int,
        pixels: NDArray[np.uint8],
        outs: tuple[Floats, ...],
        gradient: Floats,
        mean: Floats,
        scale: np.float32,
        turned: tuple[Floats, ...],
        weights: tuple[Floats, ...],
        biases: tuple[Floats, ...],
        walks: tuple[_Walk, ...],
    ) -> None:
        """Add what comes of some of the pictures to the gradients of weights and biases."""
        centered = np.empty(pixels.shape[1] * mean.size, np.float32)
        for i in range(first, last):
            come = gradient[i].copy()
            for n in range(len(walks) - 1, 0, -1):
                add_weights(n, outs[n - 1][i], outs[n][i], come, weights[n], biases[n], walks[n])
                inputs = np.zeros(outs[n - 1].shape[1], np.float32)
                add_inputs(n - 1, come, turned[n], inputs, walks[n])
                come = inputs
            _center(pixels[i], mean, scale, centered)
            add_weights(0, centered, outs[0][i], come, weights[0], biases[0], walks[0])

    function: Callable[..., None] = compiled(backward)
    return function


@cache
def _weights_gradient(tiles: Tiles) -> Callable[..., None]:
    step, some, widths = contraction(tiles), *_sizes(tiles)

    def add_weights(
        n: int, x: Floats, out: Floats, gradient: Floats, weights: Floats, biases: Floats, walk: _Walk
    ) -> None:
        """Let the gradient through where the ReLU did, in place, and add what comes of it."""
        for j in range(len(out)):
            gradient[j] = np.float32(0) if out[j] <= 0 else gradient[j]
        for position in range(walk.rows * walk.columns):
            here = gradient[position * walk.channels : (position + 1) * walk.channels]
            for channel in range(walk.channels):
                biases[channel] += here[channel]
        for line in range(walk.lines):
            for k in range(0, walk.run, some[n]):
                for channel in range(0, walk.channels, widths[n]):
                    to = (line * walk.run + k) * walk.channels + channel
                    step(
                        n,
                        weights, to, walk.channels,
                        x, line * walk.line + k, 1, walk.down, walk.across,
                        walk.rows, walk.columns,
                        gradient, channel, walk.columns * walk.channels, walk.channels,
                        weights, to, walk.channels,
                    )  # fmt: skip

    function: Callable[..., None] = compiled(add_weights)
    return function


@cache
def _inputs_gradient(tiles: Tiles) -> Callable[..., None]:
    step, beside, widths = contraction(tiles), *_sizes(tiles)

    def add_inputs(n: int, gradient: Floats, turned: Floats, inputs: Floats, walk: _Walk) -> None:
        """Add a convolution's gradient to that of its inputs; kernels lie turned, [line, channels, run]."""
        covered, nothing = np.empty(walk.columns * walk.run, np.float32), np.zeros(widths[n], np.float32)
        for line in range(walk.lines):
            for row in range(walk.rows):
                for left in range(0, walk.columns, beside[n]):
                    column = min(left, walk.columns - beside[n])
                    for k in range(0, walk.run, widths[n]):
                        step(
                            n,
                            nothing, 0, 0,
                            gradient, (row * walk.columns + column) * walk.channels, walk.channels, 0, 1,
                            1, walk.channels,
                            turned, line * walk.channels * walk.run + k, 0, walk.run,
                            covered, column * walk.run + k, walk.run,
                        )  # fmt: skip
                for column in range(walk.columns):
                    at = row * walk.down + line * walk.line + column * walk.across
                    part, to = covered[column * walk.run : (column + 1) * walk.run], inputs[at : at + walk.run]
                    for k in range(walk.run):  # kernels overlap
                        to[k] += part[k]

    function: Callable[..., None] = compiled(add_inputs)
    return function


@compiled
def _center(picture: NDArray[np.uint8], mean: Floats, scale: np.float32, out: Floats) -> None:
    """Write (picture - mean) scale, of a picture [frames, height, width], as [height, frames, width]."""
    frames, height, width = picture.shape
    for y in range(height):
        for frame in range(frames):
            line = out[(y * frames + frame) * width : (y * frames + frame + 1) * width]
            for x in range(width):
                line[x] = (np.float32(picture[frame, y, x]) - mean[y, x]) * scale


def _sizes(tiles: Tiles) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the tiles' rows, and the numbers in one."""
    return tuple(tile.rows for tile in tiles), tuple(tile.vectors * LANES for tile in tiles)
