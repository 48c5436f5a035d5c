"""The pictures of Flappy Bird, painted by this file: a day and a night theme, any pipe color."""

from functools import partial

import numpy as np
from PIL import ImageDraw

from envs.scene import Sprite, paint, parse_color, shade

# Indices into the list that `sprites` returns.
BACKGROUND, PIPE_TOP, PIPE_BOTTOM, GROUND, BIRD = range(5)
TILTS = 6  # bird pictures per wing position, from nose up to nose down
TILT_ANGLES = (20, 8, -8, -28, -52, -80)  # degrees, counter-clockwise; widest when falling fastest
WINGS = (-3.5, 0.0, 3.5)  # where the wing tip is, in pixels below its root

SKIES = {  # top, bottom, clouds, far city, near city, windows, bushes
    "day": ("#9edcf4", "#e2f6f2", "#ffffff", "#cbe8ee", "#b3dbe4", "#e9f8f6", "#a3d9a5"),
    "night": ("#071a33", "#28587a", "#3d6a86", "#1d4866", "#14374f", "#f2d66b", "#1f6b52"),
}
PIPE_COLORS = {"green": "#3a8a3c", "red": "#cf4b3a", "blue": "#3a76cf", "gold": "#d9a72c"}


def sprites(theme: str = "day", pipe_color: str = "green") -> list[Sprite]:
    """Paint every sprite.

    Args:
        theme: "day" or "night".
        pipe_color: one of green, red, blue, gold, or any "#rrggbb".

    Raises:
        ValueError: for an unknown theme or color.
    """
    if theme not in SKIES:
        raise ValueError(f"theme must be one of {', '.join(SKIES)}, not {theme!r}")
    color = parse_color(PIPE_COLORS.get(pipe_color, pipe_color), f"pipe_color ({', '.join(PIPE_COLORS)})")
    pipe = paint(52, 320, partial(_pipe, color=color))
    birds = [_bird(wing, angle) for wing in WINGS for angle in TILT_ANGLES]
    return [
        Sprite("background", paint(288, 512, partial(_background, theme=theme)), still=True),
        Sprite("pipe", np.ascontiguousarray(pipe[::-1])),
        Sprite("pipe", pipe),
        Sprite("ground", paint(336, 108, _ground)),
        *(Sprite("bird", picture, origin=(3, 8)) for picture in birds),
    ]


def _background(draw: ImageDraw.ImageDraw, s: int, theme: str) -> None:
    top, bottom, cloud, far, near, window, bush = SKIES[theme]
    a, b = parse_color(top, "sky"), parse_color(bottom, "sky")
    for y in range(512 * s):
        mix = min(y / (380 * s), 1.0)
        draw.line([(0, y), (288 * s, y)], fill=tuple(round(p + (q - p) * mix) for p, q in zip(a, b, strict=True)))
    rng = np.random.default_rng(7)  # the same sky for everyone
    if theme == "night":
        for x, y in zip(rng.uniform(0, 288, 46), rng.uniform(0, 230, 46), strict=True):
            draw.ellipse([x * s, y * s, x * s + 1.3 * s, y * s + 1.3 * s], fill="#dfe9f5")
        draw.ellipse([212 * s, 44 * s, 246 * s, 78 * s], fill="#f4efd2")
        for x, y, r in ((222, 56, 4.5), (235, 67, 3.5), (233, 53, 2.2)):  # craters
            draw.ellipse([(x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s], fill="#ded6b0")
    else:
        draw.ellipse([214 * s, 50 * s, 250 * s, 86 * s], fill="#fff3c4")
    for x, y, r in ((30, 128, 15), (176, 92, 11), (104, 206, 9), (248, 176, 13)):
        for dx, dy, k in ((-1.3, 0.2, 0.7), (-0.3, -0.3, 1.0), (0.9, 0.0, 0.8), (1.8, 0.35, 0.5)):
            cx, cy, cr = x + dx * r, y + dy * r, k * r
            draw.ellipse([(cx - cr) * s, (cy - cr) * s, (cx + cr) * s, (cy + cr) * s], fill=cloud)
    # Clouds stand on a flat base; then two rows of buildings and a hedge in front of them.
    for low, high, width, color in ((296, 348, 25, far), (322, 368, 19, near)):
        x = -6
        while x < 288:
            w, h = int(rng.integers(width - 6, width + 7)), int(rng.integers(low, high))
            draw.rectangle([x * s, h * s, (x + w) * s - 1, 512 * s], fill=color)
            for wx in range(x + 3, x + w - 4, 6):
                for wy in range(h + 5, 384, 9):
                    if rng.random() < 0.45:
                        draw.rectangle([wx * s, wy * s, (wx + 2) * s, (wy + 3) * s], fill=window)
            x += w + int(rng.integers(0, 3))
    x = -8.0
    while x < 300:
        r = rng.uniform(11, 19)
        draw.ellipse([(x - r) * s, (388 - r) * s, (x + r) * s, (388 + r) * s], fill=bush)
        x += r * 0.9
    draw.rectangle([0, 390 * s, 288 * s, 512 * s], fill=bush)


def _pipe(draw: ImageDraw.ImageDraw, s: int, color: tuple[int, int, int]) -> None:
    """Paint an upright pipe: a shaft lit from the left under a wider lip."""
    outline = shade(color, 0.35)
    for left, right, top, bottom in ((3, 49, 0, 320), (0, 52, 0, 25)):
        draw.rectangle([left * s, top * s, right * s - 1, bottom * s - 1], fill=outline)
        width = (right - left - 4) * s
        for x in range(width):
            light = 1.28 - 0.75 * abs(x / width - 0.28) ** 0.8 if x / width > 0.06 else 0.9
            left_edge = (left + 2) * s + x
            low = top + 2 if bottom == 25 else 0
            high = bottom - 2 if bottom == 25 else 320
            draw.line([(left_edge, low * s), (left_edge, high * s - 1)], fill=shade(color, light))
    draw.rectangle([5 * s, 25 * s, 47 * s - 1, 28 * s - 1], fill=shade(color, 0.55))


def _ground(draw: ImageDraw.ImageDraw, s: int) -> None:
    """Paint the strip of earth. It repeats every 24 pixels."""
    draw.rectangle([0, 0, 336 * s, 108 * s], fill="#ded695")
    draw.rectangle([0, 0, 336 * s, 13 * s], fill="#73bf2e")
    for x in range(-24, 336, 24):
        draw.polygon(
            [(x * s, 13 * s), ((x + 12) * s, 13 * s), ((x + 22) * s, 3 * s), ((x + 10) * s, 3 * s)], fill="#9ce659"
        )
    draw.rectangle([0, 0, 336 * s, 2 * s], fill="#3b4a2f")
    draw.rectangle([0, 13 * s, 336 * s, 16 * s], fill="#558022")
    draw.rectangle([0, 16 * s, 336 * s, 18 * s], fill="#c9b765")


def _bird(wing: float, angle: float) -> np.ndarray:
    """Paint a bird on 40 x 40 pixels, turned, with its 34 x 24 body at the center."""
    return paint(40, 40, partial(_bird_body, wing=wing), rotate=angle)


def _bird_body(draw: ImageDraw.ImageDraw, s: int, wing: float) -> None:
    def oval(x: float, y: float, rx: float, ry: float, color: str) -> None:
        draw.ellipse([(x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s], fill=color)

    outline = "#4a2c1a"
    oval(19, 20, 15, 12, outline)
    oval(19, 20, 13.4, 10.4, "#e2452f")
    oval(17, 24.5, 9.5, 5, "#f08a5d")
    oval(16, 14.5, 8, 3, "#ee6a50")
    oval(27, 15, 6.2, 6.2, outline)
    oval(27, 15, 4.9, 4.9, "#ffffff")
    oval(29, 15.4, 1.9, 2.5, "#1a1a1a")
    oval(31, 23.6, 6, 4.4, outline)
    oval(31.2, 22.3, 4.8, 1.9, "#f6b02f")
    oval(30.8, 25.3, 4.4, 1.6, "#dd8a1c")
    tip = 20.5 + wing
    draw.polygon([(3 * s, (tip - 2.5) * s), (17 * s, 16 * s), (17 * s, 25 * s), (4 * s, (tip + 4) * s)], fill=outline)
    draw.polygon(
        [(5 * s, (tip - 1) * s), (15.6 * s, 17.6 * s), (15.6 * s, 23.4 * s), (5.6 * s, (tip + 2.4) * s)], fill="#f7b79c"
    )
