"""What an encoder is worth where labels are few: who learns from what, and one short run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import train
from benchmarks import labels
from benchmarks.labels import compare, main, teach
from experiment.errors import UserError
from perception import EncoderSpec, make_encoder
from perception.dataset import Dataset
from tests.perception.recording import open_flappy


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_flappy(tmp_path_factory.mktemp("labels") / "flappy", pictures=3000, max_frames=60)


def test_a_pupil_learns_and_leaves_its_encoder_alone(data: Dataset) -> None:
    batch = data.splits["train"].sample(200, np.random.default_rng(0))
    numbers = batch.numbers[:, :1]
    wanted = (numbers - numbers.mean()) / numbers.std()
    torch.manual_seed(0)
    encoder = make_encoder(EncoderSpec(feature_dim=32))
    encoder.fit_normalization(batch.observations[:, -1])
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    pupil = teach(encoder, batch.observations, wanted, 40, 0)
    error = (pupil.tell(batch.observations) - wanted).square().mean()
    assert error < 0.3  # of a variance of 1
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())


def test_both_learn_from_the_same_pictures(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def note(encoder: Any, pictures: torch.Tensor, wanted: torch.Tensor, steps: int, seed: int) -> Any:
        seen.append((encoder, pictures, wanted))
        return teach(encoder, pictures, wanted, 1, seed)

    monkeypatch.setattr(labels, "teach", note)
    encoder = make_encoder(EncoderSpec(feature_dim=32))
    found = compare(encoder, data, 50, 0, 1)
    assert found.keys() == {"trained", "fresh"}
    (first, pictures, wanted), (second, others, same) = seen
    assert first is encoder
    assert second is not encoder
    assert len(pictures) == 50
    assert torch.equal(pictures, others)
    assert torch.equal(wanted.nan_to_num(), same.nan_to_num())
    torch.testing.assert_close(wanted.nanmean(0), torch.zeros(wanted.shape[1]), atol=1e-3, rtol=0)  # by these alone


def test_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    words = "encoder-dbn --total-steps 256 --batch-size 64 --precision fp32 --threads 1 --quiet --out dbn"
    assert train.main(f"{words} --pictures 3000 --games 8 --longest 40".split()) == 0
    assert main(["dbn", "--labels", "20", "40", "--seeds", "2", "--steps", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["objective"] == "dbn"
    assert list(answer["labels"]) == ["20", "40"]
    for row in answer["labels"].values():
        for known in (row["trained"], row["fresh"]):
            low, high = known["r2_ci95"]
            assert low <= known["r2_mean"] <= high < 1
            assert {"y", "velocity", "gap_y"} <= known["r2"].keys()
    assert main(["dbn", "--labels", "20", "--seeds", "1", "--steps", "2"]) == 0
    assert "dbn" in capsys.readouterr().out
    for wrong, told in (("nowhere", "holds no encoder"), ("dbn --seeds 0", "--seeds"), ("dbn --labels 99999", "99999")):
        with pytest.raises(UserError, match=told):
            main(wrong.split())
