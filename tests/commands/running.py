"""What the commands' tests share: running them, tiny runs, and what a refusal looks like."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from experiment.errors import UserError

ROOT = Path(__file__).parents[2]
TINY = ["ppo", "--num-envs", "4", "--rollout-steps", "8", "--precision", "fp32", "--threads", "1", "--seed", "5"]
SHORT = ["--evaluate-episodes", "2", "--evaluate-cap", "1", "--final-episodes", "2", "--final-cap", "1"]
ANSWER = {  # what an evaluation answers with, at least
    "env", "preset", "episodes", "seed", "score_mean", "score_median", "score_ci95",
    "score_cap", "reached_cap", "steps",
}  # fmt: skip


def command(arguments: str, cwd: Path, **environment: str | None) -> "subprocess.CompletedProcess[str]":
    """Run `train.py ...` or `play.py ...` as a user does, with more in the environment, or less (None)."""
    program, *rest = arguments.split()
    words = [sys.executable, str(ROOT / program), *rest]
    env = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=100, check=False)


def everything(folder: Path) -> dict[str, bytes]:
    """Every file's bytes by its name, and every folder's name."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def refused(main: Callable[[list[str]], int], arguments: str, *words: str) -> None:
    """The command must raise an error of one line that holds the words, and leave the current folder as it was."""
    before = everything(Path())
    with pytest.raises(UserError) as caught:
        main(arguments.split())
    message = str(caught.value)
    assert len(message) < 600
    assert not re.search(r"\n|---|\x1b|([A-Z][a-z]+ (argument|error|choice) )+(?i:missing|error|invalid)", message)
    for word in words:
        assert word in message
    assert everything(Path()) == before


def film_frames(path: Path) -> NDArray[np.uint8]:
    """Decode a film of Flappy Bird's screen, uint8 [frames, 512, 288, 3]."""
    decode = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-i",
        str(path),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    done = subprocess.run(decode, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 512, 288, 3)
