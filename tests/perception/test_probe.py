"""Probes tell what features hold and nothing else."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from perception import EncoderSpec, make_encoder
from perception.dataset import Dataset
from perception.probe import probe, random_encoder
from tests.agents.making import same
from tests.perception.recording import open_flappy


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_flappy(tmp_path_factory.mktemp("probe") / "flappy", pictures=3000, max_frames=60)


def test_probes_find_what_is_there_and_nothing_else(data: Dataset) -> None:
    """Features that hold a number and noise: the number is found, one that is not in them is not."""

    class Told(torch.nn.Module):
        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return observations.float().mean((2, 3))  # of each of two frames

    found = probe(Told(), data)  # type: ignore[arg-type]
    assert found.keys() == set(data.names)
    # Pipes darken the picture as they come: that much, and no more, the mean brightness knows.
    assert 0.2 < found["pipe_x"] < 0.999
    assert found["velocity"] < 0.3


def test_what_never_changes_has_no_r2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the test episodes, nor anywhere; what is a feature itself is told wholly."""
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(3):
        features = rng.normal(size=(50, 2))
        parts.append((features, np.c_[features[:, 0], features[:, 0], np.full(50, 5.0)]))
    parts[2][1][:, 1] = 3.0
    monkeypatch.setattr("perception.probe.features_of", lambda encoder, split, most: split)
    splits = dict(zip(("train", "validation", "test"), parts, strict=True))
    found = probe(None, SimpleNamespace(splits=splits, names=("told", "still", "ever still")))  # type: ignore[arg-type]
    assert found["told"] == pytest.approx(1)
    assert np.isnan([found["still"], found["ever still"]]).all()


def test_the_control_has_its_own_normalisation(data: Dataset) -> None:
    spec = EncoderSpec(feature_dim=16)
    one, again, other = (random_encoder(make_encoder(spec), data, seed) for seed in (0, 0, 1))
    assert same(one.state_dict(), again.state_dict())
    assert not same(one.state_dict(), other.state_dict())
    assert one.mean.std() > 1
