"""From settings to a way of training an encoder, and back from a run's folder."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from envs.vector import check_look
from experiment import checkpoint
from experiment.command import pairs
from experiment.errors import UserError
from experiment.ranges import Endless, Share
from experiment.run import CONFIG, Run
from experiment.settings import read
from perception.contrastive import Contrastive, ContrastiveConfig
from perception.dataset import Dataset
from perception.dbn import DBN, DBNConfig
from perception.encoder import STATES, Encoder, EncoderSpec, make_encoder, read_layout
from perception.gan import GAN, GANConfig
from perception.inverse import Inverse, InverseConfig
from perception.random import Random, RandomConfig
from perception.saving import FOLDER
from perception.sequence import Sequence, SequenceConfig
from perception.supervised import Supervised, SupervisedConfig
from perception.training import TrainerConfig, Way
from perception.vae import VAE, VAEConfig

OWN_DATA = "data"  # in a run's folder, if it played its own


@dataclass
class NetworkConfig:
    """The encoder."""

    encoder: str = "small"
    """small, nature, impala, lstm or sigmoid"""
    frames: int = 2
    """the last frames seen, stacked in one observation"""
    feature_dim: int = 256
    """length of the feature vector"""

    def make(self, height: int, width: int) -> Encoder:
        """Build it, fresh, for pictures of this size.

        Raises:
            UserError: if there is no such network for such pictures.
        """
        if self.encoder in STATES:
            raise UserError(f"the {self.encoder} encoder is for states; a dataset has pictures")
        try:
            return make_encoder(EncoderSpec(self.encoder, self.frames, height, width, self.feature_dim))
        except ValueError as error:
            raise UserError(str(error)) from error


@dataclass
class SequenceNetworkConfig(NetworkConfig):
    """The encoder that reads frames one by one."""

    encoder: str = "lstm"
    """lstm"""
    frames: int = 8
    """the last frames, which it reads one after the other"""


@dataclass
class DBNNetworkConfig(NetworkConfig):
    """The encoder whose layers are trained one after the other."""

    encoder: str = "sigmoid"
    """sigmoid"""


@dataclass
class GANTrainerConfig(TrainerConfig):
    """How networks are trained against each other: in many small steps, with hardly any momentum."""

    batch_size: int = 64
    """pictures a gradient step"""
    learning_rate: float = 2e-3
    """Adam's step size at the start, for all but the encoder's weights; all fall to nothing, as half a cosine"""
    beta1: Share = 0.0
    """share of the average gradient that Adam keeps at each step"""
    max_grad_norm: Endless = 10.0
    """gradients are scaled down to this norm"""


@dataclass
class DBNTrainerConfig(TrainerConfig):
    """How the layers are trained."""

    max_grad_norm: Endless = 100.0
    """gradients are scaled down to this norm; those of an energy are large"""


class Kind(NamedTuple):
    """A way of training an encoder.

    Attributes:
        way: makes one; see `Way`.
        config: its own settings' dataclass.
        total_steps: pictures to learn from, unless told otherwise.
        network: settings of the encoder.
        trainer: settings of the trainer.
    """

    way: Any
    config: Any
    total_steps: int
    network: type[NetworkConfig] = NetworkConfig
    trainer: type[TrainerConfig] = TrainerConfig


WAYS = {
    "encoder-random": Kind(Random, RandomConfig, 1),
    "encoder-supervised": Kind(Supervised, SupervisedConfig, 1_000_000),
    "encoder-lstm": Kind(Sequence, SequenceConfig, 500_000, SequenceNetworkConfig),
    "encoder-vae": Kind(VAE, VAEConfig, 1_000_000),
    "encoder-gan": Kind(GAN, GANConfig, 500_000, trainer=GANTrainerConfig),
    "encoder-dbn": Kind(DBN, DBNConfig, 600_000, DBNNetworkConfig, DBNTrainerConfig),
    "encoder-contrastive": Kind(Contrastive, ContrastiveConfig, 1_000_000),
    "encoder-inverse": Kind(Inverse, InverseConfig, 1_000_000),
}


@dataclass
class EncoderSettings:
    """All that makes an encoder's run what it is; config.json holds exactly this, by `asdict`.

    Attributes:
        algorithm: the way's name in WAYS.
        data: the dataset's folder; "" for the run's own.
        look: the look to draw its frames in, as name=value; empty for the one it was played in.
        network: the encoder.
        way: the way's own settings.
        trainer: how it is trained.
        total_steps: pictures to learn from, each as often as it is seen.
        seed: of everything.
        device: where to compute, as torch names it.
        precision: "fp32" or "bf16".
        threads: CPU threads.
        layout: see `Encoder`.
        fingerprint: the dataset's; "" if it is the run's own, or was not noted.
    """

    algorithm: str
    data: str
    look: tuple[str, ...]
    network: NetworkConfig
    way: Any
    trainer: TrainerConfig
    total_steps: int
    seed: int
    device: str
    precision: str
    threads: int
    layout: str = "planes"
    fingerprint: str = ""

    @classmethod
    def open(cls, path: Path) -> "EncoderSettings":
        """Read the settings of a run.

        Raises:
            UserError: if there is no such run, or it is not an encoder's of this version.
        """
        run = Run.open(path)
        try:
            config = dict(run.config)
            kind = WAYS[config["algorithm"]]
            for part in ("network", "config", "trainer"):
                key = "way" if part == "config" else part
                config[key] = read(getattr(kind, part), config[key])
            settings = cast("EncoderSettings", read(cls, config))
            if settings.precision not in ("fp32", "bf16"):
                raise TypeError(f"precision = {settings.precision!r}")
            settings.layout = read_layout(settings.layout)
            return settings
        except (KeyError, TypeError) as error:
            raise UserError(
                f"the settings in {run.path / CONFIG} are not those of an encoder's run of this version: {error}"
            ) from error

    def data_path(self, run: Path) -> Path:
        """Where the dataset of this run is."""
        return Path(self.data) if self.data else run / OWN_DATA

    def open_data(self, run: Path, env: str | None = None) -> Dataset:
        """Open the dataset; `env` is as in `Dataset`.

        Raises:
            UserError: as `Dataset`, and if it is not the dataset that the run began to learn from.
        """
        data = Dataset(self.data_path(run), self.network.frames, look_of(self.look) or None, env)
        if self.fingerprint and data.fingerprint != self.fingerprint:
            raise UserError(f"{data.path} is not what the run in {run} has learned from, but was recorded anew")
        return data


def look_of(items: tuple[str, ...]) -> dict[str, str]:
    """Read a look as given on the command line.

    Raises:
        UserError: if an item is not name=value, or sets something else than the look.
    """
    look = pairs(items)
    try:
        check_look(look)
    except ValueError as error:
        raise UserError(str(error)) from error
    return look


def make_way(settings: EncoderSettings, data: Dataset) -> Way:
    """Build a way of training, fresh from its seed, on its device.

    Raises:
        UserError: if the network does not fit the data, or there is less of it than one gradient step takes.
    """
    rows, size = len(data.splits["train"]), settings.trainer.batch_size
    if rows < size:
        raise UserError(f"--batch-size {size} is more than the {rows} pictures to learn from")
    kind, (height, width) = WAYS[settings.algorithm].way, data.about["size"]
    torch.manual_seed(settings.seed)
    encoder = settings.network.make(height, width)
    encoder.layout = settings.layout
    encoder.spec = replace(encoder.spec, objective=kind.objective, trained_on=data.about["env"])
    return cast("Way", kind(encoder, settings.way, data)).to(settings.device)


def load_way(path: Path) -> tuple[Way, Dataset]:
    """Load all that an encoder's run has trained, the encoder and the layers beside it, and its dataset.

    Args:
        path: the run's folder or, in it, the encoder's own; see `load_encoder`.

    Raises:
        UserError: if there is no such run, its pictures are gone, or it is damaged.
    """
    if path.name == FOLDER and not (path / CONFIG).is_file():
        path = path.parent
    settings = EncoderSettings.open(path)
    settings.device = "cpu"
    data = settings.open_data(path)
    way = make_way(settings, data)
    tensors, _ = checkpoint.load(checkpoint.latest(path))
    mine = checkpoint.part("way", tensors)
    checkpoint.fit(way.state_dict(), mine, f"the {settings.algorithm} run in {path}")
    way.load_state_dict(mine)
    return way.eval(), data
