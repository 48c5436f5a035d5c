"""What encoders are taught and judged by: numbers that follow from a game's state, by name. Agents never see them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Game, GameVectorEnv

IMPACT = "impact"
HORIZON = 64  # frames that `impact` looks ahead
CHUNK = 512  # states at once


def numbers(game: Game, preset: str, records: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """Name what states show.

    Args:
        game: whose states.
        preset: by whose rules.
        records: [n], of `game.scene_dtype`.

    Returns:
        float32 [n] by name, NaN where no picture shows it: the game's own `facts`, or each number of its state if it
        names none; and "impact", see `frames_left`.
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
    return {name: np.asarray(values, np.float32) for name, values in known.items()}


def frames_left(game: Game, preset: str, records: NDArray[Any]) -> NDArray[np.float32]:
    """Count the frames until the episode ends if from now on nothing is done (action 0).

    A still picture can't tell it: it depends on how fast things move.

    Returns:
        float32 [n], NaN where nothing happens for HORIZON frames.
    """
    left = np.full(len(records), np.nan, np.float32)
    for start in range(0, len(records), CHUNK):
        chunk = records[start : start + CHUNK]
        envs = GameVectorEnv(game, len(chunk), preset, size=(1, 1))  # nothing is drawn
        states = np.zeros(len(chunk), game.state_dtype)
        for name in game.scene_dtype.names or ():
            states[name] = chunk[name]
        saved = envs.get_state()
        envs.set_state({
            "states": states.view(np.uint8).reshape(len(chunk), -1),
            "elapsed": saved["elapsed"] * 0,
            "over": np.zeros(len(chunk), np.bool_),
        })  # fmt: skip
        nothing: NDArray[np.int64] = np.zeros(len(chunk), np.int64)
        counts = left[start : start + CHUNK]
        for frame in range(1, HORIZON + 1):
            envs.advance(nothing)
            counts[envs.over & np.isnan(counts)] = frame
    return left
