"""Frames with free labels: episodes on disk as the games' numbers, drawn again when they are wanted.

    data/flappy/
        dataset.json           what was played and how, and the SHA-256 of every file and of all this
        train-000.npy ...      structured arrays, a row for each observation; also validation and test

A row holds the numbers that the picture is drawn from (`state`), what was then done (`action`, -1 in an episode's
last row), what came of it (`reward`, `terminated`, `truncated`), its `episode` and its place in it (`step`). Frames
and boxes are drawn from the numbers, bit for bit as they were seen, or in another look: a row takes a seventieth of
its frame's room, and labels can't drift from pixels. Episodes are whole: no stack and no pair of rows crosses two.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from envs import GAMES, Game, GameVectorEnv, registry
from envs.guest import names_code
from envs.stack import FrameStack
from experiment import files, machine
from experiment.errors import UserError, explain
from experiment.progress import Progress
from perception import labels
from perception.encoder import STATES, EncoderSpec

ABOUT = "dataset.json"
FORMAT, VERSION = "wingbeat dataset", 1
SPLITS = ("train", "validation", "test")
PATTERN = np.array([0] * 8 + [1, 2])  # of ten episodes that follow each other, in an order of their own
SHARD_ROWS = 100_000


@dataclass
class DatasetConfig:
    """How much is played."""

    pictures: int = 200_000
    """observations, over all games, about"""
    games: int = 64
    """games played at once"""
    longest: int = 1000
    """decisions after which an episode is cut off"""


class RecordingPolicy(Protocol):
    """Who plays.

    Attributes:
        frames: how many frames it looks at.
    """

    frames: int

    def __call__(self, stacks: NDArray[np.uint8], first: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Choose actions [n] for stacks [n, frames, height, width]; `first` marks games whose episode begins."""


def row_dtype(game: Game) -> np.dtype[Any]:
    """Lay out a row; see this module's text."""
    fields: list[Any] = [("state", game.scene_dtype), ("reward", np.float32), ("episode", np.int32), ("step", np.int32)]
    fields += [("action", np.int16), ("terminated", np.bool_), ("truncated", np.bool_)]
    return np.dtype(fields, align=True)


def record(
    path: Path,
    envs: GameVectorEnv,
    policy: RecordingPolicy,
    pictures: int,
    seed: int,
    about: dict[str, Any],
    quiet: bool = False,
) -> None:
    """Play and write a dataset's folder, whole or not at all. The same arguments give the same rows.

    Args:
        path: the folder, which must not exist.
        envs: the games, fresh; where they truncate, episodes are cut.
        policy: who plays, fresh.
        pictures: stop after so many rows; what is under way is cut there.
        seed: of the games, and of which episode goes where.
        about: of what is played (env, preset, frame_skip, look) and by whom; what JSON can hold.
        quiet: no progress line.

    Raises:
        UserError: if the folder is taken, the disk refuses, or there are too few episodes to split.
    """
    if path.exists():
        raise UserError(f"{path} exists already and would be lost; choose another folder")
    with explain(f"write the dataset {path}"), files.making_folder(path) as folder:
        writer = _Writer(folder, row_dtype(envs.game), seed)
        with Progress(pictures, quiet=quiet) as progress:
            for rows in _episodes(envs, policy, pictures, seed):
                writer.add(rows)
                progress.update(writer.rows)
        splits = writer.finish()
        empty = [name for name in SPLITS if not splits[name]["pictures"]]
        if empty:
            raise UserError(
                f"{writer.episodes} episodes are too few for training, validation and test; "
                "ask for more --pictures, or cut episodes off earlier with --longest"
            )
        size = list(envs.single_observation_space.shape or ())[1:]
        about = {**about, "size": size, "seed": seed, "splits": splits, "made": machine.describe()}
        head = {"format": FORMAT, "version": VERSION, "sha256": _sha256_of(about)}
        files.write(folder / ABOUT, json.dumps({**head, **about}, indent=2) + "\n")


def _episodes(envs: GameVectorEnv, policy: RecordingPolicy, pictures: int, seed: int) -> Any:
    """Play; yields each episode's rows [length] when it has ended."""
    dtype, n = row_dtype(envs.game), envs.num_envs
    observations, info = envs.reset(seed=seed)
    stack, first = FrameStack(policy.frames, observations), np.ones(n, np.bool_)
    playing: list[list[Any]] = [[] for _ in range(n)]
    done = 0
    while True:
        last = envs.over.copy()  # the next step only resets these games
        rows = np.zeros(n, dtype)
        rows["state"], rows["step"] = envs.game.visible(info["state"]), [len(episode) for episode in playing]
        actions = policy(stack.stacks, first)
        # What ends here is cut: its last row has no action, and the one before it is marked.
        enough = done + sum(map(len, playing)) + n >= pictures
        if not enough:
            observations, reward, terminated, truncated, info = envs.step(actions)
            rows["action"], rows["reward"] = actions, reward
            rows["terminated"], rows["truncated"] = terminated, truncated
            first = last
            stack.push(observations, first)
        rows["action"][last | enough] = -1
        for i, episode in enumerate(playing):
            episode.append(rows[i])
            if last[i] or enough:
                if not last[i] and len(episode) > 1:
                    episode[-2]["truncated"] = True
                if len(episode) > 1:
                    yield np.array(episode, dtype)
                    done += len(episode)
                playing[i] = []
        if enough:
            return


class _Writer:
    """Deals episodes out to the splits and writes their files."""

    def __init__(self, folder: Path, dtype: np.dtype[Any], seed: int) -> None:
        self.rows = self.episodes = 0
        self._folder, self._dtype, self._rng = folder, dtype, np.random.default_rng(seed)
        self._waiting: dict[str, list[NDArray[Any]]] = {name: [] for name in SPLITS}
        self._splits: dict[str, Any] = {name: {"pictures": 0, "episodes": 0, "files": []} for name in SPLITS}
        self._order: list[int] = [2, 1, 0]  # so that few episodes, too, are in all

    def add(self, rows: NDArray[Any]) -> None:
        self._order = self._order or self._rng.permutation(PATTERN).tolist()
        name = SPLITS[self._order.pop()]
        rows["episode"] = self.episodes
        self.rows, self.episodes = self.rows + len(rows), self.episodes + 1
        self._splits[name]["pictures"] += len(rows)
        self._splits[name]["episodes"] += 1
        self._waiting[name].append(rows)
        if sum(map(len, self._waiting[name])) >= SHARD_ROWS:
            self._write(name)

    def finish(self) -> dict[str, Any]:
        for name in SPLITS:
            if self._waiting[name]:
                self._write(name)
        return self._splits

    def _write(self, name: str) -> None:
        known = self._splits[name]["files"]
        path = self._folder / f"{name}-{len(known):03d}.npy"
        rows = np.concatenate(self._waiting[name])
        np.save(path, rows, allow_pickle=False)
        files.sync(path)
        known.append({"name": path.name, "rows": len(rows), "sha256": _sha256(path)})
        self._waiting[name] = []


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of(about: dict[str, Any]) -> str:
    rest = {key: value for key, value in about.items() if key not in ("format", "version", "sha256")}
    return hashlib.sha256(json.dumps(rest).encode()).hexdigest()


class Dataset:
    """A dataset's folder, checked to the last byte.

    Attributes:
        about: dataset.json.
        envs: draws its frames.
        look: in which they are drawn.
        frames: in a stack.
        splits: "train", "validation" and "test".

    Args:
        path: the folder.
        frames: frames in a stack.
        look: in which frames are drawn, as {"theme": "night"}; None for how it was played.
        env: the game, as the user names it: one that is code of the user's own is imported for no other reason.

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
        """Of all that was played, and how it looks: the same for the same pictures, wherever they were recorded."""
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
            if _sha256(path) != file["sha256"]:
                raise UserError(f"{path} is damaged: its SHA-256 does not match; record the dataset anew")
            rows: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if rows.dtype != row_dtype(self.game) or rows.ndim != 1:
            raise UserError(f"{path} holds the numbers of another version of the game; record the dataset anew")
        return rows


def find(env_id: str, named: str | None, path: Path) -> Game:
    """Return the game that a dataset is of.

    Args:
        env_id: as the dataset says it.
        named: as the user does, if at all.
        path: the dataset.

    Raises:
        UserError: if they differ, nobody knows it, or it is code that the user has not named.
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
    if about.get("sha256", _sha256_of(about)) != _sha256_of(about):  # the first datasets have none
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
    """Some rows of a split; what is asked for is drawn then.

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
