"""Drawn pictures judged: distances, bins and nearest pictures by hand, and one run over tiny encoders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import train
from benchmarks.generation import cover, distance_in_blocks, kernel_distance, main, nearest
from experiment.errors import UserError
from tests.perception.recording import open_flappy


def test_the_kernel_distance_by_hand() -> None:
    """Two pictures of one feature each: k(x, y) = (x y + 1)^3."""
    a, b = np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])
    within_a, within_b = (0 * 1 + 1) ** 3, (2 * 3 + 1) ** 3
    across = np.mean([(x * y + 1) ** 3 for x in (0, 1) for y in (2, 3)])
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)


def test_the_kernel_distance_is_unbiased_and_sees_a_shift() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(8000, 6)), rng.normal(size=(8000, 6))
    same, shifted = distance_in_blocks(a, b), distance_in_blocks(a, b + 0.5)
    assert same["kid_ci95"][0] < 0 < same["kid_ci95"][1]
    assert shifted["kid_ci95"][0] > 3 * same["kid_ci95"][1]


def test_bins_by_hand() -> None:
    played = np.repeat([0.5, 1.5, 2.5, 3.5], 25)
    played[0], played[-1] = 0.0, 4.0  # the range
    assert cover(played, played, 4) == {"covered": 1.0, "variation": 0.0}
    found = cover(np.repeat([0.5, 1.5, 9.0], [50, 49, 1]), played, 4)
    assert found["covered"] == 0.5  # one in a hundred is less than a tenth of a quarter
    assert found["variation"] == pytest.approx((0.25 + 0.24 + 0.25 + 0.24) / 2)


def test_the_nearest_is_found_by_looking_at_all(tmp_path: Path) -> None:
    split = open_flappy(tmp_path / "flappy", frames=1).splits["train"]
    known = split.batch(np.arange(len(split))).observations[:, 0]
    torch.manual_seed(0)
    wanted = known[torch.tensor([3, 700])].clone()
    wanted[1, 10:20, 10:20] += torch.randint(1, 9, (10, 10), dtype=torch.uint8)
    distances, places = nearest(wanted, split)
    errors = (known[None].double() - wanted[:, None].double()).square().mean((2, 3)).sqrt()
    np.testing.assert_allclose(distances, errors.min(1).values.numpy(), atol=0.05)
    assert [errors[i, place] for i, place in enumerate(places)] == pytest.approx(errors.min(1).values.tolist())
    assert distances[0] < 0.05


def test_a_short_run_tells_of_both_and_leaves_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (
        train.main(["dataset", "--out", "data", "--pictures", "3000", "--games", "8", "--longest", "40", "--quiet"])
        == 0
    )
    short = "--data data --total-steps 256 --batch-size 64 --precision fp32 --threads 1 --quiet"
    assert train.main(f"encoder-supervised {short} --frames 1 --out eyes".split()) == 0
    for way in ("gan", "vae"):
        assert train.main(f"encoder-{way} {short} --out {way}".split()) == 0
    words = ["--eyes", "eyes", "--runs", "gan", "vae", "--pictures", "400", "--out", "page.png"]
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert list(rows) == ["played", "gan", "vae"]
    for name in ("gan", "vae"):  # after so little they are far from what was played
        assert rows[name]["kid"] > 2 * abs(rows["played"]["kid"])
        assert rows[name]["nearest"] > 0
    assert rows["played"]["covered"] > 0.8
    height, width = np.asarray(Image.open("page.png")).shape[:2]
    assert width > 8 * 3 * 84
    assert height > 4 * 3 * 84
    assert main(words) == 0
    assert "page.png" in capsys.readouterr().out
    for wrong, told in (
        ("--eyes gan --runs vae", "--eyes takes a run of encoder-supervised --frames 1"),
        ("--eyes eyes --runs eyes", "eyes draws no pictures"),
        ("--eyes eyes --runs gan --number luck", "--number takes one of y"),
        ("--eyes eyes --runs gan --pictures 10", "--pictures"),
    ):
        with pytest.raises(UserError, match=told):
            main(wrong.split())
