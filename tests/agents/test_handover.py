"""A trained encoder in every agent: its weights and normalisation arrive, stay if frozen, and change if not."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.optimizer import HiddenMuon
from agents.sb3 import SB3DQN
from commands.build import ALGORITHMS, Settings, make_algorithm
from commands.eyes import EyesConfig, take_encoder
from commands.game import GameConfig
from commands.looks import looks_of
from commands.player import load_player
from experiment import checkpoint
from experiment.errors import UserError
from experiment.run import Run
from perception import Encoder, EncoderSpec, freeze, load_encoder, make_encoder, save_encoder
from tests.agents.making import copy, same, sample

SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs": 4, "rollout_steps": 8},
    "ppo-lstm": {"num_envs": 4, "rollout_steps": 8},
    "a2c": {"num_envs": 4},
    "pqn": {"num_envs": 4, "rollout_steps": 8},
    "dqn": {"num_envs": 4, "capacity": 2000, "learning_starts": 100, "batch_size": 32},
    "sb3-ppo": {"num_envs": 4, "n_steps": 16, "batch_size": 32},
    "sb3-a2c": {"num_envs": 4},
    "sb3-dqn": {
        "num_envs": 4,
        "buffer_size": 2000,
        "batch_size": 32,
        "learning_starts": 64,
        "tau": 0.3,
        "target_update_interval": 16,
    },
}
every_algorithm = pytest.mark.parametrize("algorithm", SMALL)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder with weights that no initialisation gives and a normalisation that no game gives."""
    torch.manual_seed(0)
    encoder = make_encoder(EncoderSpec("small", 3, 84, 84, 32, "supervised", "wingbeat/FlappyBird-v0"))
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.uniform_(-0.1, 0.3)
    encoder.fit_normalization(torch.randint(256, (50, 84, 84), dtype=torch.uint8))
    folder = tmp_path_factory.mktemp("run") / "encoder"
    save_encoder(folder, encoder)
    return folder.parent


def settings(algorithm: str, encoder: Path | str, mode: str = "auto", **eyes: Any) -> Settings:
    learner = replace(ALGORITHMS[algorithm].config(), **SMALL[algorithm])
    looks = EyesConfig(str(encoder), mode, **eyes)  # type: ignore[arg-type]
    return Settings(algorithm, GameConfig(), looks, learner, 2000, 0, "cpu", "fp32", 1)


def begin(algorithm: str, encoder: Path, mode: str, **eyes: Any) -> tuple[Any, Settings]:
    chosen = settings(algorithm, encoder, mode, **eyes)
    chosen.eyes, trained = take_encoder(chosen.eyes, chosen.game)
    return make_algorithm(chosen, trained), chosen


def encoders(agent: Any) -> list[Encoder]:
    """All encoders in an agent: of what learns, of what plays, of a target."""
    networks = [getattr(agent, name) for name in ("network", "target") if hasattr(agent, name)]
    if hasattr(agent, "learner"):
        networks += [agent.learner.network, agent.learner.average]
    if hasattr(agent, "model"):
        networks.append(agent.model.policy)
    found = {id(m): m for network in networks for m in network.modules() if isinstance(m, Encoder)}
    return list(found.values())


def handed_on(encoder: Encoder, wanted: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What an encoder has of what was handed on; behind frozen features there are layers of the agent's own, too."""
    state = encoder.state_dict()
    assert all(key.startswith("reader.") for key in state.keys() - wanted.keys())
    return {key: state[key] for key in wanted}


def learn(agent: Any) -> None:
    for _ in range(12 if isinstance(agent, SB3DQN) else 3):  # its iterations are of 16 steps, the first 64 at random
        agent.iterate()


@every_algorithm
@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_frozen_means_bit_identical(algorithm: str, mode: str, saved: Path) -> None:
    wanted = load_encoder(saved).state_dict()
    agent, chosen = begin(algorithm, saved, mode)
    assert chosen.eyes == EyesConfig("small", mode, frames=3, feature_dim=32, trained=str(saved))  # type: ignore
    everyone = encoders(agent)
    assert len(everyone) >= (1 if algorithm in ("sb3-ppo", "sb3-a2c") else 2)
    assert all(same(handed_on(encoder, wanted), wanted) for encoder in everyone)
    before = copy(agent.state_dict())
    learn(agent)
    after = agent.state_dict()
    heads = [k for k in before if k.startswith("network.") and ".encoder." not in k and k.endswith("weight")]
    assert any(not torch.equal(before[key], after[key]) for key in heads), "it has not learned at all"
    readers = [k for k in before if k.startswith("network.") and ".reader." in k and k.endswith("weight")]
    assert bool(readers) == (mode == "frozen")
    assert mode == "finetune" or any(not torch.equal(before[key], after[key]) for key in readers)
    for encoder in everyone:
        state = handed_on(encoder, wanted)
        for key in ("mean", "scale"):
            assert torch.equal(state[key], wanted[key])  # normalisation is carried along, never fitted anew
        assert same(state, wanted) == (mode == "frozen")
        learned = {name.split(".")[0] for name, _ in encoder.named_parameters()}
        assert learned == {"reader" if mode == "frozen" else "body"}
    assert any(key.startswith("average.encoder.body.") for key in after)  # the run needs no other folder


@every_algorithm
def test_a_run_goes_on_and_plays_by_its_folder_alone(algorithm: str, saved: Path, tmp_path: Path) -> None:
    """Nobody asks for the encoder's folder again."""
    for mode in ("frozen", "finetune"):
        lost = shutil.copytree(saved, tmp_path / f"{mode} eyes")
        agent, chosen = begin(algorithm, lost, mode)
        shutil.rmtree(lost)
        learn(agent)
        run = Run.create(tmp_path / mode, asdict(chosen), "x")
        checkpoint.save(run.checkpoint(agent.steps), agent.state_dict(), {"steps": agent.steps, "seconds": 0.0})
        resumed: Any = make_algorithm(Settings.parse(run.config, "here"))
        checkpoint.fit(resumed.state_dict(), checkpoint.load(checkpoint.latest(run.path))[0], "it")
        resumed.load_state_dict(checkpoint.load(checkpoint.latest(run.path))[0])
        wanted = load_encoder(saved).state_dict()
        now = copy(handed_on(encoders(resumed)[0], wanted))
        learn(resumed)
        assert same(now, handed_on(encoders(resumed)[0], wanted)) == (mode == "frozen")
        observations = torch.randint(256, (50, 3, 84, 84), dtype=torch.uint8)
        player = load_player(run.path)
        assert "eyes" not in looks_of(player.policy, player.settings.eyes.trained)
        assert torch.equal(player.policy(observations), agent.policy(observations))


def test_freezing_leaves_the_features_and_the_names() -> None:
    encoder = make_encoder(EncoderSpec("impala", 2, 40, 40, 16))
    observations = torch.randint(256, (5, 2, 40, 40), dtype=torch.uint8)
    before, state = encoder(observations).detach(), copy(encoder.state_dict())
    freeze(encoder)
    assert not list(encoder.parameters())
    after = encoder(observations)
    assert torch.equal(before, after)
    assert not after.requires_grad
    assert same({key: encoder.state_dict()[key] for key in state}, state)
    assert encoder.state_dict().keys() == state.keys()
    make_encoder(encoder.spec).load_state_dict(encoder.state_dict())


def count_looks(agent: Any) -> dict[str, int]:
    """How often, from now on, the encoders of what learns, of its average and of what plays are asked."""
    calls = {"learns": 0, "average": 0, "plays": 0}

    def count(who: str) -> Any:
        def add(*_: Any) -> None:
            calls[who] += 1

        return add

    networks = (agent.learner.network, agent.learner.average, agent.playing)
    for who, network in zip(calls, networks, strict=True):
        network.encoder.body.register_forward_hook(count(who))
    return calls


def test_frozen_features_are_computed_once_while_playing(saved: Path) -> None:
    """However many epochs there are, and what is learned from them is as if they had been computed anew."""
    agent, _ = begin("ppo", saved, "frozen")
    agent.config.epochs = 3
    calls = count_looks(agent)
    agent.iterate()
    rollout, notes = agent.played
    assert calls == {"learns": 0, "average": 0, "plays": rollout.steps + 1}
    index = torch.tensor([0, 3, 4 * 7 + 2, 4 * 5 + 1])  # t * games + game
    for found, wanted in zip(
        agent._answer_again(rollout, notes, index), agent.learner.network(rollout.observations(index)), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    assert calls["learns"] == 1


@pytest.fixture
def two_threads() -> Iterator[None]:
    """As a user has them: how sums are split up among threads shows in them."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("redraw", [True, False])
def test_dqn_asks_a_frozen_encoder_once_about_each_step(saved: Path, redraw: bool) -> None:
    """However often a step is drawn; what is learned is as if it had been asked again."""
    agent, chosen = begin("dqn", saved, "frozen")
    chosen.learner.redraw, chosen.learner.replay_ratio = redraw, 8.0
    agent = make_algorithm(chosen, load_encoder(saved))
    calls = count_looks(agent)
    logs = [agent.iterate() for _ in range(3)]
    assert logs[-1]["train/loss"] > 0
    assert calls == {"learns": 0, "average": 0, "plays": agent.replay.now}
    drawn, batch = sample(agent.replay, 20, np.random.default_rng(0))
    found = agent._values(agent.learner.network, batch.observations, None)
    stacks = agent.replay._stacks(drawn.slots)
    for mine, wanted in zip(found, agent.learner.network(stacks), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("iterations", [0, 1, 3])  # without a step, before learning, and after
def test_dqn_goes_on_exactly_with_a_frozen_encoder(saved: Path, iterations: int, tmp_path: Path) -> None:
    """What its encoder told of each step is not saved: it is asked again."""
    _, chosen = begin("dqn", saved, "frozen")
    chosen.learner.learning_starts = 150
    agent = make_algorithm(chosen, load_encoder(saved))
    for _ in range(iterations):
        agent.iterate()
    checkpoint.save(tmp_path / "saved", agent.state_dict(), {})
    usual = begin("dqn", saved, "finetune")[0].state_dict()
    assert {key for key in agent.state_dict() if "replay" in key} == {key for key in usual if "replay" in key}
    resumed = make_algorithm(Settings.parse(json.loads(json.dumps(asdict(chosen))), "here"))
    resumed.load_state_dict(checkpoint.load(tmp_path / "saved")[0])
    assert np.array_equal(agent.replay._features, resumed.replay._features)
    for _ in range(2):
        assert repr(agent.iterate()) == repr(resumed.iterate())
    assert same(agent.state_dict(), resumed.state_dict())


def test_the_encoder_has_a_step_size_of_its_own() -> None:
    """Adam's first step is as long as its step size, whatever the gradient."""
    from torch import nn

    torch.manual_seed(0)  # no gradient is near Adam's epsilon
    network = nn.ModuleDict({"encoder": nn.Linear(3, 4), "head": nn.Linear(4, 1)})
    optimizer = HiddenMuon(network, network["encoder"], 1e-2, 0.0, pace=0.1)
    for share in (1.0, 0.5):
        before = copy(network.state_dict())
        optimizer.decay(share)
        optimizer.zero_grad()
        network["head"](network["encoder"](torch.ones(8, 3))).sum().backward()
        optimizer.step()
        now = network.state_dict()
        for key, rate in (("encoder.weight", 1e-3), ("encoder.bias", 1e-3), ("head.bias", 1e-2)):
            moved = (now[key] - before[key]).abs()
            torch.testing.assert_close(moved, torch.full_like(moved, share * rate), rtol=0.02, atol=1e-6)


@pytest.mark.parametrize(
    ("algorithm", "given", "pace"), [("ppo", None, 0.5), ("ppo", 1e-3, 0.25), ("sb3-ppo", 2.5e-5, 0.1)]
)
def test_its_step_size_is_a_share_of_the_usual_one(
    algorithm: str, given: float | None, pace: float, saved: Path
) -> None:
    """Of Muon's 4e-3, and of 2.5e-4 of SB3's PPO."""
    agent, _ = begin(algorithm, saved, "finetune", encoder_lr=given)
    assert encoders(agent)[0].pace == pytest.approx(pace)


def test_muons_steps_are_shorter_by_the_pace() -> None:
    """The way of the encoder's weights and biases, beside a network that learns as usual."""
    from torch import nn

    moved = []
    for pace in (1.0, 0.25):
        torch.manual_seed(0)
        network = nn.ModuleDict({"encoder": nn.Linear(3, 4), "head": nn.Linear(4, 1)})
        optimizer = HiddenMuon(network, network["encoder"], 1e-3, 2e-3, pace=pace)
        before = copy(network.state_dict())
        for _ in range(2):  # Muon takes a step for two of Adam's
            optimizer.zero_grad()
            network["head"](network["encoder"](torch.ones(8, 3))).sum().backward()
            optimizer.step()
        moved.append({key: (value - before[key]).norm().item() for key, value in network.state_dict().items()})
    for key, share in (("encoder.weight", 0.25), ("encoder.bias", 0.25), ("head.weight", 1.0)):
        assert moved[1][key] / moved[0][key] == pytest.approx(share, rel=0.02), key


@pytest.mark.parametrize("algorithm", ["sb3-ppo", "sb3-a2c", "sb3-dqn"])
def test_in_sb3_too_and_its_own_file_can_be_loaded(algorithm: str, saved: Path, tmp_path: Path) -> None:
    """The share stays though SB3 sets one step size for all weights before each update."""
    import stable_baselines3

    moved = []
    for rate in (1e-4, 1e-6):
        agent, _ = begin(algorithm, saved, "finetune", encoder_lr=rate)
        before = copy(agent.state_dict())
        learn(agent)
        after = agent.state_dict()
        key = next(k for k in after if k.startswith("average.encoder.body.0.weight"))
        moved.append(float((after[key] - before[key]).abs().mean()))
    assert 30 < moved[0] / moved[1] < 300  # 100 times the step size, and nearly 100 times the way
    agent.export(tmp_path)
    loaded = getattr(stable_baselines3, algorithm[4:].upper()).load(tmp_path / "sb3.zip", device="cpu")
    observations = torch.randint(256, (20, 3, 84, 84), dtype=torch.uint8)
    assert loaded.predict(observations.numpy(), deterministic=True)[0].tolist() == agent.policy(observations).tolist()


def test_what_does_not_fit_is_told_in_one_line(saved: Path, tmp_path: Path) -> None:
    def refused(words: str, chosen: Settings) -> None:
        with pytest.raises(UserError, match=words) as caught:
            take_encoder(chosen.eyes, chosen.game)
        assert "\n" not in str(caught.value)

    refused("--frames 2 does not fit .* which has 3", settings("ppo", saved, frames=2))
    refused("--feature-dim 64 does not fit", settings("ppo", saved, feature_dim=64))
    refused("--encoder-mode frozen needs a trained encoder", settings("ppo", "small", "frozen"))
    refused("--encoder-mode scratch", settings("ppo", saved, "scratch"))
    refused("--encoder-lr needs a trained encoder", settings("ppo", "small", encoder_lr=1e-3))
    refused("--encoder-lr is for .* not for a frozen one", settings("ppo", saved, "frozen", encoder_lr=1e-3))
    refused("there is no encoder 'nowhere'", settings("ppo", "nowhere"))
    refused("holds no encoder", settings("ppo", tmp_path))
    cart = replace(settings("ppo", saved), game=GameConfig("CartPole-v1"))
    refused("CartPole-v1 shows 1 x 4", cart)
    checkpoint.save(tmp_path / "agent", load_encoder(saved).state_dict(), {"steps": 3})
    refused("is not an encoder's", settings("ppo", tmp_path / "agent"))
    save_encoder(tmp_path / "narrow", make_encoder(EncoderSpec("small", 2, 60, 84, 32)))
    refused("pictures of 60 x 84", settings("ppo", tmp_path / "narrow"))
    other = make_encoder(EncoderSpec("nature", 2, 84, 84, 32))
    other.spec = replace(other.spec, network="small")  # the spec says one network, the weights are another's
    save_encoder(tmp_path / "foreign", other)
    refused("the encoder in .*foreign does not fit", settings("ppo", tmp_path / "foreign"))
    other.spec = replace(other.spec, network="resnet")
    save_encoder(tmp_path / "unknown", other)
    refused("no encoder 'resnet'", settings("ppo", tmp_path / "unknown"))
    save_encoder(tmp_path / "flipped", make_encoder(EncoderSpec("small", 2, 84, 84, 32)))
    file = tmp_path / "flipped" / "state.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 4
    file.write_bytes(data)
    refused("is damaged", settings("ppo", tmp_path / "flipped"))


def test_runs_from_before_there_were_readers_are_read_as_they_were(saved: Path) -> None:
    chosen = settings("ppo", saved, "frozen")
    chosen.eyes, trained = take_encoder(chosen.eyes, chosen.game)
    assert chosen.make_encoder().reader is not None
    chosen.eyes.trained = ""  # as none of them said it
    assert trained is not None
    assert chosen.make_encoder().state_dict().keys() == trained.state_dict().keys()
