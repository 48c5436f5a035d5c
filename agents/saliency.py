"""Which pixels speak for the action that a network chooses: two maps of it, by gradients and by hiding patches.

Both explain the preference m = s_a - mean_{b != a} s_b, where the scores s are a policy's logits or the actions'
values Q and a is the action of the highest. For two actions of a policy it is the log of the odds, log pi_a / pi_b,
which still says how sure an agent is where the probability itself has long been 1 - 1e-5. Of values it leaves only
what tells the actions apart, for what all of them share cancels.

Both measure pixels from the encoder's mean of that pixel: "not there" means "as usual". What hides looks like the
middle of all games rather than like a black hole, which would be an unseen thing of its own.

Docs and figures: docs/saliency.md.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from perception import Encoder

Saliency = Callable[..., Tensor]
SEED = 0  # of the noise, so that the same frames give the same map
BATCH = 128  # pictures that go through the network at once


def gradient_saliency(
    network: nn.Module, observation: Tensor, memory: Tensor | None = None, samples: int = 16, noise: float = 1.0
) -> Tensor:
    """Integrated gradients along a noisy way from the mean picture to this one, only what speaks for the action.

    With x the centered and scaled frames, K samples and e_k normal noise of a size that the frames themselves have:

        A = x * 1/K sum_k dm(alpha_k x + e_k)/dx,    alpha_k = (k - 1/2) / K

    Without noise A sums to m(x) - m(0) for many samples (Sundararajan et al. 2017). The noise is SmoothGrad's
    (Smilkov et al. 2017); why both, and how much, was measured.

    Args:
        network: as in `agents.learner.GreedyPolicy`; its weights and their gradients are not touched.
        observation: uint8 [1, frames, height, width].
        memory: of a network that has one, before this observation; None takes it for an episode's first.
        samples: K.
        noise: standard deviation of e, in units of x.

    Returns:
        float32 [height, width] on the CPU, summed over the frames; at least 0, its sum 1.

    Raises:
        ValueError: if the observation is no single stack of frames.
    """
    x, scores = _centered(network, observation, memory)
    action = _best(scores, x)
    recalls = any(isinstance(part, nn.LSTM) for part in network.modules())  # cuDNN's give no gradients but in training
    generator = torch.Generator().manual_seed(SEED)
    alpha = (torch.arange(samples, device=x.device) + 0.5)[:, None, None, None] / samples
    gradient = torch.zeros_like(x)
    for part in torch.split(alpha, BATCH):
        drawn = torch.randn(len(part), *x.shape[1:], generator=generator).to(x.device)
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=not recalls):
            way = (part * x + noise * drawn).requires_grad_()
            gradient += torch.autograd.grad(preference(scores(way), action).sum(), way)[0].sum(0)
    return _shares((x * gradient / samples).sum((0, 1)))


def occlusion_saliency(
    network: nn.Module, observation: Tensor, memory: Tensor | None = None, patch: int = 8, stride: int = 4
) -> Tensor:
    """How much of the preference is lost when a patch is hidden behind the mean picture (Zeiler & Fergus 2014).

    Patches lie `stride` apart and reach over all edges, and hide a place in all frames of the stack. A pixel gets
    the mean of the losses m(x) - m(x without patch) over the patches that it is in, if that is more than 0.

    Args:
        network: as in `gradient_saliency`, and so are observation, memory, the result and what is raised.
        observation: see there.
        memory: see there.
        patch: side of the square that is hidden, in pixels.
        stride: pixels from one patch to the next, at most `patch`.
    """
    x, scores = _centered(network, observation, memory)
    action = _best(scores, x)
    rows, columns = (_covering(length, patch, stride, x.device) for length in x.shape[2:])
    places = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(columns)))  # [patches, 2]
    lost = []
    with torch.no_grad():
        whole = preference(scores(x), action)
        for down, across in (part.T for part in torch.split(places, BATCH)):
            hidden = rows[down][:, :, None] & columns[across][:, None, :]  # [patches, height, width]
            lost.append(whole - preference(scores(x * ~hidden[:, None]), action))
    losses = torch.cat(lost).view(len(rows), len(columns))
    total = rows.float().T @ losses @ columns.float()  # over the patches that a pixel is in
    return _shares(total / (rows.sum(0)[:, None] * columns.sum(0)))


def preference(scores: Tensor, action: int) -> Tensor:
    """Return how far an action's score lies above the mean of the others', [batch], for scores [batch, actions]."""
    chosen = scores[:, action]
    return chosen - (scores.sum(1) - chosen) / max(1, scores.shape[1] - 1)


class _Centered(nn.Module):
    """Stands in for an encoder whose input is centered and scaled already: float32 [batch, frames, height, width]."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder.read(self.encoder.body(x))


def see_centered(network: Any) -> Any:
    """Return the same network, its weights shared, that takes centered and scaled pixels, float32, where it took uint8.

    The network itself stays as it is: somebody may play with it at this moment, in another thread.
    """
    other = copy.copy(network)
    other._modules = {**network._modules, "encoder": _Centered(network.encoder)}
    return other


def _centered(network: Any, observation: Tensor, memory: Tensor | None) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Return the observation as the encoder's body sees it, and what maps a batch of such to scores."""
    encoder, other = network.encoder, see_centered(network)
    spec = encoder.spec
    if observation.dtype != torch.uint8 or observation.shape != (1, spec.frames, spec.height, spec.width):
        raise ValueError(
            f"saliency is of pixels, uint8 [1, {spec.frames}, {spec.height}, {spec.width}], "
            f"not {observation.dtype} {list(observation.shape)}"
        )

    def scores(x: Tensor) -> Tensor:
        if memory is None:
            found: Tensor = other(x)[0]
        else:
            going_on = torch.zeros(1, len(x), dtype=torch.bool)
            found = other.recall(x, going_on, memory.to(x.device).repeat(1, len(x), 1))[0]
        return found

    return (observation.to(encoder.mean.device).float() - encoder.mean) * encoder.scale, scores


@torch.no_grad()
def _best(scores: Callable[[Tensor], Tensor], x: Tensor) -> int:
    return int(scores(x)[0].argmax())


def _covering(length: int, patch: int, stride: int, device: torch.device) -> Tensor:
    """Which pixels of an axis each patch covers, bool [patches, length]; every pixel is in equally many, or nearly."""
    if not 1 <= stride <= patch:
        raise ValueError(f"stride must be within 1 and patch = {patch}, not {stride}")
    starts = torch.arange(stride - patch, length, stride, device=device)[:, None]
    pixels = torch.arange(length, device=device)
    return (starts <= pixels) & (pixels < starts + patch)


def _shares(attribution: Tensor) -> Tensor:
    """Keep what is above 0 of [height, width] and scale its sum to 1; all alike if there is nothing."""
    kept = attribution.clamp(min=0).double()
    total = kept.sum()
    if not total > 0:
        kept, total = torch.ones_like(kept), torch.tensor(float(kept.numel()))
    return (kept / total).float().cpu()


METHODS: dict[str, Saliency] = {"gradient": gradient_saliency, "occlusion": occlusion_saliency}
