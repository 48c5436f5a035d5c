"""Games in states that a test makes up."""

from typing import Any

from envs import GameVectorEnv


def put(env: GameVectorEnv, **fields: Any) -> None:
    """Overwrite numbers of every game's state; for each field one value a game, or one for all."""
    saved = env.get_state()
    states = saved["states"].reshape(-1).view(env.game.state_dtype)
    for name, value in fields.items():
        states[name] = value
    env.set_state(saved)
