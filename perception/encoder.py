"""The Encoder contract, and the networks that fill it.

An encoder maps pixels, uint8 [batch, frames, height, width], to float32 [batch, feature_dim], or a state of numbers,
float32 [batch, frames, 1, numbers]. Normalisation is part
of it and saved with it, so that nothing can be lost between training and playing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perception.centering import centered
from perception.contraction import LANES
from perception.fixed import Fixed
from perception.fused import fusible, rectified_convolutions
from perception.stacks import Stacks

STATES = ("mlp",)  # networks for states; all others are for pixels
LAYOUTS = ("planes", "fused")


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder was made for; checked whenever one is loaded.

    Attributes:
        network: its name in ENCODERS.
        frames: frames stacked in one observation.
        height: pixels; 1 for states.
        width: pixels, or a state's numbers.
        feature_dim: length of the feature vector.
        objective: what it was trained for ("none" before training).
        trained_on: the environment it was trained on ("" before training).
    """

    network: str = "small"
    frames: int = 2
    height: int = 84
    width: int = 84
    feature_dim: int = 256
    objective: str = "none"
    trained_on: str = ""


class Encoder(nn.Module):
    """Base of all encoders: checks its input, then runs `body` on it.

    Attributes:
        dtype: of the observations, uint8 for pixels or float32 for states.
        settled: it comes trained, so `fit_normalization` leaves it as it is.
        pace: its step sizes as a share of the usual ones, when an agent trains it further.
        reader: layers after frozen features, which learn to make use of them; None for none. See `make_reader`.
        layout: how a CPU computes a stack of convolutions. "planes": by torch; "fused": in float32, by
            `perception.fused`. What comes out is the same, but for rounding; docs/limits.md tells which is faster.

    Args:
        spec: what it is made for.
        body: maps a float tensor [batch, frames, height, width], centered and scaled, to [batch, feature_dim].

    Raises:
        ValueError: from `forward`, if the observations are not what the spec says.
    """

    def __init__(self, spec: EncoderSpec, body: nn.Module) -> None:
        super().__init__()
        self.spec, self.body = spec, body
        self.settled = False
        self.pace = 1.0
        self.reader: nn.Module | None = None
        self.layout = "planes"
        self._fixed: Callable[[Stacks], Tensor] | None = None
        self.dtype = torch.float32 if spec.network in STATES else torch.uint8
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.full((spec.height, spec.width), 127.5))
        self.register_buffer("scale", torch.tensor(1 / 64))
        if spec.network in STATES:
            self.mean, self.scale = torch.zeros(spec.height, spec.width), torch.ones(spec.height, spec.width)

    @property
    def feature_dim(self) -> int:
        """Length of the feature vector."""
        return self.spec.feature_dim

    @property
    def frozen(self) -> bool:
        """Its weights stay as they are, whatever is learned; see `freeze`."""
        return next(self.body.parameters(), None) is None

    def forward(self, observations: Tensor | Stacks) -> Tensor:
        """Map observations [batch, frames, height, width] to float32 [batch, feature_dim]."""
        return self.read(self.features(observations))

    def features(self, observations: Tensor | Stacks) -> Tensor:
        """Map observations as above to features [batch, feature_dim] as they are before a reader."""
        expected = (self.spec.frames, self.spec.height, self.spec.width)
        if observations.dtype != self.dtype or observations.shape[1:] != expected:
            kind = str(self.dtype).removeprefix("torch.")
            raise ValueError(
                f"the encoder takes {kind} [batch, {', '.join(map(str, expected))}], "
                f"not {observations.dtype} {list(observations.shape)}"
            )
        body = self.body
        look = self._fixed or (partial(body.fused, mean=self.mean, scale=self.scale) if self._fused(body) else None)
        if look is not None:
            return look(Stacks.of(observations) if isinstance(observations, Tensor) else observations)
        gathered = observations if isinstance(observations, Tensor) else observations.gathered()
        features: Tensor = body(self.centered(gathered))
        return features

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """Within this context its weights must not change, and nothing may be differentiated.

        What depends on weights alone is then computed once. A fused pass is in float32 throughout.
        """
        body = self.body
        if self._fused(body):
            self._fixed = body.fixed(self.mean, self.scale)
        try:
            yield
        finally:
            self._fixed = None

    def _fused(self, body: nn.Module) -> TypeGuard["_Stack | _Sequence"]:
        return self.layout == "fused" and isinstance(body, _Stack | _Sequence) and body.fusible

    def centered(self, observations: Tensor) -> Tensor:
        """Return (observations - mean) scale, in the format that is computed in: what the body takes."""
        if self.dtype == torch.float32:
            return (observations - self.mean) * self.scale
        half = torch.is_autocast_enabled(observations.device.type)
        dtype = torch.get_autocast_dtype(observations.device.type) if half else torch.float32
        return centered(observations, self.mean, self.scale, dtype)

    def read(self, features: Tensor) -> Tensor:
        """Let the reader read them, if there is one; returns float32 [batch, feature_dim]."""
        read: Tensor = features if self.reader is None else self.reader(features)
        return read.float()

    def fit_normalization(self, frames: Tensor) -> None:
        """Center every pixel on its own mean and scale all alike, as seen in frames [n, height, width].

        What never changes (a background) becomes 0, and what moves stands out: without this the constant
        part of the picture dominates the first layer, and learning takes several times as long. A state's
        numbers have units of their own, so each has a scale of its own.

        An encoder that comes trained keeps what it was trained with.
        """
        if self.settled:
            return
        pixels = frames.float()
        self.mean.copy_(pixels.mean(0))
        if self.dtype == torch.float32:
            self.scale.copy_(1 / (pixels.std(0, correction=0) + 1e-3))
            return
        self.scale.copy_(1 / (pixels - self.mean).square().mean().sqrt().clamp(min=1.0))


def read_layout(name: str) -> str:
    """Return the layout that a run's settings name; what was "patches" once is "fused" now.

    Raises:
        TypeError: if there is none of this name.
    """
    if name not in (*LAYOUTS, "patches"):
        raise TypeError(f"layout = {name!r}")
    return "fused" if name == "patches" else name


def freeze(encoder: nn.Module) -> None:
    """Turn all weights into buffers, which no optimizer, gradient or average of weights ever reaches.

    They keep their names, so `state_dict` and `load_state_dict` are as before.
    """
    for module in encoder.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, weight.detach())


def make_reader(width: int) -> nn.Module:
    """Build two layers after frozen features: an agent may need more than one weighted sum of them can give."""
    parts: list[nn.Module] = []
    for _ in range(2):
        parts += [nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()]
    _begin(reader := nn.Sequential(*parts))
    return reader


class _Stack(nn.Sequential):
    """Convolutions, each followed by ReLU, then other layers."""

    @property
    def convolutions(self) -> list[nn.Conv2d]:
        """The convolutions, in order."""
        return [layer for layer in self if isinstance(layer, nn.Conv2d)]

    @property
    def fusible(self) -> bool:
        """Whether there is a `fused` pass of this network where it is."""
        return fusible(self.convolutions)

    def fused(self, stacks: Stacks, mean: Tensor, scale: Tensor) -> Tensor:
        """Map stacks of uint8 to features [batch, feature_dim]."""
        convolutions = self.convolutions
        x = rectified_convolutions(stacks, mean, scale, convolutions)
        for layer in list(self)[2 * len(convolutions) :]:
            x = layer(x)
        return x

    def fixed(self, mean: Tensor, scale: Tensor) -> Callable[[Stacks], Tensor]:
        """Return `fused` as it is with the weights of now, without gradients."""
        linear = [layer for layer in self if isinstance(layer, nn.Linear)]
        norms = [layer for layer in self if isinstance(layer, nn.LayerNorm)]
        if any(layer.out_features % LANES for layer in linear):
            return partial(self.fused, mean=mean, scale=scale)
        frames = self.convolutions[0].in_channels
        return Fixed(frames, mean, scale, self.convolutions, list(zip(linear, norms, strict=True)))


def _convolutions(spec: EncoderSpec, layers: list[tuple[int, int, int]], hidden: tuple[int, ...] = ()) -> _Stack:
    """Stack (channels, kernel, stride) convolutions, then linear layers of `hidden` and of the features' width.

    Every linear layer is followed by LayerNorm and ReLU.
    """
    channels, height, width = spec.frames, spec.height, spec.width
    parts: list[nn.Module] = []
    for out, kernel, stride in layers:
        parts += [nn.Conv2d(channels, out, kernel, stride), nn.ReLU()]
        channels, height, width = out, (height - kernel) // stride + 1, (width - kernel) // stride + 1
        if min(height, width) < 1:
            raise ValueError(f"{spec.height} x {spec.width} pixels are too few for the {spec.network} encoder")
    parts.append(nn.Flatten())
    width = channels * height * width
    for out in (*hidden, spec.feature_dim):
        parts += [nn.Linear(width, out), nn.LayerNorm(out), nn.ReLU()]
        width = out
    return _Stack(*parts)


def small(spec: EncoderSpec) -> _Stack:
    """Three small convolutions and two linear layers, narrow then wide. For CPUs.

    On a CPU the first two convolutions take a third less time than those of Mnih et al. 2013, whose stride of 4
    costs twice as many positions and learns no faster per step. docs/limits.md has measurements of what
    the third convolution and the second linear layer gain.
    """
    last = 3 if min(spec.height, spec.width) >= 44 else 1  # of less, two convolutions leave fewer than 3 x 3 positions
    return _convolutions(spec, [(16, 8, 6), (32, 3, 2), (64, last, 1)], hidden=(128,))


def nature(spec: EncoderSpec) -> nn.Module:
    """The network of Mnih et al. 2015, with LayerNorm on its last layer."""
    return _convolutions(spec, [(32, 8, 4), (64, 4, 2), (64, 3, 1)])


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.second(F.relu(self.first(F.relu(x))))
        return x + residual


def impala(spec: EncoderSpec) -> nn.Module:
    """The residual network of Espeholt et al. 2018 (three stages of 16, 32, 32 channels)."""
    channels, height, width = spec.frames, spec.height, spec.width
    parts: list[nn.Module] = []
    for out in (16, 32, 32):
        parts += [nn.Conv2d(channels, out, 3, padding=1), nn.MaxPool2d(3, 2, padding=1), _Residual(out), _Residual(out)]
        channels, height, width = out, (height + 1) // 2, (width + 1) // 2
    linear = nn.Linear(channels * height * width, spec.feature_dim)
    return nn.Sequential(*parts, nn.ReLU(), nn.Flatten(), linear, nn.LayerNorm(spec.feature_dim), nn.ReLU())


class _Sequence(nn.Module):
    """The small network's features of each frame alone, recalled by an LSTM (Hochreiter & Schmidhuber 1997)."""

    def __init__(self, spec: EncoderSpec) -> None:
        super().__init__()
        self.still = small(replace(spec, frames=1))
        self.lstm = nn.LSTM(spec.feature_dim, spec.feature_dim, batch_first=True)
        with torch.no_grad():  # remember at first, rather than forget (Jozefowicz et al. 2015)
            self.lstm.get_parameter("bias_ih_l0")[spec.feature_dim : 2 * spec.feature_dim] = 1.0

    @property
    def fusible(self) -> bool:
        """See `_Stack`."""
        return self.still.fusible

    def forward(self, x: Tensor) -> Tensor:
        return self._recall(self.still(x.flatten(0, 1)[:, None]), len(x))

    def fused(self, stacks: Stacks, mean: Tensor, scale: Tensor) -> Tensor:
        """See `_Stack`."""
        return self._recall(self.still.fused(stacks.single(), mean, scale), len(stacks))

    def fixed(self, mean: Tensor, scale: Tensor) -> Callable[[Stacks], Tensor]:
        """See `_Stack`."""
        still = self.still.fixed(mean, scale)
        return lambda stacks: self._recall(still(stacks.single()), len(stacks))

    def _recall(self, features: Tensor, sequences: int) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            recalled: Tensor = self.lstm(features.float().view(sequences, -1, features.shape[-1]))[0]
        return recalled[:, -1]


def lstm(spec: EncoderSpec) -> nn.Module:
    """Read the frames one by one, oldest first: the small network, and an LSTM as wide as the features."""
    return _Sequence(spec)


def sigmoid(spec: EncoderSpec) -> nn.Module:
    """Two layers of sigmoid units over all pixels, as Hinton et al. 2006 unroll them; the picture is halved first."""
    pixels = spec.frames * (spec.height // 2) * (spec.width // 2)
    return nn.Sequential(
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(pixels, 2 * spec.feature_dim),
        nn.Sigmoid(),
        nn.Linear(2 * spec.feature_dim, spec.feature_dim),
        nn.Sigmoid(),
    )


class Symlog(nn.Module):
    """symlog(x) = sign(x) log(1 + |x|), as Hafner et al. 2023 apply it to states: x near 0, large numbers compressed.

    Numbers are scaled by their spread in random play. A good player may reach numbers twenty times as large, and in
    LayerNorm one of these would drown all others.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map any tensor to one of its shape."""
        return x.sign() * x.abs().log1p()


def mlp(spec: EncoderSpec) -> nn.Module:
    """Two linear layers, for states."""
    return nn.Sequential(Symlog(), *_convolutions(spec, [], hidden=(spec.feature_dim,)))


ENCODERS: dict[str, Callable[[EncoderSpec], nn.Module]] = {
    "small": small,
    "nature": nature,
    "impala": impala,
    "lstm": lstm,
    "sigmoid": sigmoid,
    "mlp": mlp,
}


def make_encoder(spec: EncoderSpec) -> Encoder:
    """Build the encoder that a spec names, its weights fresh from torch's global generator.

    Raises:
        ValueError: if there is no such network or the observations are too small for it.
    """
    if spec.network not in ENCODERS:
        raise ValueError(f"there is no encoder {spec.network!r}; choose from {', '.join(ENCODERS)}")
    encoder = Encoder(spec, ENCODERS[spec.network](spec))
    _begin(encoder)
    return encoder


def _begin(network: nn.Module) -> None:
    """Draw the weights of convolutions and linear layers."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight, 2**0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
