"""The network of the policy gradient algorithms."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from agents.values import ValueHead
from experiment.policy import Thought
from perception import Encoder


class ActorCritic(nn.Module):
    """An encoder with a policy head and a value head.

    Args:
        encoder: observations to features.
        actions: number of actions.
        remembered: numbers that the heads see beside the features; see `RecurrentActorCritic`.
    """

    def __init__(self, encoder: Encoder, actions: int, remembered: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        self.policy = nn.Linear(encoder.feature_dim + remembered, actions)
        self.value = ValueHead(encoder.feature_dim + remembered)
        nn.init.orthogonal_(self.policy.weight, 0.01)
        nn.init.zeros_(self.policy.bias)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Map observations [batch, frames, height, width] to logits [batch, actions] and [batch, atoms]."""
        return self.heads(self.encoder(observations))

    def heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map what the heads see, float32 [batch, width], to logits as above."""
        return self.rank(features), self.value(features)

    def rank(self, features: Tensor) -> Tensor:
        """Map the same to the actions' logits alone."""
        device = features.device.type
        if not torch.is_autocast_enabled(device):
            logits: Tensor = self.policy(features)
            return logits
        with torch.autocast(device, enabled=False):  # the policy stays in float32
            return self.rank(features)

    def thought(self, logits: Tensor, values: Tensor) -> Thought:
        """Explain what `forward` returned: the policy's probabilities and the state's value."""
        return Thought(logits.argmax(-1), logits.softmax(-1), True, self.value.mean(values))


class RecurrentActorCritic(ActorCritic):
    """The same with an LSTM (Hochreiter & Schmidhuber 1997) between: the heads see the features and what it recalls.

    Its memory is float32 [2, games, size]: the output h and the cell c.
    """

    def __init__(self, encoder: Encoder, actions: int, size: int) -> None:
        super().__init__(encoder, actions, remembered=size)
        self.lstm = nn.LSTM(encoder.feature_dim, size)
        with torch.no_grad():  # remember at first, rather than forget (Jozefowicz et al. 2015)
            self.lstm.get_parameter("bias_ih_l0")[size : 2 * size] = 1.0

    def blank(self, games: int) -> Tensor:
        """Return the memory of games that have just begun."""
        return torch.zeros(2, games, self.lstm.hidden_size, device=self.policy.weight.device)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Map episodes' first observations, as `ActorCritic` does."""
        games = len(observations)
        first = torch.ones(1, games, dtype=torch.bool)
        logits, values, _ = self.recall(observations, first, self.blank(games))
        return logits, values

    def recall(self, observations: Tensor, first: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Go through what some games showed, as `remember`.

        Returns:
            logits of actions [times * games, actions] and values [times * games, atoms], and the memory afterwards.
        """
        seen, memory = self.remember(observations, first, memory)
        return *self.heads(seen), memory

    def remember(self, observations: Tensor, first: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Go through what some games showed, one time after the other.

        Args:
            observations: [times * games, frames, height, width], all games of the first time first.
            first: bool [times, games], where an episode begins: nothing is recalled there.
            memory: before the first of these times.

        Returns:
            what the heads see [times * games, width], and the memory afterwards.
        """
        times, games = first.shape
        features = self.encoder(observations)
        with torch.autocast(features.device.type, enabled=False):
            sequence = features.view(times, games, -1)
            # Between two times at which some episode begins the LSTM runs undisturbed.
            starts = [0, *(t for t in range(1, times) if first[t].any()), times]
            recalled = []
            for start, end in pairwise(starts):
                h, c = memory * ~first[start, :, None].to(memory.device)
                output, (h, c) = self.lstm(sequence[start:end], (h[None], c[None]))
                memory = torch.cat([h, c])
                recalled.append(output)
            seen = torch.cat([sequence, torch.cat(recalled)], -1).flatten(0, 1)
        return seen, memory


def chosen(logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Return (log pi(a|s) of the actions, float [batch]; the mean entropy H = -mean sum_a pi log pi, float [])."""
    log_probs = logits.log_softmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1).mean()
    return log_probs.gather(-1, actions[:, None]).squeeze(-1), entropy
