"""The Python that the pages print runs as it stands there, one block after the other, but for shorter training."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import train
from play import SHIPPED

ROOT = Path(__file__).parents[1]
LONG = ").learn(100_000)"
SHORT = ", n_steps=2, batch_size=32).learn(32)"
SB3 = "sb3-ppo --num-envs 4 --n-steps 8 --batch-size 16 --total-steps 32 --evaluate-seconds 0 --precision fp32"


def blocks(page: str) -> list[str]:
    """What is marked as Python on a page."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("page", "count", "training"),
    [
        ("README.md", 2, 1),
        ("docs/environments.md", 3, 0),
        ("docs/any-env.md", 1, 0),
        ("docs/sb3.md", 2, 1),
        ("docs/checkpoints.md", 1, 0),
        ("docs/saliency.md", 1, 0),
    ],
)
def test_what_a_page_prints_runs(
    page: str, count: int, training: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for run in ("ppo-FlappyBird-0-1", "x"):  # which readers have trained
        Path("runs").mkdir(exist_ok=True)
        Path("runs", run).symlink_to(SHIPPED)
    if page == "docs/sb3.md":  # loads what such a command leaves
        assert train.main([*SB3.split(), "--threads", "1", "--quiet"]) == 0
    found = blocks(page)
    assert len(found) == count
    assert sum(block.count(LONG) for block in found) == training
    known = {"observations": np.zeros((3, 2, 84, 84), np.uint8)}  # which the reader has
    for block in found:
        Path("block.py").write_text(block.replace(LONG, SHORT))
        known = runpy.run_path("block.py", known)
