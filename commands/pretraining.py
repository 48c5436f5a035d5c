"""An encoder's run from the command line, and the pictures it learns from."""

import shlex
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agents.device import PRECISIONS, choose_compute, choose_device, set_threads
from agents.optimizer import HiddenMuon
from commands.game import GameConfig
from commands.policies import make_policy
from experiment import checkpoint
from experiment.errors import UserError
from experiment.ranges import Seed, Share, check
from experiment.run import Run
from experiment.runner import take_up
from perception.build import OWN_DATA, EncoderSettings, make_way
from perception.dataset import Dataset
from perception.recording import record
from perception.training import Trainer


@dataclass
class Playing:
    """Who plays when pictures are recorded."""

    policy: str = "leaning"
    """random, leaning (each episode prefers actions of its own), or a trained agent's folder"""
    noise: Share = 0.3
    """share of random actions beside a trained agent's: none in the first game, this in the last"""


@dataclass
class Record:
    """The dataset as a whole."""

    out: Path
    """the dataset's folder, which must not exist"""
    seed: Seed = 0
    """of the games and of all chance"""
    quiet: bool = False
    """no progress line"""


@dataclass
class Data:
    """What is learned from."""

    data: Path | None = None
    """a dataset's folder, see train.py dataset; if not given, the run plays and records its own"""


def record_dataset(command: Any) -> int:
    """Play, and write a dataset; returns the exit code.

    Args:
        command: flags, in the groups recorded, game, playing and played.
    """
    wanted = command.recorded
    check(wanted, command.game, command.playing, command.played)
    _play(wanted.out, command.game, command.playing, command.played, wanted.seed, wanted.quiet)
    print(f"dataset: {wanted.out}", file=sys.stderr)
    return 0


def _player(game: Any, playing: Playing, config: Any, seed: int) -> Any:
    """Make who plays.

    Raises:
        UserError: if nobody can.
    """
    if not game.ours:
        raise UserError(f"{game.env} shows no pictures that can be drawn again; only our own games can be recorded")
    game.make(1)
    return make_policy(playing.policy, game, config.games, playing.noise, seed)


def _play(out: Path, game: Any, playing: Playing, config: Any, seed: int, quiet: bool) -> None:
    set_threads(1)  # so few games at a time leave nothing to share out
    policy = _player(game, playing, config, seed)
    games = game.make(config.games, max_frames=config.longest * game.skip)
    about = {**game.about, "frame_skip": game.skip, "look": game.look, "policy": asdict(playing)}
    record(out, games, policy, config.pictures, seed, about, quiet)


def pretrain(name: str, command: Any) -> int:
    """Make an encoder's run, with pictures of its own if it was given none, and train it; returns the exit code.

    Args:
        name: of the way, in WAYS.
        command: its flags, in the groups common, data, network, way, trainer, game, playing and played.
    """
    common, game, data = command.common, command.game, command.data.data
    check(common, game, command.playing, command.played, command.network, command.way, command.trainer)
    # The usual game may be left unsaid, so to name it beside another's pictures is no mistake that could be noticed.
    named = game.env if data is not None and game.env != GameConfig.env else None
    if data is not None:
        _check_not_played(command)
    else:
        _player(game, command.playing, command.played, common.seed)
        command.network.make(84, 84)  # what does not fit is refused before anything is made
    compute = choose_compute(common.device, common.precision, common.threads, common.layout)
    settings = EncoderSettings(
        name, str(data or ""), game.env_arg if data else (), command.network, command.way, command.trainer,
        common.total_steps, common.seed, *compute,
    )  # fmt: skip
    if data is not None:
        opened = settings.open_data(Path(), named)
        settings.fingerprint = opened.fingerprint
        make_way(settings, opened)
    run = Run.create(common.out, asdict(settings), f"{name}-{game.name}-{common.seed}")
    if data is None:
        try:
            _play(run.path / OWN_DATA, game, command.playing, command.played, common.seed, common.quiet)
            opened = settings.open_data(run.path)
            make_way(settings, opened)
        except (UserError, KeyboardInterrupt):
            shutil.rmtree(run.path, ignore_errors=True)  # there is nothing in it yet that could go on
            raise
        set_threads(compute.threads)
    trainer = make_trainer(run, settings, opened, common.quiet)
    trainer.prepare()
    rows = len(opened.splits["train"])
    print(f"{name} learns from {rows:,} pictures on {compute.words}", file=sys.stderr)
    return _finish(run, trainer, trainer.train())


def _check_not_played(command: Any) -> None:
    """Refuse flags of playing beside --data, but for the look, in which its pictures are drawn, and the game's name.

    Raises:
        UserError: naming the first.
    """
    for group in (command.game, command.playing, command.played):
        for key, value in asdict(group).items():
            if key not in ("env", "env_arg") and value != getattr(type(group)(), key):
                flag, data = f"--{key.replace('_', '-')}", command.data.data
                raise UserError(f"{flag} is for playing, but --data {data} has been played already; leave one away")


def resume(run: Run, command: Any) -> int:
    """Go on with an encoder's run; returns the exit code.

    Args:
        run: its folder, not locked yet.
        command: with env, total_steps, device and quiet.
    """
    settings = EncoderSettings.open(run.path)
    data = settings.open_data(run.path, command.env)  # what can't be learned from is refused before anything is touched
    run.lock()
    settings.device = str(choose_device(command.device or settings.device))
    settings.total_steps = command.total_steps or settings.total_steps
    set_threads(settings.threads)
    tensors, meta = checkpoint.load(checkpoint.latest(run.path))
    trainer = make_trainer(run, settings, data, command.quiet, meta["seconds"])
    take_up(run, trainer, tensors, command.total_steps)
    print(f"{settings.algorithm} goes on at {trainer.steps:,} of {settings.total_steps:,} pictures", file=sys.stderr)
    return _finish(run, trainer, trainer.train(resumed=True))


def make_trainer(run: Run, settings: EncoderSettings, data: Dataset, quiet: bool, seconds: float = 0.0) -> Trainer:
    """Make what trains an encoder: the way that its settings name, fresh from the seed, and its optimizer.

    Args:
        run: its folder, locked.
        settings: of the run.
        data: what is learned from.
        quiet: no progress line.
        seconds: spent in earlier sessions of this run.
    """
    way, config = make_way(settings, data), settings.trainer
    rates, dtype = (config.learning_rate, config.muon_rate), PRECISIONS[settings.precision]
    optimizer = HiddenMuon(way, way.encoder, *rates, beta1=config.beta1, turns=way.turns, dtype=dtype)
    return Trainer(
        run, data, way, optimizer, config, settings.total_steps, settings.seed, settings.precision, seconds, quiet
    )


def _finish(run: Run, trainer: Trainer, finished: bool) -> int:
    print(f"run: {run.path}", file=sys.stderr)
    if not finished:
        return 130
    for name, value in trainer.judge().items():
        print(f"{name:20} {value:.4f}", file=sys.stderr)
    path = shlex.quote(str(run.path))
    print(f"look at {run.path / 'pictures.png'}; hand it on: python train.py ppo --encoder {path}", file=sys.stderr)
    return 0
