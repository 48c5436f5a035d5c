"""Pilots that read the state: good enough to score, noisy enough to die now and then."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Game
from envs.games.rooftops_art import WIDTHS

BIRD_LEFT, BIRD_HEIGHT, PIPE_WIDTH = 57, 24, 52


def pilot(states: NDArray[Any], gap: int, rng: np.random.Generator, noise: float = 0.0) -> NDArray[np.int64]:
    """Flap when the bird's bottom nears the lower pipe of the next gap; int64 [n] for states [n].

    A share `noise` of the actions is turned round.
    """
    ahead = states["pipe_x"] + PIPE_WIDTH > BIRD_LEFT
    floor = states["gap_y"][np.arange(len(states)), ahead.argmax(1)] + gap
    flap = states["y"] + BIRD_HEIGHT > floor - 14
    return (flap ^ (rng.random(len(states)) < noise)).astype(np.int64)


def steer(off: NDArray[np.float64], slack: float) -> NDArray[np.int64]:
    """Action 1 for what lies further back than the slack, 2 for what lies further ahead, else 0."""
    return np.where(off < -slack, 1, np.where(off > slack, 2, 0))


def catch(states: NDArray[Any]) -> NDArray[np.int64]:
    return steer(states["fruit_x"] + 14 - states["basket_x"] - 32, 10)


def pong(states: NDArray[Any]) -> NDArray[np.int64]:
    """Meet the ball away from the bat's middle, so that it goes back steeply."""
    return steer(states["ball_y"] - states["bat_y"] - 24 + 24 * np.sign(states["ball_y"] - 141), 4)


def breakout(states: NDArray[Any]) -> NDArray[np.int64]:
    return steer(states["ball_x"] - states["paddle_x"] - 22 + states["left"] % 11 - 5, 6)


def snake(states: NDArray[Any]) -> NDArray[np.int64]:
    """Go the free way that is nearest to the apple."""
    chosen = np.zeros(len(states), np.int64)
    for i, state in enumerate(states):
        body = state["body"][: int(state["length"])].tolist()
        row, column = divmod(body[0], 13)
        goal_row, goal_column = divmod(int(state["apple"]), 13)
        ways = []
        for way, (down, across) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1)), 1):
            r, c = row + down, column + across
            if 0 <= r < 13 and 0 <= c < 13 and r * 13 + c not in body[:-1] and abs(way - state["way"]) != 2:
                ways.append((abs(r - goal_row) + abs(c - goal_column), way))
        chosen[i] = min(ways)[1] if ways else 0
    return chosen


def rooftops(states: NDArray[Any]) -> NDArray[np.int64]:
    """Jump at the end of the roof, and hold the jump."""
    ends = states["roof_x"] + np.array(WIDTHS)[states["roof"]]
    under = (states["roof_x"] < 116) & (ends > 80)
    left = np.where(under, ends - 80, 0).max(1)
    return ((states["standing"] == 0) | (left < 20)).astype(np.int64)


PILOTS: dict[str, Callable[[NDArray[Any]], NDArray[np.int64]]] = {
    "Catch": catch,
    "Pong": pong,
    "Breakout": breakout,
    "Snake": snake,
    "Rooftops": rooftops,
}


def fly(game: Game, states: NDArray[Any], rules: Any, rng: np.random.Generator, noise: float = 0.03) -> NDArray[Any]:
    """Play any of the games; int64 [n] for states [n]. A share `noise` of the actions is random."""
    if game.name == "FlappyBird":
        return pilot(states, rules.gap, rng, noise)
    chance, anything = rng.random(len(states)) < noise, rng.integers(0, len(game.actions), len(states))
    return np.where(chance, anything, PILOTS[game.name](states))
