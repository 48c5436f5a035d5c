"""Rooftops: a cat runs over the roofs of a city and leaps from one to the next. The pictures are in rooftops_art.py.

All positions are in pixels of a screen of 420 x 336, y downwards; speeds are in pixels a frame, 30 frames a second.

State: `cat_y` (the cat's feet; its box is the 36 pixels from x 80 on and 24 high), `velocity` (downwards), `standing`
(1 on a roof), `rising` (1 while the jump is still held), `speed` (of the roofs, to the left), `roof_x`, `roof_y` (left
and upper edges of 4 roofs, from the left), `roof` (their kinds: widths of 180, 240, 300 or 360), `scored` (1 for roofs
that the cat has been on), `far` (pixels run), `score`.

Actions: 0 run, 1 jump. A jump starts from a roof, at 10 upwards. While it is held and the cat rises, gravity is 0.5,
otherwise 1: a tap takes 21 frames back to the same height and is 55 pixels high, the longest leap takes 36 frames
and is 105 high. Falls are at 12 at most.

Observation: sky, skyline, roofs and cat, as a person sees them. The skyline moves at a quarter of the roofs' speed.

Reward: 1 when the cat lands on a roof for the first time, -1 when it dies, 0 otherwise. The score is the roofs that
it has leapt to; the first one does not count.

Start: the cat runs on a roof of 360, whose left edge is at 0 and whose upper edge is at 230. Gaps are uniform within
`gap_low` and `gap_high` frames of running, kinds are equally likely, and each roof is higher or lower than the last
by whole pixels, uniform within -40 and 40, and held within 170 and 280. The cat runs faster by `faster` for each roof
that scores, up to `speed_max`. Every gap can be leapt.

End: terminated when the cat runs against a wall (its front is over a roof whose edge is above its feet by more than 8
pixels; up to 8 it scrambles up) or falls below the screen.

Version history: v0, first version.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from envs.game import Game, randint, random, rule
from envs.games.rooftops_art import BACKGROUND, CAT, LEAP, ROOF, SKYLINE, SKYLINE_Y, STEPS, WIDTHS, sprites

WIDTH, HEIGHT = 420, 336
CAT_X, CAT_LENGTH = 80, 36
JUMP, FLOAT, GRAVITY, FALL_MAX = -10.0, 0.5, 1.0, 12.0
ROOFS, KINDS = 4, 4
START_Y, STEP_HEIGHT, HIGHEST, LOWEST, SCRAMBLE = 230.0, 40, 170.0, 280.0, 8.0


class Rules(NamedTuple):
    """Numbers that tell presets apart."""

    speed: float  # pixels a frame
    faster: float  # more for each roof
    speed_max: float
    gap_low: float  # frames of running
    gap_high: float


PRESETS = {
    "classic": Rules(speed=6.0, faster=0.05, speed_max=9.0, gap_low=8.0, gap_high=18.0),
    "sprint": Rules(speed=9.0, faster=0.05, speed_max=12.0, gap_low=10.0, gap_high=20.0),
}

FIELDS = [
    ("cat_y", np.float64),
    ("velocity", np.float64),
    ("standing", np.int64),
    ("rising", np.int64),
    ("speed", np.float64),
    ("far", np.float64),
    ("roof_x", np.float64, (ROOFS,)),
    ("roof_y", np.float64, (ROOFS,)),
    ("roof", np.int64, (ROOFS,)),
    ("scored", np.int64, (ROOFS,)),
]


@rule
def follow(state: Any, rules: Any, i: int) -> None:
    """Put roof i behind roof i - 1."""
    gap = rules.gap_low + random(state) * (rules.gap_high - rules.gap_low)
    higher = randint(state, -STEP_HEIGHT, STEP_HEIGHT + 1)
    state.roof_x[i] = state.roof_x[i - 1] + WIDTHS[state.roof[i - 1]] + gap * state.speed
    state.roof_y[i] = min(max(state.roof_y[i - 1] + higher, HIGHEST), LOWEST)
    state.roof[i] = randint(state, 0, KINDS)
    state.scored[i] = 0


@rule
def reset(state: Any, rules: Any) -> None:
    """Start on the widest roof."""
    state.speed = rules.speed
    state.roof_y[0] = START_Y
    state.roof[0] = KINDS - 1
    state.scored[0] = 1
    for i in range(1, ROOFS):
        follow(state, rules, i)
    state.cat_y = START_Y
    state.standing = 1


@rule
def step(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """Advance one frame; returns (reward, terminated)."""
    before = state.cat_y
    if state.standing == 1 and action == 1:
        state.standing, state.rising, state.velocity = 0, 1, JUMP
    elif state.standing == 0:
        if action == 0 or state.velocity >= 0:
            state.rising = 0
        state.velocity = min(state.velocity + (FLOAT if state.rising else GRAVITY), FALL_MAX)
    state.cat_y += state.velocity

    state.far += state.speed
    for i in range(ROOFS):
        state.roof_x[i] -= state.speed
    if state.roof_x[0] + WIDTHS[state.roof[0]] < 0:
        for i in range(ROOFS - 1):
            state.roof_x[i] = state.roof_x[i + 1]
            state.roof_y[i] = state.roof_y[i + 1]
            state.roof[i] = state.roof[i + 1]
            state.scored[i] = state.scored[i + 1]
        follow(state, rules, ROOFS - 1)
    reward, dead = touch(state, rules, before)
    return reward, dead


@rule
def touch(state: Any, rules: Any, before: float) -> tuple[float, bool]:
    """Land on a roof, run against its wall, or fall; returns (reward, terminated)."""
    state.standing = 0
    for i in range(ROOFS):
        over = state.roof_x[i] < CAT_X + CAT_LENGTH and state.roof_x[i] + WIDTHS[state.roof[i]] > CAT_X
        if over and state.cat_y >= state.roof_y[i]:
            if before > state.roof_y[i] + SCRAMBLE:
                return -1.0, True
            state.cat_y, state.velocity, state.standing = state.roof_y[i], 0.0, 1
            if state.scored[i] == 0:
                state.scored[i] = 1
                state.score += 1
                state.speed = min(state.speed + rules.faster, rules.speed_max)
                return 1.0, False
            return 0.0, False
    if state.cat_y > HEIGHT:
        return -1.0, True
    return 0.0, False


@rule
def scene(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Yield (sprite, x, y) back to front."""
    yield BACKGROUND, 0.0, 0.0
    yield SKYLINE, -((state.far / 4) % WIDTH), float(SKYLINE_Y)
    for i in range(ROOFS):
        if state.roof_x[i] < WIDTH:
            yield ROOF + state.roof[i], state.roof_x[i], state.roof_y[i]
    if state.standing == 1:
        yield CAT + int(state.far / 14) % STEPS, float(CAT_X), state.cat_y
    else:
        yield LEAP + (0 if state.velocity < 0 else 1), float(CAT_X), state.cat_y


ROOFTOPS = Game(
    name="Rooftops",
    about="leap from roof to roof as a running cat",
    width=WIDTH,
    height=HEIGHT,
    fps=30,
    actions=("run", "jump"),
    keys={"space": 1, "up": 1},
    fields=FIELDS,
    max_sprites=3 + ROOFS,
    presets=PRESETS,
    sprites=sprites,
    reset=reset,
    step=step,
    scene=scene,
)
