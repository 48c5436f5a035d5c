"""Snake: eat, grow, run into nothing. Rules only; the pictures are in snake_art.py.

The board has 13 x 13 cells of 24 pixels, inside a border of 12 on a screen of 336 x 336. Cells are counted row by row
from the upper left, 0 .. 168. 30 frames a second.

State: `body` (the snake's cells from the head on, then the cell that its tail leaves), `length` (cells of the snake),
`grew` (1 while the tail stays where it is, because the snake has just eaten), `way` (the direction in which it
creeps: 1 up, 2 right, 3 down, 4 left), `wanted` (the direction last asked for), `offset` (pixels by which the head has
come into its cell, 0 .. 24), `apple` (its cell), `hunger` (moves since the last apple), `score`.

Actions: 0 ahead, 1 up, 2 right, 3 down, 4 left. A direction is remembered until the head is in the middle of a cell,
where the snake turns. It can't turn right round; that is then ignored.

Observation: board, apple and snake, as a person sees them. The snake slides: head and tail lie between two cells.

Reward: 1 an apple, -1 at the end by a wall, the snake itself or hunger, 0 otherwise. The score is the apples eaten.

Play: the head moves by `pace` pixels a frame. When it reaches the middle of a cell, it eats what is there, and the
snake grows by one cell. Then it turns and begins to leave. The next apple is at once in a cell that is free, each
equally likely.

An agent decides once a cell, unless told otherwise.

Start: 3 cells in the middle row, head in the middle of the board, creeping to the right; an apple anywhere else.

End: terminated when the cell ahead is off the board or of the snake (the cell that the tail is leaving is free), when
the snake has made `patience` moves without an apple, or when it fills the board.

Version history: v0, first version.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from envs.game import Game, randint, rule
from envs.games.snake_art import ACROSS, APPLE, BACKGROUND, BORDER, CELL, CELLS, DOWN, HEAD, STEP, sprites

SCREEN = 2 * BORDER + CELLS * CELL
BOARD = CELLS * CELLS
UP, RIGHT, DOWNWARDS, LEFT = 1, 2, 3, 4
START_LENGTH = 3


class Rules(NamedTuple):
    """Numbers that tell presets apart."""

    pace: int  # pixels a frame; 24 is a multiple of it, and it is one of 6
    patience: int  # moves without an apple


PRESETS = {"classic": Rules(pace=6, patience=2 * BOARD), "fast": Rules(pace=12, patience=2 * BOARD)}

FIELDS = [
    ("length", np.int64),
    ("grew", np.int64),
    ("way", np.int64),
    ("wanted", np.int64),
    ("offset", np.int64),
    ("apple", np.int64),
    ("hunger", np.int64),
    ("body", np.int16, (BOARD + 3,)),  # BOARD + 1 cells, rounded up to whole words: a record without gaps
]


@rule
def next_cell(cell: int, way: int) -> int:
    """Return the cell that lies that way, or -1 if it is off the board."""
    row, column = cell // CELLS, cell % CELLS
    if way == UP:
        row -= 1
    elif way == DOWNWARDS:
        row += 1
    elif way == LEFT:
        column -= 1
    else:
        column += 1
    return row * CELLS + column if 0 <= row < CELLS and 0 <= column < CELLS else -1


@rule
def is_snake(state: Any, cell: int, first: int) -> bool:
    """Whether the snake, from its cell number `first` on, lies there."""
    for i in range(first, state.length):  # noqa: SIM110 - Numba compiles no generator expression
        if state.body[i] == cell:
            return True
    return False


@rule
def place_apple(state: Any) -> None:
    """Put the apple into a free cell."""
    state.apple = randint(state, 0, BOARD)
    while is_snake(state, state.apple, 0):
        state.apple = randint(state, 0, BOARD)


@rule
def reset(state: Any, rules: Any) -> None:
    """Start in the middle, creeping to the right."""
    middle = BOARD // 2
    state.length = START_LENGTH
    for i in range(START_LENGTH + 1):
        state.body[i] = middle - i
    state.way = state.wanted = RIGHT
    state.offset = CELL
    place_apple(state)


@rule
def step(state: Any, rules: Any, action: int) -> tuple[float, bool]:
    """Advance one frame; returns (reward, terminated)."""
    if action > 0:
        state.wanted = action
    if state.offset < CELL:
        state.offset += rules.pace
    if state.offset < CELL:
        return 0.0, False
    reward, dead = arrive(state, rules)
    return reward, dead


@rule
def arrive(state: Any, rules: Any) -> tuple[float, bool]:
    """Eat what is in the head's cell, then turn and enter the next one."""
    ate = state.body[0] == state.apple
    if ate:
        state.score += 1
        state.hunger = 0
        state.length += 1  # by the cell that the tail would leave
        if state.length == BOARD:
            return 1.0, True
    state.hunger += 1
    if abs(state.wanted - state.way) != 2:
        state.way = state.wanted
    ahead = next_cell(int(state.body[0]), state.way)
    for i in range(state.length, 0, -1):
        state.body[i] = state.body[i - 1]
    if ahead < 0 or is_snake(state, ahead, 1) or state.hunger > rules.patience:
        state.body[0] = state.body[1]
        return -1.0, True
    state.body[0] = ahead
    state.offset = 0
    state.grew = 1 if ate else 0
    if ate:
        place_apple(state)
        return 1.0, False
    return 0.0, False


@rule
def middle(cell: int) -> tuple[int, int]:
    """Return a cell's middle in pixels."""
    return BORDER + cell % CELLS * CELL + CELL // 2, BORDER + cell // CELLS * CELL + CELL // 2


@rule
def between(cell: int, other: int, offset: int) -> tuple[int, int]:
    """Return the point that lies `offset` pixels from one cell's middle towards the next one's."""
    (x, y), (to_x, to_y) = middle(cell), middle(other)
    return x + (to_x - x) * offset // CELL, y + (to_y - y) * offset // CELL


@rule
def limb(x: int, y: int, to_x: int, to_y: int) -> tuple[int, float, float]:
    """Return the piece of the snake that reaches straight from one point to another."""
    if y == to_y:
        return ACROSS + abs(to_x - x) // STEP, float(min(x, to_x)), float(y)
    return DOWN + abs(to_y - y) // STEP, float(x), float(min(y, to_y))


@rule
def scene(state: Any, rules: Any) -> Iterator[tuple[int, float, float]]:
    """Yield (sprite, x, y) back to front. The snake is one piece from corner to corner, however long that is."""
    yield BACKGROUND, 0.0, 0.0
    x, y = middle(state.apple)
    yield APPLE, float(x), float(y)
    head_x, head_y = between(int(state.body[1]), int(state.body[0]), state.offset)
    x, y, last = head_x, head_y, state.length - 1
    for i in range(1, state.length):
        before, here = int(state.body[i - 1]), int(state.body[i])
        after = int(state.body[i + 1]) if i < last or not state.grew else -1
        if before - here != here - after:
            to_x, to_y = middle(here)
            yield limb(x, y, to_x, to_y)
            x, y = to_x, to_y
    if not state.grew:
        to_x, to_y = between(int(state.body[last + 1]), int(state.body[last]), state.offset)
        yield limb(x, y, to_x, to_y)
    yield HEAD + state.way - 1, float(head_x), float(head_y)


SNAKE = Game(
    name="Snake",
    about="eat apples, grow, and run into nothing",
    width=SCREEN,
    height=SCREEN,
    fps=30,
    decision=lambda rules: CELL // rules.pace,
    actions=("ahead", "up", "right", "down", "left"),
    keys={"up": 1, "right": 2, "down": 3, "left": 4},
    fields=FIELDS,
    max_sprites=3 + BOARD,
    presets=PRESETS,
    sprites=sprites,
    reset=reset,
    step=step,
    scene=scene,
)
