"""A real window on a virtual display: what is on the screen, keys from outside, and how it closes."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from experiment.watch.scene import OVERLAYS
from tests.commands.running import ROOT

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

    def strike(self, key: str) -> None:
        subprocess.run(["xdotool", "key", key], env=self.env, check=True, capture_output=True)

    def close(self) -> None:
        self.program.kill()
        self.program.communicate()
        self._server.terminate()
        self._server.wait(20)


@pytest.fixture
def screen() -> Iterator[Screen]:
    shown = Screen("--scale", "1.5", "--overlay", "none")
    yield shown
    shown.close()


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.1)


def test_the_window_shows_the_game_takes_keys_and_closes(screen: Screen) -> None:
    until(lambda: screen.picture().std() > 20)  # the game is there
    game, panel = (slice(None), slice(0, 400)), (slice(280, 700), slice(500, 860))
    first = screen.picture()
    until(lambda: (screen.picture()[game] != first[game]).any())  # and moves
    screen.strike("p")
    until(lambda: (screen.picture() == screen.picture()).all())
    still = screen.picture()
    empty = screen.picture()[panel]
    seen = []
    shown = [overlay for name, overlay in OVERLAYS.items() if name != "eyes"]  # the shipped agent's were not trained
    for overlay in shown:
        screen.strike(overlay.key)
        if overlay.key == "s":
            until(lambda: (screen.picture()[game] != still[game]).mean() > 0.3)  # it lies over the game
            break
        until(lambda: (screen.picture()[panel] != empty).mean() > 0.02)
        seen.append(screen.picture())
        screen.strike(overlay.key)
        until(lambda: (screen.picture()[panel] == empty).mean() > 0.999)
    assert len(seen) == len(shown) - 1
    assert all((one != other).any() for i, one in enumerate(seen) for other in seen[:i])
    screen.strike("q")
    assert screen.program.wait(30) == 0
    assert screen.program.stdout is not None
    assert screen.program.stdout.read() == ""
