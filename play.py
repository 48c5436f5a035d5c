"""Watch an agent play, play yourself, record, evaluate. `python play.py --help` lists the flags."""

import json
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiment.command import main_line, parse
from experiment.errors import UserError

SHIPPED = Path(__file__).parent / "agents" / "pretrained" / "flappy_bird"


@dataclass
class Play:
    """Watch a trained agent; without a run, the one that ships with Wingbeat."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """a run's folder or one of its checkpoints; the shipped agent if not given"""
    human: bool = False
    """play yourself, with the keyboard"""
    headless: bool = False
    """no window: evaluate over fresh episodes with the greedy policy"""
    episodes: int = 100
    """episodes of an evaluation"""
    score_cap: int = 200
    """score at which an evaluation's episodes end; 0 for no cap"""
    seed: int = 0
    """which episodes; an evaluation's have no seed in common with training"""
    json: bool = False
    """print the evaluation as one JSON object"""
    record: Path | None = None
    """write a film of one episode to this file, .mp4 or .gif, or its last picture, .png"""
    seconds: float = 60.0
    """longest film"""
    preset: str | None = None
    """other rules than the agent was trained on"""
    env_arg: tuple[str, ...] = ()
    """another look, as theme=night pipe_color=red"""
    scale: float = 1.5
    """size of the window, in units of the game's screen"""
    device: str = "auto"
    """auto, cpu or cuda"""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    command = parse(Play, argv, "play.py")
    for name in ("episodes", "seconds", "scale"):
        if not 0 < getattr(command, name) < float("inf"):
            raise UserError(f"--{name} must be more than 0, not {getattr(command, name)}")
    if command.seed < 0 or command.score_cap < 0:
        raise UserError("--seed and --score-cap must be at least 0")
    if command.record:
        from experiment.pictures import check_film_name

        check_film_name(command.record)
    if command.human:
        return _human(command)
    from agents.build import load_player

    player = load_player(command.run or _shipped(), command.device)
    game = player.settings.game
    game.preset, game.env_arg = command.preset or game.preset, command.env_arg or game.env_arg
    game.make(1)  # what does not fit is refused before anything is shown
    if command.record:
        return _record(command.record, command, player)
    if command.headless or command.json:
        return _evaluate(command, player)
    from experiment.window import watch

    return watch(player, command.seed, command.scale, (command.run or _shipped()).name)


def _shipped() -> Path:
    if not SHIPPED.is_dir():
        raise UserError("no agent ships with this copy of Wingbeat; train one with python train.py")
    return SHIPPED


def _evaluate(command: Play, player: Any) -> int:
    from agents.device import set_threads
    from experiment.evaluate import evaluate, one_line
    from experiment.progress import Progress

    set_threads(0)
    settings, cap = player.settings, command.score_cap or None
    with Progress(command.episodes) as progress:
        result = evaluate(
            settings.game.make, player.act, settings.frames, command.episodes, command.seed, cap, progress.update
        )
    result = {**settings.game.about, **result}
    if command.json:
        print(json.dumps(result))
    else:
        print(f"{result['env']} ({result['preset']}), {result['episodes']} fresh episodes: {one_line(result)}")
    return 0


def _record(path: Path, command: Play, player: Any) -> int:
    from experiment.pictures import film
    from experiment.show import show

    game, cap = player.settings.game, command.score_cap or None
    frames, rate = show(game, player.act, player.settings.frames, command.seed, cap), game.fps
    film((frame.picture for frame in islice(frames, round(command.seconds * rate))), path, rate)
    print(f"wrote {path}", file=sys.stderr)
    return 0


def _human(command: Play) -> int:
    from agents.build import GameConfig
    from experiment.window import play_yourself

    if command.run:
        raise UserError("--human plays without an agent; leave the run away")
    game = GameConfig(preset=command.preset or "", env_arg=command.env_arg)
    game.make(1)
    return play_yourself(game, command.seed, command.scale)


if __name__ == "__main__":
    main_line(main)
