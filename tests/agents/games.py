"""Tiny games whose best result is known."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from envs import Game
from envs.game import randint, rule
from envs.scene import Sprite

CELL = 6  # pixels
CELLS = 6  # a side


class Rules(NamedTuple):
    """Numbers of both games."""

    cells: int


def sprites() -> list[Sprite]:
    """A black ground, a white ball and a gray paddle."""
    side = CELL * CELLS
    black = np.zeros((side, side, 4), np.uint8)
    black[..., 3] = 255
    white = np.full((CELL, CELL, 4), 255, np.uint8)
    gray = np.array([128, 128, 128, 255], np.uint8) * np.ones((CELL, CELL, 1), np.uint8)
    return [Sprite("ground", black, still=True), Sprite("ball", white), Sprite("paddle", gray)]


@rule
def reset(state: Any, rules: Any) -> None:
    """Ball on top, paddle at the bottom, each in any column."""
    state.ball_x = randint(state, 0, rules.cells)
    state.paddle = randint(state, 0, rules.cells)


@rule
def step(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """The ball falls a row. In the last one it is caught or not; always within reach of the best player."""
    if action == 1:
        state.paddle = max(state.paddle - 1, 0)
    elif action == 2:
        state.paddle = min(state.paddle + 1, rules.cells - 1)
    state.ball_y += 1
    if state.ball_y < rules.cells - 1:
        return 0.0, False
    if state.paddle == state.ball_x:
        state.score += 1
        return 1.0, True
    return -1.0, True


@rule
def scene(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Yield (sprite, x, y) back to front."""
    yield 0, 0.0, 0.0
    yield 2, float(CELL * state.paddle), float(CELL * (rules.cells - 1))
    yield 1, float(CELL * state.ball_x), float(CELL * state.ball_y)


@rule
def begin_nothing(state: Any, rules: Any) -> None:
    """Nothing is to be set."""


@rule
def nothing(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """Whatever is done, the reward is 1 and there is no end."""
    return 1.0, False


@rule
def still(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Yield the same picture for ever."""
    yield 0, 0.0, 0.0
    yield 1, 8.0, 8.0


@rule
def give_a_cue(state: Any, rules: Any) -> None:
    """Left or right, at random."""
    state.cue = randint(state, 0, 2)


@rule
def wait_and_recall(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """Only the last of a few actions counts: 1 for left, 2 for right, as the cue was."""
    state.clock += 1
    if state.clock < rules.cells - 1:
        return 0.0, False
    if action == state.cue + 1:
        state.score += 1
        return 1.0, True
    return -1.0, True


@rule
def cue_then_clock(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Show the cue at first only, and afterwards what time it is."""
    yield 0, 0.0, 0.0
    yield 2, float(CELL * state.clock), float(CELL * (rules.cells - 1))
    if state.clock == 0:
        yield 1, float(CELL * state.cue * (rules.cells - 1)), 0.0


@rule
def ask(state: Any, rules: Any) -> None:
    """Name an action, at random."""
    state.wanted = randint(state, 0, 3)


@rule
def answer(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """Reward the action that was shown, ten times."""
    right = int(action == state.wanted)
    state.clock += 1
    state.score += right
    state.wanted = randint(state, 0, 3)
    return float(right), state.clock == 10


@rule
def question(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Show the wanted action as a column."""
    yield 0, 0.0, 0.0
    yield 1, float(2 * CELL * state.wanted), 0.0


CATCH = Game(
    name="Catch",
    width=CELL * CELLS,
    height=CELL * CELLS,
    fps=10,
    actions=("stay", "left", "right"),
    keys={"left": 1, "right": 2},
    fields=[("ball_x", np.int64), ("ball_y", np.int64), ("paddle", np.int64)],
    max_sprites=3,
    presets={"only": Rules(CELLS)},
    sprites=sprites,
    reset=reset,
    step=step,
    scene=scene,
)
"""The best score, and the best reward, of every episode is 1."""

RECALL = Game(
    name="Recall",
    width=CELL * CELLS,
    height=CELL * CELLS,
    fps=10,
    actions=("wait", "left", "right"),
    keys={},
    fields=[("cue", np.int64), ("clock", np.int64)],
    max_sprites=3,
    presets={"only": Rules(CELLS)},
    sprites=sprites,
    reset=give_a_cue,
    step=wait_and_recall,
    scene=cue_then_clock,
)
"""The best score is 1; without a memory it is 1/2 on average, whatever is done."""

IDENTITY = Game(
    name="Identity",
    width=CELL * CELLS,
    height=CELL * CELLS,
    fps=10,
    actions=("one", "two", "three"),
    keys={},
    fields=[("wanted", np.int64), ("clock", np.int64)],
    max_sprites=2,
    presets={"only": Rules(CELLS)},
    sprites=sprites,
    reset=ask,
    step=answer,
    scene=question,
)
"""The best score is 10; who does not look gets 10/3 on average."""

STILL = Game(
    name="Still",
    width=CELL * CELLS,
    height=CELL * CELLS,
    fps=10,
    actions=("this", "that"),
    keys={},
    fields=[],
    max_sprites=2,
    presets={"only": Rules(CELLS)},
    sprites=sprites,
    reset=begin_nothing,
    step=nothing,
    scene=still,
)
"""Worth 1 / (1 - gamma) from anywhere, however short its episodes are cut."""
