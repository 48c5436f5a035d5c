"""A person's best games, kept on disk in the user's own folder."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiment import files
from experiment.errors import UserError, explain
from experiment.lock import HELD, lock

FORMAT, VERSION = "wingbeat best games", 1
KEPT = 10
PATIENCE = 2.0  # seconds to wait for another window that writes the list


def data_folder() -> Path:
    """Where this user's programs keep their data."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "wingbeat"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "wingbeat"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "wingbeat"


class Bests:
    """The best games by game and preset, each a dict with `score`, `seed`, `date`, and `against` and `their_score`.

    The file is written anew as a whole, and two windows take turns, so that no game is lost. A file that can't be
    read is put aside, never overwritten.

    Args:
        path: the file; by default best_games.json in the user's data folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or data_folder() / "best_games.json"

    def of(self, game: str) -> list[dict[str, Any]]:
        """Return the best games of one game, the best first.

        Raises:
            UserError: if the file can't be read; what is damaged counts as none.
        """
        with contextlib.suppress(ValueError):
            return self._read().get(game, [])
        return []

    def add(self, game: str, entry: dict[str, Any]) -> int | None:
        """Keep a game if it is one of the ten best.

        Returns:
            its place, 1 for the best; None if it is none of them.

        Raises:
            UserError: if the file can't be written.
        """
        with explain(f"keep the best games in {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _turn(self.path.with_suffix(".lock")):
                try:
                    everything = self._read()
                except ValueError:
                    os.replace(self.path, _aside(self.path))
                    everything = {}
                # An older game of the same score stays before it.
                mine = sorted([*everything.get(game, []), entry], key=lambda one: -one["score"])[:KEPT]
                place = next((i for i, one in enumerate(mine, 1) if one is entry), None)
                if place is not None:
                    text = {"format": FORMAT, "version": VERSION, "games": {**everything, game: mine}}
                    with files.replacing(self.path) as temporary:
                        files.write(temporary, json.dumps(text, indent=1) + "\n")
        return place

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        """Read the file; {} if there is none.

        Raises:
            UserError: if the system refuses.
            ValueError: if it is damaged.
        """
        with explain(f"read {self.path}"):
            try:
                text = self.path.read_bytes()
            except FileNotFoundError:
                return {}
        try:
            about = json.loads(text)
        except RecursionError as error:
            raise ValueError(str(error)) from error
        if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError("of another format")
        games = about.get("games")
        if not isinstance(games, dict) or not all(map(_sound, games.values())):
            raise ValueError("not a list of games")
        return games


def _sound(entries: Any) -> bool:
    return isinstance(entries, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("score"), int | float)
        and isinstance(entry.get("seed"), int)
        and isinstance(entry.get("date"), str)
        for entry in entries
    )


def _aside(path: Path) -> Path:
    number = 1
    while (named := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    return named


@contextlib.contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Wait until no other process holds this file, then hold it.

    Raises:
        UserError: if another holds it for too long.
    """
    give_up = time.monotonic() + PATIENCE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while True:
            try:
                lock(descriptor)
            except OSError as error:
                if error.errno in HELD:
                    if time.monotonic() > give_up:
                        late = "another window has been writing your games for long; this one is not kept"
                        raise UserError(late) from error
                    time.sleep(0.01)
                    continue
            break  # taken, or there are no locks here
        yield
    finally:
        os.close(descriptor)


def lines(entries: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Put games into words, as (score, about it)."""
    words = []
    for entry in entries:
        about = f"{entry['date'][:10]}, seed {entry['seed']}"
        if isinstance(entry.get("against"), str):
            about += f", against {entry['against']}: {entry.get('their_score')}"
        words.append((f"{entry['score']:g}", about))
    return tuple(words)
