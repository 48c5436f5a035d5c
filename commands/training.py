"""An agent's run from the command line: made, or gone on with, trained, judged and filmed."""

import shlex
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import Any

from agents.device import choose_compute, choose_device, set_threads
from agents.dqn import DQN
from commands.build import Settings, make_algorithm, parse_runner
from commands.eyes import take_encoder
from commands.player import load_player
from commands.progress_film import film_progress
from envs.guest import EnvFailure, naming
from experiment import checkpoint, files
from experiment.errors import UserError
from experiment.evaluate import evaluate, one_line
from experiment.film import film
from experiment.progress import Progress
from experiment.ranges import check
from experiment.run import CONFIG, Run
from experiment.runner import BEST, Algorithm, Runner, RunnerConfig, take_up

FILM_SECONDS = 60
CHOOSING_SEED = 999_983  # of the episodes that choose the best policy; those that judge it are others


def train(name: str, command: Any) -> int:
    """Make an agent's run and train it; returns the exit code.

    Args:
        name: of the algorithm, in `commands.build.ALGORITHMS`.
        command: its flags, in the groups common, game, eyes, learner and runner.
    """
    common, game = command.common, command.game
    check(common, game, command.eyes, command.learner, command.runner)
    compute = choose_compute(common.device, common.precision, common.threads, common.layout)
    eyes, encoder = take_encoder(command.eyes, game)
    game = replace(game, frame_skip=game.skip)  # a run goes on as it began, whatever the game's default will be
    settings = Settings(name, game, eyes, command.learner, common.total_steps, common.seed, *compute)
    algorithm = make_algorithm(settings, encoder)
    config = asdict(settings) | {"runner": asdict(command.runner)}
    run = Run.create(common.out, config, f"{name}-{game.name}-{common.seed}")
    preset = f" ({game.about['preset']})" if game.ours else ""
    print(f"{name} learns {game.env}{preset} on {compute.words}", file=sys.stderr)
    if encoder is not None:
        spec = encoder.spec
        print(
            f"its encoder: {command.eyes.encoder}, {spec.network} for {spec.frames} frames, "
            f"{spec.objective} on {spec.trained_on}, {eyes.encoder_mode}",
            file=sys.stderr,
        )
    return _run(run, algorithm, settings, command.runner, common.quiet)


def resume(run: Run, command: Any) -> int:
    """Go on with an agent's run; returns the exit code.

    Args:
        run: its folder, not locked yet.
        command: with env, total_steps, device and quiet.
    """
    where = str(run.path / CONFIG)
    settings, runner = Settings.parse(run.config, where, command.env), parse_runner(run.config, where)
    _ = settings.game.spaces  # what can't be played is refused before anything is touched
    run.lock()
    settings.device = str(choose_device(command.device or settings.device))
    settings.total_steps = command.total_steps or settings.total_steps
    set_threads(settings.threads)
    tensors, meta = checkpoint.load(checkpoint.latest(run.path))
    algorithm = make_algorithm(settings)
    take_up(run, algorithm, tensors, command.total_steps)
    print(f"{settings.algorithm} goes on at {algorithm.steps:,} of {settings.total_steps:,} steps", file=sys.stderr)
    return _run(run, algorithm, settings, runner, command.quiet, meta["seconds"])


def _run(
    run: Run,
    algorithm: Algorithm,
    settings: Settings,
    config: RunnerConfig,
    quiet: bool,
    seconds: float | None = None,
) -> int:
    make = cache(settings.game.make)  # all evaluations play in the same environments: these may take long to start

    def play(episodes: int, cap: int, watch: Callable[[int], None]) -> dict[str, Any]:
        return evaluate(make, algorithm.policy, settings.frames, episodes, CHOOSING_SEED, cap, watch)

    if isinstance(algorithm, DQN):
        print(f"the replay takes {algorithm.replay.memory / 1e6:,.1f} MB of memory", file=sys.stderr)
    runner = Runner(run, algorithm, settings.total_steps, play, config, seconds or 0.0, quiet)
    finished = runner.train(resumed=seconds is not None)
    print(f"run: {run.path}", file=sys.stderr)
    if not finished:
        return 130
    if config.evaluate_seconds:
        _judge(run, config, settings, quiet)
    return 0


def _judge(run: Run, config: RunnerConfig, settings: Settings, quiet: bool) -> None:
    """Evaluate the best policy for good, and film it, where it was trained."""
    env, device = settings.game.env, settings.device
    player = load_player(run.path, device, env)
    print(f"evaluating the best policy over {config.final_episodes} fresh episodes", file=sys.stderr)
    with Progress(config.final_episodes, quiet=quiet) as progress:
        result = player.evaluate(config.final_episodes, 0, config.final_cap, progress.update)
    files.write_json(run.path / "evaluation.json", result)
    print(one_line(result), file=sys.stderr)
    try:
        film(player.pictures(FILM_SECONDS), run.path / "best.mp4", player.settings.game.fps)
        if checkpoint.exists(run.path / BEST):  # a run that the clock stopped at once has evaluated nothing on its way
            film_progress(run, device, env)
    except (UserError, EnvFailure, ValueError) as error:  # what was learned is there
        print(f"there is no film: {error}", file=sys.stderr)
    else:
        path = shlex.quote(str(run.path))
        print(f"watch it: python play.py {path}{naming(env)}   (or open {run.path / 'best.mp4'})", file=sys.stderr)
