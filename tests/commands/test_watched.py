"""A run that changes while somebody watches it."""

import shutil
from pathlib import Path

import pytest
import torch

from commands.player import load_player
from commands.watched import contender
from experiment import checkpoint
from play import SHIPPED


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "mine"))


def change(run: Path, steps: int) -> None:
    tensors, meta = checkpoint.load(run / "best")
    tensors = {name: tensor + 1 if name == "average.policy.bias" else tensor for name, tensor in tensors.items()}
    checkpoint.save(run / "best", tensors, {**meta, "steps": steps})


def test_a_newer_policy_is_taken_once(run: Path) -> None:
    player = load_player(run, "cpu")
    watched = contender(run, player)
    assert (watched.name, watched.frames) == ("mine", 2)
    assert watched.policy is player.policy
    assert watched.renew is not None
    assert watched.renew() == (None, "")
    change(run, 1234567)
    policy, note = watched.renew()
    assert note == "a newer policy, of 1,234,567 steps"
    difference = policy.network.policy.bias - player.policy.network.policy.bias
    assert torch.equal(difference, torch.ones(2))
    assert watched.renew() == (None, "")


@pytest.mark.parametrize("how", ["gone", "damaged", "another", "other rules", "other pace"])
def test_a_run_that_cannot_be_read_any_more_plays_on(how: str, run: Path) -> None:
    watched = contender(run, load_player(run, "cpu"))
    if how == "gone":
        shutil.rmtree(run)
    elif how == "damaged":
        (run / "best" / "state.safetensors").write_bytes(b"nothing")
    else:
        text = (run / "config.json").read_text()
        old, new = {
            "another": ('"frames": 2', '"frames": 3'),
            "other rules": ('"preset": ""', '"preset": "head2023"'),
            "other pace": ('"frame_skip": 2', '"frame_skip": 3'),
        }[how]
        assert old in text
        (run / "config.json").write_text(text.replace(old, new))
        (run / "best" / "state.json").touch()
    assert watched.renew is not None
    policy, note = watched.renew()
    assert policy is None
    assert "the agent plays on as it was" in note
    assert "\n" not in note
    assert watched.renew()[1] == ""  # it is said once


def test_a_checkpoint_stays_as_it_is(run: Path) -> None:
    folder = run / "checkpoints" / "000001000"
    shutil.copytree(run / "best", folder)
    player = load_player(folder, "cpu")
    watched = contender(folder, player)
    assert watched.renew is None
    assert watched.name == f"mine {player.steps:,}"
