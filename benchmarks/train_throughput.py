"""Training steps a second: Wingbeat's PPO and Stable-Baselines3's, equal in everything that can be equal.

    python -m benchmarks.train_throughput --json

Both learn wingbeat/FlappyBird-v0 with the same encoder, optimizer, number of games, rollout, minibatch, epochs
and threads, each repeat in a fresh process, in turn. Stable-Baselines3 gets the games as its users would make
them (make_vec_env and VecFrameStack) and computes in fp32, the only format it has on a CPU; ours is
measured in fp32 too, and in bf16. The share of the FLOP limit is: FLOP of
one step (rollout's forward pass and the training pass) times steps a second, over the FLOP/s that a large
matrix product in the same format reaches on this machine.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.common import machine, print_json, summary

CONTESTANTS = ("wingbeat bf16", "wingbeat fp32", "sb3 fp32")


@dataclass
class Settings:
    """What to measure."""

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


def ours(precision: str, seconds: float) -> dict[str, float]:
    """Train with our PPO; returns steps a second and the share of the FLOP limit."""
    from agents.build import EyesConfig, GameConfig, Settings, make_algorithm
    from agents.ppo import PPOConfig

    config = PPOConfig()
    settings = Settings("ppo", GameConfig(), EyesConfig(), config, 10**9, 0, "cpu", precision, 0)
    algorithm = make_algorithm(settings)
    for _ in range(3):
        algorithm.iterate()
    first, start = algorithm.steps, time.perf_counter()
    while time.perf_counter() - start < seconds:
        algorithm.iterate()
    rate = (algorithm.steps - first) / (time.perf_counter() - start)
    forward, training = flop_per_sample(algorithm.learner.network)  # type: ignore[attr-defined]
    return {"rate": rate, "share": rate * (forward + config.epochs * training) / peak_flops(precision)}


def theirs(seconds: float) -> dict[str, float]:
    """Train with Stable-Baselines3's PPO; returns steps a second."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecFrameStack

    from agents.optimizer import HiddenMuon
    from agents.ppo import PPOConfig
    from perception import EncoderSpec, make_encoder
    from perception.sb3 import EncoderExtractor

    class Clock(BaseCallback):
        """Times whole iterations, rollout and update, from the third one on."""

        def __init__(self) -> None:
            super().__init__()
            self.marks: list[tuple[float, int]] = []

        def _on_rollout_start(self) -> None:
            self.marks.append((time.perf_counter(), self.num_timesteps))

        def _on_step(self) -> bool:
            return len(self.marks) < 4 or self.marks[-1][0] - self.marks[3][0] < seconds

    config, clock = PPOConfig(), Clock()
    envs = make_vec_env("envs:wingbeat/FlappyBird-v0", config.num_envs, env_kwargs={"frame_skip": 2})
    model = PPO(
        "CnnPolicy",
        VecFrameStack(envs, 2, channels_order="first"),
        n_steps=config.rollout_steps,
        batch_size=config.minibatch,
        n_epochs=config.epochs,
        learning_rate=config.learning_rate,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy_coef,
        policy_kwargs={
            "features_extractor_class": EncoderExtractor,
            "features_extractor_kwargs": {"encoder": make_encoder(EncoderSpec())},
            "normalize_images": False,
            "net_arch": [],
        },
        device="cpu",
        seed=0,
    )
    # SB3 sets one learning rate for both parts; how long a step takes does not depend on it.
    hidden = model.policy.features_extractor
    model.policy.optimizer = HiddenMuon(model.policy, hidden, config.learning_rate, config.muon_rate)  # type: ignore[assignment]
    model.learn(10**9, callback=clock)
    (start, first), (end, last) = clock.marks[3], clock.marks[-1]
    return {"rate": (last - first) / (end - start)}


def flop_per_sample(network: torch.nn.Module) -> tuple[float, float]:
    """FLOP of a forward pass and of a training pass of one sample, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    spec = network.encoder.spec  # type: ignore[union-attr]
    observations = torch.zeros(8, spec.frames, spec.height, spec.width, dtype=torch.uint8)
    counts = []
    for backward in (False, True):
        with FlopCounterMode(display=False) as counter:
            outputs = network(observations)
            if backward:
                torch.autograd.backward(sum(output.sum() for output in outputs))
        counts.append(counter.get_total_flops() / 8)
    network.zero_grad(set_to_none=True)
    return counts[0], counts[1]


def peak_flops(precision: str) -> float:
    """FLOP/s of the best of several large matrix products in this format, with the threads in use."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    left, right = (torch.randn(2048, 2048).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def _measure_here(settings: Settings) -> None:
    name, _, precision = settings.contestant.partition(" ")
    if name == "wingbeat":
        from agents.device import set_threads

        set_threads(settings.threads)
        print(json.dumps(ours(precision, settings.seconds)))
    else:
        if settings.threads:
            torch.set_num_threads(settings.threads)
        print(json.dumps(theirs(settings.seconds)))


def measure(settings: Settings) -> dict[str, Any]:
    """Run all contestants in turn, each in a fresh process."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in CONTESTANTS}
    for _ in range(settings.repeats):
        for name, results in found.items():
            flags = [f"--contestant={name}", f"--seconds={settings.seconds}", f"--threads={settings.threads}"]
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.train_throughput", *flags]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{name} failed: {done.stderr.strip()}")
            results.append(json.loads(done.stdout.splitlines()[-1]))
    rates = {name: [result["rate"] for result in results] for name, results in found.items()}
    theirs_ = rates["sb3 fp32"]
    return {
        "benchmark": "train_throughput",
        "env": "wingbeat/FlappyBird-v0",
        "threads": settings.threads or "one a core",
        "machine": machine("torch", "stable-baselines3", "numba"),
        "steps_per_second": {name: summary(values) for name, values in rates.items()},
        "times_sb3": {
            name: summary([mine / other for mine, other in zip(values, theirs_, strict=True)])
            for name, values in rates.items()
        },
        "share_of_flop_limit": {
            name: summary([result["share"] for result in results])
            for name, results in found.items()
            if "share" in results[0]
        },
    }


def main() -> None:
    """Measure and print."""
    settings = tyro.cli(Settings, description=__doc__)
    if settings.contestant:
        _measure_here(settings)
        return
    answer = measure(settings)
    if settings.json:
        print_json(answer)
        return
    table = Table("", "steps/s", "times SB3", "of the FLOP limit", title=f"PPO on {answer['machine']['cpu']}")
    for name, values in answer["steps_per_second"].items():
        share = answer["share_of_flop_limit"].get(name)
        row = [f"{values['median']:,.0f}", f"{answer['times_sb3'][name]['median']:.2f}"]
        table.add_row(name, *row, f"{share['median']:.0%}" if share else "")
    Console().print(table)


if __name__ == "__main__":
    main()
