"""Stable-Baselines3's own PPO, DQN and A2C, an iteration at a time, on our games and with our encoders.

SB3 plays, stores and learns; what is here gives it the games, the encoder and a seed, and takes its state. It is
imported when an agent is made, not before: it takes seconds, and Wingbeat works without it. What plays is an encoder
and a linear layer, for which SB3 isn't needed.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.device import PRECISIONS
from agents.learner import GreedyPolicy
from agents.replay import check_memory
from agents.rollout import Episodes, Rollout
from agents.state import ADAM, games_state, load_games_state, load_optimizer_state, optimizer_state
from envs import GameVectorEnv
from experiment import files
from experiment.checkpoint import nest, part
from experiment.errors import UserError
from experiment.policy import Thought
from experiment.ranges import Endless, Natural, NonNegative, PositiveShare, Share
from perception import Encoder

ZIP = "sb3.zip"  # SB3's own file, in the run's folder
FITTING_FRAMES = 2048  # of random play, from which the encoder takes its normalisation


@dataclass
class SB3PPOConfig:
    """Settings of Stable-Baselines3's PPO, by its names; mostly those of its Atari agents."""

    num_envs: int = 16
    """games played at once; SB3's Atari agents play 8, but here more games cost little"""
    n_steps: int = 128
    """steps of each game between two updates"""
    batch_size: int = 256
    """samples a gradient step; must divide num_envs x n_steps"""
    n_epochs: int = 4
    """passes over each rollout"""
    learning_rate: float = 2.5e-4
    """Adam's step size at the start"""
    clip_range: Endless = 0.1
    """how far the new policy may go from the old at the start"""
    anneal: bool = True
    """lower learning rate and clip range linearly to 0 over the run"""
    gamma: Share = 0.99
    """discount per decision"""
    gae_lambda: Share = 0.95
    """lambda of generalised advantage estimation"""
    ent_coef: NonNegative = 0.01
    """weight of the entropy bonus"""
    vf_coef: NonNegative = 0.5
    """weight of the value loss"""
    max_grad_norm: Endless = 0.5
    """gradients are scaled down to this norm"""


@dataclass
class SB3A2CConfig:
    """Settings of Stable-Baselines3's A2C, by its names; mostly those of its Atari agents."""

    num_envs: int = 16
    """games played at once"""
    n_steps: int = 5
    """steps of each game between two updates"""
    learning_rate: float = 7e-4
    """RMSProp's step size"""
    rms_prop_eps: float = 1e-5
    """RMSProp's epsilon"""
    gamma: Share = 0.99
    """discount per decision"""
    gae_lambda: Share = 1.0
    """lambda of generalised advantage estimation; 1 for plain returns"""
    ent_coef: NonNegative = 0.01
    """weight of the entropy bonus"""
    vf_coef: NonNegative = 0.25
    """weight of the value loss"""
    max_grad_norm: Endless = 0.5
    """gradients are scaled down to this norm"""


@dataclass
class SB3DQNConfig:
    """Settings of Stable-Baselines3's DQN, by its names; for many games at once, and shorter runs than on Atari."""

    num_envs: int = 8
    """games played at once; SB3's Atari agents play 1"""
    buffer_size: int = 50_000
    """transitions kept; each takes two whole stacks of frames, by default 28 kB"""
    learning_starts: Natural = 10_000
    """steps at random before learning starts"""
    batch_size: int = 128
    """transitions a gradient step; SB3's Atari agents take 32, but one step for 4 transitions, not for 32"""
    train_freq: int = 4
    """steps of every game from one update to the next"""
    gradient_steps: int = 1
    """gradient steps an update"""
    learning_rate: float = 1e-4
    """Adam's step size"""
    gamma: Share = 0.99
    """discount per decision"""
    n_steps: int = 1
    """rewards summed before bootstrapping"""
    tau: PositiveShare = 1.0
    """share by which the target network moves towards the online one at each of its updates"""
    target_update_interval: int = 1000
    """steps, over all games, from one update of the target network to the next"""
    exploration_fraction: PositiveShare = 0.1
    """share of the run over which the share of random actions falls from 1"""
    exploration_final_eps: Share = 0.01
    """share of random actions after that"""
    max_grad_norm: Endless = 10.0
    """gradients are scaled down to this norm"""


class Greedy(nn.Module):
    """What plays: an encoder and a linear layer of logits or action values, the same objects that SB3 trains.

    Args:
        encoder: observations to features.
        head: features to scores of the actions.
        probable: the scores are logits; otherwise values of the actions.
    """

    def __init__(self, encoder: Encoder, head: nn.Module, probable: bool) -> None:
        super().__init__()
        self.encoder, self.head, self.probable = encoder, head, probable

    def forward(self, observations: Tensor) -> tuple[Tensor]:
        """Map uint8 [batch, frames, height, width] to (logits or values of the actions [batch, actions],)."""
        features = self.encoder(observations)
        with torch.autocast(features.device.type, enabled=False):  # as when it learns
            return (self.head(features),)

    def thought(self, scores: Tensor) -> Thought:
        """Explain what `forward` returned. SB3's own network judges states; what plays has no such part."""
        if self.probable:
            return Thought(scores.argmax(-1), scores.softmax(-1), True)
        return Thought(scores.argmax(-1), scores, False, scores.max(-1).values)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, each once: the state_dict of SB3's policies names a shared encoder three times."""
    named = [*module.named_parameters(), *module.named_buffers()]
    return {name: tensor.detach() for name, tensor in named}


class SB3(ABC):
    """What the three agents share. Arguments as in `OnPolicy`.

    SB3 draws from the global generators of NumPy and torch. Every iteration seeds them anew, with what follows from
    the run's seed and the steps so far: nothing that happens in between changes a run, and a resumed one goes on
    as it would have.

    Raises:
        UserError: if SB3 is not installed, or the environment is not one of Wingbeat's own games.
        ValueError: for settings that do not fit each other.
        MemoryError: for a replay that does not fit.
    """

    moments: tuple[str, ...] = ADAM  # what the optimizer keeps for each parameter
    probable = True  # the network's scores are logits
    adam_eps = 1e-8

    def __init__(
        self,
        envs: Any,
        encoder: Encoder,
        config: Any,
        total_steps: int,
        seed: int,
        device: torch.device,
        precision: str,
    ) -> None:
        try:
            from stable_baselines3.common.logger import Logger
        except ModuleNotFoundError as error:
            raise UserError('Stable-Baselines3 is missing: pip install -c constraints.txt -e ".[sb3]"') from error
        from envs.sb3 import GameVecEnv
        from perception.sb3 import EncoderExtractor

        if not isinstance(envs, GameVectorEnv):
            raise UserError("Stable-Baselines3's agents play our own games only; for others use it by itself")
        self.config, self.total_steps, self.seed = config, total_steps, seed
        rollout = Rollout(envs, math.ceil(FITTING_FRAMES / config.num_envs), 1, torch.device("cpu"))
        rollout.start(seed)
        encoder.fit_normalization(rollout.explore(torch.Generator().manual_seed(seed)))
        self.envs = GameVecEnv(envs, encoder.spec.frames)
        policy: dict[str, Any] = {
            "features_extractor_class": EncoderExtractor,
            "features_extractor_kwargs": {"encoder": encoder, "dtype": PRECISIONS[precision]},
            "normalize_images": False,
            "net_arch": [],
        }
        if encoder.pace != 1:
            policy |= self.optimizer(encoder.pace)
        self.model: Any = self.make_model(
            env=self.envs, policy="CnnPolicy", policy_kwargs=policy, seed=seed, device=str(device)
        )
        self.model.set_logger(Logger(None, []))  # keeps the numbers and prints nothing
        _, self.callback = self.model._setup_learn(total_steps, self._note)
        self.network = self.playing()
        self.policy = GreedyPolicy(self.network, device, precision)
        self.episodes = Episodes()
        self.steps = 0

    @classmethod
    def make_network(cls, encoder: Encoder, actions: int, config: Any) -> Greedy:
        """Build the network that plays."""
        return Greedy(encoder, nn.Linear(encoder.feature_dim, actions), cls.probable)

    def optimizer(self, share: float) -> dict[str, Any]:
        """What gives the encoder's weights this share of the step size, as arguments for SB3's policy."""
        from perception.sb3 import OwnRateAdam

        return {"optimizer_class": OwnRateAdam, "optimizer_kwargs": {"share": share, "eps": self.adam_eps}}

    @abstractmethod
    def make_model(self, **common: Any) -> Any:
        """Build SB3's agent from the settings and what all agents have in common.

        Raises:
            ValueError: for settings of which SB3 would only warn.
        """

    @abstractmethod
    def playing(self) -> Greedy:
        """Return the part of SB3's policy that plays."""

    @abstractmethod
    def learn(self) -> None:
        """Play and learn a little, as `learn` of SB3 does in its loop."""

    def iterate(self) -> dict[str, float]:
        """Play and learn a little; returns what SB3 has logged."""
        self.model.set_random_seed(int(np.random.SeedSequence([self.seed, self.steps]).generate_state(1)[0]))
        self.learn()
        self.steps = self.model.num_timesteps
        logged = self.model.logger.name_to_value
        metrics = {f"train/{key.rpartition('/')[2]}": float(value) for key, value in logged.items()}
        return metrics | {"train/score": self.episodes.mean}

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the future depends on, but for a replay."""
        return {
            **nest("network", tensors_of(self.model.policy)),
            **nest("average", self.network.state_dict()),
            **nest("optimizer", optimizer_state(self.model.policy.optimizer, self.moments)),
            **games_state(self.envs),
            **nest("episodes", self.episodes.state_dict()),
            "updates": torch.tensor(self.model._n_updates),
            "steps": torch.tensor(self.steps),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` returned."""
        for name, tensor in tensors_of(self.model.policy).items():
            tensor.copy_(state[f"network.{name}"])
        load_optimizer_state(self.model.policy.optimizer, part("optimizer", state), self.moments)
        load_games_state(self.envs, state)
        self.episodes.load_state_dict(part("episodes", state))
        self.steps = self.model.num_timesteps = int(state["steps"])
        self.model._last_obs = self.envs.observations
        self.model._n_updates = int(state["updates"])
        self.model._update_current_progress_remaining(self.steps, self.total_steps)

    def export(self, folder: Path) -> None:
        """Write the agent for SB3's own `load`. A pickle, which Wingbeat never reads.

        Raises:
            UserError: if the disk refuses.
        """
        with files.writing(folder / ZIP) as temporary:
            self.model.save(temporary)

    def _note(self, local: dict[str, Any], _: dict[str, Any]) -> bool:
        """Note the scores of the episodes that have just ended; SB3 calls this after each step."""
        self.episodes.add({"score": [info["score"] for info in local["infos"]]}, local["dones"])
        return True


class ActorCriticAgent(SB3):
    """What SB3's PPO and A2C share: a rollout, then an update from it."""

    def playing(self) -> Greedy:
        """Return the policy's encoder and its head of logits."""
        return Greedy(self.model.policy.features_extractor.encoder, self.model.policy.action_net, self.probable)

    def learn(self) -> None:
        """Play one rollout and learn from it."""
        model = self.model
        model.collect_rollouts(self.envs, self.callback, model.rollout_buffer, model.n_steps)
        model._update_current_progress_remaining(model.num_timesteps, self.total_steps)
        model.train()


class SB3PPO(ActorCriticAgent):
    """Stable-Baselines3's PPO."""

    adam_eps = 1e-5  # as SB3's own policies with actor and critic have it

    def make_model(self, **common: Any) -> Any:
        """Build the agent; see `SB3`."""
        from stable_baselines3 import PPO
        from stable_baselines3.common.utils import LinearSchedule

        settings = asdict(self.config)
        rollout = settings.pop("num_envs") * settings["n_steps"]
        if settings["batch_size"] < 2 or rollout % settings["batch_size"]:
            raise ValueError(
                f"--batch-size must be at least 2 and divide num_envs x n_steps = {rollout}, "
                f"not {settings['batch_size']}"
            )
        if settings.pop("anneal"):
            for name in ("learning_rate", "clip_range"):
                settings[name] = LinearSchedule(settings[name], 0.0, 1.0)
        return PPO(**common, **settings)


class SB3A2C(ActorCriticAgent):
    """Stable-Baselines3's A2C."""

    moments = ("square_avg",)  # RMSProp's

    def optimizer(self, share: float) -> dict[str, Any]:
        """See `SB3`; with what SB3's A2C gives its RMSProp."""
        from perception.sb3 import OwnRateRMSprop

        settings = {"share": share, "alpha": 0.99, "eps": self.config.rms_prop_eps, "weight_decay": 0}
        return {"optimizer_class": OwnRateRMSprop, "optimizer_kwargs": settings}

    def make_model(self, **common: Any) -> Any:
        """Build the agent; see `SB3`."""
        from stable_baselines3 import A2C

        settings = asdict(self.config)
        del settings["num_envs"]
        return A2C(**common, **settings)


class SB3DQN(SB3):
    """Stable-Baselines3's DQN. Its replay is not saved: after a resume it fills anew before learning goes on."""

    probable = False
    _filled = 0  # steps in the replay

    def make_model(self, **common: Any) -> Any:
        """Build the agent; see `SB3`."""
        from stable_baselines3 import DQN

        settings = asdict(self.config)
        games, interval = settings.pop("num_envs"), settings["target_update_interval"]
        if interval < games:
            raise ValueError(f"--target-update-interval must be at least the number of games, {games}, not {interval}")
        stack = int(np.prod(self.envs.observation_space.shape or ()))
        check_memory(2 * stack * settings["buffer_size"], settings["buffer_size"], "--buffer-size")
        return DQN(**common, **settings)

    def playing(self) -> Greedy:
        """Return the online network's encoder and its one layer of action values."""
        online = self.model.policy.q_net
        return Greedy(online.features_extractor.encoder, online.q_net[0], self.probable)

    def learn(self) -> None:
        """Play a few steps of each game and, if the replay has been filled, learn from it."""
        model, config = self.model, self.config
        played = model.collect_rollouts(
            self.envs, self.callback, model.train_freq, model.replay_buffer, learning_starts=config.learning_starts
        )
        self._filled += played.episode_timesteps
        if self._filled > config.learning_starts:
            model.train(config.gradient_steps, config.batch_size)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` returned, with an empty replay."""
        super().load_state_dict(state)
        model, self._filled = self.model, 0
        model.replay_buffer.reset()
        model._n_calls = self.steps // self.config.num_envs
        model.exploration_rate = model.exploration_schedule(model._current_progress_remaining)
