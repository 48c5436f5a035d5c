"""Values learned by classification instead of regression."""

import torch
from torch import Tensor, nn

ATOMS, REACH = 255, 5.0
BLUR = 0.75  # the target's standard deviation, in distances between atoms
MEMORY = 0.95  # share of the old scale that is kept at each update


class ValueHead(nn.Module):
    """A state's value as a distribution over 255 numbers, evenly spaced.

    The numbers z reach from -5 s to 5 s, where s is the returns' root mean square of late, so that rewards of any
    size do. The value is the mean, V = sum_i p_i z_i. The target of a return R is a normal distribution around it,
    counted into the 255, and the loss is the cross entropy (HL-Gauss, Farebrother et al. 2024). Its gradient
    by a logit is bounded, however surprising the return. What it was worth here stands in docs/limits.md.

    Attributes:
        scale: s, float []; 0 before the first returns.

    Args:
        feature_dim: length of the feature vector.
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, ATOMS)
        nn.init.zeros_(self.linear.weight)  # so that every value is 0 at first
        nn.init.zeros_(self.linear.bias)
        self.scale: Tensor
        self.atoms: Tensor
        self.edges: Tensor
        atoms = torch.linspace(-REACH, REACH, ATOMS)
        inf = torch.tensor([float("inf")])
        self.register_buffer("scale", torch.tensor(0.0))
        self.register_buffer("atoms", atoms, persistent=False)
        self.register_buffer("edges", torch.cat([-inf, (atoms[1:] + atoms[:-1]) / 2, inf]), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [batch, feature_dim] to the distributions' logits, float32 [batch, atoms]."""
        logits: Tensor = self.linear(features)
        return logits.float()

    def mean(self, logits: Tensor) -> Tensor:
        """Return the values, float32 [...], of distributions' logits [..., atoms]."""
        means: Tensor = self.scale * (logits.softmax(-1) * self.atoms).sum(-1)  # autocast would round a matrix product
        return means

    def loss(self, logits: Tensor, returns: Tensor) -> Tensor:
        """Cross entropy L = -mean sum_i t_i log p_i, t the targets of returns [batch]."""
        centers = (returns / self.scale.clamp(min=1e-8)).clamp(-REACH, REACH)
        blur = BLUR * 2 * REACH / (ATOMS - 1)
        targets = torch.special.ndtr((self.edges - centers[:, None]) / blur).diff(dim=-1)  # [batch, atoms]
        loss: Tensor = -(targets * logits.log_softmax(-1)).sum(-1).mean()
        return loss

    @torch.no_grad()
    def rescale(self, returns: Tensor) -> None:
        """Take the size of new returns, of any shape, into the scale."""
        square = returns.square().mean()
        if self.scale > 0:
            square = MEMORY * self.scale.square() + (1 - MEMORY) * square
        self.scale.copy_(square.sqrt())
