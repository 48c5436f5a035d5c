"""Floating point operations: how many a network takes, and how many a second this machine can do."""

import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from perception import Encoder


def flop_per_sample(network: nn.Module, encoder: Encoder) -> tuple[float, float]:
    """FLOP of a forward pass and of a training pass of one sample, counted by torch, and of LSTMs by us.

    An LSTM's four gates take 2 * 4 h (inputs + h) a time, h its size, and twice as many on the way back.

    Args:
        network: maps observations to a tensor, or a tuple of some.
        encoder: the network's, or the network itself.
    """
    spec, layout = encoder.spec, encoder.layout
    encoder.layout = "planes"  # torch counts no operations but its own
    observations = torch.zeros(8, spec.frames, spec.height, spec.width, dtype=torch.uint8)
    recalled = 0

    def recall(lstm: nn.Module, inputs: tuple[torch.Tensor, ...], _: object) -> None:
        nonlocal recalled
        times = inputs[0].numel() // inputs[0].shape[-1] // len(observations)
        recalled += times * 2 * 4 * int(lstm.hidden_size) * (int(lstm.input_size) + int(lstm.hidden_size))

    hooks = [module.register_forward_hook(recall) for module in network.modules() if isinstance(module, nn.LSTM)]
    counts = []
    for backward in (False, True):
        with FlopCounterMode(display=False) as counter:
            outputs = network(observations)
            if backward:
                parts = outputs if isinstance(outputs, tuple) else (outputs,)
                torch.autograd.backward([part.sum() for part in parts])
        counts.append(counter.get_total_flops() / len(observations) + recalled * (3 if backward else 1))
        recalled = 0
    for hook in hooks:
        hook.remove()
    network.zero_grad(set_to_none=True)
    encoder.layout = layout
    return counts[0], counts[1]


def peak_flops(precision: str) -> float:
    """FLOP/s of the best of several large matrix products in this format, with the threads in use."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best
