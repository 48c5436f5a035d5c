"""Whether agents learn what can be learned; everything here begins from nothing.

Four tiny games whose best result is known: say what is shown, count on for ever, recall what was shown, and catch.
`pytest -m learning --seed 7` has them all begin from another seed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from agents.dqn import DQN, DQNConfig
from agents.learner import ANNEALED
from agents.sb3 import SB3PPO, SB3PPOConfig
from envs import Game, GameVectorEnv
from tests.agents.games import CATCH, IDENTITY, RECALL, STILL
from tests.agents.making import ON_POLICY, make_tiny, mean_score

pytestmark = pytest.mark.learning
Make = Callable[..., Any]

KINDS = {**ON_POLICY, "dqn": (DQN, DQNConfig()), "sb3-ppo": (SB3PPO, SB3PPOConfig())}
MANY: dict[str, dict[str, Any]] = {  # gradient steps
    "ppo": {"rollout_steps": 32, "minibatch": 128, "epochs": 2, "learning_rate": 4e-3, "muon_rate": 8e-3},
    "ppo-lstm": {"rollout_steps": 32, "minibatch": 128, "epochs": 2, "learning_rate": 4e-3, "muon_rate": 8e-3},
    "a2c": {"rollout_steps": 5, "learning_rate": 4e-3, "muon_rate": 8e-3},
    "reinforce": {"rollout_steps": 12, "learning_rate": 1e-2, "muon_rate": 1.2e-2, "entropy_coef": 0.03},
    "pqn": {"rollout_steps": 32, "minibatch": 64, "epochs": 2, "epsilon": 0.02},
    "dqn": {
        "capacity": 8000, "batch_size": 64, "replay_ratio": 5.0, "learning_starts": 500, "learning_rate": 2e-3,
        "exploration_steps": 3_000, "averaging": 0.98, "gamma": 0.9,
    },
    "sb3-ppo": {"n_steps": 16, "batch_size": 64, "n_epochs": 3, "learning_rate": 2e-3, "clip_range": 0.2},
}  # fmt: skip
FADING = {"averaging": 0.9, "exploration_steps": 10_000}  # soon, as befits runs as short as these
every = pytest.mark.parametrize("name", ON_POLICY)
# To catch takes more than to say what is seen. The quickest does both, and so does SB3's, which may miss more balls.
BY_DEFAULT = ("reinforce", "sb3-ppo")


@pytest.fixture
def agent_of(request: pytest.FixtureRequest) -> Make:
    """Make a tiny agent of a kind that begins from the seed asked for."""
    seed = request.config.getoption("--seed")

    def agent(name: str, game: Game, **changes: Any) -> Any:
        return make_tiny(*KINDS[name], game, seed=seed, **changes)

    return agent


def learn(agent: Any, steps: int) -> dict[str, float]:
    """Train for so many steps; returns the last iteration's log."""
    metrics: dict[str, float] = {}
    while agent.steps < steps:
        metrics = agent.iterate()
    return metrics


@pytest.mark.parametrize(
    "name", [name if name in BY_DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in KINDS]
)
def test_it_learns_to_say_what_it_sees(agent_of: Make, name: str) -> None:
    """Ten times an episode; who does not look is right once in three."""
    steps = {"dqn": 4_000, "sb3-ppo": 8_000}.get(name, 15_000)
    fading = FADING if name in ON_POLICY else {}
    agent = agent_of(name, IDENTITY, total_steps=round(steps / ANNEALED), num_envs=16, **fading, **MANY[name])
    learn(agent, steps)
    assert mean_score(agent, IDENTITY) >= 9.8


@every
def test_it_learns_to_catch(agent_of: Make, name: str) -> None:
    """A random player catches a quarter. So does PPO with advantages of the wrong sign, or all 0: tried."""
    steps = {"a2c": 80_000, "reinforce": 200_000}.get(name, 40_000)  # these take one gradient step a rollout
    agent = agent_of(name, CATCH, total_steps=round(steps / ANNEALED), num_envs=16, **FADING, **MANY[name])
    metrics = learn(agent, steps)
    assert metrics["train/score"] > 0.8
    assert mean_score(agent, CATCH) >= 0.97


@pytest.mark.parametrize("variant", [{}, {"prioritized": 0.6}, {"noisy": True}, {"distributional": True}])
def test_dqn_learns_to_catch(agent_of: Make, variant: dict[str, Any]) -> None:
    """A random player catches a quarter. So does this one with the discount's or the target's sign turned: tried."""
    steps = 16_000 if "noisy" in variant else 12_000
    agent = agent_of("dqn", CATCH, total_steps=round(steps / ANNEALED), num_envs=16, **MANY["dqn"], **variant)
    learn(agent, steps)
    assert mean_score(agent, CATCH) >= 0.97


def test_an_agent_of_sb3_learns_to_catch(agent_of: Make) -> None:
    """A random player catches a quarter. So does this one if it sees only black: tried."""
    agent = agent_of("sb3-ppo", CATCH, total_steps=15_000, num_envs=16, **MANY["sb3-ppo"])
    metrics = learn(agent, agent.total_steps)
    assert metrics["train/score"] > 0.7
    assert mean_score(agent, CATCH) >= 0.9


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ppo", {"epochs": 4, "minibatch": 16, "learning_rate": 0.02}),
        ("ppo-lstm", {"epochs": 4, "minibatch": 16, "learning_rate": 0.02}),
        ("a2c", {"rollout_steps": 8, "learning_rate": 0.02, "muon_rate": 4e-3}),
        ("pqn", {"epochs": 4, "minibatch": 16, "learning_rate": 0.01}),
    ],
)
def test_a_reward_without_end_is_worth_what_it_should_be(agent_of: Make, name: str, settings: dict[str, Any]) -> None:
    """1 / (1 - gamma) = 10; 3 if the cut every fourth step were taken for an end, 8 if resets counted as steps."""
    agent = agent_of(
        name, STILL, max_frames=4, num_envs=4, gamma=0.9, final_gamma=0.9, anneal=False, exploration=0.0,
        **{"rollout_steps": 16, **settings},
    )  # fmt: skip
    for _ in range(800 if name == "a2c" else 120):  # one gradient step each, or 16
        agent.iterate()
    network = agent.learner.network
    with torch.no_grad():
        outputs = network(agent.actor.rollout.at(0))
        values = outputs[0].flatten() if name == "pqn" else network.value.mean(outputs[1])
    assert values.tolist() == pytest.approx([10.0] * len(values), rel=0.1)


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"n_step": 1, "double": False, "dueling": False},
        {"prioritized": 0.6},
        {"noisy": True, "learning_starts": 1000},  # afterwards an action that seems worse is never tried
        {"distributional": True},
    ],
)
def test_to_dqn_it_is_worth_as_much(agent_of: Make, variant: dict[str, Any]) -> None:
    """3 or less if the cut every fourth step were taken for an end."""
    agent = agent_of(
        "dqn", STILL, max_frames=4, num_envs=4, capacity=2000, batch_size=32, gamma=0.9, learning_rate=0.05,
        anneal=False, replay_ratio=8.0, averaging=0.9, exploration_steps=200, **{"learning_starts": 100, **variant},
    )  # fmt: skip
    for _ in range(20):
        agent.iterate()
    with torch.no_grad():
        q, _ = agent.learner.network(agent.replay.newest())
    assert q.flatten().tolist() == pytest.approx([10.0] * 8, rel=0.1)


@pytest.mark.parametrize("name", ["ppo-lstm", pytest.param("ppo", marks=pytest.mark.slow)])
def test_what_is_no_longer_shown_takes_a_memory(agent_of: Make, name: str) -> None:
    """Without one it is chance, as is proved below: within four standard deviations of 200 tosses."""
    steps = 80_000  # after half as many, seed 15 had not begun to recall
    agent = agent_of(
        name, RECALL, total_steps=steps, num_envs=16, **{**MANY[name], **FADING, "exploration_steps": 5_000}
    )
    learn(agent, agent.total_steps)
    recalled = mean_score(agent, RECALL)
    if name == "ppo-lstm":
        assert recalled >= 0.95
    else:
        assert abs(recalled - 0.5) < 0.15


def test_without_a_memory_nothing_tells_what_was_shown(agent_of: Make) -> None:
    """What PPO decides by is the newest picture alone, and from the second on none depends on the cue."""
    agent = agent_of("ppo", RECALL, num_envs=2)
    assert agent.learner.network.encoder.spec.frames == 1
    assert not agent.policy.recurrent
    games = GameVectorEnv(RECALL, 8, size=(RECALL.height, RECALL.width))
    pictures, info = games.reset(seed=0)
    left, right = (int((info["state"]["cue"] == cue).argmax()) for cue in (0, 1))
    assert (info["state"]["cue"][[left, right]] == [0, 1]).all()
    differ, rewarded = list[bool](), list[list[float]]()
    for _ in range(5):
        differ.append(bool((pictures[left] != pictures[right]).any()))
        pictures, rewards, terminated, *_ = games.step(np.ones(8, np.int64))  # left
        rewarded.append(rewards[[left, right]].tolist())
    assert differ == [True, False, False, False, False]
    assert rewarded == [[0, 0]] * 4 + [[1, -1]]  # as the last of them is answered
    assert terminated.all()
