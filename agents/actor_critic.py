"""The network of the policy gradient algorithms."""

import torch
from torch import Tensor, nn

from agents.values import ValueHead
from perception import Encoder


class ActorCritic(nn.Module):
    """An encoder with a policy head and a value head."""

    def __init__(self, encoder: Encoder, actions: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.policy = nn.Linear(encoder.feature_dim, actions)
        self.value = ValueHead(encoder.feature_dim)
        nn.init.orthogonal_(self.policy.weight, 0.01)
        nn.init.zeros_(self.policy.bias)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Map observations [batch, frames, height, width] to logits [batch, actions] and [batch, atoms]."""
        return self.heads(self.encoder(observations))

    def heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features [batch, feature_dim] to logits as above."""
        with torch.autocast(features.device.type, enabled=False):  # the heads stay in float32
            return self.policy(features), self.value(features)


def chosen(logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Return (log pi(a|s) of the actions, float [batch]; the mean entropy H = -mean sum_a pi log pi, float [])."""
    log_probs = logits.log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
    return log_probs.gather(-1, actions[:, None]).squeeze(-1), entropy
