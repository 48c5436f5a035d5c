"""A saliency map laid over a game's picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLD, HOT = np.array([224.0, 90.0, 20.0]), np.array([255.0, 240.0, 150.0])
DIM, GRAY = 0.55, 0.75  # share of the picture's light that is left, and how gray it gets
LIFT = 0.5  # exponent of the glow; below 1 it lifts faint places


def heat(picture: NDArray[np.uint8], saliency: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay a map over a picture: the picture is dimmed, what is salient glows, its brightest place fully.

    Args:
        picture: uint8 [height, width, 3].
        saliency: float32 [rows, columns], at least 0; stretched over the whole picture.

    Returns:
        uint8 [height, width, 3]; the picture alone, dimmed, if the map is 0 everywhere.
    """
    height, width = picture.shape[:2]
    stretched = Image.fromarray(saliency.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    glow = np.maximum(np.asarray(stretched), 0)[..., None]
    glow = (glow / max(float(glow.max()), 1e-12)) ** LIFT
    gray = picture.mean(2, keepdims=True)
    dimmed = DIM * ((1 - GRAY) * picture + GRAY * gray)
    mixed = dimmed * (1 - glow) + (COLD + (HOT - COLD) * glow) * glow
    hot: NDArray[np.uint8] = np.rint(mixed).clip(0, 255).astype(np.uint8)
    return hot
