"""The VAE's losses against hand-worked cases and a float64 definition."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception.vae import divergence, reconstruction_loss
from tests.perception.recording import open_flappy
from tests.perception.test_training import make


def test_the_reconstruction_by_hand() -> None:
    """Two pixels: one moved by a whole scale (weight 1 + 3), one stood still (1); the mean of the weights is 2.5."""
    frame, before = torch.tensor([[[10.0, 50.0]]]), torch.tensor([[[6.0, 50.0]]])
    drawn, scale = torch.tensor([[[12.0, 47.0]]]), torch.tensor([[4.0, 2.0]])
    by_hand = (4 / 2.5 * (2 / 4) ** 2 + 1 / 2.5 * (3 / 2) ** 2) / 2
    assert reconstruction_loss(drawn, frame, before, scale, 3.0).item() == pytest.approx(by_hand)
    plain = ((2 / 4) ** 2 + (3 / 2) ** 2) / 2
    assert reconstruction_loss(drawn, frame, before, scale, 0.0).item() == pytest.approx(plain)
    twice = [torch.cat([x, x]) for x in (drawn, frame, before)]
    assert reconstruction_loss(*twice, scale, 3.0).item() == pytest.approx(by_hand)


def test_a_thing_that_moves_counts_more() -> None:
    frame, before = torch.zeros(1, 20, 20), torch.zeros(1, 20, 20)
    frame[0, 3, 3] = 100
    missed, elsewhere = torch.zeros(1, 20, 20), frame.clone()
    elsewhere[0, 15, 15] = 100
    scale = torch.full((20, 20), 10.0)
    losses = [reconstruction_loss(drawn, frame, before, scale, 10.0) for drawn in (missed, elsewhere)]
    assert losses[0] / losses[1] == pytest.approx(11)


def test_the_divergence_is_that_of_two_normal_distributions() -> None:
    """Against torch's own, and 0 where nothing is known."""
    mean, log_variance = torch.randn(7, 5), torch.randn(7, 5)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(divergence(mean, log_variance), expected)
    assert divergence(torch.zeros(2, 3), torch.zeros(2, 3)) == 0
    assert np.isfinite(divergence(mean, log_variance).item())


def test_each_pixels_change_is_that_from_one_frame_to_the_next(tmp_path: Path) -> None:
    """Of all pairs within an episode, by hand; its last frame has none after it."""
    data = open_flappy(tmp_path / "flappy", pictures=600, max_frames=12)
    way: Any = make("encoder-vae", data, tmp_path / "run", 64).way
    batch = data.splits["train"].batch(np.arange(len(data.splits["train"])))
    frames, episodes = batch.observations[:, -1].double().numpy(), batch.rows["episode"]
    pairs = np.square(frames[1:] - frames[:-1])[episodes[1:] == episodes[:-1]]
    np.testing.assert_allclose(way.pixels.numpy(), np.sqrt(pairs.mean(0) + 4.0**2), rtol=1e-5)


def test_errors_are_means_over_all_pixels_whatever_chunk_they_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a drawing that is everywhere gray, by hand: in the chunk of one picture few pixels move, or none."""
    data = open_flappy(tmp_path / "flappy", pictures=600, max_frames=12)
    way: Any = make("encoder-vae", data, tmp_path / "run", 64).way
    monkeypatch.setattr("perception.generative.CHUNK", 7)
    monkeypatch.setattr(way, "draw", lambda latents: torch.full((len(latents), 84, 84), 100.0))
    split = data.splits["test"]
    before, frame = split.batch(np.arange(len(split))).observations.double().numpy().swapaxes(0, 1)
    errors, moved = np.square(frame - 100), np.abs(frame - before) > 4
    found = way.judge(split)
    assert found["rms_error"] == pytest.approx(np.sqrt(errors.mean()))
    assert found["rms_error_moving"] == pytest.approx(np.sqrt(errors[moved].mean()))
