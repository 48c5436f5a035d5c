"""Labels, for training and testing encoders: numbers that follow from a game's state. Agents never see them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Game, GameVectorEnv
from envs.game import seed_rng

IMPACT = "impact"
HORIZON = 64  # frames that `impact` looks ahead
FUTURES = 8  # seeds of the game's chance, with all of which it must be the same
CHUNK = 512  # states at once


def numbers(
    game: Game, preset: str, records: NDArray[Any], over: NDArray[np.bool_] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Return the numbers of some states, by their names.

    Args:
        game: the game of these states.
        preset: of the game's rules.
        records: [n], of `game.scene_dtype`.
        over: bool [n], where an episode has ended with this state; None for nowhere.

    Returns:
        float32 [n] by name, NaN where no picture shows it: the game's own `facts`, or each number of its state if it
        names none; and "impact", see `frames_left`, 0 where the episode is over.
    """
    if game.facts is not None:
        known: dict[str, NDArray[Any]] = dict(game.facts(records, game.rules(preset)))
    else:
        known = {}
        for name in game.scene_dtype.names or ():
            columns = records[name].reshape(len(records), -1)
            single = records[name].ndim == 1
            known |= {name if single else f"{name}[{k}]": columns[:, k] for k in range(columns.shape[1])}
    known[IMPACT] = frames_left(game, preset, records)
    if over is not None:
        known[IMPACT][over] = 0
    return {name: np.asarray(values, np.float32) for name, values in known.items()}


def frames_left(game: Game, preset: str, records: NDArray[Any]) -> NDArray[np.float32]:
    """Count the frames until the episode ends if from now on nothing is done (action 0).

    A single picture can't show this number: it depends on how fast things move.

    Returns:
        float32 [n], NaN if they are more than HORIZON, or if the end depends on chance: the game is played with FUTURES
        seeds, and all must agree.
    """
    first, *others = seed_rng(range(FUTURES))
    left, draws = _do_nothing(game, preset, records, first)
    for rng in others if draws.any() else ():
        again, _ = _do_nothing(game, preset, records[draws], rng)
        left[draws] = np.where(again == left[draws], again, np.inf)
    return np.where(np.isinf(left), np.float32(np.nan), left)


def _do_nothing(
    game: Game, preset: str, records: NDArray[Any], rng: np.int64
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the frames until the end, infinity if they are more than HORIZON, and whether chance was drawn by then."""
    left, draws = np.full(len(records), np.inf, np.float32), np.zeros(len(records), np.bool_)
    for start in range(0, len(records), CHUNK):
        chunk = slice(start, start + CHUNK)
        n = len(records[chunk])
        envs = GameVectorEnv(game, n, preset, size=(1, 1))  # nothing is drawn
        states = np.zeros(n, game.state_dtype)
        for name in game.scene_dtype.names or ():
            states[name] = records[name][chunk]
        states["rng"] = rng
        saved = envs.get_state()
        envs.set_state({
            "states": states.view(np.uint8).reshape(n, -1),
            "elapsed": saved["elapsed"] * 0,
            "over": np.zeros(n, np.bool_),
        })  # fmt: skip
        nothing: NDArray[np.int64] = np.zeros(n, np.int64)
        for frame in range(1, HORIZON + 1):
            going = np.isinf(left[chunk])  # games that are over begin anew, which draws on chance
            state = envs.advance(nothing)[-1]["state"]
            draws[chunk] |= going & (state["rng"] != rng)
            left[chunk][going & envs.over] = frame
    return left, draws
