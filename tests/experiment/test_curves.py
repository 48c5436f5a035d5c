"""Curves show what was measured."""

from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

from experiment import curves
from experiment.curves import learning_curve

METRICS: list[dict[str, Any]] = [
    {"steps": 0, "seconds": 0.0, "train/score": None},
    {"steps": 1000, "seconds": 10.0, "train/score": 1.0, "eval/score_mean": 2.0, "eval/score_ci95": [1.0, 4.0]},
    {"steps": 2000, "seconds": 20.0, "train/score": 5.0},
    {"steps": 3000, "seconds": 30.0, "train/score": 8.0, "eval/score_mean": 9.0, "eval/score_ci95": None},
]


def test_a_curve_shows_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = curves._draw_scores
    monkeypatch.setattr(curves, "_draw_scores", lambda axes, *rest: (drawn.append(axes), draw(axes, *rest)))
    learning_curve(METRICS, tmp_path / "new" / "curve.png", "PPO")
    for axes, across in zip(drawn, ([10.0, 20.0, 30.0], [1000, 2000, 3000]), strict=True):
        np.testing.assert_allclose(axes.lines[0].get_xydata(), np.column_stack([across, [1.0, 5.0, 8.0]]))
        (points,) = axes.containers
        np.testing.assert_allclose(points.lines[0].get_xydata(), [[across[0], 2.0], [across[2], 9.0]])
        (bars,) = points.lines[2]
        assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[1.0, 4.0], [9.0, 9.0]]
    assert drawn[0].get_xlabel() == "training time (seconds)"
    picture = iio.imread(tmp_path / "new" / "curve.png")
    assert picture.shape[:2] == (480, 1200)
    for color in (curves.BLUE, curves.ORANGE):
        rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(picture[..., :3].astype(int) - rgb).max(-1) < 8).sum() > 50
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["curve.png"]


@pytest.mark.parametrize(("seconds", "unit"), [(100, "seconds"), (200, "minutes"), (4 * 3600, "hours")])
def test_long_runs_are_shown_in_larger_units(
    tmp_path: Path, seconds: int, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    draw = curves._draw_scores
    monkeypatch.setattr(curves, "_draw_scores", lambda axes, *rest: (drawn.append(axes), draw(axes, *rest)))
    learning_curve([{"steps": 1, "seconds": seconds, "train/score": 1.0}], tmp_path / "curve.png", "")
    assert drawn[0].get_xlabel() == f"training time ({unit})"
    size = {"seconds": 1, "minutes": 60, "hours": 3600}[unit]
    assert drawn[0].lines[0].get_xdata()[0] == pytest.approx(seconds / size)


def test_a_curve_of_nothing_says_so(tmp_path: Path) -> None:
    learning_curve([], tmp_path / "empty.png", "PPO")
    assert iio.imread(tmp_path / "empty.png").shape[:2] == (480, 1200)
