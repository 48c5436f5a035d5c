"""Games that give pixels. Importing this package registers them as `wingbeat/<Name>-v0`."""

from envs.adapter import AdaptedVectorEnv
from envs.game import Game
from envs.games.breakout import BREAKOUT
from envs.games.catch import CATCH
from envs.games.flappy_bird import FLAPPY_BIRD
from envs.games.pong import PONG
from envs.games.rooftops import ROOFTOPS
from envs.games.snake import SNAKE
from envs.registry import GAMES, register
from envs.single import GameEnv
from envs.vector import GameVectorEnv, compile_game

for _game in (FLAPPY_BIRD, CATCH, PONG, BREAKOUT, SNAKE, ROOFTOPS):
    register(f"wingbeat/{_game.name}-v0", _game)

__all__ = [
    "BREAKOUT",
    "CATCH",
    "FLAPPY_BIRD",
    "GAMES",
    "PONG",
    "ROOFTOPS",
    "SNAKE",
    "AdaptedVectorEnv",
    "Game",
    "GameEnv",
    "GameVectorEnv",
    "compile_game",
    "register",
]
