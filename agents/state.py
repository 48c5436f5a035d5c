"""Everything an algorithm's future depends on, as one flat dictionary of tensors: what a checkpoint holds."""

from collections.abc import Mapping

import torch
from torch import Tensor


def nest(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put `prefix.` before every key."""
    return {f"{prefix}.{key}": value for key, value in tensors.items()}


def part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take what `nest` put under a prefix."""
    start = f"{prefix}."
    return {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}


ADAM = ("exp_avg", "exp_avg_sq")


def optimizer_state(optimizer: torch.optim.Optimizer, names: tuple[str, ...] = ADAM) -> dict[str, Tensor]:
    """Return an optimizer's tensors as <parameter's number>.<name>; zeroes before its first step.

    A fresh optimizer has no state yet; giving it one makes every checkpoint of a run alike.

    Args:
        optimizer: whose.
        names: of the tensors that it keeps for each parameter, of the parameter's shape.
    """
    tensors = {}
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, parameter in enumerate(parameters):
        state = optimizer.state.get(parameter, {})
        zeros = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        tensors[f"{i}.step"] = state.get("step", torch.tensor(0.0))
        for name in names:
            tensors[f"{i}.{name}"] = state.get(name, zeros)
    return tensors


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], names: tuple[str, ...] = ADAM
) -> None:
    """Load what `optimizer_state` returned."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for i, parameter in enumerate(parameters):
        state = {name: tensors[f"{i}.{name}"] for name in ("step", *names)}
        optimizer.state[parameter] = {
            name: value.to(parameter.device).clone(memory_format=torch.preserve_format) for name, value in state.items()
        }
