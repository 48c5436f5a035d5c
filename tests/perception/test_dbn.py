"""The DBN: energies by counting all states, contrastive divergence by its rule, and layers that stay as they are."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiment.errors import UserError
from perception.dataset import Dataset
from perception.dbn import RBM, contrastive_divergence
from tests.agents.making import copy, same
from tests.perception.recording import open_flappy
from tests.perception.test_training import make


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_flappy(tmp_path_factory.mktemp("dbn") / "flappy", pictures=3000, max_frames=60)


def machine(visible: int, hidden: int, pixels: bool, seed: int = 0) -> RBM:
    torch.manual_seed(seed)
    made = RBM(visible, hidden, pixels).double()
    with torch.no_grad():
        for weight in made.parameters():
            weight.copy_(torch.randn_like(weight))
    return made


def energy(made: RBM, v: np.ndarray, h: np.ndarray) -> float:
    weight, c, b = (x.detach().numpy() for x in (made.weight, made.bias, made.visible))
    own = np.square(v - b).sum() / 2 if made.pixels else -(b * v).sum()
    return float(own - (c * h).sum() - h @ weight @ v)


@pytest.mark.parametrize("pixels", [True, False])
def test_the_free_energy_counts_all_hidden_states(pixels: bool) -> None:
    made, rng = machine(3, 4, pixels), np.random.default_rng(0)
    for _ in range(5):
        v = rng.normal(size=3) if pixels else rng.integers(0, 2, 3).astype(float)
        states = [np.array(h, float) for h in itertools.product((0, 1), repeat=4)]
        weights = np.array([np.exp(-energy(made, v, h)) for h in states])
        expected = -np.log(weights.sum())
        assert made.free_energy(torch.from_numpy(v)[None]).item() == pytest.approx(expected, rel=1e-5)
        likely = (weights[:, None] * np.array(states)).sum(0) / weights.sum()
        np.testing.assert_allclose(made.up(torch.from_numpy(v)[None])[0].detach().numpy(), likely)


def test_what_is_made_is_the_mean_given_hidden_units() -> None:
    """By counting all visible states; of pixels, where the energy is lowest."""
    made, h = machine(3, 4, False), np.array([1.0, 0.0, 1.0, 1.0])
    states = [np.array(v, float) for v in itertools.product((0, 1), repeat=3)]
    weights = np.array([np.exp(-energy(made, v, h)) for v in states])
    expected = (weights[:, None] * np.array(states)).sum(0) / weights.sum()
    np.testing.assert_allclose(made.down(torch.from_numpy(h)[None])[0].detach().numpy(), expected)
    made = machine(3, 4, True)
    lowest = made.down(torch.from_numpy(h)[None])[0].detach().numpy()
    for direction in np.eye(3):
        for step in (-1e-3, 1e-3):
            assert energy(made, lowest + step * direction, h) > energy(made, lowest, h)


@pytest.mark.parametrize("pixels", [True, False])
def test_contrastive_divergence_follows_its_rule(pixels: bool) -> None:
    """Hinton 2002: <h v> of the pictures less <h v> of what is made of them, and likewise of the biases."""
    made = machine(5, 4, pixels)
    v = torch.rand(7, 5, dtype=torch.float64)
    torch.manual_seed(1)
    loss, again = contrastive_divergence(made, v, 2)
    loss.backward()
    up = made.up(v).detach(), made.up(again).detach()
    rule = (up[0].T @ v - up[1].T @ again) / len(v)
    torch.testing.assert_close(made.weight.grad, -rule, check_dtype=False, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(made.bias.grad, -(up[0] - up[1]).mean(0), check_dtype=False, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(made.visible.grad, -(v - again).mean(0), check_dtype=False, atol=1e-6, rtol=1e-5)


def test_a_machine_learns_which_patterns_there_are() -> None:
    """Two of sixteen patterns; how likely each is follows from counting all states."""
    torch.manual_seed(0)
    made = RBM(4, 6, False)
    patterns = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    optimizer = torch.optim.Adam(made.parameters(), 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        contrastive_divergence(made, patterns.repeat(32, 1), 1)[0].backward()
        optimizer.step()
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    with torch.no_grad():
        chances = (-made.free_energy(states)).softmax(0)
    wanted = [int(np.flatnonzero((states == pattern).all(1))[0]) for pattern in patterns]
    assert (chances[wanted] > 0.3).all()


def test_layers_learn_in_turn_and_then_stay(data: Dataset, tmp_path: Path) -> None:
    trainer = make("encoder-dbn", data, tmp_path / "run", 1280)
    way: Any = trainer.way
    layers = [part for part in way.encoder.body if isinstance(part, torch.nn.Linear)]
    assert not list(way.encoder.parameters())
    history = []
    for _ in range(20):
        trainer.step()
        history.append([layer.weight.clone() for layer in layers])
    changed = [
        [not torch.equal(one, other) for one, other in zip(a, b, strict=True)] for a, b in itertools.pairwise(history)
    ]
    assert changed == [[True, False]] * 9 + [[False, True]] * 10


def test_a_machine_begins_with_steps_of_their_size_and_stays_when_its_turn_is_over(
    data: Dataset, tmp_path: Path
) -> None:
    """Adam's first step is as long as its step size, which has fallen to a half by then, whatever the gradient."""
    trainer = make("encoder-dbn", data, tmp_path / "run", 1280)
    first, second = (trainer.way.machines[k] for k in range(2))  # type: ignore[index,union-attr]
    for _ in range(10):
        trainer.step()
    stays, before = copy(first.state_dict()), copy(second.state_dict())
    trainer.step()
    for name, value in second.state_dict().items():
        torch.testing.assert_close((value - before[name]).abs().max().item(), 0.5 * 1e-3, rtol=0.01, atol=0)
    for _ in range(3):
        trainer.step()
    assert same(first.state_dict(), stays)


def test_the_encoder_is_the_machines_one_on_the_other(data: Dataset, tmp_path: Path) -> None:
    trainer = make("encoder-dbn", data, tmp_path / "run", 1280)
    way: Any = trainer.way
    while trainer.steps < trainer.total_steps:
        trainer.step()
    stacks = data.splits["test"].batch(np.arange(6)).observations
    pixels = (stacks.double() - way.encoder.mean) * way.encoder.scale
    halved = pixels.view(6, 2, 42, 2, 42, 2).mean((3, 5)).flatten(1) / 0.5
    first, second = (m.double() for m in way.machines)
    with torch.no_grad():
        torch.testing.assert_close(way.encoder(stacks).double(), second.up(first.up(halved)), atol=1e-5, rtol=1e-4)


def test_a_run_that_was_complete_validates_its_last_machine(data: Dataset, tmp_path: Path) -> None:
    """What is saved is all that there is to know, so it tells the same as before."""

    class Notes(list[dict[str, Any]]):
        write = list.append

    done, resumed = (make("encoder-dbn", data, tmp_path / name, 128) for name in ("done", "resumed"))
    for _ in range(2):
        done.step()
    told = done._validate(Notes())  # type: ignore[arg-type]
    resumed.load_state_dict(copy(done.state_dict()))
    assert resumed._validate(Notes()) == told  # type: ignore[arg-type]


def test_pictures_are_made_again_ever_better(data: Dataset, tmp_path: Path) -> None:
    trainer = make("encoder-dbn", data, tmp_path / "run", 12_800)
    errors = [trainer.step()["error"] for _ in range(100)]
    assert np.mean(errors[-10:]) < 0.8 * np.mean(errors[:5])


def test_another_network_is_refused(data: Dataset, tmp_path: Path) -> None:
    from perception.build import NetworkConfig, make_way
    from tests.perception.test_training import settings

    chosen = settings("encoder-dbn", data, 640)
    chosen.network = NetworkConfig("small")
    with pytest.raises(UserError, match="sigmoid encoder, not into small"):
        make_way(chosen, data)
