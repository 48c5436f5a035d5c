"""Watch an agent play, play yourself, record, evaluate. `python play.py --help` lists the flags."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiment.command import main_line, pairs, parse
from experiment.errors import UserError

LONGEST = 86_400  # seconds of a film
SHIPPED = Path(__file__).parent / "agents" / "pretrained" / "flappy_bird"


@dataclass
class Play:
    """Watch a trained agent; without a run, the one that ships with Wingbeat."""

    run: Annotated[Path | None, tyro.conf.Positional] = None
    """a run's folder or one of its checkpoints; the shipped agent if not given"""
    human: bool = False
    """play yourself, with the keyboard"""
    versus: bool = False
    """play yourself, side by side with the agent, the same episodes"""
    race: tuple[Path, Path] | None = None
    """two runs, side by side, the same episodes"""
    web: bool = False
    """no window: show the same in a browser, on this machine unless --host says otherwise"""
    host: str = "127.0.0.1"
    """address of this machine that --web listens to, as 0.0.0.0 for all; whoever comes from elsewhere needs the token
    that is then printed"""
    port: int = 8765
    """where --web listens; 0 for any free port"""
    headless: bool = False
    """no window: evaluate over fresh episodes with the greedy policy"""
    episodes: int = 100
    """episodes of an evaluation"""
    score_cap: int = 200
    """score at which an evaluation's or a film's episodes end; 0 for no cap"""
    seed: int = 0
    """which episodes; an evaluation's have no seed in common with training"""
    json: bool = False
    """print the evaluation as one JSON object"""
    report: str | None = None
    """evaluate, and write all about the run on one page that stands for itself; the file's name, .html, may be left
    away: it is then report.html in the run's folder, or here for the shipped agent"""
    record: Path | None = None
    """write a film of one episode to this file, .mp4 or .gif, or its last picture, .png"""
    seconds: float = 60.0
    """longest film"""
    overlay: str | None = None
    """what is shown beside the game, as input,actions,value,maps,eyes,saliency; all or none. In a film of a single
    agent only if given"""
    env: str | None = None
    """the game that you play with --human; or what the run plays, if that is code of your own, as
    package.module:MyEnv: a run's settings import no module"""
    preset: str | None = None
    """other rules than the agent was trained on"""
    env_arg: tuple[str, ...] = ()
    """another look, as theme=night pipe_color=red"""
    scale: float = 1.5
    """size of the window and of films with overlays; at 1 they are 512 pixels high"""
    device: str = "auto"
    """auto, cpu or cuda"""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    command = parse(Play, _name_report(argv), "play.py")
    _check(command)
    if command.record or command.report is not None or command.headless or command.json or command.web:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # no window opens, and without a screen SDL would complain
    if command.report is not None:
        return _report(command)
    if command.headless or command.json:
        return _evaluate(command)
    if command.record and command.overlay is None and not command.race:
        return _record_bare(command)
    from agents.device import set_threads
    from experiment.watch.director import Director

    set_threads(1)  # a single observation is soonest done by one
    overlays = _overlays(command.overlay)
    game, contenders = _contenders(command)
    cap = (command.score_cap or None) if command.record else None
    director = Director(game, contenders, command.seed, cap, overlays)
    name = " against ".join(contender.name for contender in contenders)
    return _record(command, director) if command.record else _watch(command, director, name)


def _check(command: Play) -> None:
    for name in ("episodes", "seconds", "scale"):
        if not 0 < getattr(command, name) < float("inf"):
            raise UserError(f"--{name} must be more than 0, not {getattr(command, name)}")
    if command.scale > 8:
        raise UserError(f"--scale must be at most 8, not {command.scale}")
    if command.seed < 0 or not 0 <= command.score_cap < 2**31:
        raise UserError("--seed and --score-cap must be at least 0, and the latter less than 2^31")
    if not 0 <= command.port < 65536:
        raise UserError(f"--port must be at least 0 and less than 65536, not {command.port}")
    evaluation = command.headless or command.json
    if evaluation and command.record:
        raise UserError("--record opens no window, nor does --headless; they are two commands")
    _refuse_without(command, "--web", command.web, "host", "port")
    _refuse_without(command, "--record", command.record is not None, "seconds")
    judged = evaluation or command.report is not None
    _refuse_without(command, "--headless, --json or --report", judged, "episodes")
    _overlays(command.overlay)
    if command.seconds > LONGEST:
        raise UserError(f"--seconds must be at most {LONGEST}, not {command.seconds:g}")
    if command.web and (evaluation or command.record or command.report is not None):
        raise UserError("--web shows the window in a browser; leave --headless, --json, --record and --report away")
    person = command.human or command.versus
    if command.record:
        from experiment.film import check_film_name

        check_film_name(command.record)
    if command.report and Path(command.report).suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--report writes .html files, not {command.report}")
    if command.report is not None and (person or command.race or command.record or evaluation):
        raise UserError("--report tells of one agent, evaluation and film included; leave the other flags away")
    if command.human and (command.run or command.versus or command.race):
        raise UserError("--human plays without an agent; leave the run away, or play against it with --versus")
    if command.race and (command.run or command.versus):
        raise UserError("--race names its two runs itself; leave the other run and --versus away")
    if person and command.record:
        raise UserError("a person's game needs a window; film it there with the key r, not with --record")
    if evaluation and (person or command.race):
        raise UserError("--headless and --json evaluate one agent; leave --human, --versus and --race away")


def _refuse_without(command: Play, wanted: str, given: bool, *names: str) -> None:
    """Refuse flags that were given but mean nothing without another one."""
    for name in names:
        if not given and getattr(command, name) != getattr(Play, name):
            raise UserError(f"--{name} means nothing without {wanted}")


def _overlays(text: str | None) -> frozenset[str]:
    from experiment.watch.scene import OVERLAYS, USUAL

    if text is None:
        return USUAL
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in (*OVERLAYS, "all", "none"):
            raise UserError(f"--overlay knows no {name!r}; choose from {', '.join(OVERLAYS)}, or all, or none")
    return frozenset(OVERLAYS) if "all" in names else frozenset(names) - {"none"}


def _load(path: Path | None, command: Play) -> Any:
    """Load an agent, with the game's rules and look that the command asks for."""
    from commands.player import load_player

    player = load_player(path or _shipped(), command.device, command.env)
    game = player.settings.game
    trained = _spaces(game)  # what does not fit is refused before anything is shown
    if not (command.preset or command.env_arg):
        return player
    look = tuple(f"{name}={value}" for name, value in pairs((*game.env_arg, *command.env_arg)).items())
    game = player.settings.game = replace(game, preset=command.preset or game.preset, env_arg=look)
    asked = _spaces(game)
    if asked != trained:
        words = " and ".join(f"{now}, not {then}" for now, then in zip(asked, trained, strict=True) if now != then)
        raise UserError(f"this agent can't play {game.env} with {' '.join(command.env_arg)}: that has {words}")
    return player


def _spaces(game: Any) -> tuple[str, str]:
    return f"observations {list(game.spaces.observations.shape)}", f"{game.spaces.actions} actions"


def _shipped() -> Path:
    if not SHIPPED.is_dir():
        raise UserError("no agent ships with this copy of Wingbeat; train one with python train.py")
    return SHIPPED


def _contenders(command: Play) -> tuple[Any, list[Any]]:
    """Return the game and who plays it."""
    from commands.game import GameConfig
    from commands.watched import contender
    from envs import GAMES
    from experiment.watch.director import Contender

    you = Contender("you")
    if command.human:
        game = GameConfig(command.env or GameConfig.env, preset=command.preset or "", env_arg=command.env_arg)
        if not game.ours:
            raise UserError(f"--human plays our own games and yours, {', '.join(GAMES)}; {game.env} is none of them")
        game.make(1)
        return game, [you]
    paths = command.race or (command.run,)
    players = [_load(path, command) for path in paths]
    agents = [contender(path or _shipped(), player) for path, player in zip(paths, players, strict=True)]
    game, *others = [player.settings.game for player in players]
    for other in others:
        if other.bare != game.bare:
            flags = [
                f"--{key.replace('_', '-')}" for key, mine in vars(game.bare).items() if vars(other.bare)[key] != mine
            ]
            raise UserError(
                f"a race is run on one game; {_told(game)} and {_told(other)} differ in {' and '.join(flags)}"
            )
    return game, [you, *agents] if command.versus else agents


def _told(game: Any) -> str:
    look = f" {' '.join(game.env_arg)}" if game.env_arg else ""
    return f"{' '.join(filter(None, game.about.values()))}{look} with {game.decision_frames} frames a decision"


def _name_report(argv: list[str]) -> list[str]:
    """Let --report stand without a file's name: what follows is one only if it ends as such files do."""
    words = list(argv)
    if "--report" in words:
        after = words.index("--report") + 1
        if after == len(words) or not words[after].lower().endswith((".html", ".htm")):
            words.insert(after, "")
    return words


def _judge(command: Play, player: Any) -> dict[str, Any]:
    """Evaluate as the flags say; returns what --json prints."""
    from agents.device import set_threads
    from experiment.progress import Progress

    set_threads(0)
    with Progress(command.episodes) as progress:
        result: dict[str, Any] = player.evaluate(
            command.episodes, command.seed, command.score_cap or None, progress.update
        )
    return result


@contextmanager
def _answer_kept() -> Iterator[None]:
    """Whatever an environment prints in here, be it by C code, goes to standard error: it is not the answer."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _evaluate(command: Play) -> int:
    from experiment.evaluate import one_line

    with _answer_kept():
        result = _judge(command, _load(command.run, command))
    if command.json:
        print(json.dumps(result))
    else:
        what = f"{result['env']} ({result['preset']})" if result["preset"] else result["env"]
        print(f"{what}, {result['episodes']} fresh episodes: {one_line(result)}")
    return 0


def _report(command: Play) -> int:
    """Write the page about a run."""
    from commands.report import write_report
    from experiment.run import Run, run_folder

    player, given = _load(command.run, command), command.run or _shipped()
    run = Run.open(run_folder(given))
    path = Path(command.report or (run.path / "report.html" if command.run else "report.html"))
    watch = ["python", "play.py", *([str(command.run)] if command.run else [])]
    for flag, words in (("--env", [command.env]), ("--preset", [command.preset]), ("--env-arg", command.env_arg)):
        watch += [flag, *map(str, words)] if any(words) else []
    name = run.path.resolve().name if command.run else "the agent that ships with Wingbeat"
    write_report(path, run, player, _judge(command, player), name, watch)
    print(f"wrote {path}", file=sys.stderr)
    return 0


def _record_bare(command: Play) -> int:
    """Film the game alone, as it is."""
    from experiment.film import film

    player = _load(command.run, command)
    pictures = player.pictures(command.seconds, command.seed, command.score_cap or None)
    assert command.record is not None
    film(pictures, command.record, player.settings.game.fps)
    print(f"wrote {command.record}", file=sys.stderr)
    return 0


def _record(command: Play, director: Any) -> int:
    """Film what the window would show."""
    from experiment.film import film
    from experiment.watch.director import film_frames

    assert command.record is not None
    frames = islice(film_frames(director, command.scale), round(command.seconds * director.fps))
    film(frames, command.record, director.fps)
    print(f"wrote {command.record}", file=sys.stderr)
    return 0


def _watch(command: Play, director: Any, name: str) -> int:
    from experiment.watch.bests import Bests
    from experiment.watch.window import Viewing

    if not command.web:
        return Viewing(director, command.scale, name, Bests()).run()
    from experiment.watch.sounds import NoSounds
    from experiment.watch.web import Browser

    def open_page(width: float, height: float, scale: float, title: str) -> Browser:
        page = Browser(width, height, scale, title, command.host, command.port)
        print(f"watch at {page.address}   (Ctrl-C ends it)", file=sys.stderr)
        return page

    try:
        return Viewing(director, command.scale, name, Bests(), open_window=open_page, sounds=NoSounds).run()
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    main_line(main)
