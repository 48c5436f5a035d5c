"""The trainer and the ways: known answers, exact resumes, encoders that come back to the last bit."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from commands.pretraining import make_trainer
from experiment import checkpoint
from experiment.errors import UserError
from experiment.metrics import Metrics, read_metrics
from experiment.run import Run
from perception import EncoderSpec, load_encoder, make_encoder, save_encoder
from perception.build import WAYS, EncoderSettings, make_way
from perception.dataset import Dataset
from perception.supervised import numbers_loss
from perception.training import Trainer
from tests.agents.making import copy, same
from tests.perception.recording import open_flappy, record_flappy

# What gets smaller, where the loss as a whole need not: two against each other, an energy's difference.
SINKS = {"encoder-gan": "latents", "encoder-dbn": "error"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_flappy(tmp_path_factory.mktemp("data") / "flappy", pictures=3000, max_frames=60)


def settings(name: str, data: Dataset, total: int, **changes: Any) -> EncoderSettings:
    kind = WAYS[name]
    trainer, network = replace(kind.trainer(), batch_size=64, **changes), kind.network(frames=2, feature_dim=64)
    return EncoderSettings(name, str(data.path), (), network, kind.config(), trainer, total, 0, "cpu", "fp32", 1)


def make(name: str, data: Dataset, path: Path, total: int, **changes: Any) -> Trainer:
    chosen = settings(name, data, total, **changes)
    trainer = make_trainer(Run.create(path, asdict(chosen), "x"), chosen, data, quiet=True)
    trainer.prepare()
    return trainer


@pytest.mark.parametrize("name", WAYS)
def test_a_run_leaves_what_it_should(name: str, data: Dataset, tmp_path: Path) -> None:
    trainer = make(name, data, tmp_path / "run", 640)
    assert trainer.train()
    names = {path.name for path in (tmp_path / "run").iterdir()} - {".lock"}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        "encoder",
        "pictures.png",
        "curve.png",
    }
    result = trainer.judge()
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text()) == {
        key: value if np.isfinite(value) else None for key, value in result.items()
    }
    page = iio.imread(tmp_path / "run" / "pictures.png")
    assert page.ndim == 3
    assert min(page.shape[:2]) > 400
    assert page.std() > 20
    encoder = load_encoder(tmp_path / "run")
    assert same(encoder.state_dict(), trainer.way.encoder.state_dict())
    assert encoder.spec == trainer.way.encoder.spec
    assert encoder.spec.objective == trainer.way.objective == name.removeprefix("encoder-")
    assert encoder.spec.trained_on == "wingbeat/FlappyBird-v0"
    frames = data.splits["train"].sample(4096, np.random.default_rng(0)).observations[:, -1]
    torch.testing.assert_close(encoder.mean, frames.float().mean(0))
    assert read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]["steps"] == trainer.steps
    read = EncoderSettings.open(tmp_path / "run")
    assert read == settings(name, data, 640)
    about = tmp_path / "run" / "config.json"
    about.write_text(about.read_text().replace('"layout": "planes"', '"layout": "patches"'))
    assert EncoderSettings.open(tmp_path / "run").layout == "fused"  # as it is called now
    about.write_text(about.read_text().replace('"precision": "fp32"', '"precision": "fp64"'))
    with pytest.raises(UserError, match="precision = 'fp64'"):
        EncoderSettings.open(tmp_path / "run")


@pytest.mark.parametrize("name", [name for name in WAYS if name != "encoder-random"])
def test_a_resumed_run_goes_on_to_the_last_bit(name: str, data: Dataset, tmp_path: Path) -> None:
    """Over the end of a pass through the pictures; and a way learns."""
    straight, resumed = (make(name, data, tmp_path / str(k), 3200) for k in range(2))
    first = copy(straight.way.encoder.state_dict())
    logs = [straight.step()]
    assert resumed.step() == logs[0]
    assert same(straight.state_dict(), resumed.state_dict())
    cut = 20 if name == "encoder-dbn" else 34  # before its second machine begins, too
    logs += [straight.step() for _ in range(cut - 1)]
    state = copy(straight.state_dict())
    logs += [straight.step() for _ in range(44 - cut)]  # 2400 pictures are 37 batches
    checkpoint.fit(resumed.state_dict(), state, "it")
    resumed.load_state_dict(state)  # nothing of its own step may be left
    torch.rand(3)
    assert [resumed.step() for _ in range(44 - cut)] == logs[cut:]
    assert same(straight.state_dict(), resumed.state_dict())
    sinks = SINKS.get(name, "loss")
    end = 22 if name == "encoder-dbn" else 44  # its first machine has half of the run, and then the second begins
    assert np.mean([log[sinks] for log in logs[end - 5 : end]]) < np.mean([log[sinks] for log in logs[:5]])
    assert not same(first, straight.way.encoder.state_dict())


def test_every_picture_is_seen_once_before_any_is_seen_again(data: Dataset, tmp_path: Path) -> None:
    trainer = make("encoder-random", data, tmp_path / "run", 100)
    rows = len(data.splits["train"])
    passes = []
    for start in (0, rows // 64 * 64):
        seen = []
        for k in range(rows // 64):
            trainer.steps = start + 64 * k
            seen.append(trainer._next())
        passes.append(np.concatenate(seen))
        assert len(np.unique(passes[-1])) == rows // 64 * 64
    assert (passes[0] != passes[1]).mean() > 0.9


def test_what_never_moves_is_not_to_be_found(data: Dataset, tmp_path: Path) -> None:
    way: Any = make("encoder-supervised", data, tmp_path / "run", 640).way
    assert way.classes == ["pipe", "bird"]
    batch = data.splits["test"].batch(np.arange(10))
    boxes, labels = way.boxes(batch)
    for i in range(10):
        bird = batch.boxes[i][batch.boxes[i, :, 0] == data.envs.labels.index("bird")][0]
        mine = boxes[i][labels[i] == way.classes.index("bird")][0]
        torch.testing.assert_close(mine, bird[1:] * torch.tensor([84 / 288, 84 / 512, 84 / 288, 84 / 512]))
    assert (labels >= 0).sum() == sum(int((batch.boxes[..., 0] == k).sum()) for k in (1, 3))


def test_random_features_never_change(data: Dataset, tmp_path: Path) -> None:
    trainer = make("encoder-random", data, tmp_path / "run", 640)
    before = copy(trainer.way.encoder.state_dict())
    trainer.train()
    assert same(before, trainer.way.encoder.state_dict())
    assert not list(trainer.way.parameters())


def test_too_few_pictures_are_refused(data: Dataset, tmp_path: Path) -> None:
    few = open_flappy(tmp_path / "few", pictures=70, games=2, max_frames=6)
    with pytest.raises(UserError, match="--batch-size 64 is more than"):
        make("encoder-random", few, tmp_path / "run", 100)


def test_the_loss_of_numbers_by_hand() -> None:
    """Errors 1 and 3 where both are known; 2 where one is; a third number is known nowhere."""
    nan = float("nan")
    told = torch.tensor([[1.0, 5.0, 9.0], [3.0, 2.0, 9.0]])
    wanted = torch.tensor([[0.0, nan, nan], [0.0, 0.0, nan]])
    expected = 0.5 * (np.log(5 + 0.02) + np.log(4 + 0.02)) / 2
    assert numbers_loss(told, wanted).item() == pytest.approx(expected)


def test_where_no_number_is_known_there_is_nothing_to_learn() -> None:
    told = torch.ones(3, 2, requires_grad=True)
    loss = numbers_loss(told, torch.full((3, 2), float("nan")))
    torch.autograd.backward(loss)
    assert loss.item() == 0.0
    assert told.grad is not None
    assert not told.grad.any()


def test_an_encoder_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    encoder = make_encoder(EncoderSpec("impala", 3, 40, 44, 16, "supervised", "wingbeat/Chess-v0"))
    observations = torch.randint(256, (9, 3, 40, 44), dtype=torch.uint8)
    encoder.fit_normalization(observations[:, 0])
    save_encoder(tmp_path / "run" / "encoder", encoder, {"why": "a test"})
    for path in (tmp_path / "run", tmp_path / "run" / "encoder"):
        other = load_encoder(path)
        assert other.spec == encoder.spec
        assert torch.equal(other(observations), encoder(observations))
    other.fit_normalization(observations[:, 1] // 2)  # it comes trained, and keeps what it was trained with
    assert torch.equal(other(observations), encoder(observations))


def test_an_lstm_trains_the_lstm_alone(data: Dataset) -> None:
    chosen = settings("encoder-lstm", data, 640)
    chosen.network.encoder = "small"
    with pytest.raises(UserError, match="the lstm encoder, not small"):
        make_way(chosen, data)


def test_pictures_that_were_recorded_anew_are_not_taken_for_those_it_learned_from(tmp_path: Path) -> None:
    path = tmp_path / "data"
    chosen = settings("encoder-random", open_flappy(path, pictures=600), 1)
    chosen.fingerprint = chosen.open_data(tmp_path).fingerprint
    for changes, fits in (({}, True), ({"seed": 1}, False), ({"look": {"theme": "night"}}, False)):
        shutil.rmtree(path)
        record_flappy(path, pictures=600, **changes)
        if fits:
            assert chosen.open_data(tmp_path).fingerprint == chosen.fingerprint
            continue
        with pytest.raises(UserError, match="recorded anew"):
            chosen.open_data(tmp_path)


def test_what_was_learned_is_saved_before_it_is_validated(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any) -> None:
        raise KeyboardInterrupt

    trainer = make("encoder-vae", data, tmp_path / "run", 128)
    monkeypatch.setattr(trainer, "_validate", stop)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert checkpoint.load(checkpoint.latest(tmp_path / "run"))[1]["steps"] == 128


def test_the_record_of_a_resumed_run_goes_on_after_what_was_measured_since_the_save(
    data: Dataset, tmp_path: Path
) -> None:
    trainer = make("encoder-random", data, tmp_path / "run", 64)
    with Metrics(trainer.run.path) as metrics:
        metrics.write({"steps": 0, "seconds": 5000.0, "eval/loss": 1.0})
    trainer.train(resumed=True)
    first, *later = read_metrics(trainer.run.metrics)
    assert first["seconds"] == 5000.0
    assert all(5000.0 < line["seconds"] < 10_000.0 for line in later)
    assert later
