"""Flappy Bird: fly through gaps between pipes. Rules only; the pictures are in flappy_bird_art.py.

Physics of the canonical clone (sourabhv/FlapPyBird), in screen pixels and frames at 30 a second:
gravity adds 1 to the velocity on every frame without a flap, up to 10; a flap sets it to -9. There is no
death at the ceiling. The bird's collision box is its unrotated 34 x 24 picture; a pipe's reaches to the
screen's edge. A pipe scores when the bird's center passes the pipe's center.

Reward: 0.1 a frame alive, 1 on the frame that scores, -1 on the frame of death.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.game import Game, randint, rule
from envs.games.flappy_bird_art import BACKGROUND, BIRD, GROUND, PIPE_BOTTOM, PIPE_TOP, TILTS, sprites

WIDTH, HEIGHT = 288, 512
GROUND_Y = 404  # 0.79 of the screen's height
BIRD_X, BIRD_Y, BIRD_W, BIRD_H = 57, 244, 34, 24
PIPE_W, PIPE_H = 52, 320
CEILING = -2 * BIRD_H
FLAP, FALL_MAX = -9.0, 10.0
PIPES = 3  # enough to reach past the right edge at any preset's spacing


class Rules(NamedTuple):
    """Numbers that tell presets apart, in pixels and pixels a frame."""

    pipe_speed: float
    gap: int  # height of the opening
    spacing: int  # from one pipe's left edge to the next one's
    gap_low: int  # smallest y of the opening's top edge
    gap_high: int  # largest


PRESETS = {
    "classic": Rules(pipe_speed=4.0, gap=100, spacing=144, gap_low=80, gap_high=221),
    "head2023": Rules(pipe_speed=5.0, gap=120, spacing=195, gap_low=80, gap_high=201),
}

FIELDS = [
    ("y", np.float64),  # top edge of the bird
    ("velocity", np.float64),  # pixels a frame, downwards
    ("pipe_x", np.float64, (PIPES,)),  # left edges, nearest pipe first
    ("gap_y", np.float64, (PIPES,)),  # top edges of the openings
    ("frame", np.int64),  # frames since the start, for the wings and the ground
]


@rule
def reset(state: Any, rules: Any) -> None:
    """Start in mid-air, just flapped, with the first pipe a screen away."""
    state.y = BIRD_Y
    state.velocity = FLAP
    for i in range(PIPES):
        state.pipe_x[i] = WIDTH + i * rules.spacing
        state.gap_y[i] = randint(state, rules.gap_low, rules.gap_high + 1)


@rule
def step(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """Advance one frame; returns (reward, terminated)."""
    state.frame += 1
    if action == 1 and state.y > CEILING:
        state.velocity = FLAP
    else:
        state.velocity = min(state.velocity + 1, FALL_MAX)
    state.y = max(state.y + state.velocity, CEILING)

    reward = 0.1
    middle = BIRD_X + BIRD_W // 2
    for i in range(PIPES):
        pipe_middle = state.pipe_x[i] + PIPE_W // 2
        state.pipe_x[i] -= rules.pipe_speed
        if pipe_middle > middle >= pipe_middle - rules.pipe_speed:
            state.score += 1
            reward = 1.0
    if state.pipe_x[0] <= -PIPE_W:
        for i in range(PIPES - 1):
            state.pipe_x[i] = state.pipe_x[i + 1]
            state.gap_y[i] = state.gap_y[i + 1]
        state.pipe_x[PIPES - 1] = state.pipe_x[PIPES - 2] + rules.spacing
        state.gap_y[PIPES - 1] = randint(state, rules.gap_low, rules.gap_high + 1)

    crashed = state.y + BIRD_H >= GROUND_Y
    for i in range(PIPES):
        beside = state.pipe_x[i] < BIRD_X + BIRD_W and state.pipe_x[i] + PIPE_W > BIRD_X
        inside = state.y >= state.gap_y[i] and state.y + BIRD_H <= state.gap_y[i] + rules.gap
        if beside and not inside:
            crashed = True
    return (-1.0, True) if crashed else (reward, False)


@rule
def scene(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Yield (sprite, x, y) back to front."""
    yield BACKGROUND, 0.0, 0.0
    for i in range(PIPES):
        if state.pipe_x[i] < WIDTH:
            yield PIPE_TOP, state.pipe_x[i], state.gap_y[i] - PIPE_H
            yield PIPE_BOTTOM, state.pipe_x[i], state.gap_y[i] + rules.gap
    # The strip repeats every 24 pixels and moves with the pipes.
    yield GROUND, -float((state.frame * int(rules.pipe_speed)) % 24), float(GROUND_Y)
    # Wings beat every 4 frames; the nose follows the velocity (looks only, the box does not turn).
    wing = (state.frame // 4) % 3
    tilt = min(max(int(state.velocity + 2) // 2, 0), TILTS - 1)
    yield BIRD + wing * TILTS + tilt, float(BIRD_X), state.y


def facts(states: Any, rules: Any) -> dict[str, NDArray[np.float64]]:
    """Name what a player goes by: the bird, the pipe that it has not passed yet, and the one after that."""
    n = np.arange(len(states))
    off = states["y"] + BIRD_H <= 0  # above the screen
    known = {name: np.where(off, np.nan, states[name]) for name in ("y", "velocity")}
    ahead = (states["pipe_x"] + PIPE_W > BIRD_X).argmax(1)
    for prefix, pipe in (("", ahead), ("next_", np.minimum(ahead + 1, PIPES - 1))):
        x = states["pipe_x"][n, pipe]
        for name, value in (("pipe_x", x), ("gap_y", states["gap_y"][n, pipe])):
            known[prefix + name] = np.where(x < WIDTH, value, np.nan)
    return known


FLAPPY_BIRD = Game(
    name="FlappyBird",
    about="fly through gaps between pipes",
    width=WIDTH,
    height=HEIGHT,
    fps=30,
    actions=("glide", "flap"),
    keys={"space": 1, "up": 1},
    fields=FIELDS,
    max_sprites=3 + 2 * PIPES,
    presets=PRESETS,
    sprites=sprites,
    reset=reset,
    step=step,
    scene=scene,
    taps=True,
    facts=facts,
)
