"""The pictures of Breakout, painted by this file: glazed bricks in a white yard by day, neon ones at night."""

from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw

from envs.games.painting import box, gradient, oval, pick
from envs.scene import Sprite, paint, parse_color, shade

# Indices into the list that `sprites` returns.
BACKGROUND, BALL, RESERVE, PADDLE, BRICKS = 0, 1, 2, 3, 5
PADDLE_WIDTHS = (64, 44)  # one sprite each
COLUMNS = 8  # in each row's color there is one sprite for every number of neighbours


class Colors(NamedTuple):
    """A yard's colors."""

    sky: tuple[str, str]
    pattern: str
    wall: tuple[str, str]  # face, light
    bricks: tuple[str, ...]  # from the top row down
    paddle: str
    ball: tuple[str, str]


THEMES = {
    "day": Colors(
        ("#f6f1e4", "#d9e8ea"), "#e4e3d6", ("#8c97a3", "#b9c3cc"),
        ("#8e3b46", "#c8553d", "#d98a3a", "#a3a53f", "#3f8f7b", "#3b6ea5"), "#37474f", ("#263238", "#5c7480"),
    ),
    "night": Colors(
        ("#0b0f1f", "#161b38"), "#1b2244", ("#3a4270", "#6a76b8"),
        ("#ff5f8f", "#ff8a5c", "#ffc35c", "#9be870", "#5cd6e0", "#8c8cff"), "#e4e9ff", ("#ffffff", "#fff3b0"),
    ),
}  # fmt: skip


def sprites(theme: str = "day") -> list[Sprite]:
    """Paint every sprite.

    Args:
        theme: "day" or "night".

    Raises:
        ValueError: for an unknown theme.
    """
    colors = pick(THEMES, theme)
    ball = paint(14, 14, partial(_ball, colors=colors.ball))
    bricks = [paint(40, 16, partial(_brick, name=name, ground=colors.sky[0])) for name in colors.bricks]
    return [
        Sprite("background", paint(336, 336, partial(_yard, colors=colors)), still=True),
        Sprite("ball", ball, origin=(7, 7)),
        Sprite("reserve", ball, origin=(7, 7)),
        *(Sprite("paddle", paint(width, 12, partial(_paddle, width=width, colors=colors))) for width in PADDLE_WIDTHS),
        *(Sprite("bricks", np.tile(brick, (1, n, 1))) for brick in bricks for n in range(1, COLUMNS + 1)),
    ]


def _yard(draw: ImageDraw.ImageDraw, s: int, colors: Colors) -> None:
    gradient(draw, s, (0, 0, 336, 336), *colors.sky)
    for row in range(0, 336, 24):  # diamonds, faint
        for x in range(0, 360, 24):
            cx, cy = x + (12 if row // 24 % 2 else 0), row + 12
            diamond = [(cx - 5, cy), (cx, cy - 5), (cx + 5, cy), (cx, cy + 5)]
            draw.polygon([(a * s, b * s) for a, b in diamond], fill=colors.pattern)
    face, light = colors.wall
    for edges in ((0, 0, 336, 24), (0, 0, 8, 336), (328, 0, 336, 336)):
        box(draw, s, edges, face)
    box(draw, s, (8, 20, 328, 24), light)
    box(draw, s, (5, 24, 8, 336), light)
    box(draw, s, (328, 24, 331, 336), light)


def _brick(draw: ImageDraw.ImageDraw, s: int, name: str, ground: str) -> None:
    """Paint an opaque brick with its joints, on 40 x 16 pixels."""
    color = parse_color(name, "brick")
    box(draw, s, (0, 0, 40, 16), shade(parse_color(ground, "joint"), 0.85))
    box(draw, s, (1, 1, 39, 15), shade(color, 0.72), 2)
    box(draw, s, (1, 1, 39, 13), color, 2)
    box(draw, s, (3, 2.5, 37, 5), shade(color, 1.25), 1)


def _paddle(draw: ImageDraw.ImageDraw, s: int, width: int, colors: Colors) -> None:
    color = parse_color(colors.paddle, "paddle")
    box(draw, s, (0, 0, width, 12), shade(color, 0.7), 6)
    box(draw, s, (0, 0, width, 10), color, 5)
    for left in (4, width - 12):
        box(draw, s, (left, 2.5, left + 8, 7), colors.bricks[1], 2)


def _ball(draw: ImageDraw.ImageDraw, s: int, colors: tuple[str, str]) -> None:
    oval(draw, s, 7, 7, 6.5, 6.5, colors[0])
    oval(draw, s, 5.6, 5.6, 2.4, 2.4, colors[1])
