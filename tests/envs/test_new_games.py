"""Catch, Pong, Breakout, Snake and Rooftops against sums done by hand from what their files specify."""

from typing import Any

import numpy as np
import pytest

from commands.game import GameConfig
from envs import BREAKOUT, CATCH, PONG, ROOFTOPS, SNAKE, Game, GameVectorEnv
from tests.envs.states import put


def one(game: Game, action: int, preset: str | None = None, **fields: Any) -> tuple[Any, float, bool]:
    """Put a game into a state and advance it by one frame; returns (state, reward, terminated)."""
    env = GameVectorEnv(game, 1, preset=preset, size=(1, 1))
    env.reset(seed=0)
    put(env, **fields)
    rewards, terminated, _, info = env.advance(np.array([action]))
    return info["state"][0], rewards[0], bool(terminated[0])


@pytest.mark.parametrize(
    ("fruit_x", "reward"), [(85, -1.0), (86, 1.0), (118, 1.0), (150, 1.0), (151, -1.0)]
)  # its middle is 14 further: 99 .. 165 against the basket's 100 .. 164
def test_catch_takes_what_has_its_middle_over_the_basket(fruit_x: int, reward: float) -> None:
    state, got, over = one(CATCH, 0, fruit_x=fruit_x, fruit_y=264, basket_x=100)  # 264 + 6 + 28 = 298
    assert (got, over) == (reward, reward < 0)
    assert state["score"] == (reward > 0)
    if reward > 0:
        assert (state["fruit_y"], state["fall"]) == (-28, 6.05)


def test_catch_waits_for_the_rim_and_moves_the_basket_by_12() -> None:
    state, reward, over = one(CATCH, 1, fruit_x=0, fruit_y=263, basket_x=100)
    assert (state["fruit_y"], state["basket_x"], reward, over) == (269, 88, 0.0, False)
    assert one(CATCH, 1, basket_x=5)[0]["basket_x"] == 0
    assert one(CATCH, 2, basket_x=270)[0]["basket_x"] == 272


def test_catch_wind_turns_round_at_the_edge() -> None:
    state, _, _ = one(CATCH, 0, "windy", fruit_x=1, drift=-3, fruit_y=0)
    assert (state["fruit_x"], state["drift"]) == (0, 3)


FLIGHT = {"pause": 0, "speed": 10, "ball_vx": 10, "ball_vy": 0, "bat_y": 100, "rival_y": 100}


def test_pong_a_bat_sends_the_ball_back_by_where_it_is_met() -> None:
    """The bat's middle is at 124 and half its reach 24 + 6; met 15 below, the slope is 0.8 / 2; 10.8 = 10 * 1.08."""
    state, reward, _ = one(PONG, 0, **FLIGHT | {"ball_x": 295, "ball_y": 139})
    assert (state["ball_x"], reward) == (300, 0.0)
    np.testing.assert_allclose([state["ball_vx"], state["ball_vy"]], [-10.8 * 0.84**0.5, 10.8 * 0.4])


def test_pong_the_tables_edges_turn_the_ball_round() -> None:
    state, *_ = one(PONG, 0, **FLIGHT | {"ball_x": 100, "ball_y": 44, "ball_vx": 0, "ball_vy": -5})
    assert (state["ball_y"], state["ball_vy"]) == (45, 5)  # 39 is 3 beyond 42


def test_pong_points_and_the_end() -> None:
    state, reward, over = one(PONG, 0, **FLIGHT | {"ball_x": 335, "ball_y": 50})
    assert (reward, over, state["score"], state["rival_points"]) == (-1.0, False, -1, 1)
    assert (state["ball_x"], state["ball_y"], state["pause"]) == (168, 141, 15)
    assert state["ball_vx"] > 0  # towards the side that lost
    past = FLIGHT | {"ball_x": 1, "ball_vx": -10, "ball_y": 50, "points": 6, "score": 2}
    state, reward, over = one(PONG, 0, **past)
    assert (reward, over, state["score"], state["points"]) == (1.0, True, 3, 7)


def test_pong_the_rival_follows_at_its_own_speed_and_the_bat_at_6() -> None:
    state, *_ = one(PONG, 1, **FLIGHT | {"ball_x": 200, "ball_y": 200, "ball_vx": -5, "aim": 0})
    assert (state["rival_y"], state["bat_y"]) == (103.5, 94)
    assert one(PONG, 2, **FLIGHT | {"ball_x": 200, "ball_y": 140, "bat_y": 196})[0]["bat_y"] == 198


def wall(*missing: int) -> dict[str, Any]:
    bricks = np.ones(48, np.int8)
    bricks[list(missing)] = 0
    return {"bricks": bricks, "left": 48 - len(missing), "speed": 6}


def test_breakout_a_brick_from_below() -> None:
    """The lowest row ends at 48 + 6 * 16 = 144. A ball at 152 - 6 reaches it with its upper edge at 140."""
    state, reward, _ = one(BREAKOUT, 0, **wall(), ball_x=100, ball_y=152, ball_vx=0, ball_vy=-6)
    assert (reward, state["score"], state["left"]) == (1.0, 1, 47)
    assert np.flatnonzero(state["bricks"] == 0).tolist() == [5 * 8 + 2]  # x 88 .. 128
    assert (state["ball_y"], state["ball_vy"]) == (152, 6)


def test_breakout_a_brick_from_the_side() -> None:
    """In the gap of column 2 of the lowest row, 88 .. 128; the brick to the right begins at 128."""
    state, reward, _ = one(BREAKOUT, 0, **wall(42), ball_x=119, ball_y=136, ball_vx=5, ball_vy=1)
    assert (reward, state["bricks"][43], state["ball_vx"], state["ball_vy"]) == (1.0, 0, -5, 1)


def test_breakout_the_paddle_and_a_new_wall() -> None:
    """Met in its middle the ball rises straight, give or take a tenth of its speed, which is then 6.1."""
    ball = {"ball_x": 100, "ball_y": 298, "ball_vx": 0, "ball_vy": 6}
    state, reward, _ = one(BREAKOUT, 0, **wall(*range(48)), **ball, paddle_x=68)
    assert (reward, state["ball_y"], state["left"], state["bricks"].sum()) == (0.0, 302, 48, 48)
    assert abs(state["ball_vx"]) <= 0.61
    np.testing.assert_allclose(np.hypot(state["ball_vx"], state["ball_vy"]), 6.1)
    assert state["ball_vy"] < 0


@pytest.mark.parametrize("balls", [2, 1])
def test_breakout_a_lost_ball(balls: int) -> None:
    state, reward, over = one(BREAKOUT, 0, balls=balls, ball_x=20, ball_y=340, ball_vx=0, ball_vy=6, paddle_x=200)
    assert (reward, over, state["balls"]) == (-1.0, balls == 1, balls - 1)
    assert balls == 1 or state["ball_y"] == 160


def snake(cells: list[int], action: int, **fields: Any) -> tuple[Any, float, bool]:
    """A snake at rest in these cells, head first."""
    body = np.zeros(172, np.int16)
    body[: len(cells)] = cells
    return one(SNAKE, action, body=body, length=len(cells), offset=24, grew=0, **fields)


def test_snake_moves_and_leaves_its_last_cell() -> None:
    state, reward, over = snake([30, 29, 28], 0, way=2, wanted=2, apple=100)
    assert (state["body"][:4].tolist(), state["offset"], reward, over) == ([31, 30, 29, 28], 0, 0.0, False)
    assert state["length"] == 3


def test_snake_turns_but_not_right_round() -> None:
    assert snake([30, 29, 28], 3, way=2, wanted=2, apple=100)[0]["body"][0] == 43
    assert snake([30, 29, 28], 1, way=2, wanted=2, apple=100)[0]["body"][0] == 17
    assert snake([30, 29, 28], 4, way=2, wanted=2, apple=100)[0]["body"][0] == 31


def test_snake_eats_in_the_middle_of_the_cell_and_grows() -> None:
    state, reward, _ = snake([30, 29, 28], 0, way=2, wanted=2, apple=30, hunger=9)
    assert (reward, state["score"], state["length"], state["hunger"]) == (1.0, 1, 4, 1)
    assert state["body"][:4].tolist() == [31, 30, 29, 28]
    assert state["apple"] not in (31, 30, 29, 28)


@pytest.mark.parametrize(
    ("cells", "way", "over"),
    [
        ([12, 11, 10], 2, True),  # the right edge of the first row
        ([13, 14, 15], 4, True),  # the left edge of the second
        ([5, 18, 31], 1, True),
        ([160, 147, 134], 3, True),
        ([30, 29, 42, 43], 3, False),  # after its own tail, which leaves
        ([30, 29, 42, 43, 44], 3, True),  # into its side
    ],
)
def test_snake_dies_at_walls_and_in_itself(cells: list[int], way: int, over: bool) -> None:
    _, reward, dead = snake(cells, 0, way=way, wanted=way, apple=100)
    assert (dead, reward) == (over, -1.0 if over else 0.0)


def test_snake_starves_after_338_moves_and_slides_in_four_frames() -> None:
    assert not snake([30, 29, 28], 0, way=2, wanted=2, apple=100, hunger=337)[2]
    assert snake([30, 29, 28], 0, way=2, wanted=2, apple=100, hunger=338)[2]
    env = GameVectorEnv(SNAKE, 1)
    env.reset(seed=0)
    offsets = [int(env.advance(np.array([0]))[3]["state"]["offset"][0]) for _ in range(6)]
    assert offsets == [0, 6, 12, 18, 0, 6]


@pytest.mark.parametrize(("preset", "frames"), [("", 4), ("fast", 2)])
def test_an_agent_decides_once_a_cell_of_snake(preset: str, frames: int) -> None:
    """Right, up, up and left from the middle, cell 84; Flappy Bird's decisions last two frames as ever."""
    config = GameConfig("wingbeat/Snake-v0", preset)
    assert (config.skip, config.decision_frames) == (frames, frames)
    envs = config.make(1)
    envs.reset(seed=0)
    heads = [int(envs.step(np.array([action]))[4]["state"]["body"][0][0]) for action in (0, 1, 0, 4)]
    assert heads == [85, 72, 59, 58]
    assert GameConfig("wingbeat/Snake-v0", preset, frame_skip=3).skip == 3
    assert GameConfig().skip == 2


ROOFS = {"roof_x": [0, 500, 900, 1300], "roof_y": [230] * 4, "roof": [3, 0, 0, 0], "speed": 6}


@pytest.mark.parametrize(("held", "frames", "height"), [(1, 21, 55), (99, 36, 105)])
def test_rooftops_how_far_and_high_a_jump_goes(held: int, frames: int, height: float) -> None:
    """Released, 10 + 9 + ... + 1 = 55 up, and down as long: -10 .. 10 are 21 frames.

    Held, 10 + 9.5 + ... + 0.5 = 105 in 20 frames, one at rest, then 1 .. 12 are 78 and three of 12 reach 105.
    """
    env = GameVectorEnv(ROOFTOPS, 1, size=(1, 1))
    env.reset(seed=0)
    put(env, **ROOFS)
    heights: list[float] = []
    while not heights or heights[-1] > 0:
        info = env.advance(np.array([int(len(heights) < held)]))[-1]
        heights.append(230 - info["state"]["cat_y"][0])
    assert (len(heights), max(heights)) == (frames, height)
    assert info["state"]["standing"][0] == 1


def test_rooftops_a_new_roof_is_a_point_once() -> None:
    fields = ROOFS | {
        "roof_x": [-340, 100, 500, 900],
        "standing": 0,
        "velocity": 4,
        "cat_y": 227,
        "scored": [1, 0, 0, 0],
    }
    state, reward, over = one(ROOFTOPS, 0, **fields)
    assert (reward, over, state["score"], state["cat_y"], state["standing"]) == (1.0, False, 1, 230, 1)
    assert state["speed"] == 6.05
    assert one(ROOFTOPS, 0, **fields | {"scored": [1, 1, 0, 0]})[1] == 0.0


@pytest.mark.parametrize(("roof", "over"), [(222, False), (221, True)])
def test_rooftops_a_wall_of_more_than_8_pixels_is_the_end(roof: int, over: bool) -> None:
    fields = ROOFS | {"roof_x": [-280, 120, 500, 900], "roof_y": [230, roof, 230, 230], "standing": 1, "cat_y": 230}
    _, reward, dead = one(ROOFTOPS, 0, **fields)
    assert (dead, reward) == (over, -1.0 if over else 1.0)


@pytest.mark.parametrize("preset", list(ROOFTOPS.presets))
def test_rooftops_every_gap_can_be_leapt(preset: str) -> None:
    """At top speed, from a roof of the narrowest kind that was just reached, some jump ends on the next roof."""
    rules = ROOFTOPS.rules(preset)
    speed = rules.speed_max
    waits, holds = (grid.ravel() for grid in np.meshgrid(np.arange(0, 20), np.arange(1, 22)))
    for gap in (rules.gap_low, rules.gap_high):
        for higher in (-40, 0, 40):
            env = GameVectorEnv(ROOFTOPS, len(waits), preset=preset, size=(1, 1))
            env.reset(seed=0)
            ahead = 100 + 180 + gap * speed
            put(
                env,
                roof_x=[100, ahead, ahead + 900, ahead + 1800],
                roof_y=[230, 230 - higher, 230, 230],
                roof=[0, 0, 0, 0],
                scored=[1, 0, 0, 0],
                speed=speed,
                cat_y=230,
                standing=1,
            )
            reached = np.zeros(len(waits), np.bool_)
            for frame in range(60):
                rewards, *_ = env.advance(((frame >= waits) & (frame < waits + holds)).astype(np.int64))
                reached |= rewards == 1.0
            assert reached.sum() >= 20, (gap, higher)
