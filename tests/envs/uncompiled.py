"""Run as a script under NUMBA_DISABLE_JIT=1: play by the rules as plain Python and save what happened."""

import sys
from types import FunctionType

import numpy as np

from envs import GAMES, Game, GameVectorEnv
from envs.game import seed_rng
from tests.envs.pilot import fly

FIRST = "wingbeat/FlappyBird-v0"
LONG = {"classic": 10_000, "head2023": 3_000}  # Flappy Bird's presets
STEPS = {"Catch": 1_000, "Pong": 3_500, "Breakout": 3_500, "Snake": 2_500, "Rooftops": 1_000}
SEED = 11
# Uncompiled, a picture takes up to half a second.
SMALL, LARGE = {FIRST: 20}, {FIRST: 7}
FEW = 4


def play(game: Game, preset: str, steps: int) -> dict[str, np.ndarray]:
    """Play one game with next-step autoreset, straight from the rules: no env, no batch."""
    rules, rng = game.rules(preset), np.random.default_rng(SEED)
    record = np.zeros(1, game.state_dtype)
    record["rng"] = seed_rng([SEED])
    game.reset(record[0], rules)
    states = np.zeros(steps + 1, game.state_dtype)
    actions, rewards, terminated = np.zeros(steps, np.int64), np.zeros(steps), np.zeros(steps, np.bool_)
    states[0] = record[0]
    for t in range(steps):
        careless = game.name != "FlappyBird" and t % 250 >= 150
        actions[t] = fly(game, record, rules, rng, 0.7 if careless else 0.03)[0]
        if t and terminated[t - 1]:
            kept = record["rng"].copy()
            record[:] = np.zeros((), game.state_dtype)
            record["rng"] = kept
            game.reset(record[0], rules)
        else:
            rewards[t], terminated[t] = game.step(record[0], rules, int(actions[t]))
        states[t + 1] = record[0]
    return {"states": states.view(np.uint8), "actions": actions, "rewards": rewards, "terminated": terminated}


def steps_of(env_id: str, preset: str) -> int:
    """How many steps are played: enough for ends and points."""
    return LONG[preset] if env_id == FIRST else STEPS[GAMES[env_id].name]


def draw(env_id: str) -> dict[str, np.ndarray]:
    """Draw frames for the agent, and some of them for a person."""
    game = GAMES[env_id]
    env, rng = GameVectorEnv(game, 1, render_mode="rgb_array", frame_skip=4), np.random.default_rng(0)
    _, info = env.reset(seed=5)
    small, large, boxes = [], [], []
    for t in range(SMALL.get(env_id, FEW)):
        action = np.array([t % 4 == 0], np.int64) if env_id == FIRST else fly(game, info["state"], env._rules, rng)
        observation, _, _, _, info = env.step(action)
        small.append(observation)
        boxes.append(info["boxes"])
        if t % LARGE.get(env_id, FEW) == LARGE.get(env_id, FEW) - 1:
            large.append(env.render())
    return {"small": np.stack(small), "large": np.stack(large), "boxes": np.stack(boxes)}


if __name__ == "__main__":
    folder, *ids = sys.argv[1:]
    for number, env_id in enumerate(ids):
        game = GAMES[env_id]
        assert isinstance(game.step, FunctionType), "NUMBA_DISABLE_JIT=1 is not set"
        np.savez(f"{folder}/{number}.npz", **draw(env_id))  # whatever the preset
        for preset in game.presets:
            np.savez(f"{folder}/{number}-{preset}.npz", **play(game, preset, steps_of(env_id, preset)))
