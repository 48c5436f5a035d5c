"""What encoders are taught and judged by: numbers that follow from a game's state, by name. Agents never see them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Game, GameVectorEnv
from envs.game import seed_rng

IMPACT = "impact"
HORIZON = 64  # frames that `impact` looks ahead
FUTURES = 8  # courses of chance that must agree on it
CHUNK = 512  # states at once


def numbers(
    game: Game, preset: str, records: NDArray[Any], over: NDArray[np.bool_] | None = None
) -> dict[str, NDArray[np.float32]]:
    """Name what states show.

    Args:
        game: whose states.
        preset: by whose rules.
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

    A still picture can't tell it: it depends on how fast things move.

    Returns:
        float32 [n], NaN where nothing happens for HORIZON frames, or where it hangs on chance: what the game draws by
        then is drawn in FUTURES ways, which must agree.
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
    """Return the frames until the end, infinity where there is none by HORIZON, and where chance was drawn by then."""
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
            going = np.isinf(left[chunk])  # what is over begins anew, by chance
            state = envs.advance(nothing)[-1]["state"]
            draws[chunk] |= going & (state["rng"] != rng)
            left[chunk][going & envs.over] = frame
    return left, draws
