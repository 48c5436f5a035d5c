"""What holds for each of the games: seeds, episodes, saved states, scenes, looks, and what their files promise."""

import inspect
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from envs import GAMES, GameEnv, GameVectorEnv
from tests.envs.pilot import fly

IDS = list(GAMES)
EVERY = [(env_id, preset) for env_id in IDS for preset in GAMES[env_id].presets]


def play(env: GameVectorEnv, seed: int, steps: int, noise: float = 0.2) -> list[tuple[Any, ...]]:
    """Play; each item is (observations, rewards, terminated, truncated, states)."""
    rng = np.random.default_rng(seed)
    observations, info = env.reset(seed=seed)
    played: list[tuple[Any, ...]] = [(observations, info["state"])]
    for _ in range(steps):
        actions = fly(env.game, info["state"], env.game.rules(env.preset), rng, noise)
        *result, info = env.step(actions)
        played.append((*result, info["state"]))
    return played


def same(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    pairs = zip(one, other, strict=True)
    return all((x == y).all() for a, b in pairs for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("env_id", "preset"), EVERY)
def test_a_seed_repeats_and_parallel_games_differ(env_id: str, preset: str) -> None:
    env = GameVectorEnv(GAMES[env_id], 16, preset=preset)
    first = play(env, 3, 120)
    assert same(first, play(GameVectorEnv(GAMES[env_id], 16, preset=preset), 3, 120))
    assert not same(first, play(env, 4, 120))
    numbers = [name for name in first[-1][-1].dtype.names if name != "rng"]
    assert len({state.tobytes() for state in first[-1][-1][numbers]}) == 16


@pytest.mark.parametrize("env_id", IDS)
def test_a_saved_game_goes_on_exactly_and_its_frames_can_be_drawn_again(env_id: str) -> None:
    game = GAMES[env_id]
    env, other = (GameVectorEnv(game, 4, max_frames=90) for _ in range(2))
    play(env, 1, 70)
    saved = env.get_state()
    actions = np.random.default_rng(0).integers(0, len(game.actions), (60, 4))
    expected = [env.step(action) for action in actions]
    other.set_state(saved)
    for action, (observations, *rest, info) in zip(actions, expected, strict=True):
        now, *numbers, now_info = other.step(action)
        assert (now == observations).all()
        assert [x.tolist() for x in numbers] == [x.tolist() for x in rest]
        assert (now_info["state"] == info["state"]).all()
    records = game.visible(np.concatenate([info["state"] for *_, info in expected]))
    again = np.full((240, 1, 84, 84), 99, np.uint8)
    other.draw(records, again)
    assert (again == np.concatenate([observations for observations, *_ in expected])).all()


@pytest.mark.parametrize(("env_id", "preset"), EVERY)
@pytest.mark.parametrize("way", ["random", "nothing", "last"])
def test_every_episode_ends_however_it_is_played(env_id: str, preset: str, way: str) -> None:
    env, rng = GameVectorEnv(GAMES[env_id], 32, preset=preset, size=(1, 1)), np.random.default_rng(0)
    env.reset(seed=0)
    kinds, ended = len(env.game.actions), np.zeros(32, np.bool_)
    for _ in range(6000):
        actions = rng.integers(0, kinds, 32) if way == "random" else np.full(32, 0 if way == "nothing" else kinds - 1)
        rewards, terminated, *_ = env.advance(actions)
        assert (np.abs(rewards) <= 1).all()
        ended |= terminated
        if ended.all():
            return
    pytest.fail(f"{(~ended).sum()} of 32 games go on")


@pytest.mark.parametrize(("env_id", "preset"), EVERY)
def test_scenes_stay_within_what_the_game_declares(env_id: str, preset: str) -> None:
    game = GAMES[env_id]
    rules, count = game.rules(preset), len(game.sprites())
    env = GameVectorEnv(game, 4, preset=preset, size=(1, 1))
    background = game.sprites()[0].image
    assert background.shape == (game.height, game.width, 4)
    assert (background[..., 3] == 255).all()
    for *_, states in play(env, 2, 400)[::5]:
        for record in game.visible(states):
            things = list(game.scene(record, rules))
            assert things[0] == (0, 0.0, 0.0)  # what covers the last picture
            assert len(things) <= game.max_sprites
            assert all(0 <= sprite < count for sprite, _, _ in things)


@pytest.mark.parametrize("env_id", IDS)
def test_a_reward_of_1_is_a_point_and_a_point_a_reward_of_1(env_id: str) -> None:
    played = play(GameVectorEnv(GAMES[env_id], 8), 5, 500, noise=0.0)
    points = 0
    for before, (_, rewards, _, _, after) in pairwise(played):
        gained = after["score"] == before[-1]["score"] + 1
        over = np.zeros(8, np.bool_) if len(before) == 2 else before[2]  # what follows is a reset
        assert ((rewards == 1.0) == gained)[~over].all()
        points += int(gained[~over].sum())
    assert points >= 2


@pytest.mark.parametrize("env_id", IDS)
def test_things_move_and_are_seen_by_day_and_by_night(env_id: str) -> None:
    """Each moving thing stands out against what is behind it, at 84 x 84 gray."""
    game = GAMES[env_id]
    for theme in ("day", "night"):
        env = GameVectorEnv(game, 1, theme=theme)
        observations, info = env.reset(seed=0)
        rng, seen = np.random.default_rng(0), []
        for _ in range(60):
            seen.append(observations[0, 0].astype(int))
            observations, *_, info = env.step(fly(game, info["state"], game.rules(env.preset), rng, 0.0))
        changes = [np.abs(a - b).max() for a, b in pairwise(seen)]
        assert np.median([change for change in changes if change]) >= 30
        assert info["boxes"].shape == (1, game.max_sprites, 5)


@pytest.mark.parametrize("env_id", IDS)
def test_the_file_is_a_specification(env_id: str) -> None:
    game = GAMES[env_id]
    text = inspect.getdoc(sys.modules[game.step.__module__]) or ""
    assert game.about
    assert len(game.about) < 60
    if game.name == "FlappyBird":
        return  # specified in docs/environments.md
    for part in ("State:", "Actions:", "Observation:", "Reward:", "Start", "End:", "Version history:"):
        assert part in text, part
    for name, *_ in [*game.fields, ("score",)]:
        assert f"`{name}`" in text, name
    for number, action in enumerate(game.actions):
        assert f"{number} {action}" in text


@pytest.mark.parametrize("env_id", IDS)
def test_an_unknown_look_is_refused(env_id: str) -> None:
    with pytest.raises(ValueError, match="theme must be one of day, night, not 'noon'"):
        GameEnv(GAMES[env_id], theme="noon")
    with pytest.raises(ValueError, match="has no such setting: colour"):
        GameEnv(GAMES[env_id], colour="red")
