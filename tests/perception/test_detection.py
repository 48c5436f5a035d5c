"""Boxes become targets and come back, and average precision is what it is by hand."""

import numpy as np
import pytest
import torch

from perception.detection import average_precision, box_loss, decode, focal_loss, make_targets, overlap

NOTHING = np.zeros((0, 4))


def test_what_the_targets_say_is_read_back() -> None:
    """A detector that says exactly what it should finds every box; 84 pixels are 21 cells."""
    boxes = torch.tensor(
        [[[10.0, 33.5, 9.9, 3.9], [60, 0, 15, 21], [0, 0, 0, 0]], [[0, 50, 6, 34], [78, 2, 6, 80], [30, 30, 8, 8]]]
    )
    labels = torch.tensor([[0, 1, -1], [1, 1, 0]])
    targets = make_targets(boxes, labels, 2, (21, 21))
    assert targets.heat.shape == (2, 2, 21, 21)
    assert (targets.heat == 1).sum() == 5
    assert targets.center.tolist() == [[True, True, False], [True, True, True]]
    maps = torch.zeros(2, 4, 21 * 21)
    for i in range(2):
        for k in range(3):
            if labels[i, k] >= 0:
                maps[i, :, targets.cell[i, k]] = targets.box[i, k]
    maps = maps.view(2, 4, 21, 21)
    assert box_loss(maps, targets) == 0
    logits = torch.logit(targets.heat.clamp(1e-6, 1 - 1e-6))
    found = decode(logits, maps, 3)
    for i in range(2):
        sure = found[i][found[i, :, 1] > 0.99]
        wanted = torch.cat([labels[i, :, None].float(), boxes[i]], 1)[labels[i] >= 0]
        got = torch.cat([sure[:, :1], sure[:, 2:]], 1)
        order = [row.argsort() for row in (got[:, 1], wanted[:, 1])]
        torch.testing.assert_close(got[order[0]], wanted[order[1]], atol=1e-4, rtol=0)
    moved = maps.clone()
    moved[0, 2, targets.cell[0, 0] // 21, targets.cell[0, 0] % 21] += 2  # two cells wider, one of 5 x 4 numbers
    assert box_loss(moved, targets) == pytest.approx(2 / 20)


def test_the_focal_loss_by_hand() -> None:
    """One center at p = 0.8, a cell beside it (g = 0.5) at 0.3, one far away (g = 0) at 0.1."""
    logits = torch.logit(torch.tensor([0.8, 0.3, 0.1]))[None, None, None]
    heat = torch.tensor([1.0, 0.5, 0.0])[None, None, None]
    by_hand = -(0.2**2 * np.log(0.8) + 0.5**4 * 0.3**2 * np.log(0.7) + 0.1**2 * np.log(0.9))
    assert focal_loss(logits, heat, torch.tensor(1)).item() == pytest.approx(by_hand, rel=1e-5)
    assert focal_loss(logits, heat, torch.tensor(2)).item() == pytest.approx(by_hand / 2, rel=1e-5)


def test_overlap_by_hand() -> None:
    others = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10], [10, 0, 5, 5], [2, 2, 2, 2]])
    np.testing.assert_allclose(overlap(np.array([0.0, 0, 10, 10]), others), [1, 50 / 150, 0, 4 / 100])


def test_average_precision_by_hand() -> None:
    """Four things; found by falling score: right, wrong, right, right twice (wrong). Precision 1, 1/2, 2/3, 2/4."""
    true = [np.array([[0.0, 0, 10, 10], [40, 40, 10, 10]]), np.array([[0.0, 0, 10, 10], [20, 20, 10, 10]])]
    found = [
        np.array([[0.9, 0, 0, 10, 10], [0.6, 1, 0, 10, 10]]),
        np.array([[0.8, 60, 60, 10, 10], [0.7, 21, 20, 10, 10]]),
    ]
    assert average_precision(found, true) == pytest.approx(1 / 4 * 1 + 1 / 4 * 2 / 3)
    assert average_precision(found, true, 0.95) == pytest.approx(1 / 4)
    assert average_precision([np.zeros((0, 5))] * 2, true) == 0
    assert np.isnan(average_precision([np.zeros((0, 5))], [NOTHING]))


def test_slivers_count_for_nothing_and_against_nobody() -> None:
    true = [np.array([[0.0, 0, 10, 10], [83, 0, 1, 60]])]
    both = [np.array([[0.9, 83, 0, 1, 60], [0.8, 82.5, 10, 1, 50], [0.5, 0, 0, 10, 10]])]
    assert average_precision(both, true) == 1
    assert average_precision([both[0][2:]], true) == 1
    assert average_precision([np.array([[0.9, 50, 0, 1, 60], [0.5, 0, 0, 10, 10]])], true) == 0.5
