"""The distribution that stands for a value: its mean, its target, its scale and what it learns."""

import math
from statistics import NormalDist

import pytest
import torch
from torch import Tensor

from agents.values import ATOMS, ValueHead

STEP = 10 / (ATOMS - 1)  # from one atom to the next, in units of the scale


def scaled(scale: float) -> ValueHead:
    head = ValueHead(2)
    head.rescale(torch.tensor([scale, -scale]))
    return head


def point(weights: dict[int, float]) -> Tensor:
    """Logits [1, atoms] of a distribution with these weights."""
    p = torch.full((1, ATOMS), 1e-30)
    for i, weight in weights.items():
        p[0, i] = weight
    return p.log()


def test_the_value_is_the_mean_of_the_distribution() -> None:
    """Atom 127 is 0, atom 0 is -5 scales, atom 254 is 5."""
    head = scaled(3.0)
    assert head.mean(point({0: 1.0})).item() == pytest.approx(-15.0)
    assert head.mean(point({127: 0.4, 254: 0.6})).item() == pytest.approx(9.0)
    assert head.mean(torch.zeros(4, ATOMS)).tolist() == pytest.approx([0.0] * 4, abs=1e-5)


def test_a_fresh_head_values_everything_at_zero() -> None:
    head = ValueHead(4)
    assert head.mean(head(torch.randn(5, 4))).tolist() == [0.0] * 5


def test_the_scale_is_the_root_mean_square_of_late() -> None:
    """By hand: the first returns' alone, then 19 parts of what was and one of what is new."""
    head = ValueHead(4)
    head.rescale(torch.tensor([[3.0, -4.0], [0.0, 5.0]]))
    assert head.scale.item() == pytest.approx(12.5**0.5)
    head.rescale(torch.tensor([10.0]))
    assert head.scale.item() == pytest.approx((0.95 * 12.5 + 5.0) ** 0.5)
    head.rescale(torch.tensor([0.0]))
    assert head.scale.item() == pytest.approx((0.95 * (0.95 * 12.5 + 5.0)) ** 0.5)


@pytest.mark.parametrize("value", [0.0, 0.05, 3.7, -12.3, 30.0])
def test_the_loss_is_least_where_the_mean_is_the_return(value: float) -> None:
    """The best distribution, found by descent and not by the formula, has the return as its mean."""
    head = scaled(8.0)
    logits = torch.zeros(1, ATOMS, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.3)
    for _ in range(400):
        optimizer.zero_grad()
        torch.autograd.backward(head.loss(logits, torch.tensor([value])))
        optimizer.step()
    assert head.mean(logits.detach()).item() == pytest.approx(value, abs=0.05)


def test_the_loss_against_the_normal_distribution_of_another_library() -> None:
    """Cross entropy of known logits, with the target's weights from the standard library."""
    head = scaled(2.0)
    logits = torch.randn(2, ATOMS, generator=torch.Generator().manual_seed(0))
    log_p = logits.log_softmax(-1)
    losses = []
    for i, value in enumerate((3.0, -0.11)):
        normal = NormalDist(value / 2.0, 0.75 * STEP)
        loss = 0.0
        for j in range(ATOMS):
            atom = -5 + j * STEP
            loss -= (normal.cdf(atom + STEP / 2) - normal.cdf(atom - STEP / 2)) * log_p[i, j].item()
        losses.append(loss)
        single = head.loss(logits[[i]], torch.tensor([value]))
        assert single.item() == pytest.approx(loss, rel=1e-4)
    assert head.loss(logits, torch.tensor([3.0, -0.11])).item() == pytest.approx(sum(losses) / 2, rel=1e-4)


def test_returns_beyond_the_outermost_atoms_count_as_those() -> None:
    head = scaled(2.0)
    logits = torch.randn(1, ATOMS)
    for end in (10.0, -10.0):
        at = head.loss(logits, torch.tensor([end])).item()
        assert head.loss(logits, torch.tensor([end * 1e5])).item() == at
        assert math.isfinite(at)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_a_head_learns_returns_of_any_size(size: float) -> None:
    """The conditional mean, as least squares would find it, though each return is noisy."""
    generator = torch.Generator().manual_seed(0)
    head = ValueHead(2)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    for _ in range(600):
        which = torch.randint(2, (256,), generator=generator)
        returns = size * (torch.where(which == 0, 2.0, 20.0) + torch.randn(256, generator=generator))
        head.rescale(returns)
        optimizer.zero_grad()
        torch.autograd.backward(head.loss(head(torch.eye(2)[which]), returns))
        optimizer.step()
    assert head.mean(head(torch.eye(2))).tolist() == pytest.approx([2.0 * size, 20.0 * size], rel=0.05)


def test_values_are_not_rounded() -> None:
    """Whatever the number format of the run."""
    head, logits = scaled(3.0), torch.randn(50, ATOMS)
    expected = head.mean(logits)
    with torch.autocast("cpu", torch.bfloat16):
        assert head.mean(logits).dtype == torch.float32
        assert torch.equal(head.mean(logits), expected)
