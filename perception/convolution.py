"""Convolutions on a CPU in float32, picture by picture: how they go over one, and their gradients.

A convolution with its ReLU, the gradient of its weights and that of its inputs are made of one small step,
`perception.contraction`, whose rows and columns are

    positions, and channels;
    for the weights' gradient some weights of a kernel, and channels;
    for the inputs' gradient positions, and the channels of a pixel that a kernel covers.

No input is cut into patches: with channels last, each line of a kernel covers numbers that follow each other.
docs/limits.md has measurements.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from envs.scene import compiled
from perception.contraction import LANES, Plan, best_tile, center, contraction

Floats = NDArray[np.float32]


class Walk(NamedTuple):
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

    @property
    def weights(self) -> int:
        """Of all kernels."""
        return self.lines * self.run * self.channels

    @property
    def out(self) -> int:
        """Numbers that come out, [rows, columns, channels]."""
        return self.rows * self.columns * self.channels


class Shape(NamedTuple):
    """What a pass is compiled for.

    Attributes:
        frames, height, width: of what is looked at.
        walks: of the convolutions.
    """

    frames: int
    height: int
    width: int
    walks: tuple[Walk, ...]


def shape_of(size: Sequence[int], strides: Sequence[int], weights: Sequence[Tensor]) -> Shape:
    """Return how convolutions go over pictures of this size, [frames, height, width]."""
    walks: list[Walk] = []
    frames, height, width = size
    for weight, stride in zip(weights, strides, strict=True):
        channels, inputs, kernel, _ = weight.shape
        positions = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        if walks:
            line = width * inputs
            walk = Walk(kernel, kernel * inputs, line, stride * line, stride * inputs, *positions, channels)
        else:
            walk = Walk(kernel * inputs, kernel, width, stride * inputs * width, stride, *positions, channels)
        walks.append(walk)
        height, width = positions
    return Shape(frames, size[1], size[2], tuple(walks))


def order(n: int) -> tuple[int, int, int, int]:
    """How the n-th convolution's weights, [channels, inputs, height, width], are turned: channels last.

    Of the first, a line of each frame, then the next of each: those that a kernel covers are equally far apart.
    """
    return (2, 3, 1, 0) if n else (2, 1, 3, 0)


def turn(weight: Tensor, n: int) -> Tensor:
    """Copy the n-th convolution's weights to how they are walked over; see `order`."""
    return weight.detach().permute(order(n)).contiguous()


@cache
def convolution(shape: Shape) -> Callable[..., None]:
    """Compile what takes one picture through the n-th convolution, its bias and its ReLU."""
    walks = shape.walks
    tiles = tuple(best_tile(walk.rows, walk.columns, walk.channels, walk.lines * walk.run) for walk in walks)
    step = contraction(
        tuple(
            Plan(
                tile,
                walk.lines,
                walk.run,
                (0, 0),
                (walk.down, walk.across, walk.line, 1),
                (walk.run * walk.channels, walk.channels),
                (walk.columns * walk.channels, walk.channels),
            )
            for tile, walk in zip(tiles, walks, strict=True)
        ),
        rectified=True,
    )

    def convolve(n: int, x: Floats, kernel: Floats, bias: Floats, out: Floats) -> None:
        """Take one picture through one convolution and its ReLU."""
        walk, (over, beside, vectors) = walks[n], tiles[n]
        for above in range(0, walk.rows, over):
            row = min(above, walk.rows - over)
            for left in range(0, walk.columns, beside):
                column = min(left, walk.columns - beside)
                for channel in range(0, walk.channels, vectors * LANES):
                    step(
                        n, bias, channel, x, row * walk.down + column * walk.across, kernel, channel,
                        out, (row * walk.columns + column) * walk.channels + channel,
                    )  # fmt: skip

    function: Callable[..., None] = compiled(convolve)
    return function


@cache
def weights_gradient(shape: Shape) -> Callable[..., None]:
    """Compile what adds the gradient of the n-th convolution's weights and biases, of one picture."""
    walks = shape.walks
    tiles = tuple(
        best_tile(walk.lines, walk.run, walk.channels, walk.rows * walk.columns, dividing=True) for walk in walks
    )
    step = contraction(
        tuple(
            Plan(
                tile,
                walk.rows,
                walk.columns,
                (walk.run * walk.channels, walk.channels),
                (walk.line, 1, walk.down, walk.across),
                (walk.columns * walk.channels, walk.channels),
                (walk.run * walk.channels, walk.channels),
            )
            for tile, walk in zip(tiles, walks, strict=True)
        )
    )
    # A bias is the weight of an input that is always 1.
    bias_tiles = tuple(best_tile(1, 1, walk.channels, walk.rows * walk.columns) for walk in walks)
    add = contraction(
        tuple(
            Plan(tile, 1, walk.rows * walk.columns, (0, 0), (0, 0, 0, 0), (0, walk.channels), (0, 0))
            for tile, walk in zip(bias_tiles, walks, strict=True)
        )
    )

    def add_weights(n: int, x: Floats, out: Floats, gradient: Floats, weights: Floats, biases: Floats) -> None:
        """Let the gradient through where the ReLU did, in place, and add what comes of it."""
        walk, (over, beside, vectors), one = walks[n], tiles[n], np.ones(1, np.float32)
        for j in range(len(out)):
            gradient[j] = np.float32(0) if out[j] <= 0 else gradient[j]
        for channel in range(0, walk.channels, bias_tiles[n].vectors * LANES):
            add(n, biases, channel, one, 0, gradient, channel, biases, channel)
        for line in range(0, walk.lines, over):
            for k in range(0, walk.run, beside):
                for channel in range(0, walk.channels, vectors * LANES):
                    to = (line * walk.run + k) * walk.channels + channel
                    step(n, weights, to, x, line * walk.line + k, gradient, channel, weights, to)

    function: Callable[..., None] = compiled(add_weights)
    return function


@cache
def inputs_gradient(shape: Shape) -> Callable[..., None]:
    """Compile what adds the gradient of the inputs of the n-th convolution, from 1 on, of one picture."""
    walks = shape.walks[1:]
    pixels = tuple(walk.run // walk.lines for walk in walks)  # numbers that belong to one
    tiles = tuple(
        best_tile(walk.rows, walk.columns, pixel, walk.channels, dividing=True)
        for walk, pixel in zip(walks, pixels, strict=True)
    )
    step = contraction(
        tuple(
            Plan(
                tile,
                1,
                walk.channels,
                (walk.down, walk.across),
                (walk.columns * walk.channels, walk.channels, 0, 1),
                (0, walk.run),
                (walk.down, walk.across),
            )
            for tile, walk in zip(tiles, walks, strict=True)
        )
    )

    def add_inputs(n: int, gradient: Floats, turned: Floats, inputs: Floats) -> None:
        """Add the gradient of all convolutions' n-th, from 1 on, to that of its inputs.

        Kernels overlap, but not where they all are at the same weight. They lie turned, [line, channels, run].
        """
        walk, (over, beside, vectors) = walks[n - 1], tiles[n - 1]
        for line in range(walk.lines):
            for k in range(0, walk.run, vectors * LANES):
                for row in range(0, walk.rows, over):
                    for column in range(0, walk.columns, beside):
                        to = row * walk.down + line * walk.line + column * walk.across + k
                        step(
                            n - 1, inputs, to, gradient, (row * walk.columns + column) * walk.channels,
                            turned, line * walk.channels * walk.run + k, inputs, to,
                        )  # fmt: skip

    function: Callable[..., None] = compiled(add_inputs)
    return function


@cache
def centering(shape: Shape) -> Callable[..., None]:
    """Compile what centers and scales the pixels of one stack."""
    frames, height, width = shape[:3]
    wide = width >= LANES

    def look(pixels: NDArray[np.uint8], stack: NDArray[np.int64], mean: Floats, scale: np.float32, out: Floats) -> None:
        """Write (picture - mean) scale, of the pictures of a stack, as [height, frames, width]."""
        for y in range(height):
            for frame in range(frames):
                seen, middle, to = (stack[frame] * height + y) * width, y * width, (y * frames + frame) * width
                if wide:
                    for left in range(0, width, LANES):
                        x = min(left, width - LANES)  # what two vectors have in common is written twice
                        center(pixels, seen + x, mean, middle + x, scale, out, to + x)
                else:
                    for x in range(width):
                        out[to + x] = (np.float32(pixels[seen + x]) - mean[middle + x]) * scale

    function: Callable[..., None] = compiled(look)
    return function


def pixel_count(shape: Shape) -> int:
    """Return how many pixels a stack has."""
    return shape.frames * shape.height * shape.width
