"""Many games at once: stepped and drawn by one compiled call, straight into the caller's buffer."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from envs.game import Game, seed_rng
from envs.scene import Sheet, Sprite, compiled, draw_sprite, labels, make_sheet, sprite_box


@cache
def compile_game(game: Game) -> tuple[Callable[..., None], Callable[..., None], Callable[..., None]]:
    """Compile a game's rules together with the rasteriser.

    Returns:
        `restart(states, rules, i)` for game i, and for a whole batch
        `advance(states, rules, actions, frame_skip, limits, elapsed, over, rewards, terminated, truncated)`
        and `render(records, rules, sheet, pictures, boxes)`; records as scenes get them.
    """
    reset, step, scene, taps = game.reset, game.step, game.scene, game.taps

    @compiled
    def restart(states: Any, rules: Any, i: int) -> None:
        """Zero every field but the generator, then let the game fill it in."""
        rng = states[i].rng
        states[i] = states[len(states) - 1]  # the last record is a spare that stays all zero
        states[i].rng = rng
        reset(states[i], rules)

    @compiled
    def advance(
        states: Any,
        rules: Any,
        actions: NDArray[np.int64],
        frame_skip: int,
        limits: tuple[int, int],
        elapsed: NDArray[np.int64],
        over: NDArray[np.bool_],
        rewards: NDArray[np.float64],
        terminated: NDArray[np.bool_],
        truncated: NDArray[np.bool_],
    ) -> None:
        for i in range(len(actions)):
            rewards[i], terminated[i], truncated[i] = 0.0, False, False
            if over[i]:  # next-step autoreset: this action is ignored
                restart(states, rules, i)
                elapsed[i], over[i] = 0, False
                continue
            state = states[i]
            for frame in range(frame_skip):
                reward, dead = step(state, rules, 0 if taps and frame else actions[i])
                rewards[i] += reward
                elapsed[i] += 1
                if dead:
                    terminated[i] = True
                    break
                if elapsed[i] >= limits[0] or state.score >= limits[1]:
                    truncated[i] = True
                    break
            over[i] = terminated[i] or truncated[i]

    @compiled
    def render(records: Any, rules: Any, sheet: Sheet, pictures: NDArray[np.uint8], boxes: NDArray[np.int16]) -> None:
        width, height, channels = sheet.size
        for i in range(len(records)):
            count = np.int64(0)  # of a literal's type, sprite_box would be compiled once more for it
            for sprite, x, y in scene(records[i], rules):
                draw_sprite(sheet, sprite, x, y, pictures, i * height * width * channels)
                if count < boxes.shape[1]:
                    sprite_box(sheet, sprite, x, y, boxes, i, count)
                count += 1
            for unused in range(count, boxes.shape[1]):
                for k in range(5):
                    boxes[i, unused, k] = -1 if k == 0 else 0

    return restart, advance, render


NO_LIMIT = 2**62


class GameVectorEnv(VectorEnv[Any, Any, Any]):
    """N games of one kind, pixels out.

    Observations: uint8 [n, 1, height, width], gray, the whole screen reduced by area averaging.
    Actions: Discrete, each for `frame_skip` frames, of which only the last is drawn; rewards add up. Games
    that are played by taps (Flappy Bird) get the action on the first of these frames, others on all.
    Autoreset is next-step: after an episode's last observation the next step ignores its action, resets
    and returns the first observation of a new episode with reward 0. Who can't wait for it resets such games
    at once, with the option `reset_mask` of `reset`.

    Attributes:
        over: bool [n], games whose episode has ended, so that the next step only resets them.

    info, for the state that the observation shows:
        score: int64 [n].
        state: the game's numbers, a structured array [n] (a copy; fields as in the game's file).
        boxes: int16 [n, max_sprites, 5], (label index, x, y, width, height) of every visible sprite in
            screen pixels, label -1 on unused rows. The labels' names are `env.labels`.

    Args:
        game: what is played.
        num_envs: number of games.
        preset: rules by name; the game's first if None.
        frame_skip: frames a decision lasts.
        size: (height, width) of the observation.
        max_frames: truncate an episode after this many frames; None for no limit.
        score_cap: truncate an episode at this score; None for no cap.
        render_mode: None or "rgb_array".
        **look: the game's look, as theme="night".

    Raises:
        ValueError: if an argument does not fit the game.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(
        self,
        game: Game,
        num_envs: int = 1,
        preset: str | None = None,
        frame_skip: int = 1,
        size: tuple[int, int] = (84, 84),
        max_frames: int | None = None,
        score_cap: int | None = None,
        render_mode: str | None = None,
        **look: Any,
    ) -> None:
        self.taps = game.taps
        self.num_envs, self.frame_skip = _count("num_envs", num_envs), _count("frame_skip", frame_skip)
        self._limits = (
            NO_LIMIT if max_frames is None else _count("max_frames", max_frames),
            NO_LIMIT if score_cap is None else _count("score_cap", score_cap),
        )
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', not {render_mode!r}")
        if not isinstance(size, (tuple, list)) or len(size) != 2:
            raise ValueError(f"size must be (height, width), not {size!r}")
        size = (_count("size", size[0]), _count("size", size[1]))
        self.game, self.render_mode = game, render_mode
        self.preset = next(iter(game.presets)) if preset is None else preset
        self.metadata = {**type(self).metadata, "render_fps": game.fps / self.frame_skip}
        self._shape = (1, *size)
        self.single_observation_space = spaces.Box(0, 255, self._shape, np.uint8)
        self.single_action_space = spaces.Discrete(len(game.actions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

        try:
            self.labels = labels(_sprites(game, **look))
        except TypeError as error:
            raise ValueError(f"{game.name} has no such setting: {', '.join(look)} ({error})") from error
        self._sheet = _sheet(game, size[::-1], 1, **look)
        self._screen_sheet = _sheet(game, (game.width, game.height), 3, **look) if render_mode else None
        self._rules = game.rules(self.preset)
        self._restart, self._advance, self._render = compile_game(game)
        # One record more than games: the zeroes that a reset starts from.
        self._states = np.zeros(num_envs + 1, game.state_dtype)
        self._elapsed = np.zeros(num_envs, np.int64)
        self.over = np.ones(num_envs, np.bool_)
        self._seeded = False
        self._everyone = np.ones(num_envs, np.bool_)  # info's masks: all games are in it, always
        self._everyone.setflags(write=False)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
        out: NDArray[np.uint8] | None = None,
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Start games anew.

        Args:
            seed: game i gets seed + i, or seed[i]. None goes on with the generators as they are.
            options: `reset_mask`, bool [n]: only these games start anew, the others stay as they are.
            out: where to draw, uint8 [n, 1, height, width], C-contiguous; a new array if None.

        Returns:
            (observations, info), of all games.

        Raises:
            ValueError: if there is not one seed or one entry of the mask a game, or `out` is no such array.
        """
        chosen = (options or {}).get("reset_mask", self._everyone)
        if not isinstance(chosen, np.ndarray) or chosen.shape != (self.num_envs,) or chosen.dtype != np.bool_:
            raise ValueError(f"reset_mask must be a bool array [{self.num_envs}], not {chosen!r}")
        out = self._picture(self.num_envs, out)
        if not self._seeded:
            entropy = np.random.SeedSequence().generate_state(self.num_envs)
            self._states["rng"][:-1] = seed_rng(entropy.tolist())
            self._seeded = True
        if seed is not None:
            seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, (int, np.integer)) else list(seed)
            if len(seeds) != self.num_envs:
                raise ValueError(f"{self.num_envs} games need as many seeds, not {len(seeds)}")
            given = {i: value for i, value in enumerate(seeds) if value is not None and chosen[i]}
            self._states["rng"][list(given)] = seed_rng(list(given.values()))
        for i in np.flatnonzero(chosen):
            self._restart(self._states, self._rules, i)
        self._elapsed[chosen], self.over[chosen] = 0, False
        return out, self._draw_all(out)

    def step(
        self, actions: Any, out: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every game.

        Args:
            actions: integers [n].
            out: where to draw, uint8 [n, 1, height, width], C-contiguous; a new array if None.

        Returns:
            (observations, rewards float64 [n], terminated bool [n], truncated bool [n], info).

        Raises:
            ValueError: if the actions are not n integers within the action space, or `out` is no such array.
            RuntimeError: if `reset` has never been called.
        """
        out = self._picture(self.num_envs, out)
        rewards, terminated, truncated = self._step(self._checked(actions))
        return out, rewards, terminated, truncated, self._draw_all(out)

    def advance(self, actions: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every game without a picture: as `step`, but no observations are returned and no boxes in info."""
        rewards, terminated, truncated = self._step(self._checked(actions))
        return rewards, terminated, truncated, self._info()

    def draw(self, records: NDArray[Any], out: NDArray[np.uint8], boxes: NDArray[np.int16] | None = None) -> None:
        """Draw games as agents see them, in this env's look, whatever its own games show. Releases the GIL.

        Args:
            records: [k], of `game.scene_dtype`; `game.visible` makes them of info's `state`.
            out: where to draw, uint8 [k, 1, height, width], C-contiguous.
            boxes: where info's `boxes` go, int16 [k, max_sprites, 5], C-contiguous; None for nowhere.

        Raises:
            ValueError: if the arrays are no such ones.
        """
        if records.dtype != self.game.scene_dtype or records.ndim != 1:
            raise ValueError(f"records must be [k] of game.scene_dtype, not {records.dtype} {list(records.shape)}")
        shape = (len(records), self.game.max_sprites, 5)
        if boxes is None:
            boxes = np.empty((0, 0, 5), np.int16)
        elif boxes.shape != shape or boxes.dtype != np.int16 or not boxes.flags.carray:
            raise ValueError(f"boxes must be C-contiguous int16 {list(shape)}, not {boxes.dtype} {list(boxes.shape)}")
        self._render(records, self._rules, self._sheet, self._picture(len(records), out).reshape(-1), boxes)

    def _checked(self, actions: Any) -> NDArray[np.int64]:
        if not self._seeded:
            raise RuntimeError("call reset before the first step")
        return check_actions(actions, self.num_envs, len(self.game.actions))

    def _step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        n = self.num_envs
        rewards, terminated, truncated = np.empty(n), np.empty(n, np.bool_), np.empty(n, np.bool_)
        self._advance(
            self._states, self._rules, actions, self.frame_skip, self._limits,
            self._elapsed, self.over, rewards, terminated, truncated,
        )  # fmt: skip
        return rewards, terminated, truncated

    def _picture(self, count: int, out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """Check where so many games are to be drawn; None makes room."""
        shape = (count, *self._shape)
        if out is None:
            return np.empty(shape, np.uint8)
        if out.shape != shape or out.dtype != np.uint8 or not out.flags.carray:
            wanted = f"writable C-contiguous uint8 {list(shape)}"
            raise ValueError(f"out must be {wanted}, not {out.dtype} {list(out.shape)}")
        return out

    def _draw_all(self, out: NDArray[np.uint8]) -> dict[str, Any]:
        """Draw all games; returns info."""
        boxes = np.empty((self.num_envs, self.game.max_sprites, 5), np.int16)
        info = self._info(boxes=boxes)
        self._render(self.game.visible(info["state"]), self._rules, self._sheet, out.reshape(-1), boxes)
        return info

    def _info(self, **more: NDArray[Any]) -> dict[str, Any]:
        states = self._states[: self.num_envs].copy()
        info = {"score": states["score"], "state": states, **more}
        return info | {f"_{key}": self._everyone for key in info}

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return what a person sees of each game, uint8 [screen height, screen width, 3], or None."""
        if self._screen_sheet is None:
            return None
        frames = np.empty((self.num_envs, self.game.height, self.game.width, 3), np.uint8)
        boxes = np.empty((self.num_envs, self.game.max_sprites, 5), np.int16)
        self._render(self.game.visible(self._states[:-1]), self._rules, self._screen_sheet, frames.reshape(-1), boxes)
        return tuple(frames)

    def rest(self, which: NDArray[np.bool_]) -> None:
        """Say that these games, bool [n], need not be stepped from now on; ours cost too little to be left out."""

    def get_state(self) -> dict[str, NDArray[Any]]:
        """Return all that the future depends on, as plain arrays: `set_state` goes on exactly from here."""
        return {
            "states": self._states[: self.num_envs].copy().view(np.uint8).reshape(self.num_envs, -1),
            "elapsed": self._elapsed.copy(),
            "over": self.over.copy(),
        }

    def set_state(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what `get_state` returned, for a game of the same kind and number.

        Raises:
            ValueError: if the arrays do not fit.
        """
        mine = self.get_state()
        if state.keys() != mine.keys():
            raise ValueError(f"the saved games must hold {', '.join(mine)}, not {', '.join(state)}")
        for name, value in mine.items():
            if state[name].shape != value.shape or state[name].dtype != value.dtype:
                was, wanted = (f"{array.dtype} {list(array.shape)}" for array in (state[name], value))
                raise ValueError(f"the saved games do not fit: {name} must be {wanted}, not {was}")
        records = np.ascontiguousarray(state["states"])
        self._states[: self.num_envs] = records.reshape(-1).view(self._states.dtype)
        self._elapsed[:], self.over[:] = state["elapsed"], state["over"]
        self._seeded = True


def _count(name: str, value: Any) -> int:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
    return int(value)


def check_actions(actions: Any, games: int, count: int) -> NDArray[np.int64]:
    """Return actions as int64 [games].

    Raises:
        ValueError: if they are not as many integers, or not all from 0 to count - 1.
    """
    given = np.asarray(actions)
    if given.shape != (games,) or given.dtype.kind not in "iu":
        raise ValueError(f"actions must be {games} integers, not {given.dtype} {list(given.shape)}")
    if given.min() < 0 or given.max() >= count:
        raise ValueError(f"actions must be within 0 and {count - 1}, not {given.min()} .. {given.max()}")
    return given.astype(np.int64)


def check_look(names: Iterable[str]) -> None:
    """Check what a user calls a part of a look, before it is taken for another argument of `GameVectorEnv`.

    Raises:
        ValueError: if it is one.
    """
    for name in set(names) & inspect.signature(GameVectorEnv).parameters.keys():
        raise ValueError(f"--env-arg sets the game's look, which {name} is no part of")


# Painting and reducing take a good part of a second, so envs of one look share their sheets.


@lru_cache(maxsize=8)
def _sprites(game: Game, **look: Any) -> Sequence[Sprite]:
    return game.sprites(**look)


@lru_cache(maxsize=16)
def _sheet(game: Game, size: tuple[int, int], channels: int, **look: Any) -> Sheet:
    return make_sheet(_sprites(game, **look), (game.width, game.height), size, channels)
