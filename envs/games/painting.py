"""What the games' art has in common: themes, skies and plain shapes."""

from collections.abc import Mapping
from typing import TypeVar

from PIL import ImageDraw

from envs.scene import parse_color

Theme = TypeVar("Theme")


def pick(themes: Mapping[str, Theme], theme: str) -> Theme:
    """Return a theme by name.

    Raises:
        ValueError: if there is none of that name.
    """
    if theme not in themes:
        raise ValueError(f"theme must be one of {', '.join(themes)}, not {theme!r}")
    return themes[theme]


def gradient(draw: ImageDraw.ImageDraw, s: int, box: tuple[float, float, float, float], top: str, bottom: str) -> None:
    """Fill (left, top, right, bottom), in unscaled pixels, with a color that changes downwards."""
    left, high, right, low = (round(value * s) for value in box)
    first, last = parse_color(top, "top"), parse_color(bottom, "bottom")
    for y in range(high, low):
        mix = (y - high) / max(low - high - 1, 1)
        color = tuple(round(a + (b - a) * mix) for a, b in zip(first, last, strict=True))
        draw.line([(left, y), (right - 1, y)], fill=color)


def oval(
    draw: ImageDraw.ImageDraw, s: int, x: float, y: float, rx: float, ry: float, color: str | tuple[int, ...]
) -> None:
    """Fill an ellipse about (x, y), all in unscaled pixels."""
    draw.ellipse([(x - rx) * s, (y - ry) * s, (x + rx) * s - 1, (y + ry) * s - 1], fill=color)


def box(
    draw: ImageDraw.ImageDraw,
    s: int,
    corners: tuple[float, float, float, float],
    color: str | tuple[int, ...],
    radius: float = 0.0,
) -> None:
    """Fill (left, top, right, bottom), in unscaled pixels, with rounded corners if a radius is given."""
    left, top, right, bottom = corners
    edges = [left * s, top * s, right * s - 1, bottom * s - 1]
    draw.rounded_rectangle(edges, radius * s, fill=color)


def shape(draw: ImageDraw.ImageDraw, s: int, points: list[tuple[float, float]], color: str | tuple[int, ...]) -> None:
    """Fill a polygon, its corners in unscaled pixels."""
    draw.polygon([(x * s, y * s) for x, y in points], fill=color)
