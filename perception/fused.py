"""A stack of convolutions, each with the ReLU after it, on a CPU in float32: picture by picture, in the cache.

torch's convolutions leave half of a CPU unused where channels are few and pictures small. Here a convolution, the
gradient of its weights and that of its inputs are made of one small step, `perception.contraction`, whose rows and
columns are

    positions, and channels;
    for the weights' gradient some weights of a kernel, and channels;
    for the inputs' gradient positions, and the channels of a pixel that a kernel covers.

No input is cut into patches: with channels last, each line of a kernel covers numbers that follow each other.
docs/limits.md has measurements.

Who plays asks a network many times whose weights don't change meanwhile: `Fixed` goes through it in one call, linear
layers included.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from envs.scene import compiled
from perception.contraction import LANES, Plan, best_tile, center, contraction, fast
from perception.sharing import share
from perception.stacks import Stacks

Floats = NDArray[np.float32]

TOGETHER = 12  # pictures that go through linear layers together


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

    @property
    def weights(self) -> int:
        """Of all kernels."""
        return self.lines * self.run * self.channels

    @property
    def out(self) -> int:
        """Numbers that come out, [rows, columns, channels]."""
        return self.rows * self.columns * self.channels


class _Shape(NamedTuple):
    """What a pass is compiled for.

    Attributes:
        frames, height, width: of what is looked at.
        walks: of the convolutions.
    """

    frames: int
    height: int
    width: int
    walks: tuple[_Walk, ...]


def fusible(convolutions: Sequence[nn.Conv2d]) -> bool:
    """Whether a fused pass of two or more convolutions, square and without padding, can be computed, and fast."""
    return (
        fast()
        and len(convolutions) > 1
        and all(
            layer.weight.device.type == "cpu"
            and layer.weight.dtype == torch.float32
            and layer.out_channels % LANES == 0
            and layer.bias is not None
            for layer in convolutions
        )
    )


def rectified_convolutions(stacks: Stacks, mean: Tensor, scale: Tensor, convolutions: Sequence[nn.Conv2d]) -> Tensor:
    """Center pictures and apply two or more convolutions to them, each followed by ReLU.

    Args:
        stacks: of uint8; (pixels - mean) scale is looked at, and once more for gradients.
        mean: float32 [height, width].
        scale: float32 [].
        convolutions: float32, square, without padding; see `fusible`.

    Returns:
        float32 [batch, channels, rows, columns].
    """
    strides = tuple(layer.stride[0] for layer in convolutions)
    weights = [parameter for layer in convolutions for parameter in (layer.weight, layer.bias)]
    result: Tensor = _RectifiedConvolutions.apply(stacks.pictures, stacks.index, mean, scale, strides, *weights)  # type: ignore[no-untyped-call]
    return result


class _RectifiedConvolutions(torch.autograd.Function):
    """`rectified_convolutions`. Weights lie as [line, run, channels], and what comes out between; see `_Walk`."""

    @staticmethod
    def forward(
        ctx: Any,
        pictures: Tensor,
        index: NDArray[np.int64],
        mean: Tensor,
        scale: Tensor,
        strides: tuple[int, ...],
        *weights: Tensor,
    ) -> Tensor:
        batch, frames = index.shape
        shape = _shape((frames, *pictures.shape[1:]), strides, weights[::2])
        kernels = tuple(_turned(weight, n) for n, weight in enumerate(weights[::2]))
        outs = tuple(torch.empty(batch, walk.out) for walk in shape.walks)
        last = shape.walks[-1]
        result = torch.empty(batch, last.channels, last.rows, last.columns)
        pictures, mean = pictures.contiguous(), mean.contiguous()
        ctx.shape, ctx.scale, ctx.index = shape, np.float32(scale), index
        ctx.save_for_backward(pictures, mean, *kernels, *outs)
        forward = _forward(shape)
        seen = pictures.view(-1).numpy(), index, mean.view(-1).numpy(), ctx.scale
        arrays = tuple(out.numpy() for out in outs), result.flatten(1).numpy()
        flat = (
            tuple(kernel.view(-1).numpy() for kernel in kernels),
            tuple(bias.contiguous().numpy() for bias in weights[1::2]),
        )
        share(batch, lambda first, last: forward(first, last, *seen, *arrays, *flat))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        walks, count = ctx.shape.walks, len(ctx.shape.walks)
        pictures, mean, *saved = ctx.saved_tensors
        kernels, outs = saved[:count], saved[count:]
        turned = tuple(
            kernel.view(walk.lines, walk.run, walk.channels).mT.contiguous().view(-1).numpy()
            for kernel, walk in zip(kernels, walks, strict=True)
        )
        backward = _backward(ctx.shape)
        seen = pictures.view(-1).numpy(), ctx.index, mean.view(-1).numpy(), ctx.scale
        arrays = tuple(out.numpy() for out in outs), gradient.contiguous().view(outs[-1].shape).numpy()

        def work(first: int, last: int) -> list[Floats]:
            sums = [np.zeros(walk.weights, np.float32) for walk in walks]
            biases = [np.zeros(walk.channels, np.float32) for walk in walks]
            backward(first, last, *seen, *arrays, turned, tuple(sums), tuple(biases))
            return sums + biases

        total = [torch.from_numpy(np.sum(parts, 0)) for parts in zip(*share(len(ctx.index), work), strict=True)]
        result: list[Tensor | None] = [None] * 5
        for n, (kernel, weights, bias) in enumerate(zip(kernels, total[:count], total[count:], strict=True)):
            result += [weights.view(kernel.shape).permute(sorted(range(4), key=_order(n).__getitem__)), bias]
        return tuple(result)


class Fixed:
    """A stack of convolutions, each with its ReLU, and of linear layers, each with LayerNorm and ReLU, as it is now.

    Weights are copied and laid out once. No gradients.

    Args:
        frames: of a stack.
        mean, scale, convolutions: see `rectified_convolutions`.
        layers: the linear layers, of float32 and of widths that `LANES` divides, with what normalises them.
    """

    def __init__(
        self,
        frames: int,
        mean: Tensor,
        scale: Tensor,
        convolutions: Sequence[nn.Conv2d],
        layers: Sequence[tuple[nn.Linear, nn.LayerNorm]],
    ) -> None:
        strides, weights = [layer.stride[0] for layer in convolutions], [layer.weight for layer in convolutions]
        shape = _shape((frames, *mean.shape), strides, weights)
        last = shape.walks[-1]
        matrices = [layer.weight.detach() for layer, _ in layers]
        # Positions first, as the convolutions leave them.
        matrices[0] = matrices[0].view(-1, last.channels, last.rows * last.columns).transpose(1, 2).flatten(1)
        self._width = layers[-1][0].out_features
        self._perceive = _perceive(shape, tuple(layer.out_features for layer, _ in layers))
        self._network = (
            _copied(mean), np.float32(scale),
            tuple(_copied(_turned(weight, n)) for n, weight in enumerate(weights)),
            tuple(_copied(layer.bias) for layer in convolutions if layer.bias is not None),
            tuple(_copied(matrix.T) for matrix in matrices),
            *(tuple(map(_copied, each)) for each in zip(*((a.bias, b.weight, b.bias) for a, b in layers), strict=True)),
            tuple(norm.eps for _, norm in layers),
        )  # fmt: skip

    def __call__(self, stacks: Stacks) -> Tensor:
        """Map stacks of uint8 to features, float32 [batch, width of the last layer]."""
        features = torch.empty(len(stacks), self._width)
        seen, out = (stacks.pictures.contiguous().view(-1).numpy(), stacks.index), features.view(-1).numpy()
        share(len(stacks), lambda first, last: self._perceive(first, last, *seen, *self._network, out))
        return features


def _shape(size: Sequence[int], strides: Sequence[int], weights: Sequence[Tensor]) -> _Shape:
    """Return how convolutions go over pictures of this size, [frames, height, width]."""
    walks: list[_Walk] = []
    frames, height, width = size
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
    return _Shape(frames, size[1], size[2], tuple(walks))


def _order(n: int) -> tuple[int, int, int, int]:
    """How the n-th convolution's weights, [channels, inputs, height, width], are turned: channels last.

    Of the first, a line of each frame, then the next of each: those that a kernel covers are equally far apart.
    """
    return (2, 3, 1, 0) if n else (2, 1, 3, 0)


def _turned(weight: Tensor, n: int) -> Tensor:
    return weight.detach().permute(_order(n)).contiguous()


def _copied(numbers: Tensor) -> Floats:
    """Copy numbers, flat."""
    return numbers.detach().clone(memory_format=torch.contiguous_format).view(-1).numpy()


@cache
def _forward(shape: _Shape) -> Callable[..., None]:
    """Compile a stack of convolutions."""
    convolve, look, size, count = _convolution(shape), _centering(shape), _pixels(shape), len(shape.walks)
    positions, channels = _positions(shape)

    def forward(
        first: int,
        last: int,
        pixels: NDArray[np.uint8],
        index: NDArray[np.int64],
        mean: Floats,
        scale: np.float32,
        outs: tuple[Floats, ...],
        result: Floats,
        kernels: tuple[Floats, ...],
        biases: tuple[Floats, ...],
    ) -> None:
        """Take some of the stacks through it."""
        centered = np.empty(size, np.float32)
        for i in range(first, last):
            look(pixels, index[i], mean, scale, centered)
            x = centered
            for n in range(count):
                convolve(n, x, kernels[n], biases[n], outs[n][i])
                x = outs[n][i]
            for position in range(positions):  # channels first, as others want them
                for channel in range(channels):
                    result[i, channel * positions + position] = x[position * channels + channel]

    function: Callable[..., None] = compiled(forward)
    return function


@cache
def _backward(shape: _Shape) -> Callable[..., None]:
    """Compile the gradients of a stack: of its weights, and of all inputs but the first."""
    add_weights, add_inputs = _weights_gradient(shape), _inputs_gradient(shape)
    look, size, count = _centering(shape), _pixels(shape), len(shape.walks)
    positions, channels = _positions(shape)

    def backward(
        first: int,
        last: int,
        pixels: NDArray[np.uint8],
        index: NDArray[np.int64],
        mean: Floats,
        scale: np.float32,
        outs: tuple[Floats, ...],
        gradient: Floats,
        turned: tuple[Floats, ...],
        weights: tuple[Floats, ...],
        biases: tuple[Floats, ...],
    ) -> None:
        """Add what comes of some of the stacks to the gradients of weights and biases."""
        centered = np.empty(size, np.float32)
        for i in range(first, last):
            come = np.empty(positions * channels, np.float32)
            for position in range(positions):  # channels last from here on
                for channel in range(channels):
                    come[position * channels + channel] = gradient[i, channel * positions + position]
            look(pixels, index[i], mean, scale, centered)
            for n in range(count - 1, -1, -1):  # numbers of one type: of a literal's all would be compiled once more
                x = outs[n - 1][i] if n else centered
                add_weights(n, x, outs[n][i], come, weights[n], biases[n])
                if n:
                    inputs = np.zeros(len(x), np.float32)
                    add_inputs(n, come, turned[n], inputs)
                    come = inputs

    function: Callable[..., None] = compiled(backward)
    return function


@cache
def _perceive(shape: _Shape, widths: tuple[int, ...]) -> Callable[..., None]:
    """Compile a whole network: convolutions, then linear layers of these widths."""
    convolve, look, size, count = _convolution(shape), _centering(shape), _pixels(shape), len(shape.walks)
    sizes, layers = tuple(walk.out for walk in shape.walks), len(widths)
    lengths = (sizes[-1], *widths[:-1])
    tiles = [best_tile(1, TOGETHER, width, length) for width, length in zip(widths, lengths, strict=True)]
    beside, across = tuple(tile.beside for tile in tiles), tuple(tile.vectors * LANES for tile in tiles)
    multiply = contraction(
        tuple(
            Plan(tile, 1, length, (0, 0), (0, length, 0, 1), (0, width), (0, width))
            for tile, width, length in zip(tiles, widths, lengths, strict=True)
        )
    )

    def perceive(
        first: int,
        last: int,
        pixels: NDArray[np.uint8],
        index: NDArray[np.int64],
        mean: Floats,
        scale: np.float32,
        kernels: tuple[Floats, ...],
        biases: tuple[Floats, ...],
        matrices: tuple[Floats, ...],
        offsets: tuple[Floats, ...],
        gains: tuple[Floats, ...],
        shifts: tuple[Floats, ...],
        eps: tuple[float, ...],
        features: Floats,
    ) -> None:
        """Take some of the stacks through it."""
        centered = np.empty(size, np.float32)
        for start in range(first, last, TOGETHER):
            some, seen = min(TOGETHER, last - start), np.zeros(TOGETHER * lengths[0], np.float32)
            for i in range(some):
                look(pixels, index[start + i], mean, scale, centered)
                x = centered
                for n in range(count):
                    out = np.empty(sizes[n], np.float32)
                    convolve(n, x, kernels[n], biases[n], out)
                    x = out
                for k in range(lengths[0]):
                    seen[i * lengths[0] + k] = x[k]
            for n in range(layers):
                outputs = np.empty(TOGETHER * widths[n], np.float32)
                for above in range(0, TOGETHER, beside[n]):
                    row = min(above, TOGETHER - beside[n])
                    for column in range(0, widths[n], across[n]):
                        multiply(
                            n, offsets[n], column, seen, row * lengths[n], matrices[n], column,
                            outputs, row * widths[n] + column,
                        )  # fmt: skip
                for i in range(some):
                    _normalise(outputs, i * widths[n], gains[n], shifts[n], eps[n])
                seen = outputs
            for k in range(some * widths[-1]):
                features[start * widths[-1] + k] = seen[k]

    function: Callable[..., None] = compiled(perceive)
    return function


@cache
def _convolution(shape: _Shape) -> Callable[..., None]:
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
def _weights_gradient(shape: _Shape) -> Callable[..., None]:
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
def _inputs_gradient(shape: _Shape) -> Callable[..., None]:
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
def _centering(shape: _Shape) -> Callable[..., None]:
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


def _pixels(shape: _Shape) -> int:
    return shape.frames * shape.height * shape.width


def _positions(shape: _Shape) -> tuple[int, int]:
    """Return how many positions and channels come out in the end."""
    last = shape.walks[-1]
    return last.rows * last.columns, last.channels


@compiled
def _normalise(x: Floats, at: int, gain: Floats, shift: Floats, eps: float) -> None:
    """LayerNorm of the numbers from there on, as many as there are gains, then ReLU, in place."""
    width = len(gain)
    sums, squares = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)  # in the order that vectors have them
    for k in range(at, at + width, LANES):
        for lane in range(LANES):
            sums[lane] += x[k + lane]
    total = np.float32(0)
    for lane in range(LANES):
        total += sums[lane]
    mean = total / np.float32(width)
    for k in range(at, at + width, LANES):
        for lane in range(LANES):
            squares[lane] += (x[k + lane] - mean) * (x[k + lane] - mean)
    total = np.float32(0)
    for lane in range(LANES):
        total += squares[lane]
    scale = np.float32(1 / math.sqrt(total / width + eps))
    for k in range(width):
        value = (x[at + k] - mean) * scale * gain[k] + shift[k]
        x[at + k] = np.float32(0) if value < 0 else value
