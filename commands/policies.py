"""Who plays when a dataset is recorded: chance, chance that leans, or a trained agent that errs."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from agents.exploration import Leaning
from commands.game import GameConfig
from commands.player import load_player
from envs.guest import names_code
from experiment.errors import UserError
from experiment.policy import Policy

CHANCE = {"random": 0.0, "leaning": 2.0}  # standard deviation of each episode's logits


class NoisyPolicy:
    """Plays by chance at some of its decisions, more so in some games than in others.

    In the first game no action is random, in the last a share `noise`: what is recorded reaches from long, careful
    episodes to crashes of all kinds. Random actions lean, see `Leaning`. All of it fits any game.

    Attributes:
        frames: how many frames it looks at.

    Args:
        policy: who acts otherwise; None to leave all to chance.
        frames: how many frames it looks at.
        games: number of games.
        actions: number of actions.
        noise: share of random actions in the last game, if there is somebody who acts.
        scale: how much random actions lean.
        seed: of all chance.
    """

    def __init__(
        self,
        policy: Policy | None,
        frames: int,
        games: int,
        actions: int,
        noise: float,
        scale: float,
        seed: int,
    ) -> None:
        self.frames, self._policy = frames, policy
        self._generator = torch.Generator().manual_seed(seed)
        self._leaning = Leaning(games, actions, scale, self._generator)
        self._share = torch.linspace(0, noise, games) if games > 1 else torch.full((1,), noise)

    def __call__(self, stacks: NDArray[np.uint8], first: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Choose actions; see `perception.recording.RecordingPolicy`."""
        self._leaning.renew(first)
        actions = self._leaning.actions()
        if self._policy is not None:
            chance = torch.rand(len(stacks), generator=self._generator) < self._share
            actions = torch.where(chance, actions, self._policy(torch.from_numpy(stacks)).cpu())
        chosen: NDArray[np.int64] = actions.numpy()
        return chosen


def make_policy(name: str, game: GameConfig, games: int, noise: float, seed: int) -> NoisyPolicy:
    """Make who plays.

    Args:
        name: "random" (evenly), "leaning" (see `Leaning`), or a trained agent's folder.
        game: what is played.
        games: number of games.
        noise: see `NoisyPolicy`.
        seed: of all chance.

    Raises:
        UserError: if there is no such agent, or it plays something else.
    """
    actions = len(game.game.actions)
    if name in CHANCE:
        return NoisyPolicy(None, 1, games, actions, 1.0, CHANCE[name], seed)
    if not Path(name).is_dir():
        raise UserError(f"--policy must be {', '.join(CHANCE)} or a trained agent's folder, not {name!r}")
    player = load_player(Path(name), env=game.env if names_code(game.env) else None)
    played = player.settings.game
    if (played.env, played.skip) != (game.env, game.skip):
        raise UserError(
            f"the agent in {name} plays {played.env} with --frame-skip {played.skip}, "
            f"not {game.env} with --frame-skip {game.skip}"
        )
    if player.policy.recurrent:
        raise UserError(f"the agent in {name} has a memory, which can't be followed through so many episodes")
    return NoisyPolicy(player.policy, player.settings.frames, games, actions, noise, CHANCE["leaning"], seed)
