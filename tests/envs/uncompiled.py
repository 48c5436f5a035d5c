"""Run as a script under NUMBA_DISABLE_JIT=1: play by the rules as plain Python and save what happened."""

import sys
from types import FunctionType

import numpy as np

from envs import GAMES, GameVectorEnv
from envs.game import seed_rng
from tests.envs.pilot import pilot

GAME = GAMES["wingbeat/FlappyBird-v0"]


def play(preset: str, seed: int, steps: int) -> dict[str, np.ndarray]:
    """Play one game with next-step autoreset, straight from the rules: no env, no batch."""
    rules, rng = GAME.rules(preset), np.random.default_rng(seed)
    record = np.zeros(1, GAME.state_dtype)
    record["rng"] = seed_rng([seed])
    GAME.reset(record[0], rules)
    states = np.zeros(steps + 1, GAME.state_dtype)
    actions, rewards, terminated = np.zeros(steps, np.int64), np.zeros(steps), np.zeros(steps, np.bool_)
    states[0] = record[0]
    for t in range(steps):
        actions[t] = pilot(record, rules.gap, rng, noise=0.03)[0]
        if t and terminated[t - 1]:
            kept = record["rng"].copy()
            record[:] = np.zeros((), GAME.state_dtype)
            record["rng"] = kept
            GAME.reset(record[0], rules)
        else:
            rewards[t], terminated[t] = GAME.step(record[0], rules, int(actions[t]))
        states[t + 1] = record[0]
    return {"states": states.view(np.uint8), "actions": actions, "rewards": rewards, "terminated": terminated}


def draw(seed: int, count: int) -> dict[str, np.ndarray]:
    """Draw frames for the agent, and every seventh for a person (uncompiled that takes half a second)."""
    env = GameVectorEnv(GAME, 1, render_mode="rgb_array", frame_skip=4)
    env.reset(seed=seed)
    small, large, boxes = [], [], []
    for t in range(count):
        observation, _, _, _, info = env.step(np.array([t % 4 == 0], np.int64))
        small.append(observation)
        boxes.append(info["boxes"])
        if t % 7 == 6:
            large.append(env.render())
    return {"small": np.stack(small), "large": np.stack(large), "boxes": np.stack(boxes)}


if __name__ == "__main__":
    assert isinstance(GAME.step, FunctionType), "NUMBA_DISABLE_JIT=1 is not set"
    path, preset, seed, steps = sys.argv[1:]
    np.savez(path, **play(preset, int(seed), int(steps)), **draw(5, 20))
