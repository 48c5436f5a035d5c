"""The pictures of Catch, painted by this file: an orchard by day or by night, four kinds of fruit, a basket."""

from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw

from envs.games.painting import box, gradient, oval, pick, shape
from envs.scene import Sprite, paint

# Indices into the list that `sprites` returns.
BACKGROUND, BASKET, FRUIT = range(3)
KINDS = 4  # apple, orange, plum, pear


class Colors(NamedTuple):
    """An orchard's colors."""

    sky: tuple[str, str]
    sun: str
    hills: tuple[str, str, str]  # far to near
    leaves: tuple[str, str]  # shaded, lit


THEMES = {
    "day": Colors(("#a9def5", "#eef8e6"), "#fff6cf", ("#cfe6c4", "#b4d8a2", "#93c47c"), ("#6fae62", "#86c274")),
    "night": Colors(("#0d1b3a", "#2c4a73"), "#d8d2b0", ("#264a66", "#1d3d55", "#173246"), ("#17354a", "#1f4459")),
}
FRUITS = (("#c8202f", "#f4786a"), ("#d9690c", "#f9b452"), ("#5a2a83", "#9a68c4"), ("#8a8d12", "#d6d65a"))


def sprites(theme: str = "day") -> list[Sprite]:
    """Paint every sprite.

    Args:
        theme: "day" or "night".

    Raises:
        ValueError: for an unknown theme.
    """
    colors = pick(THEMES, theme)
    night = theme == "night"
    return [
        Sprite("background", paint(336, 336, partial(_orchard, colors=colors, night=night)), still=True),
        Sprite("basket", paint(72, 38, partial(_basket, night=night)), origin=(4, 0)),
        *(Sprite("fruit", paint(32, 36, partial(_fruit, kind=k, night=night)), origin=(2, 6)) for k in range(KINDS)),
    ]


def _orchard(draw: ImageDraw.ImageDraw, s: int, colors: Colors, night: bool) -> None:
    gradient(draw, s, (0, 0, 336, 336), *colors.sky)
    rng = np.random.default_rng(5)  # the same orchard for everyone
    if night:
        for x, y in zip(rng.uniform(0, 336, 60), rng.uniform(30, 220, 60), strict=True):
            oval(draw, s, x, y, 0.8, 0.8, "#c9d8ec")
    oval(draw, s, 262, 92, 24, 24, colors.sun)
    if night:
        oval(draw, s, 252, 86, 21, 21, "#152749")
    for color, base, swell, wave in zip(colors.hills, (232, 262, 288), (22, 16, 8), (70.0, 48.0, 90.0), strict=True):
        ridge = [(float(x), base - swell * np.sin(x / wave + base)) for x in range(0, 340, 4)]
        shape(draw, s, [(0, 336), *ridge, (336, 336)], color)
    for x, y, r in ((34.0, 222.0, 9.0), (58, 218, 7), (190, 246, 10), (300, 226, 8), (276, 232, 6)):  # trees
        box(draw, s, (x - 1.5, y, x + 1.5, y + r + 6), "#6d5a3d" if not night else "#132c3c")
        oval(draw, s, x, y, r, r * 1.1, colors.leaves[0])
        oval(draw, s, x - r * 0.25, y - r * 0.3, r * 0.6, r * 0.6, colors.leaves[1])
    for row, color in enumerate(colors.leaves):  # the canopy that the fruit falls from
        for x in np.arange(-10, 350, 17):
            r = rng.uniform(11, 17) - 3 * row
            oval(draw, s, x + rng.uniform(-4, 4), 4 - 6 * row, r, r, color)
    blade = colors.leaves[0]
    for x in np.arange(0, 336, 5.0):  # grass
        h = rng.uniform(5, 12)
        shape(draw, s, [(x, 336), (x + 3, 336), (x + rng.uniform(-2, 5), 336 - h)], blade)


def _fruit(draw: ImageDraw.ImageDraw, s: int, kind: int, night: bool) -> None:
    """Paint a fruit whose body is the 28 x 28 pixels from (2, 6)."""
    dark, light = FRUITS[kind]
    if night:
        dark, light = light, "#fff0c8"
    draw.line([(16 * s, 9 * s), (18 * s, 1 * s)], fill="#6b4a2b", width=round(2.4 * s))
    shape(draw, s, [(17, 6), (22, 1), (29, 2), (24, 7)], "#4c9a3f")
    if kind == 3:
        oval(draw, s, 16, 14, 8, 9, dark)
        oval(draw, s, 16, 23.5, 13, 10.5, dark)
        oval(draw, s, 13, 22, 7, 7, light)
        return
    if kind == 0:
        oval(draw, s, 11, 18, 9.5, 11, dark)
        oval(draw, s, 21, 18, 9.5, 11, dark)
        oval(draw, s, 16, 22, 11, 12, dark)
    else:
        oval(draw, s, 16, 20, 14, 14, dark)
    oval(draw, s, 11.5, 16, 6, 6, light)
    oval(draw, s, 10.5, 14.5, 2.2, 2.2, "#fffaf0")


def _basket(draw: ImageDraw.ImageDraw, s: int, night: bool) -> None:
    """Paint a wicker basket whose rim is the 64 pixels from (4, 0)."""
    dark, mid, light = ("#4f2f14", "#7a4a20", "#a8703a") if not night else ("#6e4622", "#a8763e", "#c9995c")
    shape(draw, s, [(5, 5), (67, 5), (60, 37), (12, 37)], mid)
    for row in range(4):
        for column in range(9):
            x = 10 + column * 6.4 + (3.2 if row % 2 else 0)
            inset = row * 1.6
            if 8 + inset < x < 62 - inset:
                box(draw, s, (x, 11 + row * 6.5, x + 4.6, 14.5 + row * 6.5), light if (row + column) % 2 else dark, 1.5)
    box(draw, s, (2, 0, 70, 9), dark, 4)
    box(draw, s, (4, 1.5, 68, 5.5), light, 2)
