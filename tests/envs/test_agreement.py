"""One rule book: plain Python, the single env and the vector env agree to the last bit."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from envs import GAMES, GameEnv, GameVectorEnv
from tests.envs.uncompiled import draw

ROOT = Path(__file__).parents[2]
GAME = GAMES["wingbeat/FlappyBird-v0"]
SEED, STEPS = 11, {"classic": 10_000, "head2023": 3_000}


class Plain(NamedTuple):
    """What the uncompiled rules do: states [steps + 1], the rest [steps]."""

    preset: str
    states: NDArray[Any]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    drawn: dict[str, NDArray[Any]]


@pytest.fixture(scope="module", params=list(GAME.presets))
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    path = tmp_path_factory.mktemp("plain") / "played.npz"
    arguments = [str(path), request.param, str(SEED), str(STEPS[request.param])]
    command = [sys.executable, "-W", "error", "-m", "tests.envs.uncompiled", *arguments]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=True)
    with np.load(path) as file:
        saved = dict(file)
    states = saved.pop("states").view(GAME.state_dtype)
    rest = [saved.pop(name) for name in ("actions", "rewards", "terminated")]
    return Plain(request.param, states, *rest, drawn=saved)


def test_the_play_is_worth_comparing(plain: Plain) -> None:
    assert plain.terminated.sum() >= 10
    assert (plain.rewards == 1.0).sum() >= 30
    assert plain.states["score"].max() >= 5


def test_vector_envs_of_1_and_64_follow_the_plain_rules(plain: Plain) -> None:
    slot = 37  # where the compared game sits among 64
    seeds = [1000 + i for i in range(64)]
    seeds[slot] = SEED
    many, one = GameVectorEnv(GAME, 64, preset=plain.preset), GameVectorEnv(GAME, 1, preset=plain.preset)
    seen, info = many.reset(seed=seeds)
    seen_by_one, info_of_one = one.reset(seed=SEED)
    actions = (np.random.default_rng(0).random((len(plain.actions), 64)) < 0.08).astype(np.int64)
    actions[:, slot] = plain.actions
    for t in range(len(plain.actions)):
        assert info["state"][slot].tobytes() == info_of_one["state"].tobytes() == plain.states[t].tobytes()
        assert seen[slot].tobytes() == seen_by_one.tobytes()
        assert info["boxes"][slot].tobytes() == info_of_one["boxes"].tobytes()
        seen, rewards, terminated, truncated, info = many.step(actions[t])
        seen_by_one, reward, dead, cut, info_of_one = one.step(actions[t, [slot]])
        assert rewards[slot] == reward[0] == plain.rewards[t]
        assert terminated[slot] == dead[0] == plain.terminated[t]
        assert not truncated.any()
        assert not cut.any()


def test_the_single_env_follows_the_plain_rules(plain: Plain) -> None:
    env, twin = GameEnv(GAME, preset=plain.preset), GameVectorEnv(GAME, 1, preset=plain.preset)
    observation, info = env.reset(seed=SEED)
    seen, _ = twin.reset(seed=SEED)
    over = False
    for t in range(len(plain.actions)):
        state = plain.states[t]
        assert info["state"] == {name: state[name].tolist() for name in state.dtype.names if name != "rng"}
        assert info["score"] == state["score"]
        assert observation.tobytes() == seen.tobytes()
        if over:  # a single env is reset by its user; this is the step that the vector env spends on it
            observation, info = env.reset()
            reward, over = 0.0, False
        else:
            observation, reward, over, truncated, info = env.step(plain.actions[t])
            assert not truncated
        seen = twin.step(plain.actions[[t]])[0]
        assert (reward, over) == (plain.rewards[t], plain.terminated[t])


def test_uncompiled_drawing_is_the_same(plain: Plain) -> None:
    for name, pictures in draw(5, 20).items():
        assert pictures.shape == plain.drawn[name].shape
        assert (pictures == plain.drawn[name]).all(), name
