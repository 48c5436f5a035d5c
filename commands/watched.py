"""An agent as the window takes it: its name, its policy, and a newer policy when its run has one."""

from collections.abc import Callable
from pathlib import Path

from agents.learner import GreedyPolicy
from commands.build import Settings
from commands.looks import looks_of
from commands.player import Player, load_player
from experiment.errors import UserError
from experiment.run import CONFIG, Run, run_folder
from experiment.watch.director import Contender


def contender(path: Path, player: Player) -> Contender:
    """Let the agent of a run's folder, or of one of its checkpoints, play in the window."""
    renew = _renewing(path, player) if (path / CONFIG).is_file() else None  # a checkpoint stays as it is
    name = path.resolve().name if renew else f"{run_folder(path.resolve()).name} {player.steps:,}"
    return Contender(
        name, player.policy, player.settings.frames, looks_of(player.policy, player.settings.eyes.trained), renew
    )


def _renewing(path: Path, player: Player) -> Callable[[], tuple[GreedyPolicy | None, str]]:
    """Return what looks whether the run's policy on the disk has changed, and loads it then."""
    settings, seen, steps = player.settings, _stamp(path), player.steps
    # Of the run's own: rules and look may have been asked for otherwise since it was loaded.
    trained = Settings.parse(Run.open(path).config, str(path / CONFIG), settings.game.env).game.bare

    def renew() -> tuple[GreedyPolicy | None, str]:
        nonlocal seen, steps
        now = _stamp(path)
        if now == seen:
            return None, ""
        seen = now
        try:
            newer = load_player(path, settings.device, settings.game.env)  # named when the first was loaded
        except (UserError, OSError) as error:
            return None, f"the agent plays on as it was: {error}"
        if newer.settings.eyes != settings.eyes or newer.settings.game.bare != trained:
            return None, f"{path} holds another run now; the agent plays on as it was"
        note = f"a newer policy, of {newer.steps:,} steps" if newer.steps != steps else ""
        steps = newer.steps
        return newer.policy, note

    return renew


def _stamp(path: Path) -> tuple[int, ...]:
    """Return numbers that change when the run's policies do."""
    stamps = []
    for file in sorted([path, *path.glob("best/*"), *path.glob("checkpoints/*")]):
        try:
            stamps.append(file.stat().st_mtime_ns)
        except OSError:  # it has just gone
            stamps.append(0)
    return tuple(stamps)
