"""Gathers what a report tells of a run: its record, a film, and some decisions with what they hung on."""

import tempfile
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.saliency import METHODS
from commands.player import Player
from envs.guest import EnvFailure
from envs.stack import FrameStack
from experiment import files
from experiment.curves import read_scores
from experiment.errors import UserError
from experiment.evaluate import fresh_seeds
from experiment.film import film
from experiment.heat import heat
from experiment.metrics import read_metrics
from experiment.report import Moment, Report, page
from experiment.run import Run

FILM_SECONDS, FILM_BYTES = 12.0, 1_800_000  # a longer or larger film is cut
DECISIONS = 150  # of which moments are chosen
MOST_MOMENTS = 4


def write_report(path: Path, run: Run, player: Player, result: dict[str, Any], name: str, watch: list[str]) -> None:
    """Write the report of a run; the file is replaced at once.

    Args:
        path: of the .html file.
        run: whose.
        player: its agent, which plays a little.
        result: an evaluation of it, as `play.py --json` answers it.
        name: the run's, for the title.
        watch: the words of the command that shows the agent.

    Raises:
        UserError: if the file can't be written.
    """
    report = Report(name, run.about, result, player.steps, watch=watch)
    if run.metrics.exists():
        report.metrics = read_metrics(run.metrics)
    if not any(read_scores(report.metrics)):
        why = "This run's folder has no record of its training"
        if report.metrics:
            why = "The record of its training has no score"
        report.missing.append(f"{why}, so there is no learning curve.")
    try:
        report.film, report.poster = _film(player, result["seed"], result["score_cap"])
        report.moments = take_moments(player, result["seed"])
    except (UserError, EnvFailure, ValueError) as error:
        report.missing.append(f"The game can't be shown here ({error}), so there are no film and no saliency.")
    else:
        if not report.moments:
            report.missing.append("The agent sees numbers and no pixels, so there is no saliency.")
    with files.writing(path) as temporary:
        files.write(temporary, page(report))


def _film(player: Player, seed: int, cap: int | None) -> tuple[bytes, NDArray[np.uint8]]:
    """Film an episode's beginning; returns the .mp4, and its first picture."""
    seconds = FILM_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        while True:
            pictures = player.pictures(seconds, seed, cap)
            first = next(pictures).copy()
            film(chain([first], pictures), path, player.settings.game.fps)
            data = path.read_bytes()
            if len(data) <= FILM_BYTES or seconds < 1:
                return data, first
            seconds *= 0.9 * FILM_BYTES / len(data)


def take_moments(player: Player, seed: int) -> list[Moment]:
    """Play an episode's beginning and explain, of each action, the decision in the middle of all those that took it.

    Returns:
        at most four moments; none of an agent that sees numbers instead of pixels.
    """
    game, policy = player.settings.game, player.policy.begin(1)
    if game.spaces.observations.dtype != np.uint8:
        return []
    envs: Any = game.make(1, render_mode="rgb_array")
    observations, _ = envs.reset(seed=fresh_seeds(seed, 1))
    stack, same = FrameStack(player.settings.frames, observations), np.zeros(1, np.bool_)
    taken: dict[int, list[Any]] = {}
    for _ in range(DECISIONS):
        seen = torch.from_numpy(stack.stacks.copy())
        action = int(policy(seen))
        taken.setdefault(action, []).append((envs.render()[0].copy(), seen, policy.memory))
        observations, _, terminated, truncated, _ = envs.step(np.array([action]))
        if terminated[0] or truncated[0]:
            break
        stack.push(observations, same)
    moments = []
    for action, all_of_it in sorted(taken.items())[:MOST_MOMENTS]:
        picture, seen, memory = all_of_it[len(all_of_it) // 2]
        maps = {name: heat(picture, method(policy.network, seen, memory).numpy()) for name, method in METHODS.items()}
        moments.append(Moment(game.actions[action], picture, maps))
    return moments
