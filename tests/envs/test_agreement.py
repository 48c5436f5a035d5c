"""One rule book: plain Python, the single env and the vector env agree to the last bit."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from envs import GAMES, Game, GameEnv, GameVectorEnv
from tests.envs.uncompiled import SEED, draw

ROOT = Path(__file__).parents[2]
IDS = list(GAMES)
EVERY = [(env_id, preset) for env_id in IDS for preset in GAMES[env_id].presets]
# Of each game's play: episodes that end, rewards of 1, and the best score, at least.
WORTH = {
    "FlappyBird": (10, 30, 5),
    "Catch": (2, 12, 5),
    "Pong": (1, 3, 0),
    "Breakout": (1, 15, 10),
    "Snake": (5, 30, 5),
    "Rooftops": (2, 8, 3),
}


class Plain(NamedTuple):
    """What the uncompiled rules do: states [steps + 1], the rest [steps]."""

    game: Game
    preset: str
    states: NDArray[Any]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what all games do, uncompiled."""
    folder = tmp_path_factory.mktemp("plain")
    command = [sys.executable, "-W", "error", "-m", "tests.envs.uncompiled", str(folder), *IDS]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=True)
    return folder


@pytest.fixture(scope="module", params=EVERY, ids="-".join)
def plain(request: pytest.FixtureRequest, played: Path) -> Plain:
    env_id, preset = request.param
    game = GAMES[env_id]
    with np.load(played / f"{IDS.index(env_id)}-{preset}.npz") as file:
        saved = dict(file)
    states = saved.pop("states").view(game.state_dtype)
    return Plain(game, preset, states, **saved)


def test_the_play_is_worth_comparing(plain: Plain) -> None:
    ends, points, best = WORTH[plain.game.name]
    assert plain.terminated.sum() >= ends
    assert (plain.rewards == 1.0).sum() >= points
    assert plain.states["score"].max() >= best


def test_vector_envs_of_1_and_64_follow_the_plain_rules(plain: Plain) -> None:
    slot = 37  # where the compared game sits among 64
    seeds = [1000 + i for i in range(64)]
    seeds[slot] = SEED
    many, one = (GameVectorEnv(plain.game, n, preset=plain.preset) for n in (64, 1))
    seen, info = many.reset(seed=seeds)
    seen_by_one, info_of_one = one.reset(seed=SEED)
    rng, kinds = np.random.default_rng(0), len(plain.game.actions)
    actions = rng.integers(0, kinds, (len(plain.actions), 64)) * (rng.random((len(plain.actions), 64)) < 0.16)
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
    env, twin = GameEnv(plain.game, preset=plain.preset), GameVectorEnv(plain.game, 1, preset=plain.preset)
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


@pytest.mark.parametrize("env_id", IDS)
def test_uncompiled_drawing_is_the_same(env_id: str, played: Path) -> None:
    with np.load(played / f"{IDS.index(env_id)}.npz") as file:
        plain = dict(file)
    pictures = draw(env_id)
    assert pictures.keys() == plain.keys()
    for name, drawn in pictures.items():
        assert drawn.shape == plain[name].shape
        assert (drawn == plain[name]).all(), name
