"""Training steps a second: Wingbeat's PPO, A2C and DQN and Stable-Baselines3's, equal in all that can be equal.

    python -m benchmarks.train_throughput --json

Both learn wingbeat/FlappyBird-v0 with the same encoder, optimizer, number of games, rollout, minibatch, epochs and
threads, each repeat in a fresh process, in turn. Stable-Baselines3 gets the games as its users would make them
(make_vec_env and VecFrameStack) and computes in fp32, the only format it has on a CPU; ours is measured in fp32 too,
and in bf16 where the CPU has instructions for it. Stable-Baselines3 is measured twice: as it comes, with torch
computing the network in torch's own way; and with Wingbeat's convolutions and what Wingbeat's commands tell OpenMP,
which it gets in train.py sb3-ppo. DQN is the plain one with n-step returns, all that both have, and one gradient step
of as many transitions follows as many steps in both. The share of the FLOP limit is: FLOP of one step (network passes
while playing and learning) times steps a second, over the FLOP/s that a large matrix product in the same format reaches
on this machine.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, print_json, summary
from benchmarks.flop import flop_per_sample, peak_flops
from experiment.command import main_line, parse
from experiment.errors import UserError

CONTESTANTS = ("wingbeat bf16", "wingbeat fp32", "sb3 fp32", "sb3-with-ours fp32")
WARM_UP = 12_000  # steps before the clock starts; DQN learns from 5,000 on
CAPACITY = 50_000  # of DQN's replay: Stable-Baselines3's takes 28 kB a transition
Algorithm = Literal["ppo", "a2c", "dqn"]


@dataclass
class Settings:
    """What to measure."""

    algorithms: tuple[Algorithm, ...] = get_args(Algorithm)
    """who learns"""
    repeats: int = 3
    """fresh processes of each"""
    seconds: float = 15.0
    """seconds of training in each, after warming up"""
    threads: int = 0
    """CPU threads for all; 0 for one a core"""
    json: bool = False
    """print one JSON object"""
    contestant: str = ""
    """measure only this one, in this process, and print its steps a second; for internal use"""


def learner_config(algorithm: Algorithm) -> Any:
    """Return our settings: the defaults, and of DQN the parts that Stable-Baselines3's has."""
    from agents.a2c import A2CConfig
    from agents.dqn import DQNConfig
    from agents.ppo import PPOConfig

    if algorithm == "dqn":
        return DQNConfig(double=False, dueling=False, capacity=CAPACITY)
    return PPOConfig() if algorithm == "ppo" else A2CConfig()


def fastest_layout(precision: str) -> str:
    """Time the layouts of the encoder, which is the same for both; see `perception.Encoder`."""
    from agents.device import fastest
    from perception import LAYOUTS

    return fastest(torch.device("cpu"), [(precision, layout) for layout in LAYOUTS])[1]


def ours(algorithm: Algorithm, precision: str, seconds: float) -> dict[str, float]:
    """Train with ours; returns steps a second and the share of the FLOP limit."""
    from agents.device import Compute
    from commands.build import Settings, make_algorithm
    from commands.eyes import EyesConfig
    from commands.game import GameConfig

    config, compute = learner_config(algorithm), Compute("cpu", precision, 0, fastest_layout(precision))
    agent: Any = make_algorithm(Settings(algorithm, GameConfig(), EyesConfig(), config, 10**9, 0, *compute))
    while agent.steps < WARM_UP:
        agent.iterate()
    first, start = agent.steps, time.perf_counter()
    while time.perf_counter() - start < seconds:
        agent.iterate()
    rate = (agent.steps - first) / (time.perf_counter() - start)
    forward, training = flop_per_sample(agent.learner.network, agent.learner.network.encoder)
    flop = {
        "ppo": lambda: forward + config.epochs * training,
        "a2c": lambda: forward + training,
        "dqn": lambda: forward + config.replay_ratio * (forward + training),  # the target network looks, too
    }[algorithm]()
    return {"rate": rate, "share": rate * flop / peak_flops(precision)}


def sb3_model(algorithm: Algorithm, layout: str) -> Any:
    """Make Stable-Baselines3's agent with settings equal to ours; see `perception.Encoder` for layouts."""
    from stable_baselines3 import A2C, DQN, PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack

    from agents.optimizer import HiddenMuon
    from perception import EncoderSpec, make_encoder
    from perception.sb3 import EncoderExtractor

    config, encoder = learner_config(algorithm), make_encoder(EncoderSpec())
    encoder.layout = layout
    games = make_vec_env("envs:wingbeat/FlappyBird-v0", config.num_envs, env_kwargs={"frame_skip": 2})
    eyes = {
        "features_extractor_class": EncoderExtractor,
        "features_extractor_kwargs": {"encoder": encoder},
        "normalize_images": False,
        "net_arch": [],
    }
    settings: dict[str, Any] = {
        "policy": "CnnPolicy",
        "env": VecFrameStack(games, 2, channels_order="first"),
        "learning_rate": config.learning_rate,
        "gamma": config.gamma,
        "max_grad_norm": config.max_grad_norm,
        "policy_kwargs": eyes,
        "device": "cpu",
        "seed": 0,
    }
    if algorithm == "dqn":
        # One gradient step for as many steps of the games as ours.
        every = round(config.batch_size / config.replay_ratio)
        model: Any = DQN(
            buffer_size=config.capacity,
            learning_starts=config.learning_starts,
            batch_size=config.batch_size,
            train_freq=every // config.num_envs,
            gradient_steps=1,
            n_steps=config.n_step,
            tau=1 - config.averaging,
            target_update_interval=every,
            **settings,
        )
        network = model.policy.q_net
    else:
        settings |= {"n_steps": config.rollout_steps, "gae_lambda": config.gae_lambda, "ent_coef": config.entropy_coef}
        if algorithm == "ppo":
            model = PPO(batch_size=config.minibatch, n_epochs=config.epochs, **settings)
        else:
            model = A2C(**settings)
        network = model.policy
    # SB3 sets one learning rate for both parts; how long a step takes does not depend on it.
    model.policy.optimizer = HiddenMuon(network, network.features_extractor, config.learning_rate, config.muon_rate)
    return model


def theirs(algorithm: Algorithm, layout: str, seconds: float) -> dict[str, float]:
    """Train with Stable-Baselines3's; returns steps a second."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Clock(BaseCallback):
        """Times whole iterations, rollout and update."""

        def __init__(self) -> None:
            super().__init__()
            self.marks: list[tuple[float, int]] = []

        def _on_rollout_start(self) -> None:
            if self.num_timesteps >= WARM_UP:
                self.marks.append((time.perf_counter(), self.num_timesteps))

        def _on_step(self) -> bool:
            return not self.marks or self.marks[-1][0] - self.marks[0][0] < seconds

    clock = Clock()
    sb3_model(algorithm, layout).learn(10**9, callback=clock)
    (start, first), (end, last) = clock.marks[0], clock.marks[-1]
    return {"rate": (last - first) / (end - start)}


def _measure_here(settings: Settings) -> None:
    (algorithm,) = settings.algorithms
    name, _, precision = settings.contestant.partition(" ")
    if name == "wingbeat":
        from agents.device import set_threads

        set_threads(settings.threads)
        print(json.dumps(ours(algorithm, precision, settings.seconds)))
    else:
        if settings.threads:
            torch.set_num_threads(settings.threads)
        layout = "planes" if name == "sb3" else fastest_layout(precision)
        print(json.dumps(theirs(algorithm, layout, settings.seconds)))


def measure(algorithm: Algorithm, settings: Settings) -> dict[str, Any]:
    """Run all contestants with one algorithm in turn, each in a fresh process."""
    from agents.device import sensible_formats

    formats = sensible_formats(torch.device("cpu"))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS if name.split()[1] in formats}
    for _ in range(settings.repeats):
        for name, results in found.items():
            flags = [f"--contestant={name}", f"--seconds={settings.seconds}", f"--threads={settings.threads}"]
            module = ["-m", "benchmarks.train_throughput", "--algorithms", algorithm]
            env = {key: value for key, value in os.environ.items() if name != "sb3 fp32" or key != "GOMP_SPINCOUNT"}
            words = [sys.executable, "-W", "ignore", *module, *flags]
            done = subprocess.run(words, env=env, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{algorithm}, {name} failed: {done.stderr.strip()}")
            results.append(json.loads(done.stdout.splitlines()[-1]))
    rates = {name: [result["rate"] for result in results] for name, results in found.items()}

    def times(other: str) -> dict[str, Any]:
        return {
            name: summary([mine / its for mine, its in zip(values, rates[other], strict=True)])
            for name, values in rates.items()
        }

    return {
        "steps_per_second": {name: summary(values) for name, values in rates.items()},
        "times_sb3": times("sb3 fp32"),
        "times_sb3_with_ours": times("sb3-with-ours fp32"),
        "share_of_flop_limit": {
            name: summary([result["share"] for result in results])
            for name, results in found.items()
            if "share" in results[0]
        },
    }


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.train_throughput", __doc__ or "")
    if settings.repeats < 1 or not settings.seconds > 0:
        raise UserError("--repeats must be at least 1 and --seconds more than 0")
    if settings.contestant:
        _measure_here(settings)
        return 0
    about = {
        "benchmark": "train_throughput",
        "env": "wingbeat/FlappyBird-v0",
        "threads": settings.threads or "one a core",
        "machine": machine("torch", "stable-baselines3", "numba"),
    }
    answers = {algorithm: measure(algorithm, settings) for algorithm in settings.algorithms}
    if settings.json:
        print_json({**about, "algorithms": answers})
        return 0
    columns = ("", "", "steps/s", "times SB3", "times SB3 with our convolutions", "of the FLOP limit")
    table = Table(*columns, title=f"Training on {about['machine']['cpu']}")
    for algorithm, answer in answers.items():
        for name, values in answer["steps_per_second"].items():
            share = answer["share_of_flop_limit"].get(name)
            times = [f"{answer[key][name]['median']:.2f}" for key in ("times_sb3", "times_sb3_with_ours")]
            row = [f"{values['median']:,.0f}", *times]
            table.add_row(algorithm, name, *row, f"{share['median']:.0%}" if share else "")
    Console().print(table)
    return 0


if __name__ == "__main__":
    main_line(main)
