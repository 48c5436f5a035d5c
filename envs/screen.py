"""What lies between an environment and the agent: pictures gray and reduced, frames skipped, numbers in bins."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image

SQUARE = 8  # pixels a side of a number that is drawn
UNSEEN = 11  # columns to the right that the small encoder's convolutions may leave out, by the picture's width
WIDEST = 1e5  # from a number's lowest value to its highest, up to which its square is gray by where it is between them
SMALLEST = 8  # pixels a side; what is smaller is no picture but a board, whose numbers mean something


@dataclass(frozen=True)
class Screen:
    """What lies between an environment and the agent, besides the form of its numbers.

    Attributes:
        pixels: the agent sees what the environment renders instead of what it observes.
        frame_skip: frames that a decision lasts; the action is repeated and the rewards are added.
        pool: show the brighter of the last two of these frames, pixel by pixel (Mnih et al. 2015): what an Atari
            draws on every other frame only is then always there.
        sticky: probability that a frame repeats the action of the frame before (Machado et al. 2018).
        no_ops: an episode begins with 0 to so many frames of action 0 (Mnih et al. 2015).
        life_loss: losing a life ends an episode, but the game goes on; for environments whose info has `lives`.
        clip_rewards: the agent gets only the sign of a reward; scores keep all of it.
        bins: positions that each number of a Box action can have; 0 for a fitting number of them.
        size: the larger side of a picture is at most so many pixels; pictures are never enlarged.
    """

    pixels: bool = False
    frame_skip: int = 1
    pool: bool = False
    sticky: float = 0.0
    no_ops: int = 0
    life_loss: bool = False
    clip_rewards: bool = False
    bins: int = 0
    size: int = 84

    def small(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) at which a picture of this size is shown."""
        return min(height, self.size), min(width, self.size)


def picture_size(space: spaces.Space[Any]) -> tuple[int, int] | None:
    """Return the (height, width) of a space's pictures, None if it has none.

    Pictures are uint8 [h, w], [h, w, 1], [h, w, 3], [1, h, w] or [3, h, w], of at least 8 x 8 pixels.
    """
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return None
    shape = space.shape
    if len(shape) == 3 and (shape[2] in (1, 3) or shape[0] in (1, 3)):
        shape = shape[:2] if shape[2] in (1, 3) else shape[1:]
    if len(shape) != 2 or min(shape) < SMALLEST:
        return None
    return shape[0], shape[1]


def gray(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn a picture of any of these forms into its luma (0.299 R + 0.587 G + 0.114 B), uint8 [height, width]."""
    if picture.ndim == 2:
        return picture
    if picture.shape[2] not in (1, 3):
        picture = picture.transpose(1, 2, 0)
    if picture.shape[2] == 1:
        return picture[..., 0]
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("L"))


def shrink(picture: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Reduce a gray picture into `out`, uint8 [height, width]: each new pixel is the mean of the area it covers."""
    (height, width), (rows, columns) = picture.shape, out.shape
    if (height, width) == (rows, columns):
        out[:] = picture
        return
    small = _shares(height, rows) @ picture.astype(np.float32) @ _shares(width, columns).T
    np.rint(small, out=out, casting="unsafe")


class Squares:
    """Numbers as gray squares, row by row: what stands beside a picture becomes a part of it.

    An encoder that looks at pictures thus reads numbers, too, and a person sees what it gets. A number's square goes
    from black, its lowest value, to white, its highest; without bounds, or with ones more than `WIDEST` apart, it is
    squashed by x / (1 + |x|).

    Attributes:
        height: rows of pixels that they take.

    Args:
        low: lowest values, [numbers].
        high: highest values, likewise.
        width: of the picture, in pixels; what remains of it to the right of the squares is black.
    """

    def __init__(self, low: NDArray[Any], high: NDArray[Any], width: int) -> None:
        self._across = max(1, (width - UNSEEN) // SQUARE)
        self._low = low.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            self._span = high.astype(np.float64) - self._low
        self._bounded = self._span <= WIDEST
        self.height = SQUARE * math.ceil(len(low) / self._across)

    def draw(self, numbers: NDArray[Any], out: NDArray[np.uint8]) -> None:
        """Draw finite numbers into `out`, uint8 [height, width]."""
        numbers = numbers.astype(np.float64)
        between = (numbers - np.where(self._bounded, self._low, 0)) / np.where(self._span > 0, self._span, 1)
        squashed = 0.5 + 0.5 * numbers / (1 + np.abs(numbers))
        shares = np.where(self._bounded, between, squashed).clip(0, 1)
        grays = np.zeros(self.height // SQUARE * self._across, np.uint8)
        np.rint(255 * shares, out=grays[: len(shares)], casting="unsafe")
        squares = grays.reshape(-1, self._across).repeat(SQUARE, 0).repeat(SQUARE, 1)[:, : out.shape[1]]
        out[:] = 0
        out[:, : squares.shape[1]] = squares


@lru_cache(maxsize=64)
def _shares(old: int, new: int) -> NDArray[np.float32]:
    """What share of each new pixel every old one covers along one axis, float32 [new, old]; rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    first, last = np.maximum(edges[:-1, None], np.arange(old)), np.minimum(edges[1:, None], np.arange(1, old + 1))
    shares: NDArray[np.float32] = (np.maximum(last - first, 0) * (new / old)).astype(np.float32)
    return shares
