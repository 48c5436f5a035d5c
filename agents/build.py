"""From settings to a running algorithm, and from a run's folder back to one that plays."""

import contextlib
import difflib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from agents.a2c import A2C, A2CConfig
from agents.device import PRECISIONS, choose_device
from agents.dqn import DQN, DQNConfig
from agents.learner import GreedyPolicy
from agents.ppo import PPO, PPOConfig
from agents.ppo_lstm import PPOLSTM, PPOLSTMConfig
from agents.pqn import PQN, PQNConfig
from agents.reinforce import REINFORCE, ReinforceConfig
from agents.sb3 import SB3A2C, SB3DQN, SB3PPO, SB3A2CConfig, SB3DQNConfig, SB3PPOConfig
from agents.state import part
from envs import GAMES, AdaptedVectorEnv, Game, GameVectorEnv, registry
from envs.adapter import Hosting
from envs.guest import names_code, register
from envs.screen import Screen
from experiment import checkpoint
from experiment.errors import UserError
from experiment.run import CONFIG, Run
from experiment.runner import BEST, RunnerConfig
from experiment.settings import read
from perception import ENCODERS, STATES, Encoder, EncoderSpec, freeze, load_encoder, make_encoder

Games = GameVectorEnv | AdaptedVectorEnv


class Algorithm(Protocol):
    """What the runner asks of an algorithm; see `PPO` for the words."""

    steps: int

    def act(self, observations: Tensor) -> Tensor:
        """Choose greedy actions."""

    def iterate(self) -> dict[str, float]:
        """Play and learn a little."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on."""

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from that."""


ALGORITHMS: dict[str, tuple[Any, Any]] = {
    "ppo": (PPO, PPOConfig),
    "ppo-lstm": (PPOLSTM, PPOLSTMConfig),
    "a2c": (A2C, A2CConfig),
    "reinforce": (REINFORCE, ReinforceConfig),
    "dqn": (DQN, DQNConfig),
    "pqn": (PQN, PQNConfig),
    "sb3-ppo": (SB3PPO, SB3PPOConfig),
    "sb3-dqn": (SB3DQN, SB3DQNConfig),
    "sb3-a2c": (SB3A2C, SB3A2CConfig),
}


@dataclass
class GameConfig:
    """What is played."""

    env: str = "wingbeat/FlappyBird-v0"
    """the environment's id (--list-envs names our games); also of others: CartPole-v1, ALE/Pong-v5, package:Name-v0; or
    code of your own, a game or an environment: package.module:MY_GAME"""
    preset: str = ""
    """the rules by name, of our own games; the first if not given. Scores of different presets can't be compared"""
    frame_skip: int | None = None
    """frames from one decision to the next; if not given 2 of our own games, 4 with --screen atari, else 1"""
    env_arg: tuple[str, ...] = ()
    """of our own games the look, as theme=night pipe_color=red; of others a setting, as gravity=-12.0"""
    pixels: bool = False
    """of others: see what the environment renders instead of what it observes"""
    screen: Literal["plain", "atari"] = "plain"
    """of others: atari skips 4 frames, pools the last two and learns from the signs of rewards"""
    sticky: float = 0.0
    """of others: probability that a frame repeats the action of the one before; ALE's have their own, 0.25"""
    no_ops: int = 0
    """of others: an episode begins with 0 to so many frames of action 0"""
    life_loss: bool = False
    """of others: in training a lost life ends an episode, but not the game"""
    workers: int | None = None
    """of others: processes that play them, 0 for this one alone; if not given a short measurement chooses"""
    env_seconds: float = 60.0
    """of others: longest that a step of an environment in a process of its own may last"""
    on_env_error: Literal["stop", "restart"] = "stop"
    """of others: what happens when one fails: stop and save, or make it anew and drop the step"""

    def make(self, num_envs: int, training: bool = False, **settings: Any) -> Games:
        """Make the games.

        Args:
            num_envs: how many.
            training: with what only a learner needs: lives that end episodes, rewards cut to their signs.
            **settings: for `GameVectorEnv` or `AdaptedVectorEnv`.

        Raises:
            UserError: for an unknown id, preset or setting.
        """
        look: dict[str, Any] = self.look
        if not self.ours:
            return self._make_others(num_envs, training, {**settings}, look)
        self._refuse_for_ours()
        settings = {"frame_skip": self.skip, **settings}
        for name in look.keys() & inspect.signature(GameVectorEnv).parameters.keys():
            raise UserError(f"--env-arg sets the game's look, which {name} is no part of")
        try:
            return GameVectorEnv(self.game, num_envs, preset=self.preset or None, **settings, **look)
        except ValueError as error:
            raise UserError(str(error)) from error

    def _make_others(self, num_envs: int, training: bool, settings: dict[str, Any], look: dict[str, Any]) -> Games:
        if self.preset:
            raise UserError(f"{self.env} has no presets")
        for name in look.keys() & inspect.signature(AdaptedVectorEnv).parameters.keys():
            raise UserError(f"--env-arg {name} can't be set: Wingbeat sets it itself")
        if not 0 <= self.sticky < 1:
            raise UserError(f"--sticky must be a probability below 1, not {self.sticky}")
        settings.pop("frame_skip", None)  # whoever shows every frame of our games shows one a decision of others
        atari = self.screen == "atari"
        screen = Screen(
            pixels=self.pixels,
            frame_skip=self.skip,
            pool=atari,
            sticky=self.sticky,
            no_ops=self.no_ops,
            life_loss=training and self.life_loss,
            clip_rewards=training and atari,
        )
        # One alone is made to be looked at: for its spaces, or in a window.
        hosting = Hosting(0 if num_envs == 1 and not training else self.workers, self.env_seconds, self.on_env_error)
        numbers: dict[str, Any] = {key: _number(value) for key, value in look.items()}
        try:
            return AdaptedVectorEnv(self.env, num_envs, screen=screen, hosting=hosting, **settings, **numbers)
        except ValueError as error:
            raise UserError(str(error)) from error

    def _refuse_for_ours(self) -> None:
        plain = GameConfig()
        for name in ("pixels", "screen", "sticky", "no_ops", "life_loss", "workers", "on_env_error"):
            if getattr(self, name) != getattr(plain, name):
                flag = f"--{name.replace('_', '-')}"
                raise UserError(f"{flag} is for environments of others; {self.env} is one of Wingbeat's own games")

    @property
    def look(self) -> dict[str, str]:
        """What --env-arg sets, by name.

        Raises:
            UserError: for what is not name=value.
        """
        return dict(self._split(item) for item in self.env_arg)

    @property
    def ours(self) -> bool:
        """Whether it is one of our games.

        Raises:
            UserError: if there is no such environment at all.
        """
        try:
            if registry.find(self.env):
                return True
            if not names_code(self.env) and self.env not in gym.registry:
                register(self.env)
        except ValueError as error:
            raise UserError(str(error)) from error
        if not names_code(self.env) and self.env not in gym.registry:
            close = difflib.get_close_matches(self.env, [*GAMES, *registry.announced(), *gym.registry], 1, 0.4)
            hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(GAMES)}"
            raise UserError(f"there is no environment {self.env!r}; {hint}")
        return False

    @property
    def game(self) -> Game:
        """The game of ours that the id names."""
        return GAMES[self.env]

    @property
    def skip(self) -> int:
        """Frames from one decision to the next."""
        return self.frame_skip or (2 if self.ours else 4 if self.screen == "atari" else 1)

    @property
    def decision_frames(self) -> int:
        """Frames that a person sees from one decision to the next."""
        return self.skip if self.ours else 1

    @property
    def fps(self) -> int:
        """Frames a second at which a person watches."""
        rate = float(self.make(1).metadata["render_fps"]) / (self.skip / self.decision_frames)
        return max(1, round(rate))

    def confirm(self, named: str | None, where: str) -> None:
        """Refuse to import a module because a run's settings say so: the user has to name it as well.

        Args:
            named: the environment that the user has named, if any.
            where: the settings' file.

        Raises:
            UserError: if the user named none and the run needs it, or named another one.
        """
        if named is not None and named != self.env:
            raise UserError(f"{where} is of a run that plays {self.env}, not {named}")
        if named is None and names_code(self.env):
            raise UserError(
                f"this run plays {self.env}, and a run's settings import no code; if you trust it, say so again: "
                f"--env {self.env}"
            )

    @property
    def actions(self) -> tuple[str, ...]:
        """What a person calls each action."""
        if self.ours:
            return self.game.actions
        count = self.make(1).single_action_space.n  # type: ignore[attr-defined]
        return tuple(f"action {action}" for action in range(count))

    @property
    def keys(self) -> Mapping[str, int]:
        """The action of each key; digits for games that are not ours."""
        return self.game.keys if self.ours else {str(action): action for action in range(min(10, len(self.actions)))}

    @property
    def name(self) -> str:
        """The id without namespace and version, or the name in its module."""
        return self.env.split(":")[-1].split("/")[-1].rsplit("-v", 1)[0]

    @property
    def about(self) -> dict[str, str | None]:
        """What a score means nothing without: the id and the preset."""
        preset = (self.preset or next(iter(self.game.presets))) if self.ours else None
        return {"env": self.env, "preset": preset}

    @staticmethod
    def _split(item: str) -> tuple[str, str]:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UserError(f"--env-arg takes name=value, not {item!r}")
        return name, value


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


@dataclass
class EyesConfig:
    """How the agent sees."""

    encoder: str = "auto"
    """what turns observations into features: small, nature, impala or lstm for pixels, mlp for states; auto: small or
    mlp. Or the folder of a trained one, see docs/encoders.md"""
    encoder_mode: Literal["auto", "scratch", "finetune", "frozen"] = "auto"
    """of a trained encoder: frozen, or finetune (auto) to train it further; of others: scratch (auto)"""
    encoder_lr: float = 3e-4
    """Adam's step size at the start for an encoder that is trained further"""
    frames: int | None = None
    """the last frames seen, stacked in one observation; 2, or as a trained encoder has it"""
    feature_dim: int | None = None
    """length of the feature vector; 256, or as a trained encoder has it"""


DEFAULTS = EncoderSpec()


@dataclass
class Settings:
    """All that makes a run what it is; config.json holds exactly this.

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
            learner = ALGORITHMS[config["algorithm"]][1]
            config["learner"] = read(learner, config["learner"])
            game = read(GameConfig, config["game"])
            if "screen" not in config["game"] and game.env not in GAMES:
                game.frame_skip = 1  # before there were screens it was for our own games alone
            config["game"] = game
            config["eyes"] = read(EyesConfig, config["eyes"])
            settings = cast("Settings", read(cls, config))
            if settings.precision not in PRECISIONS:
                raise TypeError(f"precision = {settings.precision!r}")
        except (KeyError, TypeError) as error:
            raise _unreadable(where, error) from error
        settings.game.confirm(env, where)
        return settings

    @property
    def frames(self) -> int:
        """The last frames seen, stacked in one observation."""
        return self.eyes.frames or DEFAULTS.frames

    def spec(self) -> EncoderSpec:
        """What the encoder is made for."""
        space = self.game.make(1).single_observation_space
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
        if weights is not None:
            encoder.load_state_dict(weights)
        encoder.settled = mode in ("finetune", "frozen")
        if mode == "finetune":
            encoder.learning_rate = self.eyes.encoder_lr
        elif mode == "frozen":
            freeze(encoder)
        return encoder


def take_encoder(settings: Settings) -> Encoder | None:
    """Load the trained encoder that the settings name, if they do, and settle what it settles.

    Afterwards `settings.eyes` names its network, its frames, its features and how it goes on, so that the run needs
    its folder no more.

    Raises:
        UserError: if it is damaged, or does not fit the game or the flags.
    """
    eyes, path = settings.eyes, Path(settings.eyes.encoder)
    if eyes.encoder in (*ENCODERS, "auto"):
        if eyes.encoder_mode not in ("auto", "scratch"):
            raise UserError(
                f"--encoder-mode {eyes.encoder_mode} needs a trained encoder: --encoder FOLDER, such as runs/<name>"
            )
        return None
    if not path.exists():
        raise UserError(
            f"there is no encoder {eyes.encoder!r}; choose from {', '.join(ENCODERS)}, or name a trained one's folder"
        )
    if eyes.encoder_mode == "scratch":
        raise UserError(f"--encoder-mode scratch takes a network's name, such as small, not the folder {path}")
    encoder = load_encoder(path)
    spec = encoder.spec
    for flag, given, has in (("frames", eyes.frames, spec.frames), ("feature-dim", eyes.feature_dim, spec.feature_dim)):
        if given is not None and given != has:
            raise UserError(
                f"--{flag} {given} does not fit the encoder in {path}, which has {has}; leave the flag away"
            )
    shape = settings.game.make(1).single_observation_space.shape or ()
    if shape[1:] != (spec.height, spec.width) or spec.network in STATES:
        raise UserError(
            f"the encoder in {path} takes pictures of {spec.height} x {spec.width}; "
            f"{settings.game.env} shows {' x '.join(map(str, shape[1:]))}"
        )
    settings.eyes = replace(
        eyes,
        encoder=spec.network,
        encoder_mode="frozen" if eyes.encoder_mode == "frozen" else "finetune",
        frames=spec.frames,
        feature_dim=spec.feature_dim,
    )
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
        algorithm: Algorithm = ALGORITHMS[settings.algorithm][0](
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


@dataclass
class Player:
    """A trained agent, ready to play.

    Attributes:
        settings: of its run.
        act: greedy actions, int64 [n], for uint8 [n, frames, height, width], and what is behind them.
        steps: decisions it was trained for.
    """

    settings: Settings
    act: GreedyPolicy
    steps: int


def load_player(path: Path, device: str = "auto", env: str | None = None) -> Player:
    """Load a run's best policy, or its newest if none was evaluated yet, or that of one checkpoint.

    Args:
        path: a run's folder, or a checkpoint in it.
        device: where to compute.
        env: the environment, if the user has named it again; see `GameConfig.confirm`.

    Raises:
        UserError: if there is none, it is damaged, or it does not fit its own settings.
    """
    given = next((parent for parent in (path, *path.parents[:2]) if (parent / CONFIG).is_file()), path)
    run = Run.open(given)
    if run.config.get("algorithm", "").startswith("encoder-"):
        raise UserError(f"{run.path} is an encoder's run, which can't play; hand it to an agent: --encoder {run.path}")
    folder = path if given != path else run.path / BEST
    if given == path and not folder.exists():
        folder = checkpoint.latest(run.path)
    tensors, meta = checkpoint.load(folder)
    settings = Settings.parse(run.config, str(run.path / CONFIG), env)
    settings.device = str(choose_device(device))
    try:
        encoder = make_encoder(settings.spec())
    except ValueError as error:
        raise UserError(f"{run.path / CONFIG}: {error}") from error
    actions = int(settings.game.make(1).single_action_space.n)  # type: ignore[attr-defined]
    network = ALGORITHMS[settings.algorithm][0].make_network(encoder, actions, settings.learner)
    weights = part("average", tensors)
    checkpoint.fit(network.state_dict(), weights, f"the agent in {run.path}")
    network.load_state_dict(weights)
    network.to(settings.device).eval()
    policy = GreedyPolicy(network, torch.device(settings.device), settings.precision)
    return Player(settings, policy, int(meta["steps"]))
