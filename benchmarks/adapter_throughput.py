"""Environments of others, steps a second: in this process, in worker processes, and Gymnasium's AsyncVectorEnv.

    python -m benchmarks.adapter_throughput --json

All play the same environments with the same random actions, in turn, and what is called alternates. The pixel
environment is CartPole as it is rendered, gray and 84 x 84; Gymnasium's has its own wrappers for that.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv
from gymnasium.wrappers import AddRenderObservation, GrayscaleObservation

from benchmarks.common import alternate, machine, print_json, summary
from envs.adapter import AdaptedVectorEnv, Hosting
from envs.screen import Screen, shrink

GAMES = 8
PIXELS = "CartPole-v1 rendered"
STATES = ["CartPole-v1", "Acrobot-v1"]


class Small(gym.ObservationWrapper[Any, Any, Any]):
    """Our area averaging as a wrapper: Gymnasium's own needs OpenCV."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(0, 255, (84, 84), np.uint8)

    def observation(self, observation: Any) -> Any:
        out = np.empty((84, 84), np.uint8)
        shrink(observation, out)
        return out


def make_pixels() -> gym.Env[Any, Any]:
    env: Any = AddRenderObservation(gym.make("CartPole-v1", render_mode="rgb_array"))
    return Small(GrayscaleObservation(env))


def measure(envs: Any, steps: int) -> float:
    """Steps a second, over all games."""
    actions = np.random.default_rng(0).integers(0, 2, (steps, GAMES))
    begun = time.perf_counter()
    for row in actions:
        envs.step(row)
    return steps * GAMES / (time.perf_counter() - begun)


def compare(name: str, workers: int, steps: int, repeats: int) -> dict[str, Any]:
    screen = Screen(pixels=name == PIXELS)
    env_id = "CartPole-v1" if name == PIXELS else name
    maker: Callable[[], Any] = make_pixels if name == PIXELS else partial(gym.make, name)
    adapted = partial(AdaptedVectorEnv, env_id, GAMES, screen=screen)
    chosen = adapted(hosting=Hosting(None))
    envs = {
        "in this process": adapted(hosting=Hosting(0)),
        f"in {workers} processes": adapted(hosting=Hosting(workers)),
        "AsyncVectorEnv": AsyncVectorEnv([maker] * GAMES),
    }
    for each in envs.values():
        each.reset(seed=0)
    rates = alternate({key: partial(measure, each, steps) for key, each in envs.items()}, repeats)
    for each in (*envs.values(), chosen):
        each.close()
    ours = "in this process" if chosen.workers == 0 else f"in {workers} processes"
    peer = statistics.median(rates["AsyncVectorEnv"])
    return {
        "steps_per_second": {key: summary(values) for key, values in rates.items()},
        "the measurement chooses": ours,
        "times AsyncVectorEnv": {
            key: statistics.median(values) / peer for key, values in rates.items() if key != "AsyncVectorEnv"
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    flags = parser.parse_args()
    rows = {
        name: compare(name, flags.workers, flags.steps if name in STATES else flags.steps // 5, flags.repeats)
        for name in [*STATES, PIXELS]
    }
    if flags.json:
        print_json({**machine("gymnasium", "numpy"), "games": GAMES, "environments": rows})
        return
    for name, row in rows.items():
        print(f"{name}, {GAMES} at once; the measurement chooses: {row['the measurement chooses']}")
        for key, values in row["steps_per_second"].items():
            print(f"  {values['median']:>10,.0f} steps/s {key} ({values['min']:,.0f} to {values['max']:,.0f})")


if __name__ == "__main__":
    main()
