"""Which games there are: the built-in ones, those that installed packages announce, and those that a user names.

A package announces games through entry points of the group `wingbeat.games`, each named by the id it is to have:

    [project.entry-points."wingbeat.games"]
    "maze/Maze-v0" = "maze.game:MAZE"

Nothing of a package is imported until one of its games is asked for. A game in a module of the user's own is called
`path.to.module:MY_GAME`.
"""

import importlib
import os
import re
import sys
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

import gymnasium as gym

from envs.game import Game
from envs.single import GameEnv
from envs.vector import GameVectorEnv

GROUP = "wingbeat.games"
FAULTS = (Exception, SystemExit)  # what anybody's code may raise, even to leave
IN_A_MODULE = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<attribute>[A-Za-z_]\w*)")

GAMES: dict[str, Game] = {}
"""The games that are known by now, by id."""


def register(env_id: str, game: Game) -> None:
    """Make a game known by an id, here and to `gymnasium.make` and `make_vec`."""
    GAMES[env_id] = game
    gym.register(
        id=env_id,
        entry_point=partial(GameEnv, game),
        vector_entry_point=partial(GameVectorEnv, game),
    )


@cache
def announced() -> dict[str, EntryPoint]:
    """Return what installed packages announce, by id; imports none of it. Ids of ours are not theirs to take."""
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in GAMES}


def find(env_id: str) -> Game | None:
    """Return a game by id, loading it if a package announces it or it is one in a module; None if nobody knows it.

    A module is imported, so what a file says may get here only if the user has written it, too.

    Raises:
        ValueError: in one line, if the game or its module can't be loaded.
    """
    if env_id not in GAMES and env_id in announced():
        entry = announced()[env_id]
        whose = f"{env_id}, which {entry.dist.name if entry.dist else 'a package'} announces as {entry.value},"
        try:
            game = entry.load()
        except FAULTS as error:
            raise ValueError(f"{whose} can't be loaded: {words(error)}") from error
        if not isinstance(game, Game):
            raise ValueError(f"{whose} is no envs.Game but {type(game).__name__}")
        register(env_id, game)
    match = IN_A_MODULE.fullmatch(env_id)
    if env_id not in GAMES and match:
        try:
            thing = getattr(user_module(match["module"]), match["attribute"], None)
        except FAULTS as error:
            raise ValueError(f"{env_id} can't be loaded: {words(error)}") from error
        if isinstance(thing, Game):  # or else an environment of Gymnasium's kind
            GAMES[env_id] = thing
    return GAMES.get(env_id)


def user_module(name: str) -> ModuleType:
    """Import a module that the user has named, from where Python looks or from the current folder."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    return importlib.import_module(name)


def words(error: BaseException) -> str:
    """Say what an error is, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
