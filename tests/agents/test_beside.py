"""Playing beside learning: who computes where, and that nothing gets lost when one of them fails."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from agents import dqn, on_policy
from agents.a2c import A2C, A2CConfig
from agents.beside import beside
from agents.dqn import DQN, DQNConfig
from agents.ppo import PPO, PPOConfig
from agents.ppo_lstm import PPOLSTM, PPOLSTMConfig
from agents.pqn import PQN, PQNConfig
from agents.reinforce import REINFORCE, ReinforceConfig
from perception.sharing import crew
from tests.agents.games import CATCH
from tests.agents.making import copy, make_tiny, same


@pytest.fixture(params=[1, 2, 5])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_both_are_done_and_the_cores_are_shared(threads: int) -> None:
    used: dict[str, int] = {}

    def play() -> str:
        assert threading.current_thread() is threading.main_thread()
        used["play"] = torch.get_num_threads()
        return "played"

    def learn(number: int) -> int:
        used["learn"] = torch.get_num_threads()
        return number

    assert beside(play, [lambda: learn(3), lambda: learn(4)]) == ("played", [3, 4])
    assert torch.get_num_threads() == threads
    assert used["play"] + used["learn"] == (threads if threads > 1 else 2)
    assert beside(play, []) == ("played", [])
    assert used["play"] == threads


def test_they_run_at_the_same_time() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    both = threading.Barrier(2, timeout=20)
    beside(both.wait, [both.wait])
    torch.set_num_threads(before)


def test_the_other_comes_to_its_end_when_one_fails(threads: int) -> None:
    done: list[str] = []

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        beside(fail, [lambda: done.append("learned")])
    assert done == ["learned"]
    with pytest.raises(ZeroDivisionError):
        beside(lambda: done.append("played"), [fail])
    assert done[1:] == ([] if threads == 1 else ["played"])
    assert torch.get_num_threads() == threads


def in_turn(first: str) -> Callable[..., Any]:
    """`beside`, one after the other."""

    def both(play: Callable[[], Any], steps: Sequence[Callable[[], Any]]) -> tuple[Any, list[Any]]:
        threads = torch.get_num_threads()
        done = {}
        with crew(threads):  # sums are cut into as many parts
            for what in ("play", "learn") if first == "play" else ("learn", "play"):
                torch.set_num_threads(threads // 2 if what == "play" else threads - threads // 2)
                done[what] = play() if what == "play" else [step() for step in steps]
        torch.set_num_threads(threads)
        return done["play"], done["learn"]

    return both


AGENTS: dict[str, tuple[Any, Any]] = {
    "ppo": (PPO, PPOConfig(num_envs=8, rollout_steps=16, minibatch=32)),
    "ppo in fused": (PPO, PPOConfig(num_envs=8, rollout_steps=16, minibatch=64)),
    "ppo-lstm": (PPOLSTM, PPOLSTMConfig(num_envs=8, rollout_steps=16, minibatch=32, memory=32)),
    "a2c": (A2C, A2CConfig(num_envs=8)),
    "reinforce": (REINFORCE, ReinforceConfig(num_envs=8, rollout_steps=32)),
    "pqn": (PQN, PQNConfig(num_envs=8, rollout_steps=16, minibatch=32)),
    "dqn": (DQN, DQNConfig(num_envs=8, capacity=600, batch_size=64, learning_starts=64)),
    "dqn with frozen eyes": (DQN, DQNConfig(num_envs=8, capacity=600, batch_size=64, learning_starts=64)),
    "rainbow": (
        DQN,
        DQNConfig(
            num_envs=8, capacity=600, batch_size=64, learning_starts=64, prioritized=0.6, noisy=True,
            distributional=True, redraw=False,
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AGENTS)
def test_side_by_side_is_as_one_after_the_other(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit, whichever comes first: neither sees anything of what the other does meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    states = []
    for how in (beside, in_turn("play"), in_turn("learn")):
        for module in (on_policy, dqn):
            monkeypatch.setattr(module, "beside", how)
        agent = make_tiny(
            *AGENTS[name], CATCH, frozen="frozen" in name, layout="fused" if "fused" in name else "planes"
        )
        for _ in range(3):
            agent.iterate()
        states.append(copy(agent.state_dict()))
    torch.set_num_threads(before)
    assert same(states[0], states[1])
    assert same(states[0], states[2])
