"""An Encoder as the features extractor of a Stable-Baselines3 policy. Importing this needs SB3."""

import copy
from collections.abc import Callable, Iterable
from typing import Any, Self

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from perception.encoder import Encoder


class EncoderExtractor(BaseFeaturesExtractor):
    """Features from a Wingbeat encoder, fresh or trained.

        policy_kwargs = {
            "features_extractor_class": EncoderExtractor,
            "features_extractor_kwargs": {"encoder": encoder},
            "normalize_images": False,
        }

    The weights are those the encoder comes with. ActorCriticPolicy means to give every features extractor new ones
    (`ortho_init`, which is on by default); this one keeps its own, and the policy's heads get theirs.

    Args:
        observation_space: the policy's, uint8 [frames, height, width].
        encoder: a copy is used, as SB3's DQN makes two extractors (online and target) that may share nothing.
        dtype: number format to compute in, as under torch.autocast; features are float32.

    Raises:
        ValueError: if the encoder is for other observations, and from `forward`, if the policy divides by 255.
    """

    def __init__(
        self, observation_space: spaces.Space[Any], encoder: Encoder, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__(observation_space, encoder.feature_dim)
        expected = (encoder.spec.frames, encoder.spec.height, encoder.spec.width)
        if observation_space.shape != expected or observation_space.dtype != "uint8":
            raise ValueError(f"the encoder takes uint8 {list(expected)}, not the observations of {observation_space}")
        self.encoder, self._dtype = copy.deepcopy(encoder), dtype
        for weight in self.encoder.parameters():
            weight.of_encoder = True  # type: ignore[attr-defined]
        self._checked = False

    def forward(self, observations: Tensor) -> Tensor:
        """Map the bytes that SB3 hands over as floats, [batch, frames, height, width], to float32 features."""
        pixels = observations.to(torch.uint8)
        if not self._checked and not torch.equal(pixels.to(observations.dtype), observations):
            raise ValueError('the encoder takes bytes, not fractions; give the policy {"normalize_images": False}')
        self._checked = int(pixels.max()) > 1  # once is enough, unless the pictures were blank
        with torch.autocast(observations.device.type, self._dtype, enabled=self._dtype != torch.float32):
            features: Tensor = self.encoder(pixels)
        return features

    def apply(self, fn: Callable[[nn.Module], Any]) -> Self:
        """Apply a function to all modules, as ever, unless it is SB3's `init_weights`: that would undo all training."""
        asked = getattr(fn, "func", fn)  # ortho_init comes as a partial
        if getattr(asked, "__name__", "") != "init_weights":
            super().apply(fn)
        return self


class _OwnRate(torch.optim.Optimizer):
    """Steps an encoder's weights at a share of the step size, which SB3 sets again and again for all weights alike."""

    def __init__(self, params: Iterable[nn.Parameter], share: float, **settings: Any) -> None:
        weights = list(params)
        encoder = [weight for weight in weights if hasattr(weight, "of_encoder")]
        others = [weight for weight in weights if not hasattr(weight, "of_encoder")]
        super().__init__([{"params": others}, {"params": encoder}], **settings)
        self._share = share
        self.register_step_pre_hook(self._scale)

    def _scale(self, *_: Any) -> None:
        others, encoder = self.param_groups
        encoder["lr"] = self._share * others["lr"]


class OwnRateAdam(_OwnRate, torch.optim.Adam):
    """Adam, see `_OwnRate`."""


class OwnRateRMSprop(_OwnRate, torch.optim.RMSprop):
    """The RMSProp of SB3's A2C, see `_OwnRate`."""
