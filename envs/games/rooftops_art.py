"""The pictures of Rooftops, painted by this file: a city in the morning or at night, and a cat that runs."""

from functools import partial
from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw

from envs.games.painting import box, gradient, oval, pick, shape
from envs.scene import Sprite, paint, parse_color, shade

WIDTHS = (180, 240, 300, 360)  # of roofs, in pixels
STEPS = 6  # pictures of the running cat
SKYLINE_Y = 130  # nothing of the skyline is higher

# Indices into the list that `sprites` returns.
BACKGROUND, SKYLINE, ROOF, CAT, LEAP = 0, 1, 2, 6, 12


class Colors(NamedTuple):
    """A city's colors."""

    sky: tuple[str, str]
    sun: str
    skyline: tuple[str, str]  # far, near
    lit: str  # windows in the skyline
    walls: tuple[str, ...]  # one a kind of roof
    windows: tuple[str, str]  # lit, dark
    tiles: str
    cat: tuple[str, str, str]  # fur, its light, eye


THEMES = {
    "day": Colors(
        ("#ffd9a8", "#fff3dc"), "#fffbe8", ("#f0d3b8", "#e2bfa6"), "#f8e4cc",
        ("#b5654a", "#a8795a", "#8e6a72", "#9c5a52"), ("#ffe9b8", "#6f4b47"), "#7c3d34",
        ("#2a2430", "#57495c", "#ffd23c"),
    ),
    "night": Colors(
        ("#0b1030", "#3a3468"), "#f6f0d8", ("#2b2c5c", "#242450"), "#6a639c",
        ("#4a4a78", "#44527e", "#544a74", "#3f4a72"), ("#ffcf66", "#2c2d52"), "#6e6ea8",
        ("#f2a65a", "#ffd6a0", "#2f7d3a"),
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
    night = theme == "night"
    roofs = [paint(w + 8, 176, partial(_house, width=w, kind=k, colors=colors)) for k, w in enumerate(WIDTHS)]
    cats = [paint(56, 48, partial(_cat, phase=k / STEPS, leap=0.0, colors=colors)) for k in range(STEPS)]
    leaps = [paint(56, 48, partial(_cat, phase=0.0, leap=way, colors=colors)) for way in (1.0, -1.0)]
    return [
        Sprite("background", paint(420, 336, partial(_sky, colors=colors, night=night)), still=True),
        Sprite("skyline", paint(840, 336, partial(_skyline, colors=colors))[SKYLINE_Y:]),
        *(Sprite("roof", roof, origin=(4, 0)) for roof in roofs),
        *(Sprite("cat", picture, origin=(10, 40)) for picture in cats + leaps),
    ]


def _sky(draw: ImageDraw.ImageDraw, s: int, colors: Colors, night: bool) -> None:
    gradient(draw, s, (0, 0, 420, 336), *colors.sky)
    rng = np.random.default_rng(2)  # the same sky for everyone
    if night:
        for x, y in zip(rng.uniform(0, 420, 80), rng.uniform(0, 190, 80), strict=True):
            oval(draw, s, x, y, 0.8, 0.8, "#cfd4f0")
        oval(draw, s, 318, 62, 26, 26, colors.sun)
        for x, y, r in ((308, 54, 5), (326, 70, 6.5), (322, 48, 3)):  # craters
            oval(draw, s, x, y, r, r, "#e2d9b8")
        return
    oval(draw, s, 318, 84, 34, 34, "#fff6dc")
    oval(draw, s, 318, 84, 27, 27, colors.sun)
    for x, y, r in ((60, 62, 12), (190, 38, 9), (250, 118, 8)):  # clouds on a flat base
        for dx, lift, k in ((-1.4, 0.5, 0.6), (-0.4, 0.8, 0.95), (0.7, 0.65, 0.8), (1.6, 0.4, 0.5)):
            oval(draw, s, x + dx * r, y - lift * r, k * r * 1.25, k * r, "#fffaf0")
        box(draw, s, (x - 2.1 * r, y - 0.5 * r, x + 2.2 * r, y + 2), "#fffaf0", 3)


def _skyline(draw: ImageDraw.ImageDraw, s: int, colors: Colors) -> None:
    """Paint two rows of houses. They repeat after 420 pixels."""
    rng = np.random.default_rng(8)
    for color, low, high, broad in zip(colors.skyline, (150, 205), (215, 250), (34, 28), strict=True):
        left = 0
        while left < 420:
            width = min(int(rng.integers(broad - 8, broad + 9)), 420 - left)
            top, kind = int(rng.integers(low, high)), int(rng.integers(0, 4))
            dots = rng.random((9, 30)) < 0.3
            for x in (left, left + 420):
                box(draw, s, (x, top, x + width, 336), color)
                if kind == 0:
                    shape(draw, s, [(x, top), (x + width / 2, top - 12), (x + width, top)], color)
                elif kind == 1:
                    box(draw, s, (x + width / 2 - 1, top - 16, x + width / 2 + 1, top), color)
                elif kind == 2:
                    box(draw, s, (x + width / 4, top - 7, x + 3 * width / 4, top), color)
                for i, j in np.argwhere(dots[: (width - 6) // 7, : min((330 - top) // 11, 30)]).tolist():
                    a, b = x + 4 + 7 * i, top + 6 + 11 * j
                    box(draw, s, (a, b, a + 3, b + 4), colors.lit)
            left += width


def _house(draw: ImageDraw.ImageDraw, s: int, width: int, kind: int, colors: Colors) -> None:
    """Paint a house whose flat roof is the `width` pixels from (4, 0); the eaves reach 4 further on each side."""
    wall, tiles = parse_color(colors.walls[kind], "wall"), parse_color(colors.tiles, "tiles")
    rng = np.random.default_rng(20 + kind)  # each kind has its own tenants
    box(draw, s, (4, 0, width + 4, 176), wall)
    box(draw, s, (4, 0, 12, 176), shade(wall, 1.15))
    box(draw, s, (width - 4, 0, width + 4, 176), shade(wall, 0.8))
    for y in range(18, 176, 9):  # courses of bricks, here and there
        for x in rng.uniform(14, width - 16, width // 60):
            box(draw, s, (x, y, x + 7, y + 2), shade(wall, 0.9))
    count = (width - 20) // 34
    start = (width + 8 - 34 * count) / 2 + 8
    for i in range(count):
        for y in range(30, 176, 40):
            x, lit = start + 34 * i, rng.random() < 0.45
            box(draw, s, (x - 2, y - 2, x + 20, y + 26), shade(wall, 0.75), 2)
            box(draw, s, (x, y, x + 18, y + 23), colors.windows[0 if lit else 1], 1)
            box(draw, s, (x + 8.3, y, x + 9.7, y + 23), shade(wall, 0.75))
            box(draw, s, (x, y + 10, x + 18, y + 11.4), shade(wall, 0.75))
            box(draw, s, (x - 3, y + 23, x + 21, y + 26), shade(wall, 1.2), 1)
    box(draw, s, (0, 0, width + 8, 12), tiles, 2)
    box(draw, s, (0, 0, width + 8, 3.5), shade(tiles, 1.35), 2)
    for x in range(6, width + 6, 12):
        box(draw, s, (x, 4, x + 1.5, 12), shade(tiles, 0.75))
    box(draw, s, (4, 12, width + 4, 15), shade(wall, 0.6))


def _cat(draw: ImageDraw.ImageDraw, s: int, phase: float, leap: float, colors: Colors) -> None:
    """Paint a cat, feet at y 40, the 36 pixels that collide from x 10 on: running, leaping up (1) or down (-1)."""
    fur, light, eye = colors.cat

    def line(points: list[tuple[float, float]], width: float) -> None:
        draw.line([(x * s, y * s) for x, y in points], fill=fur, width=round(width * s), joint="curve")
        for x, y in points:
            oval(draw, s, x, y, width / 2, width / 2, fur)

    bob = sin(2 * pi * phase) * 1.2 if leap == 0 else 0.0
    rump, chest = (18.0, 25 + bob + 3 * leap), (36.0, 24.5 + bob - 3 * leap)
    for hip, shift in ((rump, 0.0), (rump, 0.35), (chest, 0.5), (chest, 0.85)):
        angle = 2 * pi * (phase + shift)
        if leap == 0:
            swing, lift = 8 * cos(angle), max(0.0, 5 * sin(angle))
            foot = (hip[0] + swing, 38.5 - lift)
            knee = (hip[0] + swing * 0.35 - 1, 32 - lift * 0.4 + bob)
        else:
            back = hip is rump
            reach = -11.0 if back else 10.0
            foot = (hip[0] + reach, hip[1] + (9 if back == (leap > 0) else 5) + 2 * shift)
            knee = (hip[0] + reach * 0.45, hip[1] + 6)
        line([hip, knee, foot], 4.0)
    line([rump, chest], 12.5)
    sway = 3 * sin(2 * pi * phase + 1)
    line([(13, rump[1] - 2), (7, rump[1] - 7 + sway), (4, rump[1] - 14 + sway), (6, rump[1] - 18 + sway)], 3.2)
    x, y = 43.5, chest[1] - 6.5
    oval(draw, s, x, y, 7.2, 6.6, fur)
    for ear in (-5.0, 1.2):
        shape(draw, s, [(x + ear, y - 3), (x + ear + 1.2, y - 11), (x + ear + 5.2, y - 4.5)], fur)
    oval(draw, s, x + 4.5, y + 2.5, 3.2, 2.6, light)
    oval(draw, s, x + 2.8, y - 1.2, 1.7, 2.0, eye)
    oval(draw, s, x + 3.3, y - 1.2, 0.7, 1.6, "#141018")
    line([(x - 5.5, y + 5.6), (x - 3, y + 7)], 1.0)
