"""DQN's steps a second and its replay's bytes: frames drawn again when they are wanted, against frames stored.

    python -m benchmarks.replay_throughput [--json] [--repeats 5] [--iterations 12]

Two DQNs with equal settings and seeds learn wingbeat/FlappyBird-v0 in turns in one process; they differ in `redraw`
alone. Their replays are filled first with random play, so that the frames of a batch come from all over the memory,
and then every step acts by the network and learns, as in the long run. The frames are the same, bit for bit, and so
what they learn must be: the answer says whether all their weights are equal at the end.
"""

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from agents.device import Compute, choose_compute
from agents.dqn import DQNConfig
from benchmarks.common import alternate, machine, print_json, summary
from commands.build import Settings as RunSettings
from commands.build import make_algorithm
from commands.eyes import EyesConfig
from commands.game import GameConfig
from experiment.command import main_line, parse

WAYS = {"redrawn": True, "stored": False}


@dataclass
class Settings:
    """What to measure."""

    repeats: int = 5
    """Measurements of each, in turns; the median is reported."""
    iterations: int = 12
    """DQN's iterations in one measurement, 1,024 steps each."""
    capacity: int = DQNConfig.capacity
    """Transitions in either replay."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the networks; auto measures which is faster here."""
    threads: int = 0
    """CPU threads; 0 for one a core."""
    json: bool = False
    """Answer with one JSON object."""


def make_agent(redraw: bool, capacity: int, compute: Compute) -> Any:
    """Make a DQN whose replay is full, and which from its first iteration on acts by its network and learns."""
    config = replace(DQNConfig(), capacity=capacity, redraw=redraw, learning_starts=0, exploration_steps=0)
    agent: Any = make_algorithm(RunSettings("dqn", GameConfig(), EyesConfig(), config, 10**9, 0, *compute))
    rng = np.random.default_rng(0)
    while agent.replay.now < agent.replay.slots:
        agent.replay.add((rng.random(config.num_envs) < 0.08).astype(np.int64))
    return agent


def rate(agent: Any, iterations: int) -> float:
    """Train for some iterations; returns steps a second."""
    first, start = agent.steps, time.perf_counter()
    for _ in range(iterations):
        agent.iterate()
    return float((agent.steps - first) / (time.perf_counter() - start))


def measure(settings: Settings) -> dict[str, Any]:
    """Run the benchmark; returns the answer as in --json."""
    compute = choose_compute("cpu", settings.precision, settings.threads)
    agents = {name: make_agent(redraw, settings.capacity, compute) for name, redraw in WAYS.items()}
    measures = {name: partial(rate, agent, settings.iterations) for name, agent in agents.items()}
    rates = alternate(measures, settings.repeats)
    weights = [agent.learner.network.state_dict() for agent in agents.values()]
    return {
        "benchmark": "replay_throughput",
        "env": "wingbeat/FlappyBird-v0",
        "precision": compute.precision,
        "threads": compute.threads,
        "machine": machine("torch", "numba", "numpy"),
        "capacity": settings.capacity,
        "replay_bytes": {name: agent.replay.memory for name, agent in agents.items()},
        "steps_per_second": {name: summary(values) for name, values in rates.items()},
        "redrawn_is_times": summary([a / b for a, b in zip(rates["redrawn"], rates["stored"], strict=True)]),
        "weights_equal": all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0]),
    }


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.replay_throughput", __doc__ or "")
    answer = measure(settings)
    if settings.json:
        print_json(answer)
        return 0
    table = Table("frames", "steps/s", "min .. max", "replay", title=f"DQN on {answer['machine']['cpu']}")
    for name, rates in answer["steps_per_second"].items():
        between, size = f"{rates['min']:,.0f} .. {rates['max']:,.0f}", answer["replay_bytes"][name]
        table.add_row(name, f"{rates['median']:,.0f}", between, f"{size / 1e6:,.1f} MB")
    equal = "equal" if answer["weights_equal"] else "DIFFERENT"
    table.caption = f"redrawn is {answer['redrawn_is_times']['median']:.3f} times stored; weights at the end {equal}"
    Console().print(table)
    return 0


if __name__ == "__main__":
    main_line(main)
