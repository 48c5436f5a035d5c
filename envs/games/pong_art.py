"""The pictures of Pong, painted by this file: a table in a hall by day, or in the light of a lamp at night."""

from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw

from envs.games.painting import box, gradient, oval, pick, shape
from envs.scene import Sprite, paint, parse_color

# Indices into the list that `sprites` returns.
BACKGROUND, BALL, SHADOW, BAT, RIVAL, POINTS = range(6)
MOST_POINTS = 7

# Which of a digit's seven strokes are lit: top, upper left, upper right, middle, lower left, lower right, bottom.
DIGITS = ("1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010")


class Colors(NamedTuple):
    """A hall's colors."""

    floor: tuple[str, str]
    table: tuple[str, str]  # upper and lower end
    line: str
    board: str
    digits: str
    bat: tuple[str, str]  # rubber, its light
    rival: tuple[str, str]


THEMES = {
    "day": Colors(
        ("#d9b98a", "#c69f6c"), ("#2f7d62", "#2a6f58"), "#dcefe6", "#4a3524", "#ffe9b0",
        ("#f08a3c", "#ffc07a"), ("#15243a", "#3d5474"),
    ),
    "night": Colors(
        ("#1a1622", "#0f0c16"), ("#24345f", "#1b274a"), "#8fa4dc", "#0b0910", "#ffd76a",
        ("#ff9d5c", "#ffd0a0"), ("#9a6cf0", "#c9b0ff"),
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
    background = paint(336, 252, partial(_hall, colors=colors))
    if theme == "night":
        background = _lamplight(background)
    points = (paint(14, 22, partial(_digit, digit=n, color=colors.digits)) for n in range(MOST_POINTS + 1))
    return [
        Sprite("background", background, still=True),
        Sprite("ball", paint(16, 16, _ball), origin=(8, 8)),
        Sprite("shadow", paint(16, 16, _shadow), origin=(5, 4)),
        Sprite("bat", paint(12, 48, partial(_bat, colors=colors.bat))),
        Sprite("rival", paint(12, 48, partial(_bat, colors=colors.rival))),
        *(Sprite("points", picture, origin=(7, 11)) for picture in points),
    ]


def _hall(draw: ImageDraw.ImageDraw, s: int, colors: Colors) -> None:
    gradient(draw, s, (0, 0, 336, 252), *colors.floor)
    rng = np.random.default_rng(3)  # the same boards for everyone
    plank = parse_color(colors.floor[1], "floor")
    for row in range(18):
        y = 14 * row
        box(draw, s, (0, y, 336, y + 1), plank)
        for x in rng.uniform(0, 336, 3):
            box(draw, s, (x, y, x + 1, y + 14), plank)
    box(draw, s, (4, 33, 332, 249), colors.board, 4)  # the table's rim
    gradient(draw, s, (6, 36, 330, 246), *colors.table)
    for line in ((6, 36, 330, 38), (6, 244, 330, 246), (6, 36, 8, 246), (328, 36, 330, 246)):
        box(draw, s, line, colors.line)
    for y in range(42, 240, 12):  # the net
        box(draw, s, (167, y, 169, y + 6), colors.line)
    box(draw, s, (102, 3, 234, 32), colors.board, 6)  # the scoreboard
    box(draw, s, (163, 12, 167, 16), colors.digits, 2)
    box(draw, s, (163, 20, 167, 24), colors.digits, 2)


def _lamplight(picture: np.ndarray) -> np.ndarray:
    """Darken a picture towards its edges, as under a lamp."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    off = np.hypot((x - 168) / 210, (y - 136) / 180)
    lit = picture.copy()
    lit[..., :3] = (picture[..., :3] * np.clip(1.35 - 0.55 * off, 0.5, 1.35)[..., None]).clip(0, 255).astype(np.uint8)
    return lit


def _ball(draw: ImageDraw.ImageDraw, s: int) -> None:
    oval(draw, s, 8, 8, 6.5, 6.5, "#f3ecd8")
    oval(draw, s, 7.2, 7.2, 5, 5, "#ffffff")


def _shadow(draw: ImageDraw.ImageDraw, s: int) -> None:
    oval(draw, s, 8, 8, 6.5, 6.5, (0, 0, 0, 70))


def _bat(draw: ImageDraw.ImageDraw, s: int, colors: tuple[str, str]) -> None:
    box(draw, s, (0, 0, 12, 48), colors[0], 5)
    box(draw, s, (2.5, 3, 5.5, 45), colors[1], 1.5)


def _digit(draw: ImageDraw.ImageDraw, s: int, digit: int, color: str) -> None:
    """Paint a digit of seven strokes on 14 x 22 pixels."""
    strokes: tuple[list[tuple[float, float]], ...] = (
        [(2, 0), (12, 0), (9, 3), (5, 3)],
        [(1, 1), (4, 4), (4, 9), (1, 10.5)],
        [(13, 1), (13, 10.5), (10, 9), (10, 4)],
        [(2, 11), (4.5, 9.5), (9.5, 9.5), (12, 11), (9.5, 12.5), (4.5, 12.5)],
        [(1, 11.5), (4, 13), (4, 18), (1, 21)],
        [(13, 11.5), (13, 21), (10, 18), (10, 13)],
        [(2, 22), (5, 19), (9, 19), (12, 22)],
    )
    for lit, points in zip(DIGITS[digit], strokes, strict=True):
        if lit == "1":
            shape(draw, s, points, color)
