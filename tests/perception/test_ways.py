"""Contrastive, inverse and LSTM: their parts by hand, and that each learns what it is for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception import EncoderSpec, make_encoder
from perception.contrastive import shifted
from perception.dataset import Dataset
from tests.perception.recording import open_flappy
from tests.perception.test_training import make


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_flappy(tmp_path_factory.mktemp("ways") / "flappy", pictures=6000, max_frames=60)


def test_a_stack_is_shifted_whole_and_edges_are_repeated() -> None:
    torch.manual_seed(0)
    stacks = torch.randint(256, (40, 3, 9, 7), dtype=torch.uint8)
    result = shifted(stacks, 2, 1.0)
    assert result.dtype == torch.uint8
    found = []
    for stack, got in zip(stacks.numpy(), result.numpy(), strict=True):
        padded = np.pad(stack, ((0, 0), (2, 2), (2, 2)), "edge")
        fits = [(y, x) for y in range(5) for x in range(5) if np.array_equal(padded[:, y : y + 9, x : x + 7], got)]
        assert len(fits) == 1
        found += fits
    assert len(set(found)) > 12
    assert torch.equal(shifted(stacks, 2, 0.0), stacks)
    moved = (shifted(stacks.repeat(20, 1, 1, 1), 2, 0.25) != stacks.repeat(20, 1, 1, 1)).flatten(1).any(1)
    assert 0.15 < moved.float().mean() < 0.32  # one in 25 of those that are shifted is shifted by nothing


def test_the_average_follows_the_encoder(data: Dataset, tmp_path: Path) -> None:
    trainer = make("encoder-contrastive", data, tmp_path / "run", 640)
    way: Any = trainer.way
    names = [name for name, _ in way.encoder.named_parameters()]
    assert all(torch.equal(way.later["encoder"].state_dict()[n], w) for n, w in way.encoder.state_dict().items())
    expected = {name: way.encoder.state_dict()[name].clone() for name in names}
    for _ in range(3):
        for name in names:
            expected[name] = 0.99 * expected[name] + 0.01 * way.encoder.state_dict()[name]
        trainer.step()
    for name in names:
        torch.testing.assert_close(way.later["encoder"].state_dict()[name], expected[name])
    assert not any(name.startswith("later") for name, _ in way.named_parameters())


def test_pictures_are_compared_in_full_precision(data: Dataset, tmp_path: Path) -> None:
    """The logits are the product of what is compared, taken in float64, to more digits than bfloat16 has."""
    way: Any = make("encoder-contrastive", data, tmp_path / "run", 640).way
    parts: dict[str, torch.Tensor] = {}
    way.compare.register_forward_hook(lambda _, __, out: parts.update(forecast=out.double()))
    way.later["code"].register_forward_hook(lambda _, __, out: parts.update(codes=out.double()))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        logits = way._compare(data.splits["train"].batch(np.arange(16)), 0.0)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.double(), parts["forecast"] @ parts["codes"].T, rtol=1e-5, atol=1e-4)


def test_only_pictures_that_are_so_much_later_are_compared(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last three of each episode are left out, as if they had not been in the batch."""
    way: Any = make("encoder-contrastive", data, tmp_path / "run", 640).way.eval()
    split = data.splits["test"]
    episodes = split.take(np.arange(len(split)))["episode"]
    expected = [i for i in range(len(split) - 3) if episodes[i + 3] == episodes[i]]
    few = np.array([i for i in expected if i < 60])
    assert 30 < len(few) < 57
    with torch.no_grad():
        one, other = (way.loss(split.batch(index)) for index in (np.arange(60), few))
        torch.testing.assert_close(one, other)
        assert way.loss(split.batch(np.array([split.last[0]])))[0] == 0  # and alone there is nothing to compare
    judged: list[int] = []

    def note(batch: Any, share: float) -> torch.Tensor:
        judged.extend(batch.index)
        return torch.eye(len(batch))

    monkeypatch.setattr(way, "_compare", note)
    assert way.judge(split) == {"accuracy_of_256": 1.0}
    assert len(judged) == len(expected) // 256 * 256
    assert set(judged) <= set(expected)


def test_later_pictures_are_recognised(data: Dataset, tmp_path: Path) -> None:
    """By chance it would be one of 256."""
    trainer = make("encoder-contrastive", data, tmp_path / "run", 12_800)
    while trainer.steps < trainer.total_steps:
        trainer.step()
    assert trainer.judge()["accuracy_of_256"] > 0.2


def test_actions_are_told_from_what_they_did(data: Dataset, tmp_path: Path) -> None:
    """A guess that is always the same has a half of both right."""
    trainer = make("encoder-inverse", data, tmp_path / "run", 51_200)
    while trainer.steps < trainer.total_steps:
        trainer.step()
    result = trainer.judge()
    assert result["accuracy"] > 0.9
    assert result["accuracy"] == pytest.approx((result["accuracy/glide"] + result["accuracy/flap"]) / 2)


def test_only_steps_that_are_some_are_told(data: Dataset, tmp_path: Path) -> None:
    """Not where an episode ends sooner than the second picture would come."""
    way: Any = make("encoder-inverse", data, tmp_path / "run", 640).way
    way.config.ahead = 3
    split = data.splits["train"]
    batch = split.batch(np.arange(len(split)))
    episodes = batch.rows["episode"]
    expected = [i + 3 < len(split) and episodes[i + 3] == episodes[i] for i in range(len(split))]
    assert way._known(batch).tolist() == expected


def test_frames_are_read_one_by_one_oldest_first() -> None:
    """By torch's other LSTM, a step at a time, from the small network's features of each frame alone."""
    torch.manual_seed(0)
    encoder = make_encoder(EncoderSpec("lstm", 5, 36, 36, 16))
    body: Any = encoder.body
    observations = torch.randint(256, (6, 5, 36, 36), dtype=torch.uint8)
    cell = torch.nn.LSTMCell(16, 16)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in body.lstm.state_dict().items()})
    h, c = torch.zeros(6, 16), torch.zeros(6, 16)
    with torch.no_grad():
        for t in range(5):
            pixels = (observations[:, t : t + 1].float() - encoder.mean) * encoder.scale
            h, c = cell(body.still(pixels), (h, c))
        torch.testing.assert_close(encoder(observations), h, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(encoder(observations.flip(1)), h, atol=1e-3)
