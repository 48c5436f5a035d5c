"""Train an agent or an encoder: `python train.py [what] [flags]`. `python train.py --help` names what there is."""

import shutil
import sys
import threading
from dataclasses import asdict, dataclass, field, make_dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import envs
from experiment.command import main_line, parse
from experiment.errors import UserError

TOTAL_STEPS = {
    "ppo": 4_000_000,
    "ppo-lstm": 2_400_000,
    "a2c": 2_400_000,
    "reinforce": 2_400_000,
    "dqn": 2_400_000,
    "pqn": 1_200_000,
    "sb3-ppo": 1_000_000,
    "sb3-dqn": 1_000_000,
    "sb3-a2c": 1_000_000,
    "encoder-random": 1,
    "encoder-supervised": 1_000_000,
    "encoder-lstm": 500_000,
    "encoder-vae": 1_000_000,
    "encoder-contrastive": 1_000_000,
    "encoder-inverse": 1_000_000,
}
MAY_BE_ZERO = set(
    [
        "seed",
        "threads",
        "keep",
        "evaluate_seconds",
        "max_seconds",
        "learning_starts",
        "exploration",
        "exploration_steps",
        "epsilon",
        "gamma",
        "final_gamma",
        "gae_lambda",
        "final_gae_lambda",
        "q_lambda",
        "entropy_coef",
        "value_coef",
        "averaging",
        "muon_rate",
        "prioritized",
        "importance",
        "ent_coef",
        "vf_coef",
        "exploration_final_eps",
        "sticky",
        "no_ops",
        "workers",
        "noise",
        "detection_coef",
        "numbers_coef",
        "beta",
        "moving",
        "shift",
        "shift_share",
        "momentum",
    ]
)
AT_MOST_ONE = set(
    [
        "gamma",
        "final_gamma",
        "gae_lambda",
        "final_gae_lambda",
        "q_lambda",
        "averaging",
        "epsilon",
        "importance",
        "tau",
        "exploration_fraction",
        "exploration_final_eps",
        "noise",
        "shift_share",
        "momentum",
    ]
)
DATASET = "dataset"
FILM_SECONDS = 60
CHOOSING_SEED = 999_983  # of the episodes that choose the best policy; those that judge it are others


@dataclass
class Common:
    """The run as a whole."""

    out: Path | None = None
    """the run's folder; a new one in runs/ if not given"""
    total_steps: int | None = None
    """decisions to train for, over all games, or pictures to train an encoder on; each has its own default"""
    seed: int = 0
    """of the games, the weights and everything that is drawn"""
    device: str = "auto"
    """auto, cpu or cuda"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """number format of the network; auto measures which is faster here"""
    threads: int = 0
    """CPU threads; 0 for one a core"""
    quiet: bool = False
    """no progress line"""


@dataclass
class Playing:
    """Who plays when pictures are recorded."""

    policy: str = "leaning"
    """random, leaning (each episode prefers actions of its own), or a trained agent's folder"""
    noise: float = 0.3
    """share of random actions beside a trained agent's: none in the first game, this in the last"""


@dataclass
class Record:
    """The dataset as a whole."""

    out: Path
    """the dataset's folder, which must not exist"""
    seed: int = 0
    """of the games and of all chance"""
    quiet: bool = False
    """no progress line"""


@dataclass
class Data:
    """What is learned from."""

    data: Path | None = None
    """a dataset's folder, see train.py dataset; if not given, the run plays and records its own"""


@dataclass
class Resume:
    """Go on with a run from its last checkpoint."""

    resume: Path
    """the run's folder"""
    env: str | None = None
    """what the run plays, if that is code of your own: package.module:MY_GAME. No run's settings import anything"""
    total_steps: int | None = None
    """a new length of the whole run"""
    quiet: bool = False
    """no progress line"""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    if "--list-envs" in argv:
        return _list_envs()
    compiling = threading.Thread(target=_compile, args=[_env_of(argv)], daemon=True)
    if not {"-h", "--help"} & set(argv):
        compiling.start()  # beside torch's import, which takes about as long
    from agents.build import ALGORITHMS, EyesConfig, GameConfig
    from experiment.runner import RunnerConfig
    from perception.build import WAYS
    from perception.dataset import DatasetConfig
    from perception.training import TrainerConfig

    if any(word.split("=")[0] == "--resume" for word in argv):
        return _resume(parse(Resume, argv, "train.py"))
    name = argv[0] if argv and not argv[0].startswith("-") else "ppo"
    if name not in [*ALGORITHMS, *WAYS, DATASET]:
        raise UserError(
            f"there is no algorithm {name!r}; choose from {', '.join(ALGORITHMS)} for an agent, "
            f"{', '.join(WAYS)} for an encoder, or {DATASET}"
        )
    groups: dict[str, Any]
    if name in ALGORITHMS:
        groups = {"game": GameConfig, "eyes": EyesConfig, "learner": ALGORITHMS[name][1], "runner": RunnerConfig}
        about = f"Train an agent with {name}. Also: {', '.join(other for other in ALGORITHMS if other != name)}. "
        about += f"Encoders: {', '.join(WAYS)}. Pictures for these: {DATASET}. "
        about += (
            "To go on with a run: python train.py --resume FOLDER. The games there are: python train.py --list-envs"
        )
    elif name in WAYS:
        groups = {"data": Data, "network": WAYS[name][2], "way": WAYS[name][1], "trainer": TrainerConfig}
        groups |= {"game": GameConfig, "playing": Playing, "played": DatasetConfig}
        about = f"Train an encoder, to be handed to an agent with --encoder. Also: {', '.join(WAYS)}"
    else:
        groups = {"game": GameConfig, "playing": Playing, "played": DatasetConfig}
        about = "Play, and record pictures with labels for encoders to learn from"
    groups = {"common": Record if name == DATASET else Common, **groups}
    parts = [
        (key, kind) if kind is Record else (key, kind, field(default_factory=kind)) for key, kind in groups.items()
    ]
    command = make_dataclass(name, parts)
    flags = parse(command, argv[1:] if name in argv[:1] else argv, f"train.py {name}", about)
    compiling.join()  # what comes next measures speed
    if name == DATASET:
        return _record(flags)
    return _train(name, flags) if name in ALGORITHMS else _pretrain(name, flags)


def _list_envs() -> int:
    """Print what can be played by id; a game that can't be loaded is a warning."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from envs.list import rows

    table = Table("id", "actions", "presets", "looks", "what it is", box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[0].no_wrap = True
    found, problems = rows()
    for row in found:
        table.add_row(*row)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    Console(width=None if sys.stdout.isatty() else 140).print(table)  # a pipe has no width of its own
    print("Others: any id that Gymnasium knows, and path.to.module:MY_GAME for a game of your own.")
    return 0


def _env_of(argv: list[str]) -> str:
    """Find the environment on a command line that is not parsed yet; empty for a run that goes on."""
    for i, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag == "--resume":
            return ""
        if flag == "--env":
            return value if equals else argv[i + 1] if i + 1 < len(argv) else ""
    return next(iter(envs.GAMES))


def _compile(env: str) -> None:
    """Play two frames, for which the game is compiled, if it is one of ours."""
    if env in envs.GAMES:
        games = envs.GameVectorEnv(envs.GAMES[env])
        games.reset(seed=0)
        games.step([0])


def _train(name: str, command: Any) -> int:
    from agents.build import Settings, make_algorithm, take_encoder
    from agents.device import choose_compute
    from experiment.run import Run

    common, game = command.common, command.game
    _check(common, game, command.eyes, command.learner, command.runner)
    device, precision, threads = choose_compute(common.device, common.precision, common.threads)
    total_steps = common.total_steps or TOTAL_STEPS[name]
    settings = Settings(name, game, command.eyes, command.learner, total_steps, common.seed, device, precision, threads)
    encoder = take_encoder(settings)
    algorithm = make_algorithm(settings, encoder)
    config = asdict(settings) | {"runner": asdict(command.runner)}
    run = Run.create(common.out, config, f"{name}-{game.name}-{common.seed}")
    preset = f" ({game.about['preset']})" if game.ours else ""
    print(f"{name} learns {game.env}{preset} on {device}, {precision}, {threads} threads", file=sys.stderr)
    if encoder is not None:
        spec, mode = encoder.spec, settings.eyes.encoder_mode
        print(
            f"its encoder: {command.eyes.encoder}, {spec.network} for {spec.frames} frames, "
            f"{spec.objective} on {spec.trained_on}, {mode}",
            file=sys.stderr,
        )
    return _run(run, algorithm, settings, command.runner, common.quiet)


def _resume(command: Resume) -> int:
    from agents.build import Settings, make_algorithm, parse_runner
    from agents.device import choose_device, set_threads
    from experiment import checkpoint
    from experiment.run import CONFIG, Run
    from perception.build import WAYS

    _check(command)
    run = Run.open(command.resume)
    if run.config.get("algorithm") in WAYS:
        run.lock()
        return _resume_pretraining(run, command)
    where = str(run.path / CONFIG)
    settings, runner = Settings.parse(run.config, where, command.env), parse_runner(run.config, where)
    settings.game.make(1)  # what can't be played is refused before anything is touched
    run.lock()
    settings.device = str(choose_device(settings.device))
    settings.total_steps = command.total_steps or settings.total_steps
    set_threads(settings.threads)
    tensors, meta = checkpoint.load(checkpoint.latest(run.path))
    algorithm = make_algorithm(settings)
    checkpoint.fit(algorithm.state_dict(), tensors, f"the {settings.algorithm} run in {run.path}")
    algorithm.load_state_dict(tensors)
    checkpoint.rewind(run.path, algorithm.steps)
    run.truncate_metrics(algorithm.steps)
    if command.total_steps:
        run.set_total_steps(command.total_steps)
    print(f"{settings.algorithm} goes on at {algorithm.steps:,} of {settings.total_steps:,} steps", file=sys.stderr)
    return _run(run, algorithm, settings, runner, command.quiet, meta["seconds"])


def _record(command: Any) -> int:
    """Play, and write a dataset."""
    _check(command.common, command.game, command.playing, command.played)
    _play(command.common.out, command.game, command.playing, command.played, command.common.seed, command.common.quiet)
    print(f"dataset: {command.common.out}", file=sys.stderr)
    return 0


def _player(game: Any, playing: Playing, config: Any, seed: int) -> Any:
    """Make who plays.

    Raises:
        UserError: if nobody can.
    """
    from agents.policies import make_policy

    if not game.ours:
        raise UserError(f"{game.env} shows no pictures that can be drawn again; only our own games can be recorded")
    game.make(1)
    return make_policy(playing.policy, game, config.games, playing.noise, seed)


def _play(out: Path, game: Any, playing: Playing, config: Any, seed: int, quiet: bool) -> None:
    from agents.device import set_threads
    from perception.dataset import record

    set_threads(1)  # so few games at a time leave nothing to share out
    policy = _player(game, playing, config, seed)
    games = game.make(config.games, max_frames=config.longest * game.skip)
    about = {**game.about, "frame_skip": game.skip, "look": game.look, "policy": asdict(playing)}
    record(out, games, policy, config.pictures, seed, about, quiet)


def _pretrain(name: str, command: Any) -> int:
    """Train an encoder."""
    from agents.device import choose_compute, set_threads
    from agents.optimizer import HiddenMuon
    from experiment.run import Run
    from perception.build import OWN_DATA, EncoderSettings, config_of, make_way
    from perception.training import Trainer

    common, game, data = command.common, command.game, command.data.data
    _check(common, game, command.playing, command.played, command.network, command.way, command.trainer)
    if data is not None:
        _check_not_played(command)
    else:
        _player(game, command.playing, command.played, common.seed)
        command.network.make(84, 84)  # what does not fit is refused before anything is made
    device, precision, threads = choose_compute(common.device, common.precision, common.threads)
    total = common.total_steps or TOTAL_STEPS[name]
    settings = EncoderSettings(
        name, str(data or ""), game.env_arg if data else (), command.network, command.way, command.trainer,
        total, common.seed, device, precision, threads,
    )  # fmt: skip
    if data is not None:
        make_way(settings, settings.open_data(Path()))
    run = Run.create(common.out, config_of(settings), f"{name}-{game.name}-{common.seed}")
    if data is None:
        try:
            _play(run.path / OWN_DATA, game, command.playing, command.played, common.seed, common.quiet)
            make_way(settings, settings.open_data(run.path))
        except (UserError, KeyboardInterrupt):
            shutil.rmtree(run.path, ignore_errors=True)  # there is nothing in it yet that could go on
            raise
        set_threads(threads)
    pictures = settings.open_data(run.path)
    way = make_way(settings, pictures)
    optimizer = HiddenMuon(way, way.encoder, settings.trainer.learning_rate, settings.trainer.muon_rate)
    trainer = Trainer(run, pictures, way, optimizer, settings.trainer, total, common.seed, precision, 0, common.quiet)
    trainer.prepare()
    rows = len(pictures.splits["train"])
    print(f"{name} learns from {rows:,} pictures on {device}, {precision}, {threads} threads", file=sys.stderr)
    return _finish_pretraining(run, trainer, trainer.train())


def _check_not_played(command: Any) -> None:
    """Refuse flags of playing beside --data, but for the look, in which its pictures are drawn.

    Raises:
        UserError: naming the first.
    """
    for group in (command.game, command.playing, command.played):
        for key, value in asdict(group).items():
            if key != "env_arg" and value != getattr(type(group)(), key):
                flag, data = f"--{key.replace('_', '-')}", command.data.data
                raise UserError(f"{flag} is for playing, but --data {data} has been played already; leave one away")


def _resume_pretraining(run: Any, command: Resume) -> int:
    from agents.device import choose_device, set_threads
    from agents.optimizer import HiddenMuon
    from experiment import checkpoint
    from perception.build import EncoderSettings, make_way
    from perception.training import Trainer

    settings = EncoderSettings.open(run.path)
    settings.device = str(choose_device(settings.device))
    settings.total_steps = command.total_steps or settings.total_steps
    set_threads(settings.threads)
    tensors, meta = checkpoint.load(checkpoint.latest(run.path))
    pictures = settings.open_data(run.path)
    way = make_way(settings, pictures)
    optimizer = HiddenMuon(way, way.encoder, settings.trainer.learning_rate, settings.trainer.muon_rate)
    trainer = Trainer(
        run, pictures, way, optimizer, settings.trainer, settings.total_steps,
        settings.seed, settings.precision, meta["seconds"], command.quiet,
    )  # fmt: skip
    checkpoint.fit(trainer.state_dict(), tensors, f"the {settings.algorithm} run in {run.path}")
    trainer.load_state_dict(tensors)
    checkpoint.rewind(run.path, trainer.steps)
    run.truncate_metrics(trainer.steps)
    if command.total_steps:
        run.set_total_steps(command.total_steps)
    print(f"{settings.algorithm} goes on at {trainer.steps:,} of {settings.total_steps:,} pictures", file=sys.stderr)
    return _finish_pretraining(run, trainer, trainer.train(resumed=True))


def _finish_pretraining(run: Any, trainer: Any, complete: bool) -> int:
    print(f"run: {run.path}", file=sys.stderr)
    if not complete:
        return 130
    for name, value in trainer.judge().items():
        print(f"{name:20} {value:.4f}", file=sys.stderr)
    print(f"look at {run.path / 'pictures.png'}; hand it on: python train.py ppo --encoder {run.path}", file=sys.stderr)
    return 0


def _run(run: Any, algorithm: Any, settings: Any, config: Any, quiet: bool, seconds: float | None = None) -> int:
    from experiment.evaluate import evaluate
    from experiment.runner import Runner

    make = cache(settings.game.make)  # all evaluations play in the same environments: these may take long to start

    def play(episodes: int, cap: int) -> dict[str, Any]:
        return evaluate(make, algorithm.act, settings.frames, episodes, CHOOSING_SEED, cap)

    if hasattr(algorithm, "replay"):
        print(f"the replay takes {algorithm.replay.memory / 1e6:,.1f} MB of memory", file=sys.stderr)
    runner = Runner(run, algorithm, settings.total_steps, play, config, seconds or 0.0, quiet)
    complete = runner.train(resumed=seconds is not None)
    print(f"run: {run.path}", file=sys.stderr)
    if not complete:
        return 130
    if config.evaluate_seconds:
        _judge(run, config, settings.game.env)
    return 0


def _judge(run: Any, config: Any, env: str) -> None:
    """Evaluate the best policy for good, and film it."""
    from agents.build import load_player
    from experiment.evaluate import evaluate, one_line, save_evaluation
    from experiment.pictures import film
    from experiment.show import show

    player = load_player(run.path, env=env)
    game, frames = player.settings.game, player.settings.frames
    print(f"evaluating the best policy over {config.final_episodes} fresh episodes", file=sys.stderr)
    result = evaluate(game.make, player.act, frames, config.final_episodes, score_cap=config.final_cap)
    result = {**game.about, **result}
    save_evaluation(run.path / "evaluation.json", result)
    print(one_line(result), file=sys.stderr)
    shown, rate = show(game, player.act, frames), game.fps
    film((frame.picture for frame in islice(shown, FILM_SECONDS * rate)), run.path / "best.mp4", rate)
    print(f"watch it: python play.py {run.path}   (or open {run.path / 'best.mp4'})", file=sys.stderr)


def _check(*groups: Any) -> None:
    """Refuse what can't be meant, before anything is made.

    Raises:
        UserError: naming the flag.
    """
    for group in groups:
        for name, value in vars(group).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            flag = f"--{name.replace('_', '-')}"
            if name == "seed" and value >= 2**32:
                raise UserError(f"--seed must be less than 2^32, not {value}; larger ones are for evaluation")
            if value < 0 or (value == 0 and name not in MAY_BE_ZERO) or value != value:
                raise UserError(f"{flag} must be {'at least' if name in MAY_BE_ZERO else 'more than'} 0, not {value}")
            if name in AT_MOST_ONE and value > 1:
                raise UserError(f"{flag} must be at most 1, not {value}")


if __name__ == "__main__":
    main_line(main)
