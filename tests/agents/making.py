"""Small agents on small games, and when two of them are the same."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.a2c import A2C, A2CConfig
from agents.device import choose_device
from agents.ppo import PPO, PPOConfig
from agents.ppo_lstm import PPOLSTM, PPOLSTMConfig
from agents.pqn import PQN, PQNConfig
from agents.reinforce import REINFORCE, ReinforceConfig
from agents.replay import Batch, Drawn, Replay
from envs import Game, GameVectorEnv
from experiment.evaluate import evaluate
from perception import EncoderSpec, freeze, make_encoder

ON_POLICY: dict[str, tuple[Any, Any]] = {
    "ppo": (PPO, PPOConfig()),
    "ppo-lstm": (PPOLSTM, PPOLSTMConfig(memory=32)),
    "a2c": (A2C, A2CConfig()),
    "reinforce": (REINFORCE, ReinforceConfig()),
    "pqn": (PQN, PQNConfig()),
}


def make(
    algorithm: Any,
    config: Any,
    game: Game,
    seed: int,
    total_steps: int,
    envs: Mapping[str, Any],
    frozen: bool = False,
    layout: str = "planes",
    device: str = "cpu",
) -> Any:
    """Make an agent that computes in fp32; two frames a stack on full observations, one on smaller ones."""
    games = GameVectorEnv(game, config.num_envs, **envs)
    _, height, width = games.single_observation_space.shape or (0, 0, 0)
    torch.manual_seed(seed)
    encoder = make_encoder(EncoderSpec("small", 1 if height < 84 else 2, height, width, 64))
    encoder.layout = layout
    if frozen:
        freeze(encoder)
        encoder.settled = True
    return algorithm(games, encoder, config, total_steps, seed, choose_device(device), "fp32")


def make_tiny(algorithm: Any, config: Any, game: Game, total_steps: int = 10_000, seed: int = 0, **changes: Any) -> Any:
    """Make an agent that sees every pixel; max_frames goes to the game, frozen, layout and device to `make`.

    Other changes are the config's.
    """
    envs = {"size": (game.height, game.width), "max_frames": changes.pop("max_frames", None)}
    eyes = {name: changes.pop(name) for name in ("frozen", "layout", "device") if name in changes}
    return make(algorithm, replace(config, **changes), game, seed, total_steps, envs, **eyes)


def mean_score(agent: Any, game: Game) -> float:
    """Over 200 fresh episodes."""

    def games(**settings: Any) -> GameVectorEnv:
        return GameVectorEnv(game, size=(game.height, game.width), **settings)

    return float(evaluate(games, agent.policy, 1, 200, score_cap=None)["score_mean"])


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two states are equal to the last bit, NaN included."""
    return one.keys() == other.keys() and all(
        one[key].shape == other[key].shape and one[key].cpu().numpy().tobytes() == other[key].cpu().numpy().tobytes()
        for key in one
    )


def copy(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take a state out of its agent's hands."""
    return {key: value.clone() for key, value in state.items()}


def sample(replay: Replay, batch: int, rng: np.random.Generator, beta: float = 1.0) -> tuple[Drawn, Batch]:
    """Draw transitions and gather them at once."""
    drawn = replay.draw(batch, rng, beta)
    return drawn, replay.gather(drawn)
