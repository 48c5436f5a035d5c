"""Template matching against a correlation done by hand and a bird that is surely there; and one short run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import train
from benchmarks.detection import correlate, main, match
from experiment.errors import UserError


def test_correlation_is_pearsons_at_every_place() -> None:
    rng = np.random.default_rng(0)
    pictures, template = rng.integers(0, 256, (2, 9, 11)), rng.integers(0, 256, (3, 4), dtype=np.uint8)
    got = correlate(torch.from_numpy(pictures).float()[:, None], template)
    assert got.shape == (2, 7, 8)
    for i, y, x in ((0, 0, 0), (1, 6, 7), (1, 2, 3)):
        piece = pictures[i, y : y + 3, x : x + 4]
        expected = np.corrcoef(piece.ravel(), template.ravel())[0, 1]
        assert got[i, y, x].item() == pytest.approx(expected, abs=1e-4)


def test_a_piece_is_found_where_it_was_put_once() -> None:
    rng = np.random.default_rng(1)
    template = rng.integers(0, 256, (6, 5), dtype=np.uint8)
    pictures = np.full((2, 40, 40), 90, np.uint8)
    pictures[0, 10:16, 20:25] = template
    pictures[0, 30:36, 3:8] = template
    found = match(torch.from_numpy(pictures), [template, template[:5].copy()])
    assert sorted(found[0][:, 1:].tolist()) == [[3, 30, 5, 6], [20, 10, 5, 6]]
    assert found[0][:, 0] == pytest.approx([1, 1], abs=1e-4)
    assert found[1].shape == (0, 5)


def test_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Templates of flat sprites find many of them whatever the encoder has learned so far, which is nothing."""
    monkeypatch.chdir(tmp_path)
    assert (
        train.main(["dataset", "--out", "data", "--pictures", "3000", "--games", "8", "--longest", "40", "--quiet"])
        == 0
    )
    short = "--data data --total-steps 128 --batch-size 64 --precision fp32 --threads 1 --quiet"
    assert train.main(f"encoder-supervised {short} --out sup".split()) == 0
    assert main(["sup", "--pictures", "60", "--templates", "20", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ap50"]["templates"]["bird"] > 0.5 > answer["ap50"]["encoder"]["bird"]
    assert main(["sup", "--pictures", "20", "--templates", "4", "--env-arg", "theme=night"]) == 0
    assert "templates" in capsys.readouterr().out
    assert train.main(f"encoder-random {short} --out random".split()) == 0
    for wrong, told in (("random", "finds no sprites"), ("sup --pictures 0", "--pictures"), ("nowhere", "nowhere")):
        with pytest.raises(UserError, match=told):
            main(wrong.split())
