"""Everything an algorithm's future depends on, as one flat dictionary of tensors: what a checkpoint holds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiment.checkpoint import nest, part


def games_state(envs: Any) -> dict[str, Tensor]:
    """Return what games go on from, "games." before every key; see `GameVectorEnv.get_state`."""
    return nest("games", {key: torch.from_numpy(value) for key, value in envs.get_state().items()})


def load_games_state(envs: Any, tensors: Mapping[str, Tensor]) -> None:
    """Let games go on from what `games_state` returned, among other tensors."""
    envs.set_state({key: value.numpy() for key, value in part("games", tensors).items()})


def generator_state(generator: np.random.Generator) -> Tensor:
    """Return the state of NumPy's default generator (PCG64), four whole numbers of 16 bytes, uint8 [64]."""
    state = generator.bit_generator.state
    numbers = (state["state"]["state"], state["state"]["inc"], state["has_uint32"], state["uinteger"])
    octets = b"".join(number.to_bytes(16, "little") for number in numbers)
    return torch.frombuffer(bytearray(octets), dtype=torch.uint8)


def load_generator_state(generator: np.random.Generator, tensor: Tensor) -> None:
    """Go on from what `generator_state` returned."""
    numbers = [int.from_bytes(row.tobytes(), "little") for row in tensor.numpy().reshape(4, 16)]
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": numbers[0], "inc": numbers[1]},
        "has_uint32": numbers[2],
        "uinteger": numbers[3],
    }


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
        optimizer.state[parameter] = {  # torch counts steps on the CPU: elsewhere each would be waited for
            name: value.to("cpu" if name == "step" else parameter.device).clone(memory_format=torch.preserve_format)
            for name, value in state.items()
        }
