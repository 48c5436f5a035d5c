"""Games that give pixels. Importing this package registers them as `wingbeat/<Name>-v0`."""

from functools import partial

import gymnasium as gym

from envs.adapter import AdaptedVectorEnv
from envs.game import Game
from envs.games.flappy_bird import FLAPPY_BIRD
from envs.single import GameEnv
from envs.vector import GameVectorEnv, compile_game

GAMES: dict[str, Game] = {f"wingbeat/{game.name}-v0": game for game in (FLAPPY_BIRD,)}

for _id, _game in GAMES.items():
    gym.register(
        id=_id,
        entry_point=partial(GameEnv, _game),
        vector_entry_point=partial(GameVectorEnv, _game),
    )

__all__ = ["FLAPPY_BIRD", "GAMES", "AdaptedVectorEnv", "Game", "GameEnv", "GameVectorEnv", "compile_game"]
