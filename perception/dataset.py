"""Frames with free labels: episodes on disk as the games' numbers, drawn again when they are wanted.

    data/flappy/
        dataset.json           what was played and how, and the SHA-256 of every file and of all this
        train-000.npy ...      structured arrays, a row for each observation; also validation and test

A row holds the numbers that the picture is drawn from (`state`), the action then taken (`action`, -1 in an episode's
last row), its outcome (`reward`, `terminated`, `truncated`), the row's `episode` and its place in it (`step`). Frames
and boxes are drawn from the numbers, bit for bit as they were seen, or in another look: a row takes a seventieth of
its frame's room, and labels can't drift from pixels. Episodes are whole: no stack and no pair of rows crosses two.
"""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs import GAMES, Game, GameVectorEnv, registry
from envs.guest import names_code
from experiment.errors import UserError, explain
from perception import labels
from perception.encoder import STATES, EncoderSpec

ABOUT = "dataset.json"
FORMAT, VERSION = "wingbeat dataset", 1
SPLITS = ("train", "validation", "test")


def row_dtype(game: Game) -> np.dtype[Any]:
    """Lay out a row; see this module's text."""
    fields: list[Any] = [("state", game.scene_dtype), ("reward", np.float32), ("episode", np.int32), ("step", np.int32)]
    fields += [("action", np.int16), ("terminated", np.bool_), ("truncated", np.bool_)]
    return np.dtype(fields, align=True)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_about(about: dict[str, Any]) -> str:
    """Return the SHA-256 of what dataset.json says, but for its format, its version and the SHA-256 itself."""
    rest = {key: value for key, value in about.items() if key not in ("format", "version", "sha256")}
    return hashlib.sha256(json.dumps(rest).encode()).hexdigest()


class Dataset:
    """A dataset's folder, checked to the last byte.

    Attributes:
        about: dataset.json.
        envs: draws its frames.
        look: the look that they are drawn in.
        frames: in a stack.
        splits: "train", "validation" and "test".

    Args:
        path: the folder.
        frames: frames in a stack.
        look: the look to draw frames in, as {"theme": "night"}; None for the one it was played in.
        env: the game, if the user has named it. One that is code of the user's own is imported only then.

    Raises:
        UserError: if the folder is missing, damaged, of a newer format, of another game or of another version of it.
    """

    def __init__(self, path: Path, frames: int = 2, look: dict[str, Any] | None = None, env: str | None = None) -> None:
        self.path, self.frames, self.about = path, frames, _read_about(path)
        about = self.about
        try:
            self.game, preset = find(about["env"], env, path), about["preset"]
            size = about["size"][0], about["size"][1]
            self.look: dict[str, Any] = about["look"] if look is None else look
            self.envs = GameVectorEnv(self.game, 1, preset, int(about["frame_skip"]), size, **self.look)
            shards = {name: [self._shard(file) for file in about["splits"][name]["files"]] for name in SPLITS}
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            raise UserError(f"{path / ABOUT} does not describe a dataset of this version ({error!r})") from error
        except (ValueError, MemoryError) as error:
            raise UserError(f"the dataset {path} can't be drawn: {error}") from error
        for name, arrays in shards.items():
            if not any(map(len, arrays)):
                raise UserError(f"{path / ABOUT} names no pictures for {name}; record the dataset anew")
        self.splits = {name: Split(self, arrays) for name, arrays in shards.items()}

    @property
    def fingerprint(self) -> str:
        """A hash of all that was played and how it looks: the same for the same pictures, wherever recorded."""
        files = [file["sha256"] for name in SPLITS for file in self.about["splits"][name]["files"]]
        known = [self.about[key] for key in ("env", "preset", "frame_skip", "look", "size")]
        return hashlib.sha256(json.dumps([*known, *files], sort_keys=True).encode()).hexdigest()

    @property
    def actions(self) -> int:
        """Number of actions of the game."""
        return len(self.game.actions)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What the numbers are called; see `perception.labels`."""
        return tuple(labels.numbers(self.game, self.envs.preset, np.zeros(1, self.game.scene_dtype)))

    def check(self, spec: EncoderSpec) -> None:
        """Check that an encoder takes these pictures.

        Raises:
            UserError: if it takes others.
        """
        mine, wanted = [self.frames, *self.about["size"]], [spec.frames, spec.height, spec.width]
        if mine != wanted or spec.network in STATES:
            raise UserError(f"the encoder takes pictures [frames, height, width] of {wanted}; {self.path} has {mine}")

    def _shard(self, file: dict[str, Any]) -> NDArray[Any]:
        path = self.path / Path(file["name"]).name
        with explain(f"read {path}"):
            if sha256_of_file(path) != file["sha256"]:
                raise UserError(f"{path} is damaged: its SHA-256 does not match; record the dataset anew")
            rows: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if rows.dtype != row_dtype(self.game) or rows.ndim != 1:
            raise UserError(f"{path} holds the numbers of another version of the game; record the dataset anew")
        return rows


def find(env_id: str, named: str | None, path: Path) -> Game:
    """Return the game that a dataset is of.

    Args:
        env_id: the game's name in the dataset.
        named: the game's name as the user has given it, if at all.
        path: the dataset.

    Raises:
        UserError: if they differ, there is no such game, or it is code that the user has not named.
    """
    if named not in (None, env_id):
        raise UserError(f"{path} is of {env_id}, not of {named}")
    if names_code(env_id) and named is None and env_id not in GAMES:
        raise UserError(f"{path} is of {env_id}, and a dataset imports no code; if you trust it, add --env {env_id}")
    try:
        game = registry.find(env_id)
    except ValueError as error:
        raise UserError(str(error)) from error
    if game is None:
        raise UserError(f"{path} is of {env_id}, a game that is not installed here")
    return game


def _read_about(path: Path) -> dict[str, Any]:
    if not (path / ABOUT).is_file():
        raise UserError(f"{path} is not a dataset: it has no {ABOUT}; make one with python train.py dataset")
    with explain(f"read {path / ABOUT}"):
        text = (path / ABOUT).read_bytes()
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path / ABOUT} is damaged (not JSON: {error}); record the dataset anew") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("version"), int):
        raise UserError(f"{path / ABOUT} does not describe a dataset; record it anew")
    if about["version"] > VERSION:
        raise UserError(
            f"{path / ABOUT} has format {about['version']} and this Wingbeat reads up to {VERSION}; update Wingbeat"
        )
    if about.get("sha256", sha256_of_about(about)) != sha256_of_about(about):  # the first datasets have none
        raise UserError(f"{path / ABOUT} is damaged: its SHA-256 does not match; record the dataset anew")
    return about


class Split:
    """Rows for one purpose: training, validation or test. Whole episodes, one after the other."""

    def __init__(self, data: Dataset, shards: list[NDArray[Any]]) -> None:
        self.data, self._shards = data, shards
        self._starts = np.cumsum([0, *map(len, shards)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """Copy rows [len(index)]."""
        rows = np.empty(len(index), row_dtype(self.data.game))
        shard = np.searchsorted(self._starts, index, side="right") - 1
        for number in np.unique(shard):
            here = shard == number
            rows[here] = self._shards[number][index[here] - self._starts[number]]
        return rows

    @cached_property
    def numbers(self) -> NDArray[np.float32]:
        """All numbers of all rows, [rows, len(names)], NaN where no picture shows them."""
        game, preset = self.data.game, self.data.envs.preset
        parts = [np.ascontiguousarray(shard["state"]).view(game.scene_dtype) for shard in self._shards]
        over = np.concatenate([[False], *(shard["terminated"] for shard in self._shards)])[:-1]  # by the row before
        known = labels.numbers(game, preset, np.concatenate(parts), over)
        return np.stack([known[name] for name in self.data.names], 1)

    @cached_property
    def last(self) -> NDArray[np.int64]:
        """The last row of each row's episode, int64 [rows]."""
        ends = np.concatenate([shard["action"] < 0 for shard in self._shards])
        last: NDArray[np.int64] = np.flatnonzero(ends)[np.cumsum(ends) - ends]
        return last

    def batch(self, index: NDArray[np.int64]) -> "Batch":
        """Return some rows."""
        return Batch(self, index)

    def sample(self, count: int, rng: np.random.Generator) -> "Batch":
        """Return rows drawn at random, in random order; each at most once."""
        return self.batch(rng.choice(len(self), min(count, len(self)), replace=False))


class Batch:
    """Some rows of a split; their pictures are drawn when they are asked for.

    Attributes:
        index: which rows, int64 [batch].
        rows: their numbers; see `row_dtype`.
    """

    def __init__(self, split: Split, index: NDArray[np.int64]) -> None:
        self.split, self.index, self.rows = split, index, split.take(index)

    def __len__(self) -> int:
        return len(self.index)

    @cached_property
    def observations(self) -> Tensor:
        """Stacks, uint8 [batch, frames, height, width]; an episode's first frame fills those before it."""
        frames = self.split.data.frames
        back = np.minimum(np.arange(frames - 1, -1, -1), self.rows["step"][:, None])  # [batch, frames]
        drawn = self._draw((self.index[:, None] - back).reshape(-1))
        return torch.from_numpy(drawn).view(len(self), frames, *drawn.shape[2:])

    @cached_property
    def boxes(self) -> Tensor:
        """Every sprite's (label, x, y, width, height) in screen pixels, int16 [batch, max_sprites, 5]; -1 unused."""
        boxes = np.empty((len(self), self.split.data.game.max_sprites, 5), np.int16)
        self._draw(self.index, boxes)
        return torch.from_numpy(boxes)

    @property
    def numbers(self) -> Tensor:
        """The numbers, float32 [batch, len(names)], NaN where no picture shows them."""
        return torch.from_numpy(self.split.numbers[self.index])

    @property
    def actions(self) -> Tensor:
        """What was done, int64 [batch]; -1 in an episode's last row."""
        return torch.from_numpy(self.rows["action"].astype(np.int64))

    def later(self, steps: int) -> "Batch":
        """Return the rows `steps` later, at most each episode's last."""
        return self.split.batch(np.minimum(self.index + steps, self.split.last[self.index]))

    def lasts(self, steps: int) -> NDArray[np.bool_]:
        """Which rows have one `steps` later in their episode, bool [batch]."""
        return self.split.last[self.index] - self.index >= steps

    def _draw(self, index: NDArray[np.int64], boxes: NDArray[np.int16] | None = None) -> NDArray[np.uint8]:
        envs = self.split.data.envs
        records = np.ascontiguousarray(self.split.take(index)["state"]).view(envs.game.scene_dtype)
        frames = np.empty((len(index), *(envs.single_observation_space.shape or ())), np.uint8)
        envs.draw(records, frames, boxes)
        return frames
