"""The list of best games: kept whole, in order, whatever happens to its file."""

import json
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from experiment.errors import UserError
from experiment.lock import lock
from experiment.watch import bests as module
from experiment.watch.bests import KEPT, Bests, data_folder, lines


def game(score: float, seed: int = 0, **more: Any) -> dict[str, Any]:
    return {"score": score, "seed": seed, "date": "2026-01-02 03:04:05", **more}


def test_the_ten_best_in_order(tmp_path: Path) -> None:
    bests = Bests(tmp_path / "new" / "best.json")
    assert bests.of("bird") == []
    places = [bests.add("bird", game(score, seed)) for seed, score in enumerate([3, 9, 1, 9, 5])]
    assert places == [1, 1, 3, 2, 3]
    assert [(one["score"], one["seed"]) for one in bests.of("bird")] == [(9, 1), (9, 3), (5, 4), (3, 0), (1, 2)]
    for score in range(20, 29):
        assert bests.add("bird", game(score)) == 1
    assert [one["score"] for one in bests.of("bird")] == [*range(28, 19, -1), 9]
    assert len(bests.of("bird")) == KEPT
    assert bests.add("bird", game(9)) is None
    assert bests.add("snake", game(-1.5)) == 1
    assert len(bests.of("bird")) == KEPT
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["best.json", "best.lock"]


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"format": "wingbeat best games", "version": 2}'])
def test_a_file_that_cannot_be_read_is_put_aside(text: str, tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text(text)
    bests = Bests(path)
    assert bests.of("bird") == []
    assert bests.add("bird", game(4)) == 1
    assert [one["score"] for one in bests.of("bird")] == [4]
    assert (tmp_path / "best.damaged-1.json").read_text() == text
    path.write_text(json.dumps(json.loads(path.read_text()) | {"games": {"bird": [{"score": "many"}]}}))
    assert bests.add("bird", game(5)) == 1
    assert (tmp_path / "best.damaged-2.json").exists()


def test_a_disk_that_refuses_says_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot keep the best games in"):
        Bests(tmp_path / "file" / "best.json").add("bird", game(1))


def add_some(path: Path, first: int) -> None:
    module.PATIENCE = 60.0  # on a slow disk, five turns of another may take longer than a person would wait
    for score in range(first, first + 5):
        Bests(path).add("bird", game(score))


def test_two_windows_lose_no_game(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=add_some, args=(tmp_path / "best.json", first)) for first in (0, 5)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [one["score"] for one in Bests(tmp_path / "best.json").of("bird")] == list(range(9, -1, -1))


def test_a_lock_is_waited_for_and_one_left_behind_is_no_trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever went on without it would write over the other's game."""
    monkeypatch.setattr("experiment.watch.bests.PATIENCE", 0.05)
    (tmp_path / "best.lock").touch()
    assert Bests(tmp_path / "best.json").add("bird", game(1)) == 1
    other = os.open(tmp_path / "best.lock", os.O_RDWR)  # the same lock as two processes would take, by two descriptors
    lock(other)
    with pytest.raises(UserError, match="this one is not kept"):
        Bests(tmp_path / "best.json").add("bird", game(2))
    os.close(other)
    assert Bests(tmp_path / "best.json").add("bird", game(2)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="folders of Linux")
def test_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "wingbeat"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert data_folder() == Path("/home/somebody/.local/share/wingbeat")
    assert Bests().path.name == "best_games.json"


def test_words() -> None:
    assert lines([game(12, 3), game(2.5, 4, against="ppo", their_score=7)]) == (
        ("12", "2026-01-02, seed 3"),
        ("2.5", "2026-01-02, seed 4, against ppo: 7"),
    )
