"""What is drawn from a dataset is what was seen, its numbers are what they should be, and damage is noticed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from envs import FLAPPY_BIRD, GAMES, GameVectorEnv
from experiment.errors import UserError
from perception.dataset import Dataset, row_dtype
from perception.labels import frames_left, numbers
from tests.perception.recording import Chance, record_flappy


def test_many_files_are_read_as_one(
    recorded: tuple[Path, Chance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perception.recording.SHARD_ROWS", 100)
    record_flappy(tmp_path / "many", max_frames=50)
    assert len(list((tmp_path / "many").glob("train-*.npy"))) > 5
    one, many = Dataset(recorded[0]), Dataset(tmp_path / "many")
    order = np.random.default_rng(0).permutation(len(one.splits["train"]))
    batches = [data.splits["train"].batch(order) for data in (one, many)]
    assert batches[0].rows.tobytes() == batches[1].rows.tobytes()
    assert torch.equal(batches[0].observations, batches[1].observations)
    assert torch.equal(batches[0].later(3).observations, batches[1].later(3).observations)


def test_later_stays_within_the_episode(recorded: tuple[Path, Chance]) -> None:
    split = Dataset(recorded[0]).splits["train"]
    batch = split.batch(np.arange(len(split)))
    later = batch.later(4)
    assert (later.rows["episode"] == batch.rows["episode"]).all()
    steps = later.rows["step"] - batch.rows["step"]
    assert (steps[later.rows["action"] >= 0] == 4).all()
    assert ((steps <= 4) & (steps >= 0)).all()
    assert (later.rows["action"][steps < 4] == -1).all()


def test_another_look_changes_pictures_and_no_label(recorded: tuple[Path, Chance]) -> None:
    day, night = Dataset(recorded[0]), Dataset(recorded[0], look={"theme": "night"})
    one, other = (data.splits["test"].batch(np.arange(20)) for data in (day, night))
    assert (one.observations != other.observations).float().mean() > 0.5
    assert torch.equal(one.boxes, other.boxes)
    assert torch.equal(one.numbers.nan_to_num(-1), other.numbers.nan_to_num(-1))


def test_boxes_are_those_of_info() -> None:
    """As the games give them while they are played."""
    envs = GameVectorEnv(FLAPPY_BIRD, 8, frame_skip=2)
    _, info = envs.reset(seed=0)
    for t in range(20):
        *_, info = envs.step((np.arange(8) * t % 7 == 0).astype(np.int64))
    boxes = np.full_like(info["boxes"], 99)
    envs.draw(FLAPPY_BIRD.visible(info["state"]), np.empty((8, 1, 84, 84), np.uint8), boxes)
    assert (boxes == info["boxes"]).all()
    with pytest.raises(ValueError, match=r"boxes must be C-contiguous int16 \[8, 9, 5\]"):
        envs.draw(FLAPPY_BIRD.visible(info["state"]), np.empty((8, 1, 84, 84), np.uint8), boxes[:, :3])


def test_facts_of_flappy_bird_by_hand() -> None:
    """The pipe at 4 has its right edge at 56, one short of the bird's left one: the next is the one ahead."""
    records = np.zeros(4, FLAPPY_BIRD.scene_dtype)
    records["y"], records["velocity"] = [100, -30, 200, 300], [-9, 1, 2, 3]
    records["pipe_x"] = [[4, 148, 292], [6, 150, 294], [288, 432, 576], [200, 344, 488]]
    records["gap_y"] = [[90, 110, 130]] * 4
    known = numbers(FLAPPY_BIRD, "classic", records)
    nan = np.nan
    expected = {
        "y": [100, nan, 200, 300],
        "velocity": [-9, nan, 2, 3],
        "pipe_x": [148, 6, nan, 200],
        "gap_y": [110, 90, nan, 90],
        "next_pipe_x": [nan, 150, nan, nan],
        "next_gap_y": [nan, 110, nan, nan],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(known[name], np.array(values, np.float32), name)
    assert list(known) == [*expected, "impact"]


def test_the_time_to_impact_by_hand() -> None:
    """Falling 10 a frame from 300, the bird's bottom passes 404 on the frame in which 324 + 10 k >= 404: the eighth."""
    records = np.zeros(2, FLAPPY_BIRD.scene_dtype)
    records["y"], records["velocity"] = 300, [10, 9]
    records["pipe_x"] = [[288, 432, 576], [91, 235, 379]]  # the second touches its pipe in the next frame
    records["gap_y"] = [[90, 110, 130]] * 2
    assert frames_left(FLAPPY_BIRD, "classic", records).tolist() == [8, 1]


def test_the_time_to_impact_is_told_where_chance_does_not_decide_it() -> None:
    """A fruit 70 pixels above where it is lost falls 6 a frame: lost after 12, or caught, and then another one comes.

    That one may fall where the basket is or not. Ten questions are ten, whatever is asked.
    """
    from envs.games.catch import CATCH
    from tests.agents.games import IDENTITY

    records = np.zeros(2, CATCH.scene_dtype)
    records["basket_x"], records["fruit_x"], records["fruit_y"], records["fall"] = 136, [0, 154], 200, 6
    np.testing.assert_array_equal(frames_left(CATCH, "classic", records), [12, np.nan])
    questions = np.zeros(3, IDENTITY.scene_dtype)
    questions["clock"] = [0, 4, 9]
    assert frames_left(IDENTITY, "only", questions).tolist() == [10, 6, 1]


def test_the_time_to_impact_is_none_once_it_has_come(recorded: tuple[Path, Chance]) -> None:
    """In the last picture of an episode that ended by itself; one that was cut off goes on as it would have."""
    data = Dataset(recorded[0])
    split, k = data.splits["train"], data.names.index("impact")
    rows = split.take(np.arange(len(split)))
    last = np.flatnonzero(rows["action"] < 0)
    crashed = rows["terminated"][last - 1]
    assert 0 < crashed.sum() < len(last)
    assert (split.numbers[last[crashed], k] == 0).all()
    others = np.setdiff1d(np.arange(len(split)), last[crashed])
    states = np.ascontiguousarray(rows["state"][others]).view(FLAPPY_BIRD.scene_dtype)
    expected = frames_left(FLAPPY_BIRD, "classic", states)
    assert expected.min() == 1
    np.testing.assert_array_equal(split.numbers[others, k], expected)


def test_a_game_without_facts_tells_all_its_numbers() -> None:
    from tests.agents.games import CATCH, STILL

    records = np.zeros(3, CATCH.scene_dtype)
    records["ball_y"], records["paddle"] = [0, 3, 4], [1, 2, 3]
    known = numbers(CATCH, "only", records)
    assert list(known) == ["ball_x", "ball_y", "paddle", "score", "impact"]
    assert known["paddle"].tolist() == [1, 2, 3]
    assert known["impact"].tolist() == [5, 2, 1]  # the ball is out in the sixth row, 5
    assert np.isnan(numbers(STILL, "only", np.zeros(2, STILL.scene_dtype))["impact"]).all()


def spoil(path: Path, **changes: object) -> None:
    """Change dataset.json, and leave no hash in it, as the first datasets had none."""
    about = json.loads((path / "dataset.json").read_text())
    about.pop("sha256", None)
    (path / "dataset.json").write_text(json.dumps({**about, **changes}))


def test_damage_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "data"
    record_flappy(path, pictures=600)
    whole = {file: file.read_bytes() for file in path.iterdir()}
    fingerprint = Dataset(path).fingerprint
    train, about = path / "train-000.npy", path / "dataset.json"

    def refused(words: str) -> None:
        with pytest.raises(UserError, match=words) as caught:
            Dataset(path)
        assert "\n" not in str(caught.value)
        for file, content in whole.items():
            file.write_bytes(content)

    data = bytearray(whole[train])
    data[-7] ^= 1
    train.write_bytes(data)
    refused("train-000.npy is damaged: its SHA-256")
    train.unlink()
    refused("cannot read .*train-000.npy")
    about.write_text("{")
    refused("is damaged")
    about.write_text('{"format": "something"}')
    refused("does not describe a dataset")
    spoil(path, version=2)
    refused("update Wingbeat")
    spoil(path, env="wingbeat/Chess-v0")
    refused("wingbeat/Chess-v0")
    spoil(path, splits={})
    refused("train")
    spoil(path, look={"theme": "noon"})
    refused("noon")
    spoil(path, splits=[1])
    refused("does not describe a dataset of this version")
    splits = json.loads(whole[about])["splits"]
    spoil(path, splits={**splits, "test": {"pictures": 0, "episodes": 0, "files": []}})
    refused("no pictures for test")
    for size in ([1 << 24, 1 << 24], [1 << 70, 84], [84], 84, [0, 84], {}):  # the first is more than any machine has
        spoil(path, size=size)
        refused("can't be drawn|does not describe")
    spoil(path, frame_skip=float("inf"))
    refused("does not describe")
    about.write_bytes(whole[about].replace(b'"classic"', b'"head2023"'))
    refused("dataset.json is damaged: its SHA-256")
    spoil(path)
    assert Dataset(path).fingerprint == fingerprint
    about.write_bytes(whole[about])
    about.unlink()
    refused("is not a dataset")


def test_rows_of_another_version_of_the_game_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from envs import GAMES

    record_flappy(tmp_path / "data", pictures=600)
    other = replace(FLAPPY_BIRD, fields=[*FLAPPY_BIRD.fields, ("wind", np.float64)])
    assert row_dtype(other) != row_dtype(FLAPPY_BIRD)
    monkeypatch.setitem(GAMES, "wingbeat/FlappyBird-v0", other)
    with pytest.raises(UserError, match="another version of the game"):
        Dataset(tmp_path / "data")


def test_samples_are_in_random_order(recorded: tuple[Path, Chance]) -> None:
    """So that a part of a sample is one, too."""
    split = Dataset(recorded[0]).splits["train"]
    index = split.sample(len(split), np.random.default_rng(0)).index
    assert np.array_equal(np.sort(index), np.arange(len(split)))
    assert abs(np.corrcoef(index, np.arange(len(split)))[0, 1]) < 0.2


def test_a_game_of_ones_own_is_imported_only_if_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "envs.games.catch:CATCH"
    record_flappy(tmp_path / "data", pictures=600)
    spoil(tmp_path / "data", env=name)
    monkeypatch.delitem(GAMES, name, raising=False)
    for named, message in (
        (None, f"imports no code; if you trust it, add --env {name}"),
        ("os:path", "not of os:path"),
    ):
        with pytest.raises(UserError, match=message):
            Dataset(tmp_path / "data", env=named)
        assert name not in GAMES
    with pytest.raises(UserError, match="another version of the game"):  # Catch's numbers are not these
        Dataset(tmp_path / "data", look={}, env=name)
    del GAMES[name]
    spoil(tmp_path / "data", env="maze/Maze-v7")
    with pytest.raises(UserError, match="a game that is not installed here"):
        Dataset(tmp_path / "data")
