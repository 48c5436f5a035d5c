"""Flappy Bird's physics against sums done by hand from the canonical clone's numbers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from envs import GAMES, GameEnv, GameVectorEnv
from tests.envs.pilot import pilot

GAME = GAMES["wingbeat/FlappyBird-v0"]
# From y 244 at velocity -9: the velocity is -8 after the first frame, 0 after the ninth, 10 from the 19th on.
GLIDE = [236, 229, 223, 218, 214, 211, 209, 208, 208, 209, 211, 214, 218, 223, 229, 236, 244, 253, 263, 273]
GLIDE += [283, 293, 303, 313, 323, 333, 343, 353, 363, 373, 383]
# (speed, gap, distance between pipes, lowest and highest gap top)
NUMBERS = {"classic": (4, 100, 144, 80, 221), "head2023": (5, 120, 195, 80, 201)}


@pytest.mark.parametrize("preset", NUMBERS)
def test_the_presets_are_the_known_ones(preset: str) -> None:
    rules = GAME.rules(preset)
    assert (rules.pipe_speed, rules.gap, rules.spacing, rules.gap_low, rules.gap_high) == NUMBERS[preset]
    assert list(GAME.presets) == list(NUMBERS)
    assert (GAME.width, GAME.height, GAME.fps) == (288, 512, 30)


@pytest.mark.parametrize("preset", NUMBERS)
def test_a_glide_follows_the_sums_and_ends_on_the_ground(preset: str) -> None:
    env = GameEnv(GAME, preset=preset)
    _, info = env.reset(seed=3)
    assert (info["state"]["y"], info["state"]["velocity"]) == (244, -9)
    assert info["state"]["pipe_x"] == [288 + i * NUMBERS[preset][2] for i in range(3)]
    for frame, y in enumerate(GLIDE, 1):
        _, reward, terminated, truncated, info = env.step(0)
        assert info["state"]["y"] == y
        assert info["state"]["velocity"] == min(frame - 9, 10)
        assert info["state"]["pipe_x"][0] == 288 - NUMBERS[preset][0] * frame
        # The bird is 24 high and the ground at 404: y 373 is above it, 383 is not.
        assert (reward, terminated) == ((-1.0, True) if frame == 31 else (0.1, False))
        assert not truncated


def test_the_ground_starts_at_404() -> None:
    """0.79 of 512 is 404.48, and the clone lets the bird die one pixel above: at a bottom of 403.48 or more."""
    env = GameVectorEnv(GAME, 4)
    env.reset(seed=0)
    # y + velocity + 1 puts the bottom at 402, 403, 404, 405.
    put(env, y=[373, 374, 375, 376], velocity=[4, 4, 4, 4])
    assert env.step(np.zeros(4, np.int64))[2].tolist() == [False, False, True, True]


def test_a_flap_sets_the_velocity_without_gravity() -> None:
    env = GameEnv(GAME)
    env.reset(seed=3)
    states = [env.step(action)[4]["state"] for action in (0, 0, 0, 1, 0, 1, 1, 0)]
    assert [state["velocity"] for state in states] == [-8, -7, -6, -9, -8, -9, -9, -8]
    assert [state["y"] for state in states] == [236, 229, 223, 214, 206, 197, 188, 180]


def test_the_ceiling_holds_the_bird_and_takes_its_flaps() -> None:
    env = GameEnv(GAME)
    env.reset(seed=3)
    states = [env.step(1)[4]["state"] for _ in range(45)]
    heights = [state["y"] for state in states]
    assert heights[:32] == [244 - 9 * n for n in range(1, 33)]  # the last is -44
    # Held at -48 from frame 33; flaps do nothing there, so gravity wins: velocity -9 + 10 on frame 43.
    assert heights[32:] == [-48] * 10 + [-47] + [-48] * 2
    assert [state["velocity"] for state in states][32:] == [-9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, -9, -8]


@pytest.mark.parametrize(("preset", "first", "distance"), [("classic", 60, 36), ("head2023", 48, 39)])
def test_a_pipe_scores_when_the_birds_center_passes_its_center(preset: str, first: int, distance: int) -> None:
    """Centers: 57 + 17 = 74 and 288 + 26 = 314; 240 pixels are 60 frames of 4 or 48 of 5."""
    env, rng = GameVectorEnv(GAME, 1, preset=preset), np.random.default_rng(0)
    _, info = env.reset(seed=7)
    scored = []
    for frame in range(1, first + 3 * distance + 1):
        before = info["score"][0]
        _, rewards, terminated, _, info = env.step(pilot(info["state"], NUMBERS[preset][1], rng))
        assert not terminated[0]
        assert info["score"][0] - before == (rewards[0] == 1.0)
        assert rewards[0] in (0.1, 1.0)
        if rewards[0] == 1.0:
            scored.append(frame)
    assert scored == [first + i * distance for i in range(4)]


@pytest.mark.parametrize(
    ("y", "pipe_x", "dead"),
    [
        (100, 95, False),  # after the frame: y 100, the pipe at 91, the bird's right edge at 91: they touch
        (99, 95, False),  # above the gap, still beside nothing
        (99, 94, True),  # one pixel in
        (100, 94, False),  # exactly inside the gap of 100 .. 200
        (176, 94, False),  # bottom at 200
        (177, 94, True),
        (99, 10, True),  # the pipe's right edge at 58 > 57
        (99, 9, False),  # at 57: passed
        (177, 9, False),
        (-48, 60, True),  # a pipe reaches beyond the screen's top
    ],
)
def test_a_pipe_kills_where_the_boxes_overlap(y: int, pipe_x: int, dead: bool) -> None:
    env = GameVectorEnv(GAME, 1)
    env.reset(seed=0)
    put(env, y=[y], velocity=[-1], pipe_x=[[pipe_x, 500, 700]], gap_y=[[100, 100, 100]])
    _, rewards, terminated, _, _ = env.step(np.array([0]))
    assert terminated[0] == dead
    assert (rewards[0] == -1.0) == dead


def test_pipes_follow_each_other_without_end() -> None:
    env, rng = GameVectorEnv(GAME, 1), np.random.default_rng(0)
    _, info = env.reset(seed=7)
    gaps: list[float] = []
    for frame in range(1, 400):
        _, _, terminated, _, info = env.step(pilot(info["state"], 100, rng))
        assert not terminated[0]
        state = info["state"][0]
        assert np.diff(state["pipe_x"]).tolist() == [144, 144]
        assert (state["pipe_x"] + 4 * frame - 288).min() % 144 == 0
        assert -52 < state["pipe_x"][0] <= 288
        assert state["pipe_x"][2] + 144 > 288  # none is missing at the right edge
        if not gaps or state["gap_y"][0] != gaps[-1]:
            gaps.append(state["gap_y"][0])
    assert len(gaps) >= 8


@pytest.mark.parametrize("preset", NUMBERS)
def test_gaps_are_uniform_and_independent(preset: str) -> None:
    low, high = NUMBERS[preset][3:]
    env = GameVectorEnv(GAME, 64, preset=preset, size=(1, 1))
    gaps: NDArray[np.float64] = np.concatenate(
        [env.reset(seed=0 if i == 0 else None)[1]["state"]["gap_y"] for i in range(100)]
    )
    assert (gaps.min(), gaps.max()) == (low, high)
    assert (gaps % 1 == 0).all()
    counts, kinds = np.bincount(gaps.astype(int).ravel())[low:], high - low + 1
    expected = gaps.size / kinds
    chi_square = ((counts - expected) ** 2 / expected).sum()  # mean kinds - 1, variance twice that
    assert abs(chi_square - (kinds - 1)) < 5 * (2 * (kinds - 1)) ** 0.5
    along = np.corrcoef(gaps.T)  # between the three pipes of a game
    assert np.abs(along - np.eye(3)).max() < 0.05
    assert abs(np.corrcoef(gaps[:-64, 0], gaps[64:, 0])[0, 1]) < 0.05  # between a game and its next episode
    assert abs(np.corrcoef(gaps[:-1, 0], gaps[1:, 0])[0, 1]) < 0.05  # between neighbouring games


def put(env: GameVectorEnv, **fields: list[float] | list[int] | list[list[int]]) -> None:
    """Overwrite numbers of every game's state."""
    saved = env.get_state()
    states = saved["states"].reshape(-1).view(GAME.state_dtype)
    for name, value in fields.items():
        states[name] = value
    env.set_state(saved)
