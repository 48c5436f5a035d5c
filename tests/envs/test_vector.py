"""How the envs behave as envs: seeds, episodes, buffers, state, and what they refuse."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numba.core.errors import TypingError
from numpy.typing import NDArray

from envs import GAMES, GameEnv, GameVectorEnv
from envs.game import randint, rule
from tests.agents.games import CATCH
from tests.envs.pilot import pilot

GAME = GAMES["wingbeat/FlappyBird-v0"]
GAP = 100


def fly(env: GameVectorEnv, seed: int, steps: int, noise: float = 0.02) -> list[tuple[Any, ...]]:
    """Play; each item is (observations, rewards, terminated, truncated, states)."""
    rng = np.random.default_rng(seed)
    observations, info = env.reset(seed=seed)
    played: list[tuple[Any, ...]] = [(observations, info["state"])]
    for _ in range(steps):
        *result, info = env.step(pilot(info["state"], GAP, rng, noise))
        played.append((*result, info["state"]))
    return played


def same(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    pairs = zip(one, other, strict=True)
    return all((x == y).all() for a, b in pairs for x, y in zip(a, b, strict=True))


def test_a_seed_repeats_exactly() -> None:
    env = GameVectorEnv(GAME, 5)
    first = fly(env, 3, 300)
    assert same(first, fly(env, 3, 300))
    assert same(first, fly(GameVectorEnv(GAME, 5), 3, 300))
    assert not same(first, fly(env, 4, 300))


def test_the_single_env_repeats_and_goes_on_without_a_seed() -> None:
    env = GameEnv(GAME)
    gaps = [env.reset(seed=seed)[1]["state"]["gap_y"] for seed in (8, None, 8, None, None)]
    assert gaps[0] == gaps[2]
    assert gaps[1] == gaps[3]
    assert len({tuple(gap) for gap in gaps}) == 3


def test_without_any_seed_games_differ() -> None:
    starts = [GameVectorEnv(GAME, 2).reset(seed=seed)[1]["state"]["rng"] for seed in (None, None, [None, 4])]
    assert len(set(np.concatenate(starts).tolist())) == 6


def test_seeds_by_game() -> None:
    env = GameVectorEnv(GAME, 3)
    by_one, by_list = env.reset(seed=40)[1]["state"], env.reset(seed=[40, 41, 42])[1]["state"]
    assert (by_one == by_list).all()
    assert (env.reset(seed=np.int64(40))[1]["state"] == by_one).all()
    again = env.reset(seed=[None, 41, None])[1]["state"]
    assert (again == by_one).tolist() == [False, True, False]


def test_parallel_games_differ_pairwise() -> None:
    env, rng = GameVectorEnv(GAME, 64), np.random.default_rng(0)
    _, info = env.reset(seed=0)
    assert len({state.tobytes() for state in info["state"][["pipe_x", "gap_y"]]}) == 64
    for _ in range(60):  # two pipes of three are in sight, three of them differ in the state
        observations, _, _, _, info = env.step(pilot(info["state"], GAP, rng))
        assert len({state.tobytes() for state in info["state"]}) == 64
    assert len({picture.tobytes() for picture in observations}) == 64


def test_autoreset_is_on_the_next_step() -> None:
    env = GameVectorEnv(GAME, 2)
    first, info = env.reset(seed=0)
    assert info["state"]["frame"].tolist() == [0, 0]
    for frame in range(1, 32):  # game 0 falls to the ground on frame 31; game 1 flaps once and falls later
        last, rewards, terminated, _, info = env.step(np.array([0, frame == 5]))
    assert (rewards[0], terminated.tolist()) == (-1.0, [True, False])
    assert info["state"]["frame"].tolist() == [31, 31]
    old = info["state"]["rng"][0]
    fresh, rewards, terminated, truncated, info = env.step(np.array([1, 0]))  # the flap is ignored
    assert (rewards.tolist(), terminated.tolist(), truncated.tolist()) == ([0.0, 0.1], [False] * 2, [False] * 2)
    state = info["state"][0]
    assert (state["frame"], state["y"], state["velocity"], state["score"]) == (0, 244, -9, 0)
    assert state["rng"] != old
    assert (fresh[0] == first[0]).all()  # no pipe is in sight on a first frame: all first frames are alike
    assert (fresh[0] != last[0]).any()
    assert env.step(np.array([0, 0]))[4]["state"]["y"][0] == 236


def test_games_that_ended_can_be_reset_at_once() -> None:
    """As Gymnasium's own vector env does with its own resets turned off; the others stay as they are."""
    settings: dict[str, Any] = {"frame_skip": 3, "size": (40, 30), "max_frames": 60}
    mode = {"autoreset_mode": gym.vector.AutoresetMode.DISABLED}
    theirs = gym.vector.SyncVectorEnv([lambda: GameEnv(GAME, **settings)] * 4, **mode)
    ours, rng, resets = GameVectorEnv(GAME, 4, **settings), np.random.default_rng(0), 0
    seen, info = ours.reset(seed=3)
    expected, _ = theirs.reset(seed=3)
    for _ in range(300):
        assert (seen == expected).all()
        actions = (rng.random(4) < 0.2).astype(np.int64)
        seen, rewards, *ends, info = ours.step(actions)
        expected, *wanted, wanted_info = theirs.step(actions)
        for got, want in zip(
            (seen, rewards, *ends, info["score"]), (expected, *wanted, wanted_info["score"]), strict=True
        ):
            assert (got == want).all()
        over = ends[0] | ends[1]
        if over.any():
            seeds = [None, 7, None, 8] if resets % 2 else None
            seen, info = ours.reset(seed=seeds, options={"reset_mask": over})
            expected, _ = theirs.reset(seed=seeds, options={"reset_mask": over})
            assert (info["state"]["frame"] == 0).tolist() == over.tolist()
            resets += over.sum()
    assert resets > 50


def test_truncation_after_max_frames() -> None:
    env = GameVectorEnv(GAME, 1, max_frames=20)
    env.reset(seed=0)
    for frame in range(1, 21):
        _, rewards, terminated, truncated, _ = env.step(np.array([0]))
        assert (rewards[0], terminated[0], truncated[0]) == (0.1, False, frame == 20)
    _, rewards, _, truncated, info = env.step(np.array([0]))
    assert (rewards[0], truncated[0], info["state"]["frame"][0]) == (0.0, False, 0)
    for frame in range(1, 21):  # counted from the start of the episode
        assert env.step(np.array([0]))[3][0] == (frame == 20)


def test_a_reset_starts_the_clock_of_its_games_anew() -> None:
    env = GameVectorEnv(GAME, 2, max_frames=20)
    env.reset(seed=0)
    for _ in range(12):
        env.step(np.array([0, 0]))
    env.reset(options={"reset_mask": np.array([True, False])})
    for frame in range(1, 21):
        assert env.step(np.array([0, 0]))[3].tolist() == [frame == 20, frame == 8]


def test_a_death_on_the_last_frame_is_a_death() -> None:
    env = GameVectorEnv(GAME, 1, max_frames=31)
    env.reset(seed=0)
    for _ in range(31):
        _, _, terminated, truncated, _ = env.step(np.array([0]))
    assert (terminated[0], truncated[0]) == (True, False)


@pytest.mark.parametrize("frame_skip", [1, 5])
def test_truncation_at_the_score_cap(frame_skip: int) -> None:
    wide = GAME.rules("classic")._replace(gap=300, gap_low=40, gap_high=60)
    env = GameVectorEnv(replace(GAME, presets={"wide": wide}), 1, score_cap=2, frame_skip=frame_skip)
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=7)
    truncated = np.array([False])
    while not truncated[0]:
        assert info["score"][0] < 2
        _, rewards, terminated, truncated, info = env.step(pilot(info["state"], 230, rng))
        assert not terminated[0]
    assert info["score"][0] == 2
    # The second pipe passes on frame 60 + 36, the first frame of a decision of five: the others are not played.
    assert info["state"]["frame"][0] == 96
    assert rewards[0] == 1.0


@pytest.mark.parametrize("frame_skip", [2, 5])
@pytest.mark.parametrize("taps", [True, False])
def test_frame_skip_equals_single_frames(frame_skip: int, taps: bool) -> None:
    """A tap (Flappy Bird's own way) is given on the first of the frames, any other action on all of them."""
    assert GAME.taps
    game = GAME if taps else replace(GAME, taps=False)
    fast, slow = GameVectorEnv(game, 1, frame_skip=frame_skip), GameVectorEnv(GAME, 1)
    rng = np.random.default_rng(2)
    seen, info = fast.reset(seed=9)
    expected, _ = slow.reset(seed=9)
    deaths = 0
    for _ in range(400):
        assert (seen == expected).all()
        action = pilot(info["state"], GAP, rng, 0.1)
        seen, rewards, terminated, _, info = fast.step(action)
        total = 0.0
        for frame in range(frame_skip):
            expected, reward, dead, _, slow_info = slow.step(action if frame == 0 or not taps else action * 0)
            total += reward[0]
            if dead[0] or slow_info["state"]["frame"][0] == 0:
                break  # a death ends the step at once, and a reset takes a whole step
        assert rewards[0] == total
        assert terminated[0] == dead[0]
        assert info["state"].tobytes() == slow_info["state"].tobytes()
        deaths += dead[0]
    assert deaths >= 5


def test_state_can_be_taken_and_set() -> None:
    env, other = GameVectorEnv(GAME, 3, max_frames=90), GameVectorEnv(GAME, 3, max_frames=90)
    fly(env, 1, 123)
    saved = env.get_state()
    actions = (np.random.default_rng(0).random((200, 3)) < 0.08).astype(np.int64)
    expected = [env.step(action) for action in actions]
    env.set_state(saved)
    other.set_state(saved)
    for action, (observations, *rest, info) in zip(actions, expected, strict=True):
        for copy in (env, other):
            now, *numbers, now_info = copy.step(action)
            assert (now == observations).all()
            assert [x.tolist() for x in numbers] == [x.tolist() for x in rest]
            assert now_info["state"].tobytes() == info["state"].tobytes()


def test_what_was_returned_is_never_overwritten() -> None:
    env = GameVectorEnv(GAME, 3, render_mode="rgb_array")
    returned: list[NDArray[Any]] = []
    observations, info = env.reset(seed=0)
    for t in range(60):
        frames = env.render()
        assert frames is not None
        returned += [observations, *info.values(), *frames, *env.get_state().values()]
        if t == 30:
            copies = [array.copy() for array in returned]
        observations, *rest, info = env.step(np.array([0, t % 16 == 0, t % 8 == 0]))
        returned += rest
    assert all((copy == array).all() for copy, array in zip(copies, returned, strict=False))


def test_drawing_straight_into_the_callers_buffer() -> None:
    env, twin = GameVectorEnv(GAME, 4), GameVectorEnv(GAME, 4)
    storage = np.full((12, 4, 1, 84, 84), 99, np.uint8)
    assert env.reset(seed=0, out=storage[0])[0] is not None
    expected = [twin.reset(seed=0)[0]]
    for t in range(1, 11):
        slot = storage[t]
        assert env.step(np.array([0, 1, 0, t % 2]), out=slot)[0] is slot
        expected.append(twin.step(np.array([0, 1, 0, t % 2]))[0])
    assert (storage[:11] == np.stack(expected)).all()
    assert (storage[11] == 99).all()


def test_drawing_any_states_again() -> None:
    """Whatever the env's own games show, and also where the game's own numbers do not fill whole words."""
    for game, size in ((GAME, (84, 84)), (replace(CATCH, fields=[*CATCH.fields, ("odd", np.int8)]), (36, 36))):
        env, other = GameVectorEnv(game, 5, size=size), GameVectorEnv(game, 2, size=size)
        observations, info = env.reset(seed=0)
        seen, states = [observations], [info["state"]]
        for t in range(60):
            observations, *_, info = env.step(np.arange(5) * t % 17 % len(game.actions))
            seen.append(observations)
            states.append(info["state"])
        order = np.random.default_rng(0).permutation(61 * 5)
        records = game.visible(np.concatenate(states)[order])
        assert records.dtype.names == tuple(name for name in states[0].dtype.names if name != "rng")
        out = np.full((len(order), 1, *size), 99, np.uint8)
        other.draw(records, out)
        assert (out == np.concatenate(seen)[order]).all()
        other.draw(records[:0], out[:0])


@pytest.mark.parametrize(
    ("records", "out", "message"),
    [
        (np.zeros(3, GAME.state_dtype), np.zeros((3, 1, 84, 84), np.uint8), "records must be"),
        (np.zeros((3, 1), GAME.scene_dtype), np.zeros((3, 1, 84, 84), np.uint8), "records must be"),
        (np.zeros(3, GAME.scene_dtype), np.zeros((2, 1, 84, 84), np.uint8), r"uint8 \[3, 1, 84, 84\], not"),
        (np.zeros(3, GAME.scene_dtype), np.zeros((3, 1, 84, 42), np.uint8), "out must be"),
    ],
    ids=["with rng", "axes", "too few", "size"],
)
def test_states_that_can_not_be_drawn(records: NDArray[Any], out: NDArray[np.uint8], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GameVectorEnv(GAME, 2).draw(records, out)


def test_advancing_is_stepping_without_a_picture() -> None:
    env, twin = GameVectorEnv(GAME, 4), GameVectorEnv(GAME, 4)
    with pytest.raises(RuntimeError, match="call reset"):
        env.advance(np.zeros(4, np.int64))
    env.reset(seed=0)
    twin.reset(seed=0)
    for t in range(80):
        actions = np.array([0, 1, 0, t % 5 == 0], np.int64)
        *results, info = env.advance(actions)
        _, *expected, full = twin.step(actions)
        assert [x.tolist() for x in results] == [x.tolist() for x in expected]
        assert info["state"].tobytes() == full["state"].tobytes()
        assert info.keys() == full.keys() - {"boxes", "_boxes"}
    with pytest.raises(ValueError, match="actions must be"):
        env.advance([2, 0, 0, 0])


def test_a_scene_can_not_draw_chance() -> None:
    """If it could, a picture would not be a function of the numbers that are kept for it."""

    @rule
    def scene(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
        yield 0, 0.0, 0.0
        yield 1, float(randint(state, 0, 30)), 0.0

    with pytest.raises((KeyError, TypingError), match="rng"):
        GameVectorEnv(replace(CATCH, scene=scene), 1, size=(36, 36)).reset(seed=0)


def test_the_single_env_wants_a_reset_after_the_end() -> None:
    env = GameEnv(GAME)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(0)
    for _ in range(2):
        env.reset(seed=0)
        while not env.step(0)[2]:
            pass
        with pytest.raises(RuntimeError, match="call reset"):
            env.step(0)
    env = GameEnv(GAME, max_frames=1)
    env.reset(seed=0)
    assert env.step(0)[3]
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(0)


def test_the_vector_env_wants_a_first_reset() -> None:
    with pytest.raises(RuntimeError, match="call reset"):
        GameVectorEnv(GAME, 2).step(np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_envs": 0}, "num_envs must be a whole number of at least 1, not 0"),
        ({"num_envs": 2.5}, "num_envs must be a whole number of at least 1, not 2.5"),
        ({"frame_skip": 0}, "frame_skip must be a whole number of at least 1, not 0"),
        ({"max_frames": 0}, "max_frames must be a whole number of at least 1, not 0"),
        ({"score_cap": -1}, "score_cap must be a whole number of at least 1, not -1"),
        ({"preset": "easy"}, "FlappyBird has no preset 'easy'; choose from classic, head2023"),
        ({"preset": ""}, "FlappyBird has no preset ''"),
        ({"size": (0, 84)}, "size must be a whole number of at least 1, not 0"),
        ({"size": (84, 84.0)}, "size must be a whole number"),
        ({"size": 84}, r"size must be \(height, width\), not 84"),
        ({"size": (84, 84, 1)}, r"size must be \(height, width\)"),
        ({"size": (513, 84)}, "the height of the picture must be within 1 and 512, not 513"),
        ({"size": (84, 289)}, "the width of the picture must be within 1 and 288, not 289"),
        ({"render_mode": "ansi"}, "render_mode must be None or 'rgb_array', not 'ansi'"),
        ({"theme": "noon"}, "theme must be one of day, night, not 'noon'"),
        ({"pipe_color": "beige?"}, "pipe_color .* must be a color such as '#6ab936', not 'beige\\?'"),
        ({"pipe_color": 7}, "pipe_color"),
        ({"pipes": "red"}, "FlappyBird has no such setting: pipes"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GameVectorEnv(GAME, **settings)
    if "num_envs" not in settings:
        with pytest.raises(ValueError, match=message):
            GameEnv(GAME, **settings)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0], "actions must be 2 integers"),
        ([0, 1, 0], "actions must be 2 integers"),
        ([[0], [1]], "actions must be 2 integers"),
        ([0.0, 1.0], "actions must be 2 integers, not float64"),
        ([0, 2], r"actions must be within 0 and 1, not 0 \.\. 2"),
        ([-1, 0], r"actions must be within 0 and 1, not -1 \.\. 0"),
        (["flap", "glide"], "actions must be 2 integers"),
        (None, "actions must be 2 integers"),
    ],
)
def test_actions_that_do_not_fit(actions: Any, message: str) -> None:
    env = GameVectorEnv(GAME, 2)
    env.reset(seed=0)
    before = env.get_state()
    with pytest.raises(ValueError, match=message):
        env.step(actions)
    assert all((before[name] == value).all() for name, value in env.get_state().items())


@pytest.mark.parametrize("action", [2, -1, 0.5, None, [0, 1]])
def test_an_action_that_does_not_fit_the_single_env(action: Any) -> None:
    env = GameEnv(GAME)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions must be"):
        env.step(action)


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((1, 1, 84, 84), np.uint8),
        np.zeros((2, 84, 84), np.uint8),
        np.zeros((2, 1, 84, 84), np.float32),
        np.zeros((2, 1, 84, 168), np.uint8)[..., ::2],
        np.frombuffer(bytes(2 * 84 * 84), np.uint8).reshape(2, 1, 84, 84),
    ],
    ids=["games", "axes", "dtype", "strided", "read-only"],
)
def test_a_buffer_that_does_not_fit(out: NDArray[Any]) -> None:
    env = GameVectorEnv(GAME, 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"out must be writable C-contiguous uint8 \[2, 1, 84, 84\]"):
        env.step(np.zeros(2, np.int64), out=out)
    with pytest.raises(ValueError, match="out must be"):
        env.reset(out=out)


@pytest.mark.parametrize("seed", [-1, [1], [1, 2, 3]])
def test_seeds_that_do_not_fit(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"seeds|non-negative"):
        GameVectorEnv(GAME, 2).reset(seed=seed)


@pytest.mark.parametrize("mask", [True, [True, False], np.array([1, 0]), np.array([True])])
def test_masks_that_do_not_fit(mask: Any) -> None:
    with pytest.raises(ValueError, match=r"reset_mask must be a bool array \[2\]"):
        GameVectorEnv(GAME, 2).reset(options={"reset_mask": mask})


def test_saved_games_that_do_not_fit() -> None:
    env = GameVectorEnv(GAME, 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="the saved games do not fit: states must be"):
        env.set_state(GameVectorEnv(GAME, 3).get_state())
    with pytest.raises(ValueError, match="must hold states, elapsed, over, not states"):
        env.set_state({"states": env.get_state()["states"]})
