"""How an agent became what it is: a film of its first steps, half of the way and its best, and a picture of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from commands.player import Player, load_player
from experiment import checkpoint, files
from experiment.film import film
from experiment.run import Run
from experiment.runner import BEST
from experiment.stages import choose, leave
from experiment.watch.paint import DIM, INK, NIGHT, TEAL, Canvas

SECONDS = 8.0  # of each stage, at most
SHOTS = 6  # of each stage in the picture
HEIGHT, THUMB = 512.0, 200.0  # of the film and of a shot, pixels
GAP, LINE = 8.0, 26.0


@dataclass
class Stage:
    """An agent as it was.

    Attributes:
        player: it.
        title: when that was, and how well it played.
    """

    player: Player
    title: str

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Play an episode, uint8 [height, width, 3] a frame."""
        return self.player.pictures(SECONDS)


def film_progress(run: Run, device: str, env: str) -> None:
    """Write progress.mp4 and progress.png into a run's folder; of its stages those stay that are in them.

    Args:
        run: whose; it has evaluated its policy.
        device: where to compute.
        env: what it plays, named by the user; see `GameConfig.confirm`.

    Raises:
        UserError: if the game can't be shown, or the files can't be written.
    """
    best = run.path / BEST
    chosen = choose(run.path, checkpoint.load(best)[1]["steps"])
    stages = [_stage(path, device, env) for path in [*chosen, best]]
    shots: list[list[NDArray[np.uint8]]] = []
    rate = stages[0].player.settings.game.fps
    film(_captioned(stages, shots), run.path / "progress.mp4", rate)
    with files.writing(run.path / "progress.png") as temporary:
        Image.fromarray(montage(shots, [stage.title for stage in stages])).save(temporary, format="png")
    leave(run.path, chosen)


def _stage(path: Path, device: str, env: str) -> Stage:
    meta = checkpoint.load(path)[1]
    minutes, seconds = divmod(round(meta["seconds"]), 60)
    score = meta["evaluation"]["score_mean"]
    title = f"{minutes}:{seconds:02d} min \u00b7 {meta['steps']:,} decisions \u00b7 scores {score:.1f}"
    return Stage(load_player(path, device, env), title)


def _captioned(stages: list[Stage], shots: list[list[NDArray[np.uint8]]]) -> Iterator[NDArray[np.uint8]]:
    """Yield all stages' frames with their titles; leaves `SHOTS` bare frames of each in `shots`."""
    for stage in stages:
        kept = []
        for picture in stage.frames():
            kept.append(picture)
            height, width = picture.shape[:2]
            canvas = Canvas(width / height * HEIGHT, HEIGHT, 1.0)
            canvas.image(picture, (0, 0, width / height * HEIGHT, HEIGHT))
            canvas.pill(stage.title, (width / height * HEIGHT / 2, 18), 9.5, TEAL, NIGHT)
            yield canvas.array()
        shots.append([kept[k] for k in np.linspace(0, len(kept) - 1, SHOTS).astype(int)])


def montage(shots: list[list[NDArray[np.uint8]]], titles: list[str]) -> NDArray[np.uint8]:
    """Lay pictures out, a row and its title a stage; returns uint8 [height, width, 3].

    Args:
        shots: of each stage, pictures uint8 [height, width, 3], as many of each.
        titles: of the stages.
    """
    height, width = shots[0][0].shape[:2]
    wide, row = THUMB * width / height, THUMB + LINE + GAP
    canvas = Canvas(GAP + len(shots[0]) * (wide + GAP), GAP + len(shots) * row, 1.0)
    for i, (pictures, title) in enumerate(zip(shots, titles, strict=True)):
        top = GAP + i * row
        canvas.text(title, (GAP, top + LINE / 2 - 2), 13, INK if i + 1 == len(shots) else DIM, bold=True)
        for k, picture in enumerate(pictures):
            canvas.image(picture, (GAP + k * (wide + GAP), top + LINE, wide, THUMB))
    return canvas.array()
