"""Muon for the matrices of the hidden layers, Adam for everything else, as one optimizer."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from experiment.checkpoint import nest, part

PERIOD = 2  # gradient steps to one of Muon's
MOMENTUM = 0.95**PERIOD
# Of the polynomial a x + b x^3 + c x^5 (Jordan et al. 2024): five times, it takes whatever lies between 0.002 and 1 to
# between 0.5 and 1.2.
A, B, C = 3.4445, -4.7750, 2.0315
BLOCKS = {torch.float32: (5,), torch.bfloat16: (3, 2)}  # of these five times; all in one, bfloat16 would round too much
SMALL = 64  # rows; matrices up to here take less time in float32 anyway


def side_by_side(parameters: Sequence[nn.Parameter]) -> Tensor:
    """Move parameters into one vector, of which they are views from now on; returns it, float [their size]."""
    if not parameters:
        return torch.zeros(0)
    vector = torch.cat([parameter.detach().flatten() for parameter in parameters])
    for parameter, piece in zip(parameters, split_like(vector, parameters), strict=True):
        parameter.data = piece
    return vector


def split_like(vector: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
    """View a vector as tensors of the same shapes as these, one after the other."""
    pieces = torch.split(vector, [tensor.numel() for tensor in tensors])
    return [piece.view_as(tensor) for piece, tensor in zip(pieces, tensors, strict=True)]


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return U V^T, nearly, of a matrix U S V^T [out, in].

    Newton and Schulz's iteration, X <- (a + b X X^T + c (X X^T)^2) X. Several of its polynomials are multiplied, and
    X is multiplied by the product: with few rows and many columns that takes half of the time.

    Args:
        matrix: float32.
        dtype: number format to multiply in, if the matrix is no small one.
    """
    rows, columns = matrix.shape
    x = (matrix.T if rows > columns else matrix).to(torch.float32 if min(rows, columns) <= SMALL else dtype)
    x = x / x.norm().clamp(min=1e-7)
    for block in BLOCKS[x.dtype]:
        gram = x @ x.T
        product = None
        for i in range(block):
            polynomial = torch.addmm(gram, gram, gram, beta=B, alpha=C)
            polynomial.diagonal().add_(A)
            product = polynomial if product is None else polynomial @ product
            if i + 1 < block:
                gram = polynomial @ gram @ polynomial
        assert product is not None
        x = product @ x
    result: Tensor = (x.T if rows > columns else x).to(matrix.dtype)
    return result


class _Adam:
    """Adam (Kingma & Ba 2015) of a few long vectors, each with a step size of its own.

    torch's class does the same; but making one imports torch's compiler, a second's work, and its step takes four times
    as long as the computing in it.

    Attributes:
        param_groups: "lr" of each vector.

    Args:
        vectors: what is stepped, where its gradient will be, and its step size.
        beta1: share of the average gradient that is kept at each step.
    """

    def __init__(self, vectors: Sequence[tuple[Tensor, Tensor, float]], beta1: float) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": rate} for _, _, rate in vectors]
        self._vectors, self._beta1 = vectors, beta1
        self._states = [
            {
                "step": torch.zeros((), device=weights.device),
                "exp_avg": torch.zeros_like(weights),
                "exp_avg_sq": torch.zeros_like(weights),
            }
            for weights, _, _ in vectors
        ]

    def step(self, learns: Sequence[bool]) -> None:
        """Take a step along the gradients, of those vectors that learn just now; the others stay as they are."""
        rows = zip(learns, self._vectors, self._states, self.param_groups, strict=True)
        for now, (weights, gradient, _), state, group in rows:
            if now:
                adam(
                    [weights], [gradient], [state["exp_avg"]], [state["exp_avg_sq"]], [], [state["step"]],
                    fused=True, amsgrad=False, beta1=self._beta1, beta2=0.999, lr=group["lr"], weight_decay=0.0,
                    eps=1e-5, maximize=False,
                )  # fmt: skip

    def state_dict(self) -> dict[str, Tensor]:
        """Return all tensors, as <vector's number>.<name>."""
        return {f"{i}.{name}": tensor for i, state in enumerate(self._states) for name, tensor in state.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""
        for name, tensor in self.state_dict().items():
            tensor.copy_(state[name])


class HiddenMuon:
    """Muon (Jordan et al. 2024) steps the hidden layers' weights, Adam the heads, biases and normalisations.

    Muon makes each step's matrix orthogonal, so that rare directions are learned as fast as common ones. The
    kernels of a convolution count as a matrix [out, in x height x width].

    Making it orthogonal takes a good part of the gradient's time, and with its momentum the direction changes slowly,
    so Muon steps once for every few of Adam's: as far, along the mean of the gradients since its last step.

    The parameters are moved into one vector. What is done to all of them is then one operation instead of dozens, which
    would each take longer to call than to compute.

    Attributes:
        vector: all parameters, float [their size].
        names: of the parameters, in their order in the vector.
        param_groups: of Muon, if it has any weights, and of Adam; "lr" may be changed.

    Args:
        network: all that learns, already on its device.
        hidden: the part of it whose weights Muon steps.
        learning_rate: Adam's step size.
        muon_rate: Muon's, for entries of the size that Adam's steps have (Liu et al. 2025); 0 leaves all to Adam.
        pace: of the hidden part: its step sizes, Muon's and Adam's, as a share of the others'.
        beta1: Adam's share of the average gradient that is kept at each step.
        turns: parts of the network that learn one after the other, by Adam: each has moments and a count of steps of
            its own, and stays as it is while it has no gradient.
        dtype: number format of Muon's products; see `orthogonal`.
    """

    def __init__(
        self,
        network: nn.Module,
        hidden: nn.Module,
        learning_rate: float,
        muon_rate: float,
        pace: float = 1.0,
        beta1: float = 0.9,
        turns: Iterable[nn.Module] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        matrices = [weight for weight in hidden.parameters() if weight.ndim > 1 and muon_rate > 0]
        known = {id(parameter) for parameter in matrices}
        mine = [weight for weight in hidden.parameters() if id(weight) not in known and pace != 1]
        in_turn = [list(part.parameters()) for part in turns]
        known |= {id(parameter) for parameter in chain(mine, *in_turn)}
        others = [parameter for parameter in network.parameters() if id(parameter) not in known]
        self._parameters = [*matrices, *mine, *others, *chain(*in_turn)]
        names = {id(parameter): name for name, parameter in network.named_parameters()}
        self.names = [names[id(parameter)] for parameter in self._parameters]
        self.vector = side_by_side(self._parameters)
        self._gradient = torch.zeros_like(self.vector)
        groups = [matrices, mine, others, *in_turn]
        sizes = [sum(parameter.numel() for parameter in parameters) for parameters in groups]
        weights, gradients = torch.split(self.vector, sizes), torch.split(self._gradient, sizes)
        self._matrices = [weight.flatten(1) for weight in split_like(weights[0], matrices)]
        self._new = gradients[0]
        self._mean = torch.zeros_like(weights[0])  # of the gradients since Muon's last step, so far
        self._momentum = torch.zeros_like(weights[0])
        self._steps, self._dtype = 0, dtype
        self._muon = {"lr": PERIOD * pace * muon_rate}
        rates = (pace * learning_rate, *[learning_rate] * (1 + len(in_turn)))
        parts = list(zip(weights[1:], gradients[1:], rates, strict=True))
        self._adam = _Adam(parts if mine else parts[1:], beta1)
        self._adams = groups[1:] if mine else groups[2:]
        self.param_groups: list[dict[str, Any]] = [*([self._muon] if matrices else []), *self._adam.param_groups]
        self._first_rates = [float(group["lr"]) for group in self.param_groups]

    def decay(self, share: float) -> None:
        """Set all step sizes to this share of what they were at the start."""
        for group, rate in zip(self.param_groups, self._first_rates, strict=True):
            group["lr"] = share * rate

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, max_norm: float = float("inf")) -> None:
        """Take a step along the gradients, scaled down to this norm if they are longer."""
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        torch.cat([gradient.flatten() for gradient in gradients], out=self._gradient)
        self._gradient.mul_((max_norm / (self._gradient.norm() + 1e-6)).clamp(max=1.0))
        self._adam.step([any(parameter.grad is not None for parameter in group) for group in self._adams])
        if not self._matrices:
            return
        self._mean.add_(self._new, alpha=1 / PERIOD)
        self._steps += 1
        if self._steps % PERIOD == 0:
            self._momentum.lerp_(self._mean, 1 - MOMENTUM)
            directions = self._mean.lerp_(self._momentum, MOMENTUM)  # Nesterov's
            for matrix, direction in zip(self._matrices, split_like(directions, self._matrices), strict=True):
                size = 0.2 * max(matrix.shape) ** 0.5
                matrix.add_(orthogonal(direction, self._dtype), alpha=-self._muon["lr"] * size)
            self._mean.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Return all tensors, zeros before the first step."""
        muon = {"momentum": self._momentum, "mean": self._mean, "steps": torch.tensor(self._steps)}
        return {**nest("muon", muon), **nest("adam", self._adam.state_dict())}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""
        self._momentum.copy_(state["muon.momentum"])
        self._mean.copy_(state["muon.mean"])
        self._steps = int(state["muon.steps"])
        self._adam.load_state_dict(part("adam", state))
