"""The overlays: what a network sees, would do and expects, each drawn into a box of the side panel."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.watch.paint import CARD, DIM, GOLD, INK, LINE, NIGHT, TEAL, Box, Canvas, Color, blend
from experiment.watch.scene import PAST, Told

TITLE = 17.0  # units above each overlay
MOST_ROWS = 6  # actions that are shown; of more, those that the agent prefers
NAMES, NUMBERS = 56.0, 40.0  # units left and right of the bars
SLOTS = 76  # columns of an action's past


def draw_title(canvas: Canvas, box: Box, title: str, about: str = "") -> Box:
    """Write a title with a word about it; returns the box beneath."""
    x, y, width, height = box
    used = canvas.text(title, (x, y + 6), 10, INK, bold=True)
    canvas.text(about, (x + width, y + 6), 9, DIM, anchor="right", room=max(1.0, width - used - 8))
    return x, y + TITLE, width, height - TITLE


def draw_input(canvas: Canvas, box: Box, told: Told, color: Color) -> None:
    """The stack that the network gets, oldest frame first."""
    if not told.past:
        draw_title(canvas, box, "sees")
        return
    observation = told.past[-1].observation
    frames, height, width = observation.shape
    if observation.dtype != np.uint8:
        _draw_numbers(canvas, draw_title(canvas, box, "sees", f"{frames} x {width} numbers"), observation, color)
        return
    x, y, wide, tall = draw_title(canvas, box, "sees", f"{frames} of {width} x {height}, newest right")
    gap = 6.0
    side = min((wide - gap * (frames - 1)) / frames, tall * width / height)
    for i, frame in enumerate(observation):
        place = (x + i * (side + gap), y, side, side * height / width)
        canvas.image(np.repeat(frame[..., None], 3, -1), place, smooth=side * canvas.scale >= width)


def _draw_numbers(canvas: Canvas, box: Box, observation: NDArray[np.float32], color: Color) -> None:
    """A state's numbers as bars from the middle; the older ones of a stack are dimmer."""
    x, y, width, height = box
    values = observation.reshape(len(observation), -1)[-1]
    shown = values[: max(1, int(height // 7))]
    reach = max(1.0, float(np.abs(values).max()))
    row, middle = height / len(shown), x + width / 2
    canvas.fill((middle - 0.5, y, 1, height), LINE)
    for i, value in enumerate(shown.tolist()):
        long = value / reach * (width / 2 - 44)
        top = y + i * row + 0.2 * row
        canvas.fill((min(middle, middle + long), top, max(0.7, abs(long)), 0.6 * row), color)
        canvas.text(f"{value:.2f}", (x + width, y + (i + 0.5) * row), min(9.0, row), DIM, anchor="right")


def draw_actions(canvas: Canvas, box: Box, told: Told, color: Color) -> None:
    """Each action's probability or value, now and over the last decisions; bright where it was chosen."""
    stated = [decision for decision in told.past if decision.preferences is not None][-SLOTS:]
    if not stated:
        draw_title(canvas, box, "would do")
        return
    newest = stated[-1]
    likes = np.stack([decision.preferences for decision in stated if decision.preferences is not None])
    chosen = np.array([decision.action for decision in stated])
    x, y, width, height = draw_title(canvas, box, "would do", "probability" if newest.probable else "value of each")
    low, high = (0.0, 1.0) if newest.probable else (float(likes.min()), float(likes.max()))
    bars = ((likes - low) / max(high - low, 1e-6)).astype(np.float32)
    if not newest.probable:
        bars = 0.06 + 0.94 * bars  # the least has a foot to stand on
    rows = range(len(told.actions))
    if len(rows) > MOST_ROWS:
        rows = sorted(np.argsort(-likes[-1])[:MOST_ROWS].tolist())  # type: ignore[assignment]
    row = height / len(rows)
    for i, action in enumerate(rows):
        top, now = y + i * row, action == newest.action
        ink = INK if now else DIM
        canvas.text(told.actions[action], (x, top + row / 2), min(11.0, 0.8 * row), ink, bold=now, room=NAMES - 4)
        place = (x + NAMES, top + 2, width - NAMES - NUMBERS, row - 4)
        canvas.fill(place, CARD)
        canvas.columns(bars[:, action], chosen == action, SLOTS, place, color)
        value = float(likes[-1, action])
        words = f"{value:.0%}" if newest.probable else _number(value)
        canvas.text(words, (x + width, top + row / 2), min(11.0, 0.8 * row), ink, bold=now, anchor="right")


def draw_value(canvas: Canvas, box: Box, told: Told, color: Color) -> None:
    """The value estimate as a running line."""
    values = [decision.value for decision in told.past if decision.value is not None]
    if not values:
        silent = "this network does not tell" if told.past else ""
        draw_title(canvas, box, "expects", silent)
        return
    place = draw_title(canvas, box, "expects", "discounted rewards to come")
    x, y, width, height = place
    low, high = min(values), max(values)
    room = max(0.5, 0.1 * abs(high), high - low)
    low, high = (low + high - 1.15 * room) / 2, (low + high + 1.15 * room) / 2
    canvas.fill(place, CARD, 3)
    first = PAST - len(values)
    points = [((first + i + 0.5) / PAST, (value - low) / (high - low)) for i, value in enumerate(values)]
    inside = (x + 3, y + 2, width - NUMBERS - 6, height - 4)
    canvas.curve(points, inside, color, CARD, base=0.0)
    canvas.text(_number(values[-1]), (x + width - 5, y + height / 2), 13, INK, bold=True, anchor="right")
    canvas.text(_number(max(values)), (x + width - 5, y + 8), 8, DIM, anchor="right")
    canvas.text(_number(min(values)), (x + width - 5, y + height - 8), 8, DIM, anchor="right")


def draw_maps(canvas: Canvas, box: Box, told: Told, color: Color) -> None:
    """The output of each channel of the first convolution, all on one scale."""
    maps = told.past[-1].looks.get("maps") if told.past else None
    if maps is None:
        seen = bool(told.past) and "maps" in told.past[-1].looks
        draw_title(canvas, box, "first convolution", "this network has none" if seen else "")
        return
    channels, height, width = maps.shape
    about = f"{channels} of {width} x {height}"
    x, y, wide, tall = draw_title(canvas, box, "first convolution", about)
    gap, columns = 3.0, _columns(channels, wide, tall, width / height)
    rows = math.ceil(channels / columns)
    side = min((wide + gap) / columns - gap, ((tall + gap) / rows - gap) * width / height)
    bright = _glow(maps / max(float(maps.max()), 1e-6), color)
    for i, picture in enumerate(bright):
        left, top = x + i % columns * (side + gap), y + i // columns * (side * height / width + gap)
        canvas.image(picture, (left, top, side, side * height / width), smooth=False)


def draw_eyes(canvas: Canvas, box: Box, told: Told, color: Color) -> None:
    """The output of the encoder's own decoder: a picture drawn from the features, or the sprites found in them."""
    place = draw_title(canvas, box, "encoder tells", "drawn from its features")
    drawn = told.past[-1].looks.get("eyes") if told.past else None
    if drawn is not None:
        canvas.image(drawn, place)


def _columns(count: int, wide: float, tall: float, shape: float) -> int:
    """In how many columns this many pictures, `shape` times as wide as high, come out largest."""
    return max(range(1, count + 1), key=lambda columns: min(wide / columns, tall / math.ceil(count / columns) * shape))


def _glow(strength: NDArray[Any], color: Color) -> NDArray[np.uint8]:
    """Colors from night to the color to white for 0 .. 1; uint8 [..., 3]."""
    stops = np.array([blend(NIGHT, color, 0.08), blend(NIGHT, color, 0.75), (255, 255, 255)], float)
    return np.stack(
        [np.interp(np.sqrt(strength), [0, 0.6, 1], stops[:, channel]) for channel in range(3)], -1
    ).astype(np.uint8)  # fmt: skip


def draw_lines(canvas: Canvas, box: Box, title: str, lines: Sequence[tuple[str, str]], color: Color) -> None:
    """Pairs of words, left and right, as keys and what they do."""
    x, y, width, height = draw_title(canvas, box, title)
    row = min(16.0, height / max(1, len(lines)))
    for i, (left, right) in enumerate(lines):
        middle = y + (i + 0.5) * row
        used = canvas.text(left, (x, middle), 11, color, bold=True)
        canvas.text(right, (x + width, middle), 10, DIM, anchor="right", room=max(1.0, width - used - 10))


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


Panel = Callable[[Canvas, Box, Told, Color], None]
PANELS: dict[str, tuple[float, Panel]] = {  # units of height that each likes, title included
    "input": (112.0, draw_input),
    "actions": (76.0, draw_actions),
    "value": (82.0, draw_value),
    "maps": (96.0, draw_maps),
    "eyes": (130.0, draw_eyes),
}
COLORS = (TEAL, GOLD)
