"""The policies that a run had on its way: enough of them to show later how it learned.

runs/x/stages/000065536/ ...    checkpoints of the policy alone, one an evaluation
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from experiment import checkpoint
from experiment.errors import UserError, explain
from experiment.series import Series

FOLDER = "stages"
MOST = 16  # stages kept; with one more, the one whose neighbours are closest to each other goes


def keep_stage(run: Path, steps: int, policy: dict[str, Tensor], meta: dict[str, Any]) -> None:
    """Keep a policy; `meta` has its evaluation.

    Raises:
        UserError: if the disk refuses.
    """
    series = _of(run)
    checkpoint.save(series.at(steps), policy, meta)
    stages = series.all()
    if len(stages) > MOST:
        dense = min(range(1, MOST), key=lambda i: int(stages[i + 1].name) - int(stages[i - 1].name))
        leave(run, stages[:dense] + stages[dense + 1 :])


def leave(run: Path, wanted: list[Path]) -> None:
    """Delete all stages but these.

    Raises:
        UserError: if the disk refuses.
    """
    with explain(f"delete old stages in {run}"):
        _of(run).leave(wanted)


def rewind(run: Path, steps: int) -> None:
    """Delete the stages after `steps`, before training goes on from there.

    Raises:
        UserError: if the disk refuses.
    """
    leave(run, [path for path in _of(run).all() if int(path.name) <= steps])


def choose(run: Path, best: int) -> list[Path]:
    """Choose the stages for a film that ends with the best policy.

    Args:
        run: the run's folder.
        best: that policy's steps.

    Returns:
        of the stages before it the first, and the one whose score is nearest to half way from that one's to the highest
        of all.
    """
    scores: dict[Path, float] = {}
    for path in _of(run).all():
        try:
            scores[path] = float(checkpoint.load(path)[1]["evaluation"]["score_mean"])
        except (UserError, KeyError, TypeError):  # damaged; it is for a film, no more
            continue
    earlier = [path for path in scores if int(path.name) < best]
    if not earlier:
        return []
    first, *later = earlier
    half = (scores[first] + max(scores.values())) / 2
    middle = min(later, key=lambda path: abs(scores[path] - half), default=None)
    return [first] if middle is None else [first, middle]


def _of(run: Path) -> Series:
    return Series(run / FOLDER)
