"""Painting: a canvas in units that don't depend on its size, letters, lines and colors.

Everything is drawn at the size at which it is shown, so that letters and lines are crisp at any scale. Needs no
display. The letters are DejaVu Sans, which comes with matplotlib, whatever fonts a machine has.
"""

import copy
import importlib.util
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pygame
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]
"""(x, y, width, height), in units."""

NIGHT: Color = (13, 17, 23)  # behind everything
PANEL: Color = (20, 25, 33)
CARD: Color = (28, 34, 44)
LINE: Color = (46, 54, 67)
INK: Color = (233, 237, 243)
DIM: Color = (139, 150, 165)
TEAL: Color = (86, 202, 214)
GOLD: Color = (255, 200, 92)
CORAL: Color = (255, 122, 102)
SMOOTHING = 2  # times the size at which curves are drawn before they are reduced
LAYER: Final = "BGRA"  # order of a canvas's bytes; a surface with another is laid over it eight times as slowly
LETTERS = 400  # rendered words that are kept


def blend(one: Color, other: Color, share: float) -> Color:
    """Mix colors; share of the other."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


@lru_cache(maxsize=1)
def _fonts() -> Path:
    spec = importlib.util.find_spec("matplotlib")  # found, not imported, which would take a while
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"


@lru_cache(maxsize=64)
def _font(pixels: int, bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_fonts() / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), pixels)


@lru_cache(maxsize=LETTERS)
def _word(text: str, pixels: int, bold: bool, color: Color) -> Any:
    """Letters on nothing, by Pillow: pygame's fonts must not be used after a `pygame.quit`, and games may call that."""
    font = _font(pixels, bold)
    size = max(1, math.ceil(font.getlength(text))), sum(font.getmetrics())
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).text((0, 0), text, 255, font)
    letters = np.empty((size[1], size[0], 4), np.uint8)
    letters[..., :3], letters[..., 3] = color[::-1], np.asarray(mask)
    return pygame.image.frombuffer(letters.tobytes(), size, LAYER)


class Canvas:
    """A surface painted in units.

    Attributes:
        surface: pygame's.
        scale: pixels a unit.

    Args:
        width: units.
        height: units.
        scale: pixels a unit.
    """

    def __init__(self, width: float, height: float, scale: float) -> None:
        self.scale = scale
        self.surface = pygame.Surface((max(1, round(width * scale)), max(1, round(height * scale))), 0, 32)
        self.surface.fill(NIGHT)

    def pixels(self, box: Box) -> Any:
        """The pixels of a box: neighbours in units are neighbours in pixels, too."""
        left, top, right, bottom = (
            round(edge * self.scale) for edge in (box[0], box[1], box[0] + box[2], box[1] + box[3])
        )
        return pygame.Rect(left, top, max(1, right - left), max(1, bottom - top))

    def fill(self, box: Box, color: Color, radius: float = 0.0) -> None:
        """Fill a box, its corners round."""
        place = self.pixels(box)
        if radius <= 0:
            self.surface.fill(color, place)
            return
        self.surface.blit(_rounded(place.size, color, round(radius * self.scale)), place)

    def tint(self, box: Box, color: Color, share: float) -> None:
        """Lay a color over a box, as much of it as this share."""
        place = self.pixels(box)
        veil = pygame.Surface(place.size, 0, 32)
        veil.fill(color)
        veil.set_alpha(round(255 * share))
        self.surface.blit(veil, place)

    def text(
        self, text: str, at: tuple[float, float], size: float, color: Color = INK, bold: bool = False,
        anchor: str = "left", room: float | None = None,
    ) -> float:  # fmt: skip
        """Write a line.

        Args:
            text: what to write.
            at: (x, y) in units: y is the line's middle, x its left end, middle or right end.
            size: of the letters, in units.
            color: of the letters.
            bold: fat letters.
            anchor: "left", "center" or "right".
            room: units; a longer line is cut and ends in an ellipsis.

        Returns:
            its width in units.
        """
        pixels = max(7, round(size * self.scale))
        if room is not None:
            text = _cut(text, pixels, bold, max(1, int(room * self.scale)))
        word = _word(text, pixels, bold, color)
        shift = {"left": 0.0, "center": 0.5, "right": 1.0}[anchor]
        left = round(at[0] * self.scale - shift * word.get_width())
        self.surface.blit(word, (left, round(at[1] * self.scale - word.get_height() / 2)))
        return float(word.get_width() / self.scale)

    def pill(
        self, text: str, at: tuple[float, float], size: float, color: Color, back: Color, anchor: str = "center"
    ) -> float:
        """Write fat letters on a rounded box; arguments as of `text`; returns the box's width in units."""
        word = _word(text, max(7, round(size * self.scale)), True, color)
        width, height = float(word.get_width() / self.scale + 1.7 * size), 2.1 * size
        left = at[0] - {"left": 0.0, "center": 0.5, "right": 1.0}[anchor] * width
        self.fill((left, at[1] - height / 2, width, height), back, height / 2)
        self.text(text, (left + width / 2, at[1]), size, color, bold=True, anchor="center")
        return width

    def image(self, picture: NDArray[np.uint8], box: Box, smooth: bool = True) -> Box:
        """Show a picture, uint8 [height, width, 3], as large as fits the box, in its middle; returns where.

        Args:
            picture: the one to show.
            box: where.
            smooth: mix neighbours where pixels don't come out even; otherwise each keeps its edges.
        """
        place, (height, width) = self.pixels(box), picture.shape[:2]
        scale = min(place.width / width, place.height / height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = pygame.Surface((width, height), 0, 32)  # 32 bits are scaled in less than half of the time of 24
        image.blit(pygame.image.frombuffer(np.ascontiguousarray(picture).tobytes(), (width, height), "RGB"), (0, 0))
        if size != (width, height):
            image = _sharp(image, size) if smooth else pygame.transform.scale(image, size)
        where = image.get_rect(center=place.center)
        self.surface.blit(image, where)
        return where.x / self.scale, where.y / self.scale, where.width / self.scale, where.height / self.scale

    def lay(self, surface: Any, box: Box) -> None:
        """Lay a painted surface over the picture, its upper left corner in the box's."""
        self.surface.blit(surface, self.pixels(box))

    def curve(self, points: Sequence[tuple[float, float]], box: Box, color: Color, back: Color, base: float) -> None:
        """Draw a line with a soft light beneath it.

        Args:
            points: (x, y) within 0 and 1, y upwards, from left to right.
            box: where.
            color: of the line.
            back: color of the background.
            base: y to which the light reaches.
        """
        place = self.pixels(box)
        width, height = place.width * SMOOTHING, place.height * SMOOTHING
        large = pygame.Surface((width, height), 0, 32)
        large.fill(back)
        thick = max(2, round(1.6 * self.scale * SMOOTHING))
        rim = thick / 2 + 1
        spots = [(x * (width - 1), rim + (1 - y) * (height - 1 - 2 * rim)) for x, y in points]
        ground = rim + (1 - base) * (height - 1 - 2 * rim)
        if len(spots) > 1:
            pygame.draw.polygon(large, blend(back, color, 0.2), [(spots[0][0], ground), *spots, (spots[-1][0], ground)])
            pygame.draw.lines(large, color, False, spots, thick)
        for x, y in spots[-1:]:
            pygame.draw.circle(large, color, (min(x, width - 1 - 2.2 * thick), y), 1.4 * thick)
        self.surface.blit(pygame.transform.smoothscale(large, place.size), place)

    def columns(
        self, heights: NDArray[np.float32], strong: NDArray[np.bool_], slots: int, box: Box, color: Color
    ) -> None:
        """Draw a row of thin columns, the newest at the right end.

        Args:
            heights: float [n], within 0 and 1.
            strong: bool [n], those in full color; the others are dimmed.
            slots: columns that the box has room for.
            box: where.
            color: of the columns.
        """
        place = self.pixels(box)
        edges = [place.right - round(place.width * (len(heights) - i) / slots) for i in range(len(heights) + 1)]
        weak = blend(CARD, color, 0.4)
        for left, right, height, full in zip(edges, edges[1:], heights.tolist(), strong.tolist(), strict=False):
            tall = round(height * place.height)
            if tall and right > left:
                self.surface.fill(color if full else weak, (left, place.bottom - tall, right - left, tall))

    def copy(self) -> "Canvas":
        """Return a canvas with the same picture."""
        other = copy.copy(self)
        other.surface = self.surface.copy()
        return other

    def array(self) -> NDArray[np.uint8]:
        """Return what was painted, uint8 [height, width, 3], RGB."""
        width, height = self.surface.get_size()
        return np.frombuffer(pygame.image.tobytes(self.surface, "RGB"), np.uint8).reshape(height, width, 3)


def heat(strength: NDArray[np.float32], size: tuple[int, int], color: Color) -> Any:
    """Paint a color that glows where something is strong, and a shade everywhere else, to be laid over a picture.

    Args:
        strength: float32 [height, width], from 0, where nothing glows, to 1.
        size: width and height in pixels of the result.
        color: that glows.
    """
    height, width = strength.shape
    glow = np.empty((height, width, 4), np.uint8)
    share = np.clip(strength, 0, 1)[..., None]
    night, bright = np.array(NIGHT[::-1]), np.array(color[::-1])
    glow[..., :3] = night + share * (bright - night)
    glow[..., 3] = (110 + 90 * share[..., 0]).astype(np.uint8)
    return pygame.transform.smoothscale(pygame.image.frombuffer(glow.tobytes(), (width, height), LAYER), size)


@lru_cache(maxsize=128)
def _rounded(size: tuple[int, int], color: Color, radius: int) -> Any:
    """A box with round corners, smooth ones: drawn large, then reduced."""
    large = pygame.Surface((size[0] * 4, size[1] * 4), pygame.SRCALPHA, 32)
    large.fill((*color, 0))
    pygame.draw.rect(large, (*color, 255), large.get_rect(), border_radius=radius * 4)
    return pygame.transform.smoothscale(large, size)


def _sharp(image: Any, size: tuple[int, int]) -> Any:
    """Enlarge so that pixels stay pixels: by a whole factor first, then down to the size, mixing only at edges."""
    factor = math.ceil(size[1] / image.get_height())
    if factor > 1:
        image = pygame.transform.scale(image, (image.get_width() * factor, image.get_height() * factor))
    return image if image.get_size() == size else pygame.transform.smoothscale(image, size)


@lru_cache(maxsize=LETTERS)
def _cut(text: str, pixels: int, bold: bool, room: int) -> str:
    font = _font(pixels, bold)
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…"
