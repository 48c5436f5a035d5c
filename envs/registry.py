"""Which games there are: the built-in ones, those that installed packages announce, and those that a user names.

A package announces games through entry points of the group `wingbeat.games`, each named by the id it is to have:

    [project.entry-points."wingbeat.games"]
    "maze/Maze-v0" = "maze.game:MAZE"

Nothing of a package is imported until one of its games is asked for. A game in a module, `path.to.module:MY_GAME`,
becomes known by `name`, which only a command may call, with what its own user wrote: never with what a file says.
"""

import importlib
import os
import re
import sys
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points

import gymnasium as gym

from envs.game import Game
from envs.single import GameEnv
from envs.vector import GameVectorEnv

GROUP = "wingbeat.games"
IN_A_MODULE = re.compile(r"(?P<module>[A-Za-z_][\w.]*):(?P<attribute>[A-Za-z_]\w*)")

GAMES: dict[str, Game] = {}
"""The games that are known by now, by id."""

_named: set[str] = set()


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
    """Return a game by id, loading it if a package announces it; None if nobody does.

    Raises:
        ValueError: in one line, if the package's game can't be loaded.
    """
    if env_id not in GAMES and env_id in announced():
        entry = announced()[env_id]
        whose = f"{env_id}, which {entry.dist.name if entry.dist else 'a package'} announces as {entry.value},"
        try:
            game = entry.load()
        except Exception as error:  # whatever another's code raises
            raise ValueError(f"{whose} can't be loaded: {_in_a_line(error)}") from error
        if not isinstance(game, Game):
            raise ValueError(f"{whose} is no envs.Game but {type(game).__name__}")
        register(env_id, game)
    return GAMES.get(env_id)


def name(text: str) -> Game | None:
    """Make a game known that the user names as `path.to.module:MY_GAME`; imports the module.

    Modules are looked for where Python does, and in the current folder.

    Returns:
        the game, or None if the text is of another form or names something else than a Game.

    Raises:
        ValueError: in one line, if there is no such module, it can't be imported, or it has nothing of that name.
    """
    match = IN_A_MODULE.fullmatch(text)
    if not match:
        return None
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        thing = getattr(importlib.import_module(match["module"]), match["attribute"])
    except Exception as error:  # whatever the user's code raises
        raise ValueError(f"cannot take {match['attribute']} from {match['module']}: {_in_a_line(error)}") from error
    _named.add(text)
    if not isinstance(thing, Game):
        return None
    GAMES[text] = thing
    return thing


def must_be_named(text: str) -> bool:
    """Whether it is a thing in a module that nobody has named yet, so that it must not be imported."""
    return IN_A_MODULE.fullmatch(text) is not None and text not in _named


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
