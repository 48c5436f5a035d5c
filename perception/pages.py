"""Pages of pictures by which a person can judge an encoder."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SCALE = 3  # a picture's pixel on the page
GAP = 4
LINE = 12  # pixels of a line of text
INK, PAPER = "#222222", "#ffffff"
TRUE, PREDICTED = "#35c46a", "#ff7a1a"

Box = tuple[float, float, float, float]


def panel(
    gray: NDArray[np.uint8],
    lines: Sequence[str] = (),
    true: Sequence[Box] = (),
    predicted: Sequence[Box] = (),
) -> NDArray[np.uint8]:
    """Enlarge a picture, with boxes drawn on it and lines of text below.

    Args:
        gray: uint8 [height, width].
        lines: of text.
        true: boxes (x, y, width, height) in the picture's pixels, green.
        predicted: likewise, orange.

    Returns:
        uint8 [height', width', 3].
    """
    large = np.repeat(np.repeat(gray, SCALE, 0), SCALE, 1)
    height, width = large.shape
    image = Image.new("RGB", (width, height + LINE * len(lines) + (GAP if lines else 0)), PAPER)
    image.paste(Image.fromarray(large), (0, 0))
    draw = ImageDraw.Draw(image)
    for boxes, color, inset in ((true, TRUE, 0), (predicted, PREDICTED, 1)):
        for x, y, w, h in boxes:
            corner = (SCALE * x + inset, SCALE * y + inset)
            other = (SCALE * (x + w) - 1 - inset, SCALE * (y + h) - 1 - inset)
            if other[0] > corner[0] and other[1] > corner[1]:
                draw.rectangle([corner, other], outline=color)
    for k, line in enumerate(lines):
        draw.text((2, height + GAP // 2 + LINE * k), line, fill=INK)
    return np.asarray(image)


def tile(panels: Sequence[NDArray[np.uint8]], columns: int) -> NDArray[np.uint8]:
    """Lay panels of one size out on a page, uint8 [height, width, 3]."""
    height, width = panels[0].shape[:2]
    rows = -(-len(panels) // columns)
    page = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 255, np.uint8)
    for k, picture in enumerate(panels):
        y, x = GAP + k // columns * (height + GAP), GAP + k % columns * (width + GAP)
        page[y : y + height, x : x + width] = picture
    return page
