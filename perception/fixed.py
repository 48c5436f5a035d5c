"""A network whose weights don't change for a while, on a CPU in float32: convolutions and linear layers in one call.

Who plays asks it many times, so weights are laid out once, and nothing is kept for gradients.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from envs.scene import compiled
from perception.contraction import LANES, Plan, best_tile, contraction
from perception.convolution import Floats, Shape, centering, convolution, pixel_count, shape_of, turn
from perception.sharing import share
from perception.stacks import Stacks

TOGETHER = 12  # pictures that go through linear layers together


class Fixed:
    """A stack of convolutions, each with its ReLU, and of linear layers, each with LayerNorm and ReLU, as it is now.

    Weights are copied and laid out once. No gradients.

    Args:
        frames: of a stack.
        mean, scale, convolutions: see `perception.fused.rectified_convolutions`.
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
        shape = shape_of((frames, *mean.shape), strides, weights)
        last = shape.walks[-1]
        matrices = [layer.weight.detach() for layer, _ in layers]
        # Positions first, as the convolutions leave them.
        matrices[0] = matrices[0].view(-1, last.channels, last.rows * last.columns).transpose(1, 2).flatten(1)
        self._width = layers[-1][0].out_features
        self._perceive = _perceive(shape, tuple(layer.out_features for layer, _ in layers))
        self._network = (
            _copied(mean), np.float32(scale),
            tuple(_copied(turn(weight, n)) for n, weight in enumerate(weights)),
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


def _copied(numbers: Tensor) -> Floats:
    """Copy numbers, flat."""
    return numbers.detach().clone(memory_format=torch.contiguous_format).view(-1).numpy()


@cache
def _perceive(shape: Shape, widths: tuple[int, ...]) -> Callable[..., None]:
    """Compile a whole network: convolutions, then linear layers of these widths."""
    convolve, look, size, count = convolution(shape), centering(shape), pixel_count(shape), len(shape.walks)
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
