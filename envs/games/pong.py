"""Pong: table tennis seen from above, against a scripted bat. Rules only; the pictures are in pong_art.py.

All positions are in pixels of a screen of 336 x 252, y downwards; speeds are in pixels a frame, 30 frames a second.

State: `ball_x`, `ball_y` (the ball's middle), `ball_vx`, `ball_vy` (its velocity), `speed` (the length of that, for
the next stroke), `bat_y` and `rival_y` (upper edges of the bats, 12 x 48 each: yours at x 306, the rival's at x 18),
`aim` (how far from its bat's middle the rival means to meet the ball), `pause` (frames until the serve), `points` and
`rival_points`, `score`.

Actions: 0 stay, 1 up, 2 down: the bat moves by `bat_speed`, within the table's edges at y 36 and 246.

Observation: the table, bats and ball, and above it the points of both, as a person sees them.

Reward: 1 for a point won, -1 for a point lost, 0 otherwise. The score is the points won less those lost: -7 .. 7.

Rally: the ball flies straight and turns round at the table's long edges. A bat sends it back, the steeper the farther
from the bat's middle it is met: at the bat's end the ball moves 0.8 of its speed up or down. Each stroke is faster
by `faster` than the one before, up to `speed_max`, so that in the end somebody misses. The rival follows the ball
while it comes, at `rival_speed` at most, and walks back to the middle at half of that while it goes.

Start: both bats in the middle. After a pause of 15 frames the ball is served from the middle at `serve`, to the side
that lost the last point (the first time to either), at a slope that is uniform within -0.5 and 0.5 of its speed.

End: terminated when one side has 7 points.

Version history: v0, first version.
"""

from collections.abc import Iterator
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from envs.game import Game, randint, random, rule
from envs.games.pong_art import BACKGROUND, BALL, BAT, POINTS, RIVAL, SHADOW, sprites

WIDTH, HEIGHT = 336, 252
TOP, BOTTOM = 36, 246  # the table's long edges
BAT_X, RIVAL_X, BAT_WIDTH, BAT_HEIGHT = 306, 18, 12, 48
BALL_RADIUS = 6
STEEPEST, SERVE_SLOPE = 0.8, 0.5  # share of the speed that goes up or down
PAUSE, GOAL = 15, 7


class Rules(NamedTuple):
    """Numbers that tell presets apart, in pixels a frame."""

    bat_speed: float
    rival_speed: float
    serve: float
    faster: float  # factor for each stroke
    speed_max: float


PRESETS = {
    "classic": Rules(bat_speed=6.0, rival_speed=3.5, serve=6.0, faster=1.08, speed_max=20.0),
    "hard": Rules(bat_speed=6.0, rival_speed=5.0, serve=7.0, faster=1.08, speed_max=20.0),
}

FIELDS = [
    ("ball_x", np.float64),
    ("ball_y", np.float64),
    ("ball_vx", np.float64),
    ("ball_vy", np.float64),
    ("speed", np.float64),
    ("bat_y", np.float64),
    ("rival_y", np.float64),
    ("aim", np.float64),
    ("pause", np.int64),
    ("points", np.int64),
    ("rival_points", np.int64),
]


@rule
def serve(state: Any, rules: Any, side: float) -> None:
    """Put the ball in the middle; after the pause it flies to the right (side 1) or to the left (-1)."""
    state.ball_x = WIDTH / 2
    state.ball_y = (TOP + BOTTOM) / 2
    state.speed = rules.serve
    slope = (2 * random(state) - 1) * SERVE_SLOPE
    state.ball_vx = side * rules.serve * sqrt(1 - slope * slope)
    state.ball_vy = rules.serve * slope
    state.pause = PAUSE
    choose_aim(state)


@rule
def choose_aim(state: Any) -> None:
    """Let the rival mean to meet the ball anywhere within the middle two thirds of its bat."""
    state.aim = (2 * random(state) - 1) * BAT_HEIGHT / 3


@rule
def stroke(state: Any, rules: Any, bat_y: float, side: float) -> None:
    """Send the ball back to the right (side 1) or to the left (-1)."""
    state.speed = min(state.speed * rules.faster, rules.speed_max)
    off = (state.ball_y - bat_y - BAT_HEIGHT / 2) / (BAT_HEIGHT / 2 + BALL_RADIUS)
    slope = STEEPEST * min(max(off, -1.0), 1.0)
    state.ball_vx = side * state.speed * sqrt(1 - slope * slope)
    state.ball_vy = state.speed * slope


@rule
def moved(bat_y: float, by: float) -> float:
    """Where a bat is after moving; the table's edges hold it."""
    return min(max(bat_y + by, float(TOP)), float(BOTTOM - BAT_HEIGHT))


@rule
def meets(state: Any, bat_y: float) -> bool:
    """Whether the ball is as high up as a bat."""
    return bool(bat_y - BALL_RADIUS <= state.ball_y <= bat_y + BAT_HEIGHT + BALL_RADIUS)


@rule
def reset(state: Any, rules: Any) -> None:
    """Start with a serve to either side."""
    state.bat_y = state.rival_y = (TOP + BOTTOM - BAT_HEIGHT) / 2
    serve(state, rules, 1.0 if randint(state, 0, 2) else -1.0)


@rule
def step(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """Advance one frame; returns (reward, terminated)."""
    if action == 1:
        state.bat_y = moved(state.bat_y, -rules.bat_speed)
    elif action == 2:
        state.bat_y = moved(state.bat_y, rules.bat_speed)
    coming = state.ball_vx < 0 and state.pause == 0
    target = state.ball_y + state.aim if coming else (TOP + BOTTOM) / 2
    reach = rules.rival_speed if coming else rules.rival_speed / 2
    wanted = target - BAT_HEIGHT / 2 - state.rival_y
    state.rival_y = moved(state.rival_y, min(max(wanted, -reach), reach))
    if state.pause > 0:
        state.pause -= 1
        return 0.0, False

    before = state.ball_x
    state.ball_x += state.ball_vx
    state.ball_y += state.ball_vy
    if state.ball_y < TOP + BALL_RADIUS:
        state.ball_y = 2 * (TOP + BALL_RADIUS) - state.ball_y
        state.ball_vy = -state.ball_vy
    elif state.ball_y > BOTTOM - BALL_RADIUS:
        state.ball_y = 2 * (BOTTOM - BALL_RADIUS) - state.ball_y
        state.ball_vy = -state.ball_vy

    # A bat meets the ball on the one frame on which its edge passes the bat's front.
    right, left = float(BAT_X - BALL_RADIUS), float(RIVAL_X + BAT_WIDTH + BALL_RADIUS)
    if before < right <= state.ball_x and meets(state, state.bat_y):
        state.ball_x = right
        stroke(state, rules, state.bat_y, -1.0)
        choose_aim(state)
    elif before > left >= state.ball_x and meets(state, state.rival_y):
        state.ball_x = left
        stroke(state, rules, state.rival_y, 1.0)
    elif state.ball_x > WIDTH + BALL_RADIUS:
        state.rival_points += 1
        state.score -= 1
        serve(state, rules, 1.0)
        return -1.0, state.rival_points == GOAL
    elif state.ball_x < -BALL_RADIUS:
        state.points += 1
        state.score += 1
        serve(state, rules, -1.0)
        return 1.0, state.points == GOAL
    return 0.0, False


@rule
def scene(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Yield (sprite, x, y) back to front."""
    yield BACKGROUND, 0.0, 0.0
    yield POINTS + state.rival_points, 126.0, 18.0
    yield POINTS + state.points, 210.0, 18.0
    yield RIVAL, float(RIVAL_X), state.rival_y
    yield BAT, float(BAT_X), state.bat_y
    yield SHADOW, state.ball_x, state.ball_y
    yield BALL, state.ball_x, state.ball_y


PONG = Game(
    name="Pong",
    about="table tennis against a scripted bat, to 7 points",
    width=WIDTH,
    height=HEIGHT,
    fps=30,
    actions=("stay", "up", "down"),
    keys={"up": 1, "down": 2},
    fields=FIELDS,
    max_sprites=7,
    presets=PRESETS,
    sprites=sprites,
    reset=reset,
    step=step,
    scene=scene,
)
