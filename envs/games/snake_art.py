"""The pictures of Snake, painted by this file: a mown lawn by day or by night, an apple, a snake of straight limbs."""

from functools import partial
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw

from envs.games.painting import box, oval, pick, shape
from envs.scene import Sprite, paint, parse_color, shade

CELL, CELLS, BORDER = 24, 13, 12  # pixels, cells a side, pixels
STEP = 6  # pixels by which limbs differ in length
LIMBS = (CELLS - 1) * CELL // STEP + 1
THICKNESS = 20

# Indices into the list that `sprites` returns.
BACKGROUND, APPLE, HEAD = 0, 1, 2
ACROSS = HEAD + 4
DOWN = ACROSS + LIMBS


class Colors(NamedTuple):
    """A garden's colors."""

    lawn: tuple[str, str]
    hedge: str
    snake: str
    apple: str
    flowers: tuple[str, ...]


THEMES = {
    "day": Colors(("#b5dd7e", "#acd675"), "#4f8a45", "#3c5fb8", "#c41f30", ("#ffffff", "#ffd84a", "#ff8fb0")),
    "night": Colors(("#1d3a40", "#1a353c"), "#0d2226", "#7fd88a", "#ffe0c0", ("#3f6f74", "#5a8a88", "#2f5a66")),
}


def sprites(theme: str = "day") -> list[Sprite]:
    """Paint every sprite.

    Args:
        theme: "day" or "night".

    Raises:
        ValueError: for an unknown theme.
    """
    colors = pick(THEMES, theme)
    head = paint(32, 32, partial(_head, color=colors.snake))
    limbs = [paint(n * STEP + CELL, CELL, partial(_limb, length=n * STEP, color=colors.snake)) for n in range(LIMBS)]
    half = CELL // 2
    return [
        Sprite("background", paint(336, 336, partial(_garden, colors=colors)), still=True),
        Sprite("apple", paint(24, 24, partial(_apple, color=colors.apple)), origin=(12, 12)),
        *(Sprite("head", np.ascontiguousarray(np.rot90(head, k)), origin=(16, 16)) for k in (0, 3, 2, 1)),
        *(Sprite("snake", limb, origin=(half, half)) for limb in limbs),
        *(Sprite("snake", np.ascontiguousarray(limb.transpose(1, 0, 2)), origin=(half, half)) for limb in limbs),
    ]


def _garden(draw: ImageDraw.ImageDraw, s: int, colors: Colors) -> None:
    box(draw, s, (0, 0, 336, 336), colors.hedge)
    rng = np.random.default_rng(11)  # the same garden for everyone
    hedge = parse_color(colors.hedge, "hedge")
    for along in range(0, 340, 7):
        for edge in (3.0, 333.0):
            for a, b in ((along, edge), (edge, along)):
                leaf = shade(hedge, rng.uniform(0.8, 1.2))
                oval(draw, s, a + rng.uniform(-2, 2), b + rng.uniform(-2, 2), 5, 5, leaf)
    for _ in range(40):
        place, edge = float(rng.uniform(4, 332)), float(rng.choice([3.5, 332.5]))
        a, b = (place, edge) if rng.random() < 0.5 else (edge, place)
        oval(draw, s, a, b, 1.8, 1.8, str(rng.choice(colors.flowers)))
    for row in range(CELLS):
        for column in range(CELLS):
            left, top = BORDER + column * CELL, BORDER + row * CELL
            box(draw, s, (left, top, left + CELL, top + CELL), colors.lawn[(row + column) % 2])
    for _ in range(70):  # tufts
        x, y = rng.uniform(18, 318, 2)
        for lean in (-2, 0, 2):
            draw.line([(x * s, y * s), ((x + lean) * s, (y - 4) * s)], fill=shade(parse_color(colors.lawn[1], ""), 0.9))


def _apple(draw: ImageDraw.ImageDraw, s: int, color: str) -> None:
    draw.line([(12 * s, 7 * s), (13.5 * s, 1 * s)], fill="#6b4a2b", width=round(2 * s))
    shape(draw, s, [(13, 5), (17, 1), (22, 2), (18, 6)], "#2f7d3a")
    oval(draw, s, 8.5, 13, 7, 8.5, color)
    oval(draw, s, 15.5, 13, 7, 8.5, color)
    oval(draw, s, 12, 16, 8, 7.5, color)
    oval(draw, s, 7.5, 10.5, 2.4, 3, shade(parse_color(color, "apple"), 1.6))


def _limb(draw: ImageDraw.ImageDraw, s: int, length: int, color: str) -> None:
    """Paint a straight piece between two points `length` apart, with round ends and a scale a step."""
    skin, edge = parse_color(color, "snake"), (CELL - THICKNESS) / 2
    box(draw, s, (edge, edge, length + CELL - edge, CELL - edge), skin, THICKNESS / 2)
    for x in range(0, length + 1, STEP * 2):
        oval(draw, s, x + CELL / 2, CELL / 2, 3.2, 3.2, shade(skin, 1.25))


def _head(draw: ImageDraw.ImageDraw, s: int, color: str) -> None:
    """Paint a head that looks up, its middle at (16, 16)."""
    skin = parse_color(color, "snake")
    shape(draw, s, [(15, 6), (17, 6), (17, 2), (19, 0), (16, 1.5), (13, 0), (15, 2)], "#d8324a")
    oval(draw, s, 16, 16, 12, 12.5, shade(skin, 0.8))
    oval(draw, s, 16, 15.5, 10.5, 11, skin)
    for x in (10.5, 21.5):
        oval(draw, s, x, 12, 4, 4, "#ffffff")
        oval(draw, s, x, 10.8, 2, 2.2, "#1a1a1a")
    for x in (14, 18):
        oval(draw, s, x, 7, 0.8, 0.8, shade(skin, 0.5))
