"""One composed picture of a moment: the game, who plays it, and the overlays beside it.

The window shows these pictures and films are made of them, so both are the same, pixel by pixel.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.show import Decision
from experiment.watch.paint import (
    CARD,
    CORAL,
    DIM,
    GOLD,
    INK,
    LINE,
    NIGHT,
    PANEL,
    TEAL,
    Box,
    Canvas,
    Color,
    blend,
    heat,
)  # fmt: skip
from experiment.watch.panels import COLORS, PANELS, draw_lines
from experiment.watch.scene import Scene, Seat, Signs, Told

HEIGHT = 512.0  # units; a game of this height has one unit a pixel
WIDEST = 640.0  # units; no game gets more
SIDE = 288.0  # width of a side panel
MARGIN, GAP = 16.0, 12.0
HEAD, FOOT = 126.0, 30.0  # of a panel
KEPT = 4  # painted overlays in the cache: two games, each in the window's size and in a film's
STRETCH = 1.3  # how much taller than they like overlays get where there is room


def size_of(scene: Scene) -> tuple[float, float]:
    """Return the picture's width and height in units."""
    return len(scene.seats) * (_stage_width(scene.seats[0]) + SIDE), HEIGHT


def _stage_width(seat: Seat) -> float:
    height, width = seat.moment.picture.shape[:2]
    return min(WIDEST, float(round(HEIGHT * width / height)))


def compose(scene: Scene, scale: float) -> Canvas:
    """Paint a scene.

    Args:
        scene: all that is painted.
        scale: pixels a unit; the picture has `size_of(scene)` units.
    """
    canvas = Canvas(*size_of(scene), scale)
    stage = _stage_width(scene.seats[0])
    for i, seat in enumerate(scene.seats):
        # Two games are neighbours, their panels outside.
        first_of_two = len(scene.seats) == 2 and i == 0
        left = i * (stage + SIDE)
        panel, game = (left, left + SIDE) if first_of_two else (left + stage, left)
        _draw_game(canvas, (game, 0, stage, HEIGHT), seat, scene)
        _draw_panel(canvas, (panel, 0, SIDE, HEIGHT), seat, scene, COLORS[i])
    if len(scene.seats) == 2:
        canvas.fill((SIDE + stage - 1, 0, 2, HEIGHT), NIGHT)
    return canvas


def put_signs(canvas: Canvas, signs: Signs) -> None:
    """Put the window's own words over a painted scene."""
    width, height = canvas.surface.get_width() / canvas.scale, canvas.surface.get_height() / canvas.scale
    _draw_foot(canvas, (width - SIDE + MARGIN, height - FOOT, SIDE - 2 * MARGIN, FOOT), signs)
    if signs.banner:
        canvas.pill(signs.banner, (width / 2, 0.6 * height), 13, INK, NIGHT)
    if signs.keys:
        _draw_keys(canvas, signs.keys, width, height)


def picture(scene: Scene, scale: float) -> NDArray[np.uint8]:
    """Return the painted scene, uint8 [height, width, 3], RGB."""
    return compose(scene, scale).array()


def _draw_game(canvas: Canvas, box: Box, seat: Seat, scene: Scene) -> None:
    where = canvas.image(seat.moment.picture, box)
    saliency = seat.past[-1].looks.get("saliency") if seat.past and "saliency" in scene.overlays else None
    if saliency is not None:
        canvas.lay(_heat(seat.past[-1], canvas.pixels(where).size), where)
        canvas.pill(f"saliency: {seat.saliency}", (where[0] + 8, where[1] + 18), 9.5, GOLD, NIGHT, anchor="left")
    if seat.moment.by_hand and seat.agent:
        canvas.pill("by hand", (where[0] + where[2] - 8, where[1] + 18), 10, NIGHT, CORAL, anchor="right")
    if seat.moment.over and len(scene.seats) == 2:
        canvas.tint(where, NIGHT, 0.45)
        canvas.text("over", (where[0] + where[2] / 2, where[1] + 0.42 * where[3]), 26, INK, True, "center")


@lru_cache(maxsize=KEPT)
def _heat(decision: Decision, size: tuple[int, int]) -> Any:
    """Paint a decision's saliency. Single pixels stand out far, so the strongest hundredth of them is full."""
    saliency = decision.looks["saliency"]
    assert saliency is not None
    strongest = max(float(np.quantile(saliency, 0.99)), 1e-12)
    return heat((saliency / strongest).astype(np.float32), size, GOLD)


def _draw_panel(canvas: Canvas, box: Box, seat: Seat, scene: Scene, color: Color) -> None:
    x, y, width, height = box
    canvas.fill(box, PANEL)
    inside = (x + MARGIN, y, width - 2 * MARGIN, height)
    _draw_head(canvas, inside, seat, scene, color)
    top, bottom = y + HEAD, y + height - FOOT
    if not seat.agent:
        canvas.fill((inside[0], top, inside[2], 1), LINE)
        lines = bottom - top - 2 * GAP
        draw_lines(canvas, (inside[0], top + GAP, inside[2], lines * 0.4), "keys", seat.hints, color)
        if seat.scores:
            below = top + GAP + 34 + 16 * len(seat.hints)
            draw_lines(canvas, (inside[0], below, inside[2], bottom - below), "best games", seat.scores, color)
    else:
        room = (inside[0], top, inside[2], bottom - top)
        canvas.lay(_overlays(seat.told, scene.overlays, room[2:], color, canvas.scale), room)


def _draw_head(canvas: Canvas, box: Box, seat: Seat, scene: Scene, color: Color) -> None:
    x, y, width, _ = box
    canvas.fill((x, y + 17, 3, 28), color, 1.5)
    canvas.text(seat.name, (x + 11, y + 23), 14, INK, bold=True, room=width - 11)
    canvas.text(scene.game, (x + 11, y + 40), 10, DIM, room=width - 11)
    score = score_text(seat.moment.score)
    canvas.text(score, (x, y + 84), 44 if len(score) < 5 else 30, INK, bold=True)
    canvas.text("score", (x + 1, y + 112), 9, DIM)
    facts = [
        ("episode", f"{scene.episode}"),
        ("seed", f"{scene.seed}"),
        ("decisions" if seat.agent else "frames", f"{seat.moment.steps:,}"),
        ("best", "\u2013" if seat.best is None else score_text(seat.best)),
    ]
    for i, (label, fact) in enumerate(facts):
        right, middle = x + width - (1 - i % 2) * 70, y + 68 + i // 2 * 32
        canvas.text(fact, (right, middle), 13, INK, bold=True, anchor="right")
        canvas.text(label, (right, middle + 13), 9, DIM, anchor="right")


def score_text(score: int | float) -> str:
    """Write a score: whole numbers as they are, returns with a digit behind the point while they are small."""
    return f"{score:.1f}" if isinstance(score, float) and abs(score) < 100 else f"{score:.0f}"


@lru_cache(maxsize=KEPT)
def _overlays(told: Told, names: frozenset[str], size: tuple[float, float], color: Color, scale: float) -> Any:
    """Paint overlays, one below the other. They change with decisions, which are fewer than pictures."""
    silent = {"eyes"} if not told.past or told.past[-1].looks.get("eyes") is None else set()  # few encoders tell
    shown = [(likes, draw) for name, (likes, draw) in PANELS.items() if name in names - silent]
    width, height = size
    canvas, y = Canvas(width, height, scale), 0.0
    canvas.fill((0, 0, width, height), PANEL)
    liked = sum(likes for likes, _ in shown)
    room = height - GAP * (len(shown) + 1)
    factor = min(STRETCH, room / max(1.0, liked))
    for likes, draw in shown:
        canvas.fill((0, y, width, 1), LINE)
        draw(canvas, (0, y + GAP, width, likes * factor - 6), told, color)
        y += likes * factor + GAP
    return canvas.surface


def _draw_foot(canvas: Canvas, box: Box, signs: Signs) -> None:
    x, y, width, height = box
    middle = y + height / 2
    if signs.note:
        canvas.text(signs.note, (x, middle), 9.5, GOLD, room=width)
        return
    for word in signs.status:
        color = CORAL if word.startswith("rec") else TEAL
        x += canvas.pill(word, (x, middle), 9.5, color, blend(PANEL, color, 0.2), anchor="left") + 6


def _draw_keys(canvas: Canvas, keys: Mapping[str, str], width: float, height: float) -> None:
    canvas.tint((0, 0, width, height), NIGHT, 0.6)
    wide, row = 330.0, min(20.0, (height - 70) / len(keys))
    tall = row * len(keys) + 58
    x, y = (width - wide) / 2, (height - tall) / 2
    canvas.fill((x, y, wide, tall), CARD, 10)
    canvas.text("Keys", (x + 22, y + 26), 15, INK, bold=True)
    for i, (key, about) in enumerate(keys.items()):
        middle = y + 56 + i * row
        canvas.text(key, (x + 22, middle), 11, TEAL, bold=True)
        canvas.text(about, (x + 124, middle), 11, INK, room=wide - 140)
