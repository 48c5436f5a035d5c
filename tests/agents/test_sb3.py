"""SB3's agents behind our protocol: they do what SB3's `learn` does, repeat, and go on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch

from agents.sb3 import SB3A2C, SB3DQN, SB3PPO, ZIP, SB3A2CConfig, SB3DQNConfig, SB3PPOConfig, tensors_of
from envs import FLAPPY_BIRD
from tests.agents.games import CATCH
from tests.agents.making import copy, make, make_tiny, same

KINDS: dict[str, tuple[Any, Any]] = {
    "PPO": (SB3PPO, replace(SB3PPOConfig(), num_envs=4, n_steps=16, batch_size=32)),
    "A2C": (SB3A2C, replace(SB3A2CConfig(), num_envs=4)),
    "DQN": (SB3DQN, replace(SB3DQNConfig(), num_envs=4, buffer_size=2000, batch_size=32, learning_starts=64)),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
STEPS = {"PPO": 3 * 64, "A2C": 3 * 20, "DQN": 12 * 16}  # of a short run: whole iterations


def flappy(kind: str, seed: int = 0, **changes: Any) -> Any:
    algorithm, config = KINDS[kind]
    return make(algorithm, replace(config, **changes), FLAPPY_BIRD, seed, STEPS[kind], {"frame_skip": 2})


def run(agent: Any, steps: int) -> list[dict[str, float]]:
    logs = []
    while agent.steps < steps:
        logs.append(agent.iterate())
    return logs


@every_kind
def test_iterations_do_what_learn_does(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, once nobody seeds the generators in between."""
    stepped, straight = flappy(kind), flappy(kind)
    before = copy(tensors_of(stepped.model.policy))
    stepped.model.set_random_seed(0)
    monkeypatch.setattr(stepped.model, "set_random_seed", lambda seed: None)
    logs = run(stepped, STEPS[kind])
    straight.model.set_random_seed(0)
    straight.model.learn(STEPS[kind], log_interval=None)
    assert stepped.steps == straight.model.num_timesteps == STEPS[kind]
    now = tensors_of(stepped.model.policy)
    assert same(now, tensors_of(straight.model.policy))
    assert not same(now, before)
    assert (stepped.envs.observations == straight.envs.observations).all()
    logged = straight.model.logger.name_to_value
    assert {"train/learning_rate", "train/n_updates"} <= logs[-1].keys()
    for key, value in logged.items():
        assert logs[-1][f"train/{key.split('/')[1]}"] == value


@every_kind
def test_a_seed_repeats_whatever_happens_in_between(kind: str) -> None:
    logs, states = [], []
    for seed in (1, 1, 2):
        agent = flappy(kind, seed)
        half = run(agent, STEPS[kind] // 2)
        torch.rand(3), np.random.rand(len(states))
        logs.append(repr(half + run(agent, STEPS[kind])))
        states.append(copy(agent.state_dict()))
    assert logs[0] == logs[1] != logs[2]
    assert same(states[0], states[1])
    assert not torch.equal(states[0]["average.head.weight"], states[2]["average.head.weight"])


@pytest.mark.parametrize("kind", ["PPO", "A2C"])
def test_a_resumed_run_goes_on_to_the_last_bit(kind: str) -> None:
    straight, begun = flappy(kind, 3), flappy(kind, 3)
    expected = run(straight, STEPS[kind])
    got = [begun.iterate()]
    resumed = flappy(kind, 3)
    run(resumed, STEPS[kind])  # nothing of this may be left
    resumed.load_state_dict(copy(begun.state_dict()))
    del begun
    got += run(resumed, STEPS[kind])
    assert repr(got) == repr(expected)  # "nan" included
    assert same(resumed.state_dict(), straight.state_dict())


def test_a_resumed_dqn_fills_its_replay_before_it_learns_on() -> None:
    begun, resumed = flappy("DQN", 3), flappy("DQN", 8)
    run(begun, STEPS["DQN"])
    saved = copy(begun.state_dict())
    run(resumed, STEPS["DQN"] // 2)  # nothing of this may be left
    resumed.load_state_dict(saved)
    assert same(resumed.state_dict(), saved)
    assert resumed.model.replay_buffer.size() == 0
    assert resumed.model.exploration_rate == begun.model.exploration_rate == pytest.approx(0.01)
    assert resumed.model._n_calls == begun.model._n_calls
    updates = [resumed.iterate()["train/exploration_rate"] for _ in range(4)]  # 64 steps
    assert updates == [pytest.approx(0.01)] * 4
    assert same(tensors_of(resumed.model.policy), {key[8:]: saved[key] for key in saved if key.startswith("network.")})
    assert resumed.iterate()["train/n_updates"] == int(saved["updates"]) + 1


@every_kind
def test_acting_is_greedy_and_changes_nothing(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What SB3's own `load` makes of its own file acts alike."""
    agent = flappy(kind)
    run(agent, STEPS[kind])
    observations = torch.randint(256, (300, 2, 84, 84), dtype=torch.uint8)
    with torch.no_grad():  # so that half of the observations ask for this, half for that
        torch.nn.init.normal_(agent.network.head.weight)
        (scores,) = agent.network(observations)
        agent.network.head.bias[0] -= (scores[:, 0] - scores[:, 1]).median()
    before = copy(agent.state_dict())
    modes = [module.training for module in agent.model.policy.modules()]
    torch_rng, numpy_rng = torch.get_rng_state(), repr(np.random.get_state())
    actions = agent.policy(observations)
    assert actions.dtype == torch.int64
    assert set(actions.tolist()) == {0, 1}
    assert torch.equal(actions[:7], agent.policy(observations[:7]))
    assert same(before, agent.state_dict())
    assert modes == [module.training for module in agent.model.policy.modules()]
    assert torch.equal(torch_rng, torch.get_rng_state())
    assert numpy_rng == repr(np.random.get_state())
    for _ in range(2):  # the second takes the place of the first
        agent.export(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [ZIP]
    loaded = getattr(stable_baselines3, kind).load(tmp_path / ZIP, device="cpu")
    assert loaded.num_timesteps == agent.steps
    assert loaded.predict(observations.numpy(), deterministic=True)[0].tolist() == actions.tolist()
    assert capfd.readouterr() == ("", "")


@every_kind
def test_the_encoder_is_fitted_before_it_learns(kind: str) -> None:
    """A white ball and a gray paddle take one cell of 36 each, but for the moment in which one hides the other."""
    agent = make_tiny(*KINDS[kind], CATCH)
    encoder = agent.network.encoder
    assert 10.3 < encoder.mean.mean() < (255 + 128) / 36
    assert encoder.scale != 1 / 64
    assert any(module is encoder for module in agent.model.policy.modules())


def test_step_size_and_clip_fall_to_nothing() -> None:
    agent = flappy("PPO", learning_rate=1e-3, clip_range=0.3)
    logs = run(agent, 4 * 64)
    assert [log["train/learning_rate"] for log in logs] == pytest.approx([2e-3 / 3, 1e-3 / 3, 0, 0])
    assert [log["train/clip_range"] for log in logs] == pytest.approx([0.2, 0.1, 0, 0])
    assert flappy("PPO", learning_rate=0.5, anneal=False).iterate()["train/learning_rate"] == 0.5


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("PPO", {"batch_size": 48}, r"--batch-size .* divide num_envs x n_steps = 64, not 48"),
        ("PPO", {"batch_size": 1}, r"--batch-size must be at least 2"),
        ("DQN", {"target_update_interval": 3}, r"--target-update-interval .* 4, not 3"),
    ],
)
def test_settings_of_which_sb3_would_only_warn(kind: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        flappy(kind, **changes)


def test_a_replay_that_does_not_fit() -> None:
    with pytest.raises(MemoryError, match=r"takes .* GiB .* try --buffer-size \d+$"):
        flappy("DQN", buffer_size=10**9)
