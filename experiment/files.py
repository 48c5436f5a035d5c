"""Files and folders written so that a crash or a power cut leaves the old one or the new one, never a half.

All is written under a temporary name next to the goal, put on the disk for good (fsync), then renamed.
The names of a crash's leftovers begin with `.tmp-` or `.old-`.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from experiment.errors import explain

TEMPORARY, ASIDE = ".tmp-", ".old-"


def write(path: Path, data: str | bytes) -> None:
    """Write a file (text as UTF-8) and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
    sync(path)


def sync(path: Path) -> None:
    """Wait until the disk has a file's bytes, or a folder's list of names."""
    if sys.platform == "win32" and path.is_dir():
        return  # folders can't be opened there
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def aside(path: Path) -> Path:
    """Where `replacing_folder` puts the old folder for the moment in which the new one takes its name."""
    return path.with_name(ASIDE + path.name)


def temporary_name(path: Path) -> Path:
    """Name a thing still being written: hidden, in the same folder, with the same suffix."""
    return path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name; the file written there takes the place of `path` at once.

    After an exception `path` is as it was.
    """
    temporary = temporary_name(path)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Do as `replacing` does, in a folder that is made if need be, and name the file if that fails.

    Raises:
        UserError: "cannot write <path>: <the system's words>", for any OSError, inside too.
    """
    with explain(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            yield temporary


def write_json(path: Path, value: Any) -> None:
    """Write a file of indented JSON, which is replaced at once; its folder is made.

    Raises:
        UserError: as `writing`.
        TypeError: if JSON can't hold the value; nothing is written then.
    """
    text = json.dumps(value, indent=2) + "\n"
    with writing(path) as temporary:
        write(temporary, text)


@contextmanager
def making_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder, which is renamed to `path` when all is in it.

    Raises:
        OSError: if `path` is taken by then (errno ENOTEMPTY or EEXIST), besides the system's other errors.
    """
    temporary = temporary_name(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        sync(temporary)
        os.rename(temporary, path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the place of `path`.

    At every moment there is a whole folder under `path` or, for as long as one rename takes, under
    `aside(path)`: a folder can't be renamed over one that has files.
    """
    with making_folder(path) as temporary:
        yield temporary
        if path.exists():
            discard(aside(path))
            sync(temporary)  # now, not in the moment in which `path` is missing
            os.rename(path, aside(path))
    discard(aside(path))


def discard(path: Path) -> None:
    """Delete a folder, if there is one. It loses its name first, so that no half of it is ever found there."""
    if path.exists():
        doomed = temporary_name(path)
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(path, doomed)
        shutil.rmtree(doomed)
