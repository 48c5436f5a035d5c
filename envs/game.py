"""What a game is: numbers, rules and a scene. The contract every game is written against.

A game is plain Python that never draws a pixel. Its state is one NumPy record, its rules are three
scalar functions compiled by Numba, and what is to be seen is a list of sprites:

    reset(state, rules)                  fill in a fresh state (all fields are zero on entry, but `rng`)
    step(state, rules, action)           advance one frame; returns (reward: float, terminated: bool)
    scene(state, rules)                  yield (sprite index, x, y), back to front, in screen pixels

A scene gets a copy of the state without `rng`, so a picture is a function of the game's numbers alone: it can
be drawn again from them at any time, bit for bit.

`rules` is a NamedTuple of numbers, one per preset. The same functions serve the single environment,
the vector environment and the uncompiled check, so the physics exists once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.scene import Sprite, compiled

rule = compiled
"""Marks a function as part of the rules. With NUMBA_DISABLE_JIT=1 it stays ordinary Python."""

# The linear congruential generator of POSIX drand48: 48 bits of state fit a signed 64-bit integer, so
# that compiled code (which wraps) and Python (which does not) keep exactly the same low bits.
_MULTIPLIER, _INCREMENT, _MASK = 0x5DEECE66D, 0xB, (1 << 48) - 1


@rule
def random(state: Any) -> float:
    """Draw a float64 uniform in [0, 1) from the game's own generator, `state.rng`."""
    state.rng = (int(state.rng) * _MULTIPLIER + _INCREMENT) & _MASK
    return int(state.rng) / 281474976710656.0  # 2**48


@rule
def randint(state: Any, low: int, high: int) -> int:
    """Draw an integer uniform in [low, high), high excluded, from the game's own generator."""
    return low + int(random(state) * (high - low))


def seed_rng(seeds: Sequence[int]) -> NDArray[np.int64]:
    """Return one 48-bit generator state per seed, int64 [len(seeds)], well mixed even for 0, 1, 2, ..."""
    words = [np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] for seed in seeds]
    return (np.array(words, np.uint64) & np.uint64(_MASK)).astype(np.int64)


def two_frames(rules: Any) -> int:
    """Fifteen decisions a second at 30 frames: about as many as a person makes."""
    return 2


@dataclass(frozen=True, eq=False)
class Game:
    """One game: its numbers, rules, pictures and the words people use for them.

    Attributes:
        name: CamelCase, as in the id `wingbeat/<name>-v0`.
        width: screen width in pixels; all positions are in these units, y downwards.
        height: screen height in pixels.
        fps: frames a second at which a person plays.
        actions: one name per action; the index is the action, 0 is "do nothing".
        keys: action for each key, by pygame's key names ("space", "left").
        fields: (name, dtype[, shape]) of every number of the state. Use float64 or integers: they behave
            alike compiled and uncompiled. `score` and `rng` are added to every game.
        taps: actions act when they are chosen, as a key does when it is struck, not for as long as it is held:
            of the frames that a decision lasts, only the first gets the action, the others action 0.
        decision: frames that a decision of an agent lasts by these rules, unless the user says otherwise.
        about: what it is, in a line.
        facts: what encoders are taught and judged by. Called with records [n] as scenes get them and the rules; returns
            float64 [n] by name, NaN where no picture shows it. None: every number of the state, everywhere.
        max_sprites: the longest scene the game can yield.
        presets: the rules by name; the first is the default. Results of different presets don't compare.
        sprites: draws the sprites that `scene` indexes; its keyword arguments are the game's look
            (theme, colors).
        reset: see the module's text. So are step and scene.
    """

    name: str
    width: int
    height: int
    fps: int
    actions: tuple[str, ...]
    keys: Mapping[str, int]
    fields: Sequence[tuple[Any, ...]]
    max_sprites: int
    presets: Mapping[str, Any]
    sprites: Callable[..., Sequence[Sprite]]
    reset: Callable[[Any, Any], None]
    step: Callable[[Any, Any, int], tuple[float, bool]]
    scene: Callable[[Any, Any], Any]
    taps: bool = False
    decision: Callable[[Any], int] = two_frames
    about: str = ""
    facts: Callable[[Any, Any], Mapping[str, NDArray[np.float64]]] | None = None

    @property
    def state_dtype(self) -> np.dtype[Any]:
        """The record of one game's state: the game's own fields, then score (int64) and rng (int64)."""
        return _record([*self.fields, ("score", np.int64), ("rng", np.int64)])

    @cached_property
    def scene_dtype(self) -> np.dtype[Any]:
        """The record that a scene gets: the state's, but for the last field, rng."""
        return _record([*self.fields, ("score", np.int64)])

    def visible(self, states: NDArray[Any]) -> NDArray[Any]:
        """Copy records [n] of `state_dtype` to records [n] of `scene_dtype`."""
        return states.view(self._head)["head"].copy().view(self.scene_dtype)

    @cached_property
    def _head(self) -> np.dtype[Any]:
        """A state's record as the bytes that are also a scene's, which are copied faster than field by field."""
        formats = [f"V{self.scene_dtype.itemsize}"]
        return np.dtype({"names": ["head"], "formats": formats, "itemsize": self.state_dtype.itemsize})

    def __deepcopy__(self, memo: dict[int, Any]) -> "Game":
        return self  # Gymnasium copies what is registered; a copy of a game would be compiled all over again

    def rules(self, preset: str) -> Any:
        """Return a preset's rules.

        Raises:
            ValueError: if there is no such preset.
        """
        if preset not in self.presets:
            raise ValueError(f"{self.name} has no preset {preset!r}; choose from {', '.join(self.presets)}")
        return self.presets[preset]


def _record(fields: list[tuple[Any, ...]]) -> np.dtype[Any]:
    """Lay fields out as compiled code reads them fastest; ones that follow change nothing before them."""
    # "record": uncompiled rules, too, can write `state.y`
    return np.dtype((np.record, np.dtype(fields, align=True)))
