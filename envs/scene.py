"""Sprites, and the one rasteriser that draws them for agents and for people.

A scene is a list of (sprite, x, y) in screen pixels, back to front. A `Sheet` holds the sprites at one
size: 84 x 84 gray for the agent, or the full screen in RGB for people. Both are drawn by the same
compiled routine from the same whole-pixel positions, so what the agent sees is what the person sees.

How a small picture comes out right without drawing the large one: every sprite is reduced beforehand by
area averaging, once for each of the sub-pixel positions at which it can lie on the small grid (its
phases). Colors are premultiplied by coverage, so that laying sprites over each other stays exact except
where two edges fall into the same small pixel.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw

compiled: Callable[..., Any] = numba.njit(nogil=True, error_model="numpy")
"""How everything here and in the rules is compiled. NUMBA_DISABLE_JIT=1 leaves it ordinary Python."""

GRAY_WEIGHTS = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, the weights of Pillow's and OpenCV's gray
MAX_PHASES = 24  # an axis; 24 is exact for Flappy Bird's columns, 1/48 pixel off at most elsewhere
SUPERSAMPLING = 4
VECTOR = 16  # rows are padded to whole vectors: with no remainder, blending a pipe is five times faster


@dataclass(frozen=True)
class Sprite:
    """A picture and what it shows.

    Attributes:
        label: the class of the thing ("bird", "pipe"), for ground truth.
        image: uint8 [height, width, 4], RGBA, not premultiplied.
        origin: the point of the picture that is put at a scene's (x, y), in pixels from its top left.
        still: the sprite is always drawn at (0, 0), as a background is; saves memory.
    """

    label: str
    image: NDArray[np.uint8]
    origin: tuple[int, int] = (0, 0)
    still: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The tight box around what is at least half opaque: (x, y, width, height) from the origin."""
        solid = self.image[..., 3] >= 128
        rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        if not len(rows):
            return 0, 0, 0, 0
        x, y = int(columns[0]), int(rows[0])
        return x - self.origin[0], y - self.origin[1], int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y


def paint(width: int, height: int, painter: Callable[..., None], rotate: float = 0.0) -> NDArray[np.uint8]:
    """Paint a smooth picture: `painter(draw, scale)` draws at a multiple of the size, which is reduced.

    Args:
        width: pixels.
        height: pixels.
        painter: called with Pillow's ImageDraw and the factor by which its coordinates are larger.
        rotate: degrees counter-clockwise about the center.

    Returns:
        uint8 [height, width, 4], RGBA, transparent where nothing was painted.
    """
    large = Image.new("RGBA", (width * SUPERSAMPLING, height * SUPERSAMPLING))
    painter(ImageDraw.Draw(large), SUPERSAMPLING)
    if rotate:
        large = large.rotate(rotate, Image.Resampling.BICUBIC)
    # Averaged premultiplied ("RGBa"), or transparent black would darken every edge.
    return np.asarray(large.convert("RGBa").reduce(SUPERSAMPLING).convert("RGBA"))


def parse_color(text: str, what: str) -> tuple[int, int, int]:
    """Read a color name or "#rrggbb".

    Raises:
        ValueError: naming `what` if it is neither.
    """
    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{what} must be a color such as '#6ab936', not {text!r}") from error
    return red, green, blue


def shade(color: tuple[int, int, int], light: float) -> tuple[int, int, int]:
    """Darken (light < 1) or lighten a color."""
    red, green, blue = (min(255, round(value * light)) for value in color)
    return red, green, blue


class Sheet(NamedTuple):
    """Every sprite at one size and all its phases, flat, as the compiled code reads it.

    Attributes:
        color: uint8, premultiplied by coverage; per sprite [y phase, x phase, row, column * channel],
            rows padded to whole vectors with nothing unless the sprite is opaque throughout.
        cover: uint8, the same layout: 0 is transparent, 255 opaque.
        spans: int16 [n, 2]; per sprite and [y phase, x phase, row] the stretch that is opaque throughout.
        table: int64 [sprites, 9]: start in color, start in spans, rows, numbers a row, y phases, x phases, the
            origin's x and y in screen pixels, and 1 if the sprite is opaque throughout.
        boxes: int16 [sprites, 5]: label index, then the tight box (x, y, width, height) from the position.
        scale: small pixels a screen pixel, (x, y).
        size: (width, height, channels) of the picture.
        screen: (width, height) of the screen in pixels.
    """

    color: NDArray[np.uint8]
    cover: NDArray[np.uint8]
    spans: NDArray[np.int16]
    table: NDArray[np.int64]
    boxes: NDArray[np.int16]
    scale: tuple[float, float]
    size: tuple[int, int, int]
    screen: tuple[int, int]


def make_sheet(sprites: Sequence[Sprite], screen: tuple[int, int], size: tuple[int, int], channels: int) -> Sheet:
    """Reduce all sprites to one size, ready to be drawn.

    Args:
        sprites: in the order that scenes index.
        screen: (width, height) of the game's screen in pixels.
        size: (width, height) of the picture, at most the screen's.
        channels: 1 for gray, 3 for RGB.

    Raises:
        ValueError: if the size is not within 1 and the screen's.
    """
    for axis, full, small in zip(("width", "height"), screen, size, strict=True):
        if not 1 <= small <= full:
            raise ValueError(f"the {axis} of the picture must be within 1 and {full}, not {small}")
    names = labels(sprites)
    colors, covers, spans, table, boxes = [], [], [], [], []
    color_start = span_start = 0
    for sprite in sprites:
        height, width = sprite.image.shape[:2]
        down, across = (
            _reductions(length, small, full, 1 if sprite.still else MAX_PHASES)
            for length, small, full in zip((height, width), size[::-1], screen[::-1], strict=True)
        )
        color, cover = _reduce(sprite.image, down, across, channels)
        solid = cover.min() == 255
        if not solid:
            padding = [(0, 0)] * 3 + [(0, -cover.shape[3] % VECTOR)]
            color, cover = np.pad(color, padding), np.pad(cover, padding)
        span = _opaque_spans(cover)
        table.append((color_start, span_start, *color.shape[2:], *color.shape[:2], *sprite.origin, solid))
        color_start, span_start = color_start + color.size, span_start + span.size // 2
        boxes.append((names.index(sprite.label), *sprite.box))
        colors.append(color.ravel())
        covers.append(cover.ravel())
        spans.append(span.reshape(-1, 2))
    return Sheet(
        np.concatenate(colors),
        np.concatenate(covers),
        np.concatenate(spans),
        np.array(table, np.int64),
        np.array(boxes, np.int16),
        (size[0] / screen[0], size[1] / screen[1]),
        (*size, channels),
        screen,
    )


def labels(sprites: Sequence[Sprite]) -> list[str]:
    """List the classes of things, in order of their first sprite. Boxes refer to them by index."""
    return list(dict.fromkeys(sprite.label for sprite in sprites))


def _reductions(length: int, small: int, full: int, most: int) -> NDArray[np.float64]:
    """Weights that average a sprite's pixels into small ones, [phases, small pixels, sprite pixels].

    In phase p of n the sprite begins p / n of a small pixel after the small grid's line.
    """
    phases = min(full // math.gcd(full, small), most)
    scale = small / full
    cells = math.ceil(length * scale + (phases - 1) / phases - 1e-9)
    begin = np.arange(phases)[:, None, None] / phases + np.arange(length) * scale
    cell = np.arange(cells)[None, :, None]
    return (np.minimum(begin + scale, cell + 1) - np.maximum(begin, cell)).clip(0)


def _reduce(
    image: NDArray[np.uint8], down: NDArray[np.float64], across: NDArray[np.float64], channels: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return premultiplied color and coverage, uint8 [y phase, x phase, row, column * channel] each."""
    cover = image[..., 3:] / 255
    rgb = image[..., :3] * cover
    color = rgb if channels == 3 else (rgb @ GRAY_WEIGHTS)[..., None]
    planes = np.concatenate([color, cover * 255], 2)  # [height, width, channels + 1]
    narrow = np.einsum("qcw,hwk->qhck", across, planes, optimize=True)
    q, height, columns, k = narrow.shape
    small = np.matmul(down[:, None], narrow.reshape(1, q, height, columns * k))  # [p, q, row, column * k]
    small = np.rint(small).clip(0, 255).astype(np.uint8).reshape(len(down), q, -1, columns, k)
    shape = (*small.shape[:3], columns * channels)
    color, cover = small[..., :channels], np.repeat(small[..., channels:], channels, -1)
    return color.reshape(shape), cover.reshape(shape)


def _opaque_spans(cover: NDArray[np.uint8]) -> NDArray[np.int16]:
    """First and one past the last entry of each row between which all is opaque; (0, 0) where none is."""
    solid = cover == 255
    first = solid.argmax(-1)
    # From `first` on: up to the first entry that is not solid.
    after = ~solid & (np.arange(cover.shape[-1]) > first[..., None])
    last = np.where(after.any(-1), after.argmax(-1), cover.shape[-1])
    empty = ~solid.any(-1)
    return np.stack([np.where(empty, 0, first), np.where(empty, 0, last)], -1).astype(np.int16)


@intrinsic
def _memcpy(typing: Any, to: Any, to_at: Any, source: Any, source_at: Any, count: Any) -> Any:
    """Copy bytes between flat uint8 arrays by one memcpy: three times a loop's speed on a screen's row."""
    signature = types.void(to, types.intp, source, types.intp, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> None:
        target, origin = (context.make_array(sig.args[k])(context, builder, args[k]).data for k in (0, 2))
        raw_memcpy: Any = cgutils.raw_memcpy
        raw_memcpy(builder, builder.gep(target, [args[1]]), builder.gep(origin, [args[3]]), args[4], 1)

    return signature, generate


def _slice_copy(to: Any, to_at: int, source: Any, source_at: int, count: int) -> None:
    """Do as _memcpy does, uncompiled. NumPy adds an unsigned and a signed index as floats, hence the int."""
    to[int(to_at) : int(to_at) + int(count)] = source[int(source_at) : int(source_at) + int(count)]


copy_bytes: Any = _slice_copy if numba.config.DISABLE_JIT else _memcpy  # type: ignore[attr-defined]


@compiled
def draw_sprite(sheet: Sheet, sprite: int, x: float, y: float, pictures: NDArray[np.uint8], at: int) -> None:
    """Lay one sprite over a picture; what lies outside is cut off.

    Args:
        sheet: the sprites at the picture's size.
        sprite: index of the sprite.
        x: where its origin goes, in screen pixels.
        y: likewise.
        pictures: flat uint8; the picture is [height, width * channels] from `at` on.
        at: where the picture starts.
    """
    width, height, channels = sheet.size
    row_size = width * channels
    color, cover, spans, table = sheet.color, sheet.cover, sheet.spans, sheet.table
    rows, columns = table[sprite, 2], table[sprite, 3]
    y_phases, x_phases = table[sprite, 4], table[sprite, 5]
    # Whole screen pixels first, for all sizes alike; then the nearest phase of the small grid.
    across = int(np.floor((np.floor(x + 0.5) - table[sprite, 6]) * sheet.scale[0] * x_phases + 0.5))
    down = int(np.floor((np.floor(y + 0.5) - table[sprite, 7]) * sheet.scale[1] * y_phases + 0.5))
    left, top = across // x_phases, down // y_phases
    block = (down - top * y_phases) * x_phases + across - left * x_phases
    left *= channels
    start = table[sprite, 0] + block * rows * columns
    span = table[sprite, 1] + block * rows
    first, last = max(0, -left), min(columns, row_size - left)
    if first >= last:
        return
    if table[sprite, 8] and left == 0 and top == 0 and columns == row_size and rows == height:
        copy_bytes(pictures, at, color, start, rows * columns)  # a background
        return
    for row in range(max(0, -top), min(rows, height - top)):
        # Unsigned indices: the compiler need not provide for negative ones, which count from the end.
        source = np.uintp(start + row * columns)
        target = np.uintp(at + (top + row) * row_size + left)
        if spans[span + row, 0] <= first and last <= spans[span + row, 1]:
            copy_bytes(pictures, target + np.uintp(first), color, source + np.uintp(first), last - first)
            continue
        for i in range(np.uintp(first), np.uintp(last)):
            rest = np.uint16(pictures[target + i]) * np.uint16(np.uint8(255) - cover[source + i])
            rest = np.uint16(rest + np.uint16(128))
            rest = np.uint16(rest + np.uint16(rest >> np.uint16(8))) >> np.uint16(8)  # rest / 255, rounded
            pictures[target + i] = color[source + i] + np.uint8(rest)


@compiled
def sprite_box(sheet: Sheet, sprite: int, x: float, y: float, boxes: NDArray[np.int16], i: int, row: int) -> None:
    """Write boxes[i, row]: (label, x, y, width, height) of what is on the screen; label -1 if nothing is."""
    left = int(np.floor(x + 0.5)) + sheet.boxes[sprite, 1]
    top = int(np.floor(y + 0.5)) + sheet.boxes[sprite, 2]
    right = min(left + sheet.boxes[sprite, 3], sheet.screen[0])
    bottom = min(top + sheet.boxes[sprite, 4], sheet.screen[1])
    left, top = max(left, 0), max(top, 0)
    visible = left < right and top < bottom
    boxes[i, row, 0] = sheet.boxes[sprite, 0] if visible else -1
    boxes[i, row, 1] = left if visible else 0
    boxes[i, row, 2] = top if visible else 0
    boxes[i, row, 3] = right - left if visible else 0
    boxes[i, row, 4] = bottom - top if visible else 0
