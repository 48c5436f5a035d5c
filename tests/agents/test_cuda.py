"""On a GPU: the same answers as on a CPU, runs that repeat, and agents that learn and go from one to the other.

All of it is left out where there is none.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.device import autocast, choose_compute
from agents.dqn import DQN, DQNConfig
from envs import FLAPPY_BIRD
from experiment.metrics import read_metrics
from perception import ENCODERS, STATES, EncoderSpec, make_encoder
from perception.build import WAYS
from tests.agents.games import CATCH
from tests.agents.making import ON_POLICY, copy, make, make_tiny, mean_score, same
from tests.commands.running import SHORT, TINY, command

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device that torch can use")

DQN_CONFIG = replace(DQNConfig(), num_envs=4, capacity=2000, batch_size=32, learning_starts=64, exploration_steps=300)
ON = {name: (kind, replace(config, num_envs=4, rollout_steps=16)) for name, (kind, config) in ON_POLICY.items()}
KINDS = {
    **ON,
    "dqn": (DQN, DQN_CONFIG),
    "rainbow": (DQN, replace(DQN_CONFIG, noisy=True, distributional=True, prioritized=0.6)),
}
every = pytest.mark.parametrize("name", KINDS)


def flappy(name: str, seed: int, frozen: bool = False) -> Any:
    return make(*KINDS[name], FLAPPY_BIRD, seed, 10_000, {"frame_skip": 2}, frozen, device="cuda")


@pytest.mark.parametrize("network", [name for name in ENCODERS if name not in STATES])
def test_features_are_those_of_a_cpu(network: str) -> None:
    torch.manual_seed(0)
    encoder = make_encoder(EncoderSpec(network))
    pixels = torch.randint(256, (40, 2, 84, 84), dtype=torch.uint8)
    encoder.fit_normalization(pixels.flatten(0, 1))
    with torch.no_grad():
        expected = encoder(pixels)
        encoder.to("cuda")
        size = expected.square().mean().sqrt()
        for precision, bound in (("fp32", 2e-3), ("bf16", 5e-2)):  # convolutions round to 11 bits there, or to 8
            with autocast(torch.device("cuda"), precision):
                error = (encoder(pixels.cuda()).cpu() - expected).square().mean().sqrt() / size
            assert error < bound, (precision, float(error))


@every
def test_a_resumed_run_goes_on_to_the_last_bit(name: str) -> None:
    straight, begun, resumed = (flappy(name, seed) for seed in (3, 3, 8))
    expected = [straight.iterate() for _ in range(3)]
    got = [begun.iterate()]
    resumed.load_state_dict(copy(begun.state_dict()))
    got += [resumed.iterate() for _ in range(2)]
    assert repr(got) == repr(expected)  # "nan" included
    assert same(resumed.state_dict(), straight.state_dict())


@every
def test_a_frozen_encoder_stays_as_it_was(name: str) -> None:
    """And its features, which some agents keep, reach what learns."""
    agent = flappy(name, 0, frozen=True)
    before = copy(agent.learner.network.state_dict())
    for _ in range(3):
        agent.iterate()
    after = agent.learner.network.state_dict()
    changed = {key for key in after if not torch.equal(after[key], before[key])}
    assert changed
    assert not any(key.startswith("encoder.") for key in changed)


def test_the_fastest_format_is_a_gpus() -> None:
    compute = choose_compute("auto", "auto", 1)
    assert compute.device == "cuda"
    assert compute.layout == "planes"


def does(arguments: str, folder: Path) -> str:
    """Run a command, which must not fail; returns what it says on the way."""
    done = command(arguments, folder)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("way", [way for way in WAYS if way != "encoder-random"])
def test_an_encoder_is_trained_there_and_goes_on_on_a_cpu(way: str, tmp_path: Path) -> None:
    played = "--pictures 1500 --games 8 --longest 40 --batch-size 64 --quiet"
    assert "cuda" in does(f"train.py {way} --device cuda --total-steps 640 --out run {played}", tmp_path)
    does("train.py --resume run --device cpu --total-steps 960 --quiet", tmp_path)
    losses = [line["eval/loss"] for line in read_metrics(tmp_path / "run" / "metrics.jsonl") if "eval/loss" in line]
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("name", ["ppo", "dqn"])
def test_it_learns_to_catch(name: str) -> None:
    """As in test_learning.py, where a random player catches a quarter."""
    if name == "ppo":
        settings: dict[str, Any] = {
            "rollout_steps": 32, "minibatch": 128, "epochs": 2, "learning_rate": 4e-3, "muon_rate": 8e-3,
            "averaging": 0.9, "exploration_steps": 10_000,
        }  # fmt: skip
        steps = 40_000
    else:
        settings = {
            "capacity": 8000, "batch_size": 64, "replay_ratio": 5.0, "learning_starts": 500, "learning_rate": 2e-3,
            "exploration_steps": 3_000, "averaging": 0.98, "gamma": 0.9,
        }  # fmt: skip
        steps = 8_000
    agent = make_tiny(*KINDS[name], CATCH, round(steps / 0.75), num_envs=16, device="cuda", **settings)
    while agent.steps < steps:
        agent.iterate()
    assert mean_score(agent, CATCH) >= 0.97


def test_a_run_goes_from_a_gpu_to_a_cpu_and_back(tmp_path: Path) -> None:
    assert "cuda" in does(f"train.py {' '.join([*TINY, *SHORT])} --total-steps 256 --out run", tmp_path)
    does("play.py run --headless --episodes 2 --device cpu", tmp_path)
    does("train.py --resume run --total-steps 512 --device cpu", tmp_path)
    does("train.py --resume run --total-steps 768 --device cuda", tmp_path)
    does("play.py run --headless --episodes 2 --device cuda", tmp_path)
