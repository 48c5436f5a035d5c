"""Breakout: a ball takes bricks out of a wall, a paddle keeps it in play. Rules only; the art is in breakout_art.py.

All positions are in pixels of a screen of 336 x 336, y downwards; speeds are in pixels a frame, 30 frames a second.

State: `ball_x`, `ball_y` (the ball's middle; it is 12 wide), `ball_vx`, `ball_vy` (its velocity), `speed` (the length
of that), `paddle_x` (the paddle's left edge), `balls` (those left, the one in play among them), `left` (bricks left),
`bricks` (8 x 6, row by row from the upper left: 1 where there is a brick of 40 x 16, the first at (8, 48)), `score`.

Actions: 0 stay, 1 left, 2 right: the paddle moves by `slide`, between the walls.

Observation: walls, bricks, ball and paddle, and above them the balls in reserve, as a person sees them.

Reward: 1 a brick, -1 a lost ball, 0 otherwise. The score is the bricks taken out.

Play: the ball flies straight and turns round at walls and bricks. A brick that it touches is gone, one a frame. The
paddle sends it up, the more sideways the farther from the paddle's middle it is met: at the end 0.8 of its speed,
give or take a random tenth, so that no ball can go round and round for ever. Each stroke is faster by `faster`, up to
`speed_max`. Behind the last brick waits the next wall, which is there as soon as the ball meets the paddle.

Start, and after a lost ball: the paddle stays where it is (at first in the middle), the ball starts at `speed` below
the wall at an x that is uniform between the walls, and falls at a slope that is uniform within -0.6 and 0.6 of its
speed.

End: terminated when the last ball is lost below the paddle.

Version history: v0, first version.
"""

from collections.abc import Iterator
from math import sqrt
from typing import Any, NamedTuple

import numpy as np

from envs.game import Game, random, rule
from envs.games.breakout_art import BACKGROUND, BALL, BRICKS, COLUMNS, PADDLE, PADDLE_WIDTHS, RESERVE, sprites

SCREEN = 336
LEFT, RIGHT, CEILING = 8, 328, 24  # inner edges of the walls
ROWS, BRICK_WIDTH, BRICK_HEIGHT, WALL_TOP = 6, 40, 16, 48
PADDLE_Y = 308
BALL_RADIUS, START_Y = 6, 160.0
STEEPEST, JITTER, START_SLOPE = 0.8, 0.1, 0.6  # shares of the speed that go sideways


class Rules(NamedTuple):
    """Numbers that tell presets apart, in pixels and pixels a frame."""

    balls: int
    paddle: int  # which of PADDLE_WIDTHS
    slide: float
    speed: float
    faster: float  # more for each stroke
    speed_max: float


PRESETS = {
    "classic": Rules(balls=3, paddle=0, slide=9.0, speed=6.0, faster=0.1, speed_max=9.0),
    "hard": Rules(balls=3, paddle=1, slide=9.0, speed=7.0, faster=0.2, speed_max=11.0),
}

FIELDS = [
    ("ball_x", np.float64),
    ("ball_y", np.float64),
    ("ball_vx", np.float64),
    ("ball_vy", np.float64),
    ("speed", np.float64),
    ("paddle_x", np.float64),
    ("balls", np.int64),
    ("left", np.int64),
    ("bricks", np.int8, (COLUMNS * ROWS,)),
]


@rule
def build(state: Any) -> None:
    """Put up a whole wall."""
    for i in range(COLUMNS * ROWS):
        state.bricks[i] = 1
    state.left = COLUMNS * ROWS


@rule
def start(state: Any, rules: Any) -> None:
    """Let a ball fall from below the wall."""
    state.ball_x = LEFT + BALL_RADIUS + random(state) * (RIGHT - LEFT - 2 * BALL_RADIUS)
    state.ball_y = START_Y
    state.speed = rules.speed
    head(state, (2 * random(state) - 1) * START_SLOPE, 1.0)


@rule
def head(state: Any, slope: float, down: float) -> None:
    """Send the ball down (1) or up (-1), with the share `slope` of its speed to the right."""
    state.ball_vx = state.speed * slope
    state.ball_vy = down * state.speed * sqrt(1 - slope * slope)


@rule
def reset(state: Any, rules: Any) -> None:
    """Start with a whole wall and the paddle in the middle."""
    build(state)
    state.balls = rules.balls
    state.paddle_x = (SCREEN - PADDLE_WIDTHS[rules.paddle]) / 2
    start(state, rules)


@rule
def hit(state: Any) -> bool:
    """Take out the first brick that the ball's square overlaps; returns whether there was one."""
    top = int((state.ball_y - BALL_RADIUS - WALL_TOP) // BRICK_HEIGHT)
    bottom = int((state.ball_y + BALL_RADIUS - WALL_TOP) // BRICK_HEIGHT)
    left = int((state.ball_x - BALL_RADIUS - LEFT) // BRICK_WIDTH)
    right = int((state.ball_x + BALL_RADIUS - LEFT) // BRICK_WIDTH)
    for row in range(max(top, 0), min(bottom + 1, ROWS)):
        for column in range(max(left, 0), min(right + 1, COLUMNS)):
            if state.bricks[row * COLUMNS + column]:
                state.bricks[row * COLUMNS + column] = 0
                state.left -= 1
                state.score += 1
                return True
    return False


@rule
def step(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """Advance one frame; returns (reward, terminated)."""
    width = PADDLE_WIDTHS[rules.paddle]
    if action == 1:
        state.paddle_x = max(state.paddle_x - rules.slide, float(LEFT))
    elif action == 2:
        state.paddle_x = min(state.paddle_x + rules.slide, float(RIGHT - width))

    # Sideways and down are two moves, so that the side on which a brick is hit is known.
    before_x, before_y, reward = state.ball_x, state.ball_y, 0.0
    state.ball_x += state.ball_vx
    if state.ball_x < LEFT + BALL_RADIUS:
        state.ball_x = 2 * (LEFT + BALL_RADIUS) - state.ball_x
        state.ball_vx = -state.ball_vx
    elif state.ball_x > RIGHT - BALL_RADIUS:
        state.ball_x = 2 * (RIGHT - BALL_RADIUS) - state.ball_x
        state.ball_vx = -state.ball_vx
    if hit(state):
        state.ball_x, state.ball_vx, reward = before_x, -state.ball_vx, 1.0
    state.ball_y += state.ball_vy
    if state.ball_y < CEILING + BALL_RADIUS:
        state.ball_y = 2 * (CEILING + BALL_RADIUS) - state.ball_y
        state.ball_vy = -state.ball_vy
    if reward == 0.0 and hit(state):
        state.ball_y, state.ball_vy, reward = before_y, -state.ball_vy, 1.0

    face = float(PADDLE_Y - BALL_RADIUS)
    off = (state.ball_x - state.paddle_x - width / 2) / (width / 2 + BALL_RADIUS)
    if before_y < face <= state.ball_y and -1.0 <= off <= 1.0:
        state.ball_y = face
        state.speed = min(state.speed + rules.faster, rules.speed_max)
        head(state, STEEPEST * off + JITTER * (2 * random(state) - 1), -1.0)
        if state.left == 0:
            build(state)
    elif state.ball_y > SCREEN + BALL_RADIUS:
        state.balls -= 1
        if state.balls > 0:
            start(state, rules)
        return -1.0, state.balls == 0
    return reward, False


@rule
def scene(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Yield (sprite, x, y) back to front. Neighbours in a row are one piece: a whole wall is 6, not 48."""
    yield BACKGROUND, 0.0, 0.0
    for i in range(state.balls - 1):
        yield RESERVE, 16.0 + 16 * i, 12.0
    for row in range(ROWS):
        y, run = float(WALL_TOP + row * BRICK_HEIGHT), 0
        for column in range(COLUMNS + 1):
            if column < COLUMNS and state.bricks[row * COLUMNS + column]:
                run += 1
            elif run > 0:
                yield BRICKS + row * COLUMNS + run - 1, float(LEFT + (column - run) * BRICK_WIDTH), y
                run = 0
    yield PADDLE + rules.paddle, state.paddle_x, float(PADDLE_Y)
    yield BALL, state.ball_x, state.ball_y


BREAKOUT = Game(
    name="Breakout",
    about="take a wall apart with a ball and a paddle",
    width=SCREEN,
    height=SCREEN,
    fps=30,
    actions=("stay", "left", "right"),
    keys={"left": 1, "right": 2},
    fields=FIELDS,
    max_sprites=1 + 2 + COLUMNS // 2 * ROWS + 2,
    presets=PRESETS,
    sprites=sprites,
    reset=reset,
    step=step,
    scene=scene,
)
