"""A stack of convolutions, each with the ReLU after it, on a CPU in float32: picture by picture, in the cache.

torch's convolutions leave half of a CPU unused where channels are few and pictures small. Here a picture goes through
all of `perception.convolution`, and its gradient back through all of it, before the next picture's turn comes.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from envs.scene import compiled
from perception.contraction import LANES, fast
from perception.convolution import (
    Floats,
    Shape,
    centering,
    convolution,
    inputs_gradient,
    order,
    pixel_count,
    shape_of,
    turn,
    weights_gradient,
)
from perception.sharing import share
from perception.stacks import Stacks


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
    """`rectified_convolutions`. Weights lie as [line, run, channels], and what comes out between; see `Walk`."""

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
        shape = shape_of((frames, *pictures.shape[1:]), strides, weights[::2])
        kernels = tuple(turn(weight, n) for n, weight in enumerate(weights[::2]))
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
            result += [weights.view(kernel.shape).permute(sorted(range(4), key=order(n).__getitem__)), bias]
        return tuple(result)


@cache
def _forward(shape: Shape) -> Callable[..., None]:
    """Compile a stack of convolutions."""
    convolve, look, size, count = convolution(shape), centering(shape), pixel_count(shape), len(shape.walks)

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
            channels = len(biases[count - 1])  # a number that is known when compiling would unroll all of these loops
            positions = len(x) // channels
            for position in range(positions):  # channels first, as others want them
                for channel in range(channels):
                    result[i, channel * positions + position] = x[position * channels + channel]

    function: Callable[..., None] = compiled(forward)
    return function


@cache
def _backward(shape: Shape) -> Callable[..., None]:
    """Compile the gradients of a stack: of its weights, and of all inputs but the first."""
    add_weights, add_inputs = weights_gradient(shape), inputs_gradient(shape)
    look, size, count = centering(shape), pixel_count(shape), len(shape.walks)

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
            come = np.empty(gradient.shape[1], np.float32)
            channels = len(biases[count - 1])  # see `_forward`
            positions = len(come) // channels
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
