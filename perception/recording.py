"""Playing and writing: how a dataset's folder is made, see `perception.dataset`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from envs import GameVectorEnv
from envs.stack import FrameStack
from experiment import files, machine
from experiment.errors import UserError, explain
from experiment.progress import Progress
from perception.dataset import ABOUT, FORMAT, SPLITS, VERSION, row_dtype, sha256_of_about, sha256_of_file

PATTERN = np.array([0] * 8 + [1, 2])  # the splits of ten successive episodes, shuffled anew for every ten
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
    """A player, as `record` needs it.

    Attributes:
        frames: how many frames it looks at.
    """

    frames: int

    def __call__(self, stacks: NDArray[np.uint8], first: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Choose actions [n] for stacks [n, frames, height, width]; `first` marks games whose episode begins."""


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
        policy: the player, fresh.
        pictures: stop after so many rows; episodes that are under way are cut there.
        seed: of the games, and of the order in which episodes go to the splits.
        about: what is played (env, preset, frame_skip, look) and by whom, for dataset.json.
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
        head = {"format": FORMAT, "version": VERSION, "sha256": sha256_of_about(about)}
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
        # Episodes that are under way now are cut: their last row has no action, and the one before it is truncated.
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
        self._order: list[int] = [2, 1, 0]  # the first three episodes go to one split each

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
        known.append({"name": path.name, "rows": len(rows), "sha256": sha256_of_file(path)})
        self._waiting[name] = []
