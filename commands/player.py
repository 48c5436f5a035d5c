"""From a run's folder back to an agent that plays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agents.device import choose_device, sensible_formats
from agents.learner import GreedyPolicy
from commands.build import ALGORITHMS, Settings
from experiment import checkpoint
from experiment.errors import UserError
from experiment.evaluate import evaluate
from experiment.run import CONFIG, Run, run_folder
from experiment.runner import BEST
from experiment.show import show


@dataclass
class Player:
    """A trained agent, ready to play.

    Attributes:
        settings: of its run.
        policy: the agent; greedy.
        steps: decisions it was trained for.
    """

    settings: Settings
    policy: GreedyPolicy
    steps: int

    def evaluate(
        self, episodes: int, seed: int = 0, score_cap: int | None = None, watch: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        """Judge it; returns what was played and what `experiment.evaluate.evaluate` returns, whose arguments these are.

        Raises:
            EnvFailure: as that does.
        """
        game = self.settings.game
        result = evaluate(game.make, self.policy, self.settings.frames, episodes, seed, score_cap, watch)
        return {**game.about, **result}

    def pictures(self, seconds: float, seed: int = 0, score_cap: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Play an episode's first seconds, uint8 [screen height, screen width, 3] a frame; see `show`."""
        game = self.settings.game
        shown = show(game, self.policy, self.settings.frames, seed, score_cap)
        return (moment.picture for moment in islice(shown, round(seconds * game.fps)))


def load_player(path: Path, device: str = "auto", env: str | None = None) -> Player:
    """Load a run's best policy, or its newest if none was evaluated yet, or that of one checkpoint.

    Args:
        path: a run's folder, or a checkpoint in it.
        device: where to compute.
        env: the environment, if the user has named it again; see `GameConfig.confirm`.

    Raises:
        UserError: if there is none, it is damaged, or it does not fit its own settings.
    """
    given = run_folder(path)
    run = Run.open(given)
    if run.config.get("algorithm", "").startswith("encoder-"):
        raise UserError(f"{run.path} is an encoder's run, which can't play; hand it to an agent: --encoder {run.path}")
    folder = path if given != path else run.path / BEST
    if given == path and not checkpoint.exists(folder):
        folder = checkpoint.latest(run.path)
    tensors, meta = checkpoint.load(folder)
    settings = Settings.parse(run.config, str(run.path / CONFIG), env)
    settings.device = str(choose_device(device))
    try:
        encoder = settings.make_encoder()
    except ValueError as error:
        raise UserError(f"{run.path / CONFIG}: {error}") from error
    actions = settings.game.spaces.actions
    network = ALGORITHMS[settings.algorithm].algorithm.make_network(encoder, actions, settings.learner)
    weights = checkpoint.part("average", tensors)
    checkpoint.fit(network.state_dict(), weights, f"the agent in {run.path}")
    network.load_state_dict(weights)
    network.to(settings.device).eval()
    target = torch.device(settings.device)
    precision = settings.precision if settings.precision in sensible_formats(target) else "fp32"
    policy = GreedyPolicy(network, target, precision)
    return Player(settings, policy, int(meta["steps"]))
