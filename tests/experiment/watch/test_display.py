"""A real window on a virtual display: what is on the screen, keys from outside, and how it closes.

Leaves a screenshot of every overlay in pytest's temporary folder (`--basetemp` chooses another).
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from experiment.watch.scene import OVERLAYS
from tests.commands.running import ROOT, TINY, command

SIZE = (1000, 800)
NEEDED = ("Xvfb", "xdotool")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"needs {' and '.join(NEEDED)}"),
]


class Screen:
    """A virtual display with one window on it."""

    def __init__(self, *words: str) -> None:
        reading, writing = os.pipe()
        self._server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{SIZE[0]}x{SIZE[1]}x24", "-nolisten", "tcp"],
            pass_fds=[writing],
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with os.fdopen(reading) as pipe:
            display = f":{pipe.readline().strip()}"
        kept = {key: value for key, value in os.environ.items() if key != "SDL_VIDEODRIVER"}
        self.env = {**kept, "DISPLAY": display, "SDL_AUDIODRIVER": "dummy"}
        self.program = subprocess.Popen(
            [sys.executable, "play.py", *words],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def picture(self) -> NDArray[np.uint8]:
        """Return the whole screen, uint8 [height, width, 3]."""
        import imageio_ffmpeg  # type: ignore[import-untyped]

        words = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "x11grab", "-video_size", f"{SIZE[0]}x{SIZE[1]}"]
        words += ["-i", self.env["DISPLAY"], "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
        raw = subprocess.run(words, capture_output=True, check=True, env=self.env).stdout
        return np.frombuffer(raw, np.uint8).reshape(SIZE[1], SIZE[0], 3)

    def keep(self, path: Path) -> None:
        """Leave a screenshot."""
        Image.fromarray(self.picture()).save(path)

    def strike(self, key: str) -> None:
        subprocess.run(["xdotool", "key", key], env=self.env, check=True, capture_output=True)

    def close(self) -> None:
        self.program.kill()
        self.program.communicate()
        self._server.terminate()
        self._server.wait(20)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    """Show an agent with a trained encoder, for whom all overlays have something to show."""
    train = [
        f"train.py encoder-supervised --total-steps 512 --threads 1 --quiet --out {tmp_path / 'eyes'}",
        f"train.py {' '.join(TINY)} --total-steps 128 --evaluate-seconds 0 --quiet"
        f" --encoder {tmp_path / 'eyes' / 'encoder'} --out {tmp_path / 'run'}",
    ]
    for words in train:
        done = command(words, tmp_path)
        assert done.returncode == 0, done.stderr
    shown = Screen(str(tmp_path / "run"), "--scale", "1.5", "--overlay", "none")
    yield shown
    shown.close()


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


def test_the_window_shows_the_game_takes_keys_and_closes(screen: Screen, tmp_path: Path) -> None:
    until(lambda: screen.picture().std() > 20)  # the game is there
    game, panel = (slice(None), slice(0, 400)), (slice(280, 700), slice(500, 860))
    first = screen.picture()
    until(lambda: (screen.picture()[game] != first[game]).any())  # and moves
    screen.strike("p")
    until(lambda: (screen.picture() == screen.picture()).all())
    still = screen.picture()
    empty = screen.picture()[panel]
    seen = []
    for name, overlay in OVERLAYS.items():
        if name == "saliency":
            continue
        screen.strike(overlay.key)
        until(lambda: (screen.picture()[panel] != empty).mean() > 0.02)
        seen.append(screen.picture())
        screen.keep(tmp_path / f"{name}.png")
        screen.strike(overlay.key)
        until(lambda: (screen.picture()[panel] == empty).mean() > 0.999)
    assert len(seen) == len(OVERLAYS) - 1
    assert all((one != other).any() for i, one in enumerate(seen) for other in seen[:i])
    before = still
    for method in ("gradient", "occlusion"):  # they lie over the game
        screen.strike(OVERLAYS["saliency"].key)
        until(lambda: all((screen.picture()[game] != other[game]).mean() > 0.3 for other in (still, before)))  # noqa: B023
        before = screen.picture()
        screen.keep(tmp_path / f"{method}.png")
    screen.strike("h")
    until(lambda: (screen.picture() != before).mean() > 0.3)
    screen.keep(tmp_path / "keys.png")
    screen.strike("q")
    assert screen.program.wait(30) == 0
    assert screen.program.stdout is not None
    assert screen.program.stdout.read() == ""
