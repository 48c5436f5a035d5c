"""Which policies of a run's way are kept, and which are chosen to tell of it."""

import itertools
from pathlib import Path

import torch

from experiment.stages import FOLDER, MOST, choose, keep_stage, leave, rewind


def keep(run: Path, scores: dict[int, float]) -> None:
    for steps, score in scores.items():
        keep_stage(run, steps, {"average.x": torch.tensor(score)}, {"evaluation": {"score_mean": score}})


def names(paths: list[Path]) -> list[int]:
    return [int(path.name) for path in paths]


def kept(run: Path) -> list[int]:
    return sorted(int(path.name) for path in (run / FOLDER).iterdir())


def test_the_first_and_what_is_nearest_to_half_of_the_best(tmp_path: Path) -> None:
    keep(tmp_path, {10: 2.0, 20: 30.0, 30: 61.0, 40: 100.0, 50: 98.0})
    assert names(choose(tmp_path, 50)) == [10, 30]  # 51 is half way from 2 to 100


def test_the_last_is_never_the_middle(tmp_path: Path) -> None:
    keep(tmp_path, {10: 2.0, 20: 3.0})
    assert names(choose(tmp_path, 20)) == [10]
    assert choose(tmp_path, 10) == []
    assert choose(tmp_path / "nowhere", 20) == []


def test_a_film_made_again_shows_the_same(tmp_path: Path) -> None:
    """Once it is made, the best policy's own stage is gone."""
    keep(tmp_path, {10: 2.0, 20: 30.0, 30: 61.0})
    chosen = choose(tmp_path, 30)
    leave(tmp_path, chosen)
    assert choose(tmp_path, 30) == chosen
    assert names(chosen) == [10, 20]


def test_a_damaged_one_is_passed_over(tmp_path: Path) -> None:
    keep(tmp_path, {10: 2.0, 20: 3.0, 30: 4.0})
    next((tmp_path / FOLDER / "000000010").iterdir()).write_text("x")
    assert names(choose(tmp_path, 30)) == [20]


def test_of_many_the_first_the_newest_and_some_between_stay(tmp_path: Path) -> None:
    for steps in range(1, 200):
        keep(tmp_path, {steps: float(steps)})
        found = kept(tmp_path)
        assert len(found) <= MOST
        assert (found[0], found[-1]) == (1, steps)
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert max(gaps) < 2.5 * 200 / MOST


def test_all_others_go(tmp_path: Path) -> None:
    keep(tmp_path, {10: 2.0, 20: 30.0, 30: 61.0})
    leave(tmp_path, [tmp_path / FOLDER / "000000020"])
    assert kept(tmp_path) == [20]


def test_what_came_after_goes_when_a_run_goes_back(tmp_path: Path) -> None:
    rewind(tmp_path, 25)
    keep(tmp_path, {10: 2.0, 20: 30.0, 30: 61.0})
    rewind(tmp_path, 20)
    assert kept(tmp_path) == [10, 20]


def test_they_are_in_order_of_their_steps_not_of_their_letters(tmp_path: Path) -> None:
    keep(tmp_path, {999_999_999: 2.0, 1_000_000_000: 30.0, 1_000_000_001: 61.0})
    assert names(choose(tmp_path, 1_000_000_001)) == [999_999_999, 1_000_000_000]


def test_what_a_crash_left_aside_is_a_stage_and_goes_as_one(tmp_path: Path) -> None:
    keep(tmp_path, {10: 2.0, 20: 30.0, 30: 61.0})
    for name in ("000000010", "000000030"):
        (tmp_path / FOLDER / name).rename(tmp_path / FOLDER / f".old-{name}")
    assert names(choose(tmp_path, 30)) == [10, 20]
    rewind(tmp_path, 20)
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [".old-000000010", "000000020"]
    leave(tmp_path, [tmp_path / FOLDER / "000000020"])
    assert kept(tmp_path) == [20]
