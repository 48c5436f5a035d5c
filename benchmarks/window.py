"""Pictures a second in play.py's window, with every overlay on, while the shipped agent plays.

    python -m benchmarks.window [--json] [--seconds 20] [--overlay input,actions,value,maps]

A window is opened (SDL_VIDEODRIVER=dummy opens one that nobody sees) and kept at its 60 pictures a second, as when
somebody watches. Counted are the pictures shown, the time from each to the next, the frames of the game, which has
30 a second of its own, and the CPU time.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from agents.device import set_threads
from benchmarks.common import machine, print_json
from commands.player import load_player
from commands.watched import contender
from experiment.command import main_line, parse
from experiment.errors import UserError
from experiment.watch.director import Director
from experiment.watch.scene import OVERLAYS
from experiment.watch.window import Viewing
from play import SHIPPED

WARM_UP = 2.0  # seconds


@dataclass
class Settings:
    """What to measure."""

    run: Path = SHIPPED
    """A run's folder or one of its checkpoints."""
    seconds: float = 20.0
    """How long to watch, after two seconds of warming up."""
    overlay: str = ",".join(OVERLAYS)
    """Overlays that are on; saliency is the gradient's."""
    scale: float = 1.5
    """Pixels a unit; at 1 the window is 512 pixels high."""
    json: bool = False
    """Print one JSON object."""


def measure(settings: Settings) -> dict[str, Any]:
    """Watch and count.

    Raises:
        UserError: if there is no display, no such agent or no such overlay.
    """
    overlays = frozenset(settings.overlay.split(","))
    if not overlays <= OVERLAYS.keys() or settings.seconds <= 0:
        raise UserError(f"--overlay takes {','.join(OVERLAYS)}, or some of them, and --seconds must be more than 0")
    set_threads(1)
    player = load_player(settings.run)
    director = Director(player.settings.game, [contender(settings.run, player)], 0, None, overlays)
    times: list[float] = []
    busy: list[float] = []  # CPU seconds so far, of all threads
    shown: list[int] = []

    def wait() -> float:
        seconds = viewing.window.wait()
        frame = viewing.scene.seats[0].moment.frame
        if frame or times:  # from the first frame on: the rules are compiled before it
            times.append(time.perf_counter())
            busy.append(time.process_time())
            shown.append(frame)
            viewing.controls.left |= times[-1] - times[0] > settings.seconds + WARM_UP
        return seconds

    viewing = Viewing(director, settings.scale, "benchmark", wait=wait)
    width, height = viewing.window.screen.get_size()
    driver = viewing.window.driver
    viewing.run()
    kept = np.array(times) - times[0] >= WARM_UP
    gaps = np.diff(np.array(times)[kept])
    frames = np.maximum(np.diff(np.array(shown)[kept]), 0).sum()  # a new episode begins at 0
    return {
        "machine": machine("pygame", "torch"),
        "window": [width, height],
        "driver": driver,
        "overlays": sorted(overlays),
        "seconds": float(gaps.sum()),
        "pictures_per_second": float(1 / gaps.mean()),
        "gap_ms": {name: float(np.percentile(gaps, at) * 1000) for name, at in (("median", 50), ("p99", 99))},
        "cores_used": float(np.diff(np.array(busy)[kept]).sum() / gaps.sum()),
        "game_frames_per_second": float(frames / gaps.sum()),
    }


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.window", __doc__ or "")
    answer = measure(settings)
    if settings.json:
        print_json(answer)
        return 0
    table = Table(
        "pictures/s", "median gap", "99% within", "game's frames/s", "cores used", title=answer["machine"]["cpu"]
    )
    gaps = answer["gap_ms"]
    table.add_row(
        f"{answer['pictures_per_second']:.1f}",
        f"{gaps['median']:.1f} ms",
        f"{gaps['p99']:.1f} ms",
        f"{answer['game_frames_per_second']:.1f}",
        f"{answer['cores_used']:.2f}",
    )
    table.caption = f"{answer['window'][0]} x {answer['window'][1]}, {', '.join(answer['overlays'])}"
    Console().print(table)
    return 0


if __name__ == "__main__":
    main_line(main)
