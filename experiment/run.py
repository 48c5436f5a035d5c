"""One run on disk: runs/<name>/ with all that is needed to judge, watch, resume and compare it.

config.json      the settings, and on what and how the run was made (see machine.py)
metrics.jsonl    the record, one JSON object a line (see metrics.py); tensorboard/ has the same
checkpoints/     named by their steps (see checkpoint.py)
"""

import errno
import itertools
import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs.guest import naming
from experiment import files, machine, metrics
from experiment.errors import UserError, explain
from experiment.lock import FolderLock
from experiment.series import CHECKPOINTS, Series

RUNS, CONFIG, LOCK = Path("runs"), "config.json", ".lock"
FORMAT, VERSION = "wingbeat run", 1


class Run:
    """A run's folder. Made by `Run.create` or `Run.open`.

    Attributes:
        path: the folder.
        about: config.json: format, version, config, and what `machine.describe` tells.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about = path, about
        self._lock = FolderLock(path / LOCK)

    @classmethod
    def create(cls, out: Path | None, config: dict[str, Any], default_name: str) -> "Run":
        """Make a run's folder, whole from its first moment, and lock it.

        Args:
            out: the folder, which must not exist or be empty; None for the next free runs/<default_name>-<n>.
            config: all settings; what JSON can hold, and paths.
            default_name: as "ppo-FlappyBird".

        Raises:
            UserError: if the folder is taken (nothing in it is touched) or can't be made.
            TypeError: if the config holds something that JSON can't.
        """
        about = {"format": FORMAT, "version": VERSION, "config": config, **machine.describe()}
        text = json.dumps(about, indent=2, default=_jsonable) + "\n"
        with explain(f"make the run's folder {out or RUNS / default_name}"):
            (out.parent if out else RUNS).mkdir(parents=True, exist_ok=True)
            for path in [out] if out else _names(default_name):
                run = cls(path, json.loads(text))
                if run._make(text):
                    return run
        resume = f", or go on with --resume {shlex.quote(str(out))}" if out and (out / CONFIG).is_file() else ""
        raise UserError(f"{out} exists already and would be lost; choose another folder{resume}")

    def _make(self, text: str) -> bool:
        """Make the folder with its config.json, and lock it; False if the name is taken."""
        if self.path.is_dir():
            # Made beforehand, perhaps a mounted disk, which can't be renamed over: it becomes a run with this file.
            if any(path.name != LOCK for path in self.path.iterdir()):
                return False
            self.lock()  # or another command that was given the same folder might write it, too
            if (self.path / CONFIG).exists():
                return False
            with files.replacing(self.path / CONFIG) as temporary:
                files.write(temporary, text)
            return True
        if self.path.exists() or self.path.is_symlink():
            return False
        try:
            with files.making_folder(self.path) as temporary:
                files.write(temporary / CONFIG, text)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was faster
                return False
            raise
        self.lock()
        return True

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Open a run that exists, without locking it.

        Raises:
            UserError: if the folder is missing, is not a run's, or its config.json is damaged or of a newer format.
        """
        if not path.is_dir():
            hint = f"did you mean {RUNS / path}?" if (RUNS / path).is_dir() else "name a folder such as runs/<name>"
            raise UserError(f"there is no run {path}; {hint}")
        if not (path / CONFIG).is_file():
            raise UserError(f"{path} is not a run: it has no {CONFIG}; name a folder such as runs/<name>")
        with explain(f"read {path / CONFIG}"):
            text = (path / CONFIG).read_bytes()
        try:
            about = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path / CONFIG} is damaged (not JSON: {error}); mend it or train anew") from error
        if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("config"), dict):
            raise UserError(f"{path / CONFIG} does not describe a run; mend it or train anew")
        if not isinstance(about.get("version"), int) or about["version"] > VERSION:
            raise UserError(
                f"{path / CONFIG} has format {about.get('version')} and this Wingbeat reads up to {VERSION}; "
                "update Wingbeat"
            )
        return cls(path, about)

    @property
    def config(self) -> dict[str, Any]:
        """The settings as they were given to `create`, after JSON."""
        config: dict[str, Any] = self.about["config"]
        return config

    @property
    def resuming(self) -> str:
        """The flags that go on with it; code of the user's own has to be named again."""
        return f"--resume {shlex.quote(str(self.path))}{naming(self.config.get('game', {}).get('env', ''))}"

    def set_total_steps(self, total_steps: int) -> None:
        """Give the run another length, for every later resume too.

        Raises:
            UserError: if config.json can't be written; it is as it was then.
        """
        self.config["total_steps"] = total_steps
        files.write_json(self.path / CONFIG, self.about)

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints; missing until the first is saved."""
        return self.path / CHECKPOINTS

    @property
    def metrics(self) -> Path:
        """The record, metrics.jsonl; missing until `Metrics` is opened."""
        return self.path / metrics.FILE

    def checkpoint(self, steps: int) -> Path:
        """Where the checkpoint after so many steps belongs."""
        return Series(self.checkpoints).at(steps)

    def lock(self) -> None:
        """Claim the folder for training; the end of the process gives it back.

        Raises:
            UserError: naming the process that trains into it.
        """
        self._lock.acquire()

    def truncate_metrics(self, steps: int) -> None:
        """Drop the lines recorded after `steps`, when a checkpoint of that step is taken up. Before `Metrics` opens.

        Raises:
            UserError: if the record is damaged or can't be written.
        """
        if self.metrics.exists():
            metrics.truncate(self.metrics, steps)


def run_folder(path: Path) -> Path:
    """Return the run's folder that a path is or lies in, as a checkpoint's does; the path itself if there is none."""
    return next((folder for folder in (path, *path.parents[:2]) if (folder / CONFIG).is_file()), path)


def _names(name: str) -> Iterator[Path]:
    """Yield runs/<name>-<n> for every n above those there are."""
    name = name.replace("/", "-")  # as in ALE/Pong-v5
    taken = [path.name.removeprefix(f"{name}-") for path in RUNS.iterdir()] if RUNS.is_dir() else []
    first = max((int(number) for number in taken if number.isdecimal()), default=0) + 1
    return (RUNS / f"{name}-{n}" for n in itertools.count(first))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a run's config can't hold {value!r} ({type(value).__name__}): it is kept as JSON")
