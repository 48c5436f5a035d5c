"""The table of all games that can be played by id."""

import inspect

from envs.registry import GAMES, announced, find


def rows() -> tuple[list[tuple[str, ...]], list[str]]:
    """Describe every game that is known or announced by an installed package.

    Returns:
        (id, actions, presets, looks with their defaults, what it is) of each game, in words, and a line for every
        announced game that can't be loaded.
    """
    found: list[tuple[str, ...]] = []
    problems = []
    for env_id in dict.fromkeys([*GAMES, *announced()]):
        try:
            game = find(env_id)
        except ValueError as error:
            problems.append(str(error))
            continue
        if game is not None:
            looks = inspect.signature(game.sprites).parameters.values()
            look = ", ".join(f"{parameter.name}={parameter.default}" for parameter in looks)
            found.append((env_id, ", ".join(game.actions), ", ".join(game.presets), look, game.about))
    return found, problems
