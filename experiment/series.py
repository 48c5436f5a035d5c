"""Folders named by a run's steps, as those of its checkpoints: where they belong, which there are, and which go."""

import shutil
from collections.abc import Collection
from pathlib import Path

from experiment import files

CHECKPOINTS = "checkpoints"  # in a run's folder


class Series:
    """The checkpoints in one folder, named by their steps.

    One that a crash left aside while it was being replaced counts as well, under its own name, as `checkpoint.load`
    finds it.

    Args:
        folder: as runs/x/checkpoints; it may be missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def at(self, steps: int) -> Path:
        """Where the checkpoint after so many steps belongs."""
        return self._folder / f"{steps:09d}"

    def all(self) -> list[Path]:
        """List them, oldest first, sound or not."""
        if not self._folder.is_dir():
            return []
        names = {path.name.removeprefix(files.ASIDE) for path in self._folder.iterdir() if path.is_dir()}
        return [self._folder / name for name in sorted((name for name in names if name.isdecimal()), key=int)]

    def leave(self, wanted: Collection[Path]) -> None:
        """Delete all but these, and the leftovers of crashes. For the process that trains the run.

        Raises:
            OSError: if the disk refuses.
        """
        for folder in self.all():
            kept = folder in wanted
            if folder.exists() or not kept:
                files.discard(files.aside(folder))  # first, or it would stand in for the other
            if not kept:
                files.discard(folder)
        for leftover in self._folder.glob(f"{files.TEMPORARY}*"):
            shutil.rmtree(leftover)
