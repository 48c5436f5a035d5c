"""Catch: fruit falls, a basket slides. Rules only; the pictures are in catch_art.py.

All positions are in pixels of a screen of 336 x 336, y downwards; speeds are in pixels a frame, 30 frames a second.

State: `basket_x` (left edge of the basket), `fruit_x` and `fruit_y` (top left corner of the fruit), `drift` (the
fruit's speed to the right), `fall` (its speed downwards), `fruit` (which of 4 kinds; looks only), `score`.

Actions: 0 stay, 1 left, 2 right: the basket moves by `slide`, as far as the screen's edge.

Observation: orchard, fruit and basket, as a person sees them.

Reward: 1 on the frame of a catch, -1 on the frame of a miss, 0 otherwise. The score is the fruit caught.

Start: the basket is in the middle. The first fruit is above the screen, its left edge a whole number, uniform over
the screen's width. The next fruit follows as soon as one is caught, and falls faster by `faster`, up to `fall_max`.
With wind a fruit drifts at a speed that is uniform within -`wind` and `wind`, and turns round at the screen's edges.

End: terminated by the first fruit that is not caught. When the fruit's lower edge reaches the basket's rim at y 298,
it is caught if its middle is over the basket's 64 pixels, and missed if it is not. Every fruit can be reached.

Version history: v0, first version.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from envs.game import Game, randint, random, rule
from envs.games.catch_art import BACKGROUND, BASKET, FRUIT, KINDS, sprites

SCREEN = 336
FRUIT_SIZE, BASKET_WIDTH, RIM = 28, 64, 298  # pixels; the rim's y


class Rules(NamedTuple):
    """Numbers that tell presets apart, in pixels a frame."""

    fall: float  # of the first fruit
    faster: float  # more for each catch
    fall_max: float
    slide: float  # of the basket
    wind: float  # fastest drift


PRESETS = {
    "classic": Rules(fall=6.0, faster=0.05, fall_max=8.0, slide=12.0, wind=0.0),
    "windy": Rules(fall=6.0, faster=0.05, fall_max=8.0, slide=12.0, wind=3.0),
}

FIELDS = [
    ("basket_x", np.float64),
    ("fruit_x", np.float64),
    ("fruit_y", np.float64),
    ("drift", np.float64),
    ("fall", np.float64),
    ("fruit", np.int64),
]


@rule
def drop(state: Any, rules: Any) -> None:
    """Put a new fruit above the screen."""
    state.fruit_x = randint(state, 0, SCREEN - FRUIT_SIZE + 1)
    state.fruit_y = -FRUIT_SIZE
    state.drift = (2 * random(state) - 1) * rules.wind
    state.fruit = randint(state, 0, KINDS)


@rule
def reset(state: Any, rules: Any) -> None:
    """Start with the basket in the middle."""
    state.basket_x = (SCREEN - BASKET_WIDTH) / 2
    state.fall = rules.fall
    drop(state, rules)


@rule
def step(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """Advance one frame; returns (reward, terminated)."""
    if action == 1:
        state.basket_x = max(state.basket_x - rules.slide, 0.0)
    elif action == 2:
        state.basket_x = min(state.basket_x + rules.slide, float(SCREEN - BASKET_WIDTH))
    state.fruit_y += state.fall
    state.fruit_x += state.drift
    if state.fruit_x < 0 or state.fruit_x > SCREEN - FRUIT_SIZE:
        state.fruit_x = min(max(state.fruit_x, 0.0), float(SCREEN - FRUIT_SIZE))
        state.drift = -state.drift
    if state.fruit_y + FRUIT_SIZE < RIM:
        return 0.0, False
    middle = state.fruit_x + FRUIT_SIZE // 2
    if middle < state.basket_x or middle > state.basket_x + BASKET_WIDTH:
        return -1.0, True
    state.score += 1
    state.fall = min(state.fall + rules.faster, rules.fall_max)
    drop(state, rules)
    return 1.0, False


@rule
def scene(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Yield (sprite, x, y) back to front."""
    yield BACKGROUND, 0.0, 0.0
    yield FRUIT + state.fruit, state.fruit_x, state.fruit_y
    yield BASKET, state.basket_x, float(RIM)


CATCH = Game(
    name="Catch",
    about="slide a basket under falling fruit",
    width=SCREEN,
    height=SCREEN,
    fps=30,
    actions=("stay", "left", "right"),
    keys={"left": 1, "right": 2},
    fields=FIELDS,
    max_sprites=3,
    presets=PRESETS,
    sprites=sprites,
    reset=reset,
    step=step,
    scene=scene,
)
