"""Encoders in SB3's policies: the weights stay, the numbers are the encoder's own, and mistakes are told."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from perception import Encoder, EncoderSpec, make_encoder
from perception.sb3 import EncoderExtractor

SPACE = spaces.Box(0, 255, (2, 40, 48), np.uint8)


def trained() -> Encoder:
    """An encoder with weights that no initialisation gives, and a normalisation of its own."""
    torch.manual_seed(0)
    encoder = make_encoder(EncoderSpec("small", 2, 40, 48, 32))
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.uniform_(-0.1, 0.3)
    encoder.fit_normalization(torch.randint(256, (50, 40, 48), dtype=torch.uint8))
    return encoder


def policy(kind: Any, encoder: Encoder, extractor: Any = EncoderExtractor, **changes: Any) -> Any:
    settings = {"normalize_images": False, **changes}
    return kind(
        SPACE,
        spaces.Discrete(3),
        lambda _: 1e-3,
        features_extractor_class=extractor,
        features_extractor_kwargs={"encoder": encoder},
        **settings,
    )


def keeps(extractor: Any, encoder: Encoder) -> bool:
    pairs = zip(extractor.encoder.state_dict().items(), encoder.state_dict().items(), strict=True)
    return all(key == wanted and torch.equal(value, expected) for (key, value), (wanted, expected) in pairs)


class Unguarded(BaseFeaturesExtractor):
    """As anyone would write it at first."""

    def __init__(self, observation_space: spaces.Space[Any], encoder: Encoder) -> None:
        super().__init__(observation_space, encoder.feature_dim)
        self.encoder = make_encoder(encoder.spec)
        self.encoder.load_state_dict(encoder.state_dict())

    def forward(self, observations: Tensor) -> Tensor:
        features: Tensor = self.encoder(observations.to(torch.uint8))
        return features


def test_ortho_init_leaves_the_encoder_alone() -> None:
    encoder = trained()
    assert not keeps(policy(ActorCriticPolicy, encoder, Unguarded).features_extractor, encoder)  # the trap is there
    shared = policy(ActorCriticPolicy, encoder)
    assert shared.ortho_init
    assert keeps(shared.features_extractor, encoder)
    heads = shared.action_net.weight.detach()
    torch.testing.assert_close(heads @ heads.T, 0.01**2 * torch.eye(3))  # the policy's own layers get their weights
    apart = policy(ActorCriticPolicy, encoder, share_features_extractor=False)
    assert keeps(apart.pi_features_extractor, encoder)
    assert keeps(apart.vf_features_extractor, encoder)


def test_other_functions_are_applied_as_ever() -> None:
    reached: list[nn.Module] = []
    policy(ActorCriticPolicy, trained()).apply(reached.append)
    for kind in (Encoder, nn.Conv2d, EncoderExtractor):
        assert any(isinstance(module, kind) for module in reached)


def test_no_two_networks_share_an_encoder() -> None:
    encoder = trained()
    dqn = policy(DQNPolicy, encoder)
    extractors = [dqn.q_net.features_extractor, dqn.q_net_target.features_extractor]
    assert all(keeps(extractor, encoder) for extractor in extractors)
    memory = {parameter.data_ptr() for part in (encoder, *extractors) for parameter in part.parameters()}
    assert len(memory) == 3 * len(list(encoder.parameters()))


def test_features_are_the_encoders_own() -> None:
    encoder = trained()
    actor = policy(ActorCriticPolicy, encoder)
    assert actor.features_dim == actor.features_extractor.features_dim == 32
    observations = torch.randint(256, (7, 2, 40, 48), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(actor.extract_features(observations), encoder(observations))
        half = EncoderExtractor(SPACE, encoder, torch.bfloat16)(observations.float())
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(half, encoder(observations))
    assert half.dtype == torch.float32


def test_pixels_divided_by_255_are_refused() -> None:
    """They would all become 0. A blank picture can't tell, so the next one is looked at."""
    actor = policy(ActorCriticPolicy, trained(), normalize_images=True)
    blank = torch.zeros(1, 2, 40, 48, dtype=torch.uint8)
    actor.extract_features(blank)
    with pytest.raises(ValueError, match="normalize_images"):
        actor.extract_features(blank + 100)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(0, 255, (3, 40, 48), np.uint8),
        spaces.Box(0, 255, (40, 48, 2), np.uint8),
        spaces.Box(0, 255, (2, 40, 48), np.float32),
    ],
)
def test_other_observations_are_refused(space: spaces.Box) -> None:
    with pytest.raises(ValueError, match=r"the encoder takes uint8 \[2, 40, 48\]"):
        EncoderExtractor(space, trained())
