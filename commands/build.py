"""From settings to a running algorithm."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from agents.a2c import A2C, A2CConfig
from agents.device import PRECISIONS
from agents.dqn import DQN, DQNConfig
from agents.ppo import PPO, PPOConfig
from agents.ppo_lstm import PPOLSTM, PPOLSTMConfig
from agents.pqn import PQN, PQNConfig
from agents.reinforce import REINFORCE, ReinforceConfig
from agents.sb3 import SB3A2C, SB3DQN, SB3PPO, SB3A2CConfig, SB3DQNConfig, SB3PPOConfig
from commands.eyes import EyesConfig
from commands.game import GameConfig
from envs import GAMES
from experiment.errors import UserError
from experiment.runner import Algorithm, RunnerConfig
from experiment.settings import read
from perception import ENCODERS, STATES, Encoder, EncoderSpec, freeze, make_encoder, read_layout
from perception.encoder import make_reader


class Kind(NamedTuple):
    """An algorithm that can be trained.

    Attributes:
        algorithm: makes one; see `make_algorithm`.
        config: its settings' dataclass.
        total_steps: decisions to train for, unless told otherwise.
    """

    algorithm: Any
    config: Any
    total_steps: int


ALGORITHMS = {
    "ppo": Kind(PPO, PPOConfig, 4_000_000),
    "ppo-lstm": Kind(PPOLSTM, PPOLSTMConfig, 2_400_000),
    "a2c": Kind(A2C, A2CConfig, 2_400_000),
    "reinforce": Kind(REINFORCE, ReinforceConfig, 2_400_000),
    "dqn": Kind(DQN, DQNConfig, 2_400_000),
    "pqn": Kind(PQN, PQNConfig, 1_200_000),
    "sb3-ppo": Kind(SB3PPO, SB3PPOConfig, 1_000_000),
    "sb3-dqn": Kind(SB3DQN, SB3DQNConfig, 1_000_000),
    "sb3-a2c": Kind(SB3A2C, SB3A2CConfig, 1_000_000),
}


DEFAULTS = EncoderSpec()
FURTHER = 0.5  # share of the usual step sizes at which a trained encoder is trained further


@dataclass
class Settings:
    """All that makes a run what it is; config.json holds this, and the runner's settings as `runner`.

    Attributes:
        algorithm: its name in ALGORITHMS.
        game: what is played.
        eyes: how the agent sees.
        learner: the algorithm's own settings.
        total_steps: decisions, over all games.
        seed: of everything.
        device: where to compute, as torch names it.
        precision: "fp32" or "bf16".
        threads: CPU threads.
        layout: see `perception.Encoder`.
    """

    algorithm: str
    game: GameConfig
    eyes: EyesConfig
    learner: Any
    total_steps: int
    seed: int
    device: str
    precision: str
    threads: int
    layout: str = "planes"

    @classmethod
    def parse(cls, config: dict[str, Any], where: str, env: str | None = None) -> "Settings":
        """Read what `asdict` made.

        Args:
            config: that.
            where: the file.
            env: the environment, if the user has named it again; see `GameConfig.confirm`.

        Raises:
            UserError: if something is missing, unknown or of another type, naming it.
        """
        try:
            config = {key: value for key, value in config.items() if key != "runner"}
            learner = ALGORITHMS[config["algorithm"]].config
            config["learner"] = read(learner, config["learner"])
            game = read(GameConfig, config["game"])
            if "screen" not in config["game"] and game.env not in GAMES:
                game = replace(game, frame_skip=1)  # before there were screens it was for our own games alone
            if "layout" not in config and game.env in GAMES and game.frame_skip is None:
                game = replace(game, frame_skip=2)  # before each game said how long a decision lasts
            config["game"] = game
            config["eyes"] = read(EyesConfig, config["eyes"])
            settings = cast("Settings", read(cls, config))
            if settings.precision not in PRECISIONS:
                raise TypeError(f"precision = {settings.precision!r}")
            settings.layout = read_layout(settings.layout)
        except (KeyError, TypeError) as error:
            raise _unreadable(where, error) from error
        settings.game.confirm(env, where)
        return settings

    @property
    def frames(self) -> int:
        """The last frames seen, stacked in one observation."""
        return self.eyes.frames or DEFAULTS.frames

    def spec(self) -> EncoderSpec:
        """What the encoder is made for.

        Raises:
            ValueError: if it is not for what this environment shows.
        """
        space = self.game.spaces.observations
        _, height, width = space.shape or (0, 0, 0)
        network, pixels = self.eyes.encoder, space.dtype == np.uint8
        if network == "auto":
            network = "small" if pixels else "mlp"
        if network in ENCODERS and (network in STATES) == pixels:
            kind, fit = ("pixels", "small") if pixels else ("a state of numbers", "mlp")
            raise ValueError(f"{self.game.env} shows {kind}, which the {network} encoder does not take; try {fit}")
        return EncoderSpec(network, self.frames, height, width, self.eyes.feature_dim or DEFAULTS.feature_dim)

    def make_encoder(self, weights: Mapping[str, Tensor] | None = None) -> Encoder:
        """Build the encoder as its mode wants it: fresh, to be trained further, or frozen.

        Args:
            weights: of a trained one. Without them a run that began with a trained encoder goes on: its checkpoint
                has them.

        Raises:
            ValueError: if the settings don't fit each other.
        """
        encoder, mode = make_encoder(self.spec()), self.eyes.encoder_mode
        encoder.layout = self.layout
        if weights is not None:
            encoder.load_state_dict(weights)
        encoder.settled = mode in ("finetune", "frozen")
        if mode == "finetune":
            usual = getattr(self.learner, "muon_rate", 0) or self.learner.learning_rate
            encoder.pace = FURTHER if self.eyes.encoder_lr is None else self.eyes.encoder_lr / usual
        elif mode == "frozen":
            freeze(encoder)
            if self.eyes.trained:  # runs from before there were readers do not say where their encoder came from
                encoder.reader = make_reader(encoder.feature_dim)
        return encoder


def parse_runner(config: dict[str, Any], where: str) -> RunnerConfig:
    """Read the runner's part of a run's settings.

    Raises:
        UserError: as `Settings.parse`.
    """
    try:
        return cast("RunnerConfig", read(RunnerConfig, config["runner"]))
    except (KeyError, TypeError) as error:
        raise _unreadable(where, error) from error


def _unreadable(where: str, error: Exception) -> UserError:
    return UserError(f"the settings in {where} are not those of a run of this version: {error}")


def make_algorithm(settings: Settings, trained: Encoder | None = None) -> Algorithm:
    """Build an algorithm, fresh from its seed.

    Args:
        settings: of the run.
        trained: the encoder it begins with, see `take_encoder`; its weights are copied.

    Raises:
        UserError: if the settings do not fit each other or the machine.
    """
    try:
        torch.manual_seed(settings.seed)
        algorithm: Algorithm = ALGORITHMS[settings.algorithm].algorithm(
            settings.game.make(settings.learner.num_envs, training=True),
            settings.make_encoder(trained.state_dict() if trained else None),
            settings.learner,
            settings.total_steps,
            settings.seed,
            torch.device(settings.device),
            settings.precision,
        )
    except (ValueError, MemoryError) as error:
        raise UserError(str(error)) from error
    return algorithm
