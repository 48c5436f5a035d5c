"""Environments of others, steps a second: in this process, in worker processes, and Gymnasium's AsyncVectorEnv.

    python -m benchmarks.adapter_throughput --json

All play the same environments with the same random actions, in turn, and what is called alternates. The pixel
environments are CartPole as it is rendered, gray and 84 x 84, and if ale-py is installed Atari's Pong, of which four
frames make a step; Gymnasium's have its own wrappers for that. NumPy has one thread everywhere, or eight processes
with one a core each would stand in each other's way.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy is imported

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv
from gymnasium.wrappers import AddRenderObservation, GrayscaleObservation, MaxAndSkipObservation

from benchmarks.common import alternate, machine, print_json, summary
from envs.adapter import AdaptedVectorEnv, Hosting
from envs.atari import Atari
from envs.guest import register
from envs.screen import Screen, shrink
from experiment.command import main_line, parse
from experiment.errors import UserError

GAMES = 8
PIXELS, PONG = "CartPole-v1 rendered", "ALE/Pong-v5"
STATES = ["CartPole-v1", "Acrobot-v1"]


@dataclass
class Settings:
    """What to measure."""

    workers: int = 2
    """processes that play our environments"""
    steps: int = 500
    """of all games at once in each measurement; a fifth of that with pixels"""
    repeats: int = 5
    """measurements of each, in turn"""
    json: bool = False
    """print one JSON object"""


class Small(gym.ObservationWrapper[Any, Any, Any]):
    """Our area averaging as a wrapper: Gymnasium's own needs OpenCV."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(0, 255, (84, 84), np.uint8)

    def observation(self, observation: Any) -> Any:
        out = np.empty((84, 84), np.uint8)
        shrink(observation, out)
        return out


bare = partial(gym.make, disable_env_checker=True)  # ours has checks of its own instead


def make_pixels() -> gym.Env[Any, Any]:
    env: Any = AddRenderObservation(bare("CartPole-v1", render_mode="rgb_array"))
    return Small(GrayscaleObservation(env))


def make_pong() -> gym.Env[Any, Any]:
    register(PONG)
    return Small(GrayscaleObservation(MaxAndSkipObservation(bare(PONG, frameskip=1), 4)))


def measure(envs: Any, steps: int) -> float:
    """Steps a second, over all games."""
    actions = np.random.default_rng(0).integers(0, 2, (steps, GAMES))
    begun = time.perf_counter()
    for row in actions:
        envs.step(row)
    return steps * GAMES / (time.perf_counter() - begun)


def compare(name: str, workers: int, steps: int, repeats: int) -> dict[str, Any]:
    screen = Screen(frame_skip=4, pool=True) if name == PONG else Screen(pixels=name == PIXELS)
    env_id = "CartPole-v1" if name == PIXELS else name
    makers: dict[str, Callable[[], Any]] = {PIXELS: make_pixels, PONG: make_pong}
    maker = makers.get(name, partial(bare, name))
    adapted = partial(AdaptedVectorEnv, env_id, GAMES, screen=screen)
    chosen = adapted(hosting=Hosting(None, vector=True))
    envs = {
        "in this process": adapted(hosting=Hosting(0)),
        f"in {workers} processes": adapted(hosting=Hosting(workers)),
        "AsyncVectorEnv": AsyncVectorEnv([maker] * GAMES),
    }
    if isinstance(chosen.host, Atari):
        envs["in ALE's vector environment"] = chosen
    for each in envs.values():
        each.reset(seed=0)
    rates = alternate({key: partial(measure, each, steps) for key, each in envs.items()}, repeats)
    for each in (*envs.values(), chosen):
        each.close()
    ours = "in this process" if chosen.workers == 0 else f"in {workers} processes"
    if isinstance(chosen.host, Atari):
        ours = "in ALE's vector environment"
    peer = statistics.median(rates["AsyncVectorEnv"])
    return {
        "steps_per_second": {key: summary(values) for key, values in rates.items()},
        "chosen": ours,
        "times AsyncVectorEnv": {
            key: statistics.median(values) / peer for key, values in rates.items() if key != "AsyncVectorEnv"
        },
    }


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.adapter_throughput", __doc__ or "")
    if min(settings.workers, settings.steps // 5, settings.repeats) < 1:
        raise UserError("--workers and --repeats must be at least 1, and --steps at least 5")
    rows = {
        name: compare(
            name, settings.workers, settings.steps if name in STATES else settings.steps // 5, settings.repeats
        )
        for name in [*STATES, PIXELS, *([PONG] if find_spec("ale_py") else [])]
    }
    if settings.json:
        about = {"benchmark": "adapter_throughput", "machine": machine("gymnasium", "numpy")}
        print_json({**about, "games": GAMES, "environments": rows})
        return 0
    for name, row in rows.items():
        print(f"{name}, {GAMES} at once; chosen: {row['chosen']}")
        for key, values in row["steps_per_second"].items():
            print(f"  {values['median']:>10,.0f} steps/s {key} ({values['min']:,.0f} to {values['max']:,.0f})")
    return 0


if __name__ == "__main__":
    main_line(main)
