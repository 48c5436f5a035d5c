"""What is recorded is what was played."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from envs import FLAPPY_BIRD, GameVectorEnv
from experiment.errors import UserError
from perception.dataset import SPLITS, Dataset
from perception.recording import record
from tests.perception.recording import Chance, record_flappy


def everything(data: Dataset) -> np.ndarray:
    """All rows of all splits, in the order of their episodes."""
    rows = np.concatenate([split.take(np.arange(len(split))) for split in data.splits.values()])
    return rows[np.lexsort((rows["step"], rows["episode"]))]


def test_every_observation_is_there_once(recorded: tuple[Path, Chance]) -> None:
    """Stacks are matched with what the policy was shown: as often, with the same action, none across episodes."""
    path, policy = recorded
    data = Dataset(path, 2)
    shown: dict[bytes, int] = {}
    for stacks, _ in policy.seen:
        for stack in stacks:
            shown[stack.tobytes()] = shown.get(stack.tobytes(), 0) + 1
    count = 0
    for split in data.splits.values():
        observations = split.batch(np.arange(len(split))).observations.numpy()
        for stack in observations:
            shown[stack.tobytes()] -= 1
        count += len(observations)
    assert count >= 1490
    assert min(shown.values()) == 0
    assert sum(shown.values()) <= 6  # of episodes that had just begun when enough was played


def test_rows_are_what_the_game_says(recorded: tuple[Path, Chance]) -> None:
    """Each row's state, reward and end follow from the row before by the rules, replayed in a game of its own."""
    rows = everything(Dataset(recorded[0]))
    assert len(np.unique(rows["episode"])) > 20
    endings = set()
    envs = GameVectorEnv(FLAPPY_BIRD, 1, frame_skip=2)
    envs.reset(seed=0)
    state = envs.get_state()
    for episode in np.unique(rows["episode"]):
        mine = rows[rows["episode"] == episode]
        assert mine["step"].tolist() == list(range(len(mine)))
        assert mine["action"][-1] == -1
        assert set(mine["action"][:-1]) <= {0, 1}
        assert mine["state"]["frame"][0] == 0
        full = np.zeros(1, FLAPPY_BIRD.state_dtype)
        for name in FLAPPY_BIRD.scene_dtype.names:
            full[name] = mine["state"][name][0]
        envs.set_state({**state, "states": full.view(np.uint8).reshape(1, -1)})
        for row, after in itertools.pairwise(mine):
            reward, terminated, _, info = envs.advance([int(row["action"])])
            assert row["reward"] == pytest.approx(reward[0])
            assert row["terminated"] == terminated[0]
            assert info["state"]["y"][0] == after["state"]["y"]
            assert info["state"]["pipe_x"][0, 0] == after["state"]["pipe_x"][0]
        ends = mine["terminated"] | mine["truncated"]
        assert ends.tolist() == [False] * (len(mine) - 2) + [True, False]
        endings.add((bool(mine["terminated"][-2]), bool(mine["truncated"][-2])))
        assert len(mine) <= 26  # 50 frames are 25 decisions
    assert endings == {(True, False), (False, True)}


def test_no_episode_is_in_two_splits(recorded: tuple[Path, Chance]) -> None:
    data = Dataset(recorded[0])
    sets = [set(split.take(np.arange(len(split)))["episode"].tolist()) for split in data.splits.values()]
    assert not sets[0] & sets[1] | sets[0] & sets[2] | sets[1] & sets[2]
    total = sum(map(len, sets))
    assert set().union(*sets) == set(range(total))
    assert len(sets[0]) == pytest.approx(0.8 * total, abs=3)
    for name, episodes in zip(SPLITS, sets, strict=True):
        assert data.about["splits"][name]["episodes"] == len(episodes)


def test_a_seed_repeats_to_the_last_byte(recorded: tuple[Path, Chance], tmp_path: Path) -> None:
    record_flappy(tmp_path / "again", max_frames=50)
    record_flappy(tmp_path / "other", max_frames=50, seed=1)
    for path in recorded[0].glob("*.npy"):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
        assert path.read_bytes() != (tmp_path / "other" / path.name).read_bytes()


def test_nothing_is_left_of_what_can_not_be_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 episodes are too few"):
        record_flappy(tmp_path / "few", pictures=20, games=2)
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="taken exists already"):
        record_flappy(tmp_path / "taken")

    class Stops(Chance):
        def __call__(self, stacks: np.ndarray, first: np.ndarray) -> np.ndarray:
            if len(self.did) == 50:
                raise KeyboardInterrupt
            return super().__call__(stacks, first)

    envs = GameVectorEnv(FLAPPY_BIRD, 4)
    with pytest.raises(KeyboardInterrupt):
        record(tmp_path / "half", envs, Stops(2), 10_000, 0, {}, quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
