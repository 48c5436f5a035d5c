"""Train an agent or an encoder: `python train.py [what] [flags]`. `python train.py --help` names what there is."""

import os
import sys
import threading
from dataclasses import dataclass, field, make_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import envs
from experiment.command import main_line, parse
from experiment.errors import UserError
from experiment.ranges import Natural, Seed, check

DATASET = "dataset"


@dataclass
class Common:
    """The run as a whole."""

    total_steps: int
    """decisions to train for, over all games, or pictures to train an encoder on"""
    out: Path | None = None
    """the run's folder; a new one in runs/ if not given"""
    seed: Seed = 0
    """of the games, the weights and everything that is drawn"""
    device: str = "auto"
    """auto, cpu or cuda"""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """number format of the network; auto measures which is faster here"""
    layout: Literal["auto", "planes", "fused"] = "auto"
    """how a CPU computes the convolutions; auto measures it, too, but is planes if a precision is given"""
    threads: Natural = 0
    """CPU threads; 0 for one a core, of those that may be used"""
    quiet: bool = False
    """no progress line"""


@dataclass
class Resume:
    """Go on with a run from its last checkpoint."""

    resume: Path
    """the run's folder"""
    env: str | None = None
    """what the run plays, if that is code of your own: package.module:MY_GAME. A run's settings import no module"""
    total_steps: int | None = None
    """a new length of the whole run"""
    device: str | None = None
    """where to go on, if not where the run was: auto, cpu or cuda"""
    quiet: bool = False
    """no progress line"""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    if "--list-envs" in argv:
        return _list_envs()
    compiling = threading.Thread(target=_compile, args=[_env_of(argv)], daemon=True)
    if not {"-h", "--help"} & set(argv):
        compiling.start()  # beside torch's import, which takes about as long
    from commands import pretraining, training
    from commands.build import ALGORITHMS
    from experiment.run import Run
    from perception.build import WAYS

    if any(word.split("=")[0] == "--resume" for word in argv):
        again = parse(Resume, argv, "train.py")
        check(again)
        run = Run.open(again.resume)
        return pretraining.resume(run, again) if run.config.get("algorithm") in WAYS else training.resume(run, again)
    name = argv[0] if argv and not argv[0].startswith("-") else "ppo"
    known = [*ALGORITHMS, *WAYS, DATASET]
    if name not in known:
        raise UserError(
            f"there is no algorithm {name!r}; choose from {', '.join(ALGORITHMS)} for an agent, "
            f"{', '.join(WAYS)} for an encoder, or {DATASET}"
        )
    groups, about = _flags(name)
    parts = [  # a kind without a default has a flag that must be given
        (key, group) if isinstance(group, type) else (key, type(group), field(default_factory=partial(replace, group)))
        for key, group in groups.items()
    ]
    words = argv[1:] if name in argv[:1] else argv
    try:
        flags = parse(make_dataclass(name, parts), words, f"train.py {name}", about)
    except UserError as error:
        strange = str(error).removeprefix("Unrecognized options: ").split(";")[0].split(", ")
        if late := [word for word in strange if word in known]:
            raise UserError(f"what is trained comes first: python train.py {late[0]} ...") from error
        raise
    compiling.join()  # what comes next measures speed
    if name == DATASET:
        return pretraining.record_dataset(flags)
    return training.train(name, flags) if name in ALGORITHMS else pretraining.pretrain(name, flags)


def _flags(name: str) -> tuple[dict[str, Any], str]:
    """Return the groups of flags of what is trained, each a dataclass or its defaults; and what is said of it."""
    from commands.build import ALGORITHMS
    from commands.eyes import EyesConfig
    from commands.game import GameConfig
    from commands.pretraining import Data, Playing, Record
    from experiment.runner import RunnerConfig
    from perception.build import WAYS
    from perception.recording import DatasetConfig

    played = {"game": GameConfig(), "playing": Playing(), "played": DatasetConfig()}
    if name == DATASET:
        return {"recorded": Record, **played}, "Play, and record pictures with labels for encoders to learn from"
    if name in WAYS:
        way = WAYS[name]
        groups = {"common": Common(way.total_steps), "data": Data(), "network": way.network(), "way": way.config()}
        about = f"Train an encoder, to be handed to an agent with --encoder. Also: {', '.join(WAYS)}"
        return {**groups, "trainer": way.trainer(), **played}, about
    about = (
        f"Train an agent with {name}. Also: {', '.join(other for other in ALGORITHMS if other != name)}. "
        f"Encoders: {', '.join(WAYS)}. Pictures for these: {DATASET}. "
        "To go on with a run: python train.py --resume FOLDER. The games there are: python train.py --list-envs"
    )
    kind = ALGORITHMS[name]
    groups = {"common": Common(kind.total_steps), "game": GameConfig(), "eyes": EyesConfig(), "learner": kind.config()}
    return {**groups, "runner": RunnerConfig()}, about


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


if __name__ == "__main__":
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # no window opens, and without a screen SDL would complain
    main_line(main)
