"""From pictures to an encoder to an agent, by the commands alone; and what is refused on the way."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import play
import train
from benchmarks import labels as few_labels
from commands.looks import looks_of
from commands.player import load_player
from experiment import checkpoint
from experiment.errors import UserError
from experiment.metrics import read_metrics
from perception import load_encoder
from perception import probe as probing
from perception.build import load_way
from perception.dataset import Dataset
from tests.commands.running import SHORT, TINY, refused

PLAYED = "--pictures 1500 --games 8 --longest 40 --quiet"
TRAINED = "--batch-size 64 --precision fp32 --threads 1 --quiet"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, a supervised encoder of it, and a random one with data of its own."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train.main(f"dataset --out data/flappy --seed 2 {PLAYED}".split()) == 0
        supervised = f"encoder-supervised --data data/flappy --frames 3 --total-steps 640 --out runs/sup {TRAINED}"
        assert train.main(supervised.split()) == 0
        assert train.main(f"encoder-random --out runs/random {PLAYED} {TRAINED.replace('--quiet', '')}".split()) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it all, as the current folder."""
    shutil.copytree(made, tmp_path / "made")
    monkeypatch.chdir(tmp_path / "made")
    return tmp_path / "made"


def test_a_dataset_says_what_it_is(folder: Path) -> None:
    about = Dataset(Path("data/flappy")).about
    assert about["env"] == "wingbeat/FlappyBird-v0"
    assert (about["preset"], about["frame_skip"], about["seed"], about["look"]) == ("classic", 2, 2, {})
    assert about["policy"] == {"policy": "leaning", "noise": 0.3}
    assert sum(split["pictures"] for split in about["splits"].values()) == pytest.approx(1500, abs=16)


def test_an_encoder_goes_to_an_agent_that_plays_without_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*TINY, *SHORT, "--total-steps", "256", "--encoder", "runs/sup", "--encoder-mode", "frozen", "--out", "run"]
    assert train.main(words) == 0
    assert "small for 3 frames, supervised on wingbeat/FlappyBird-v0, frozen" in capsys.readouterr().err
    encoder = load_encoder(Path("runs/sup")).state_dict()
    shutil.rmtree("runs")
    weights = checkpoint.load(Path("run/best"))[0]
    assert all((weights[f"average.encoder.{key}"] == value).all() for key, value in encoder.items())
    assert play.main(["run", "--headless", "--json", "--episodes", "2", "--score-cap", "1"]) == 0
    shutil.copytree("run", "copy", ignore=shutil.ignore_patterns(".lock"))  # the run is this process's own
    assert train.main(["--resume", "copy", "--total-steps", "320", "--quiet"]) == 0
    weights = checkpoint.load(checkpoint.latest(Path("copy")))[0]
    assert all((weights[f"network.encoder.{key}"] == value).all() for key, value in encoder.items())


@pytest.mark.parametrize(("way", "shape"), [("sup", (252, 252, 3)), ("vae", (84, 84, 3))])
def test_the_window_shows_what_an_encoder_tells(way: str, shape: tuple[int, ...], folder: Path) -> None:
    """As its own decoder draws it, from the weights that the agent has by now; and nothing once that run is gone.

    Whether the run or its encoder was named.
    """
    if way == "vae":
        assert train.main(f"encoder-vae --data data/flappy --total-steps 64 --out runs/vae {TRAINED}".split()) == 0
    short = [*TINY, "--total-steps", "64", "--evaluate-seconds", "0", "--out", "run", "--quiet"]
    assert train.main([*short, "--encoder", f"runs/{way}{'/encoder' if way == 'sup' else ''}"]) == 0
    player = load_player(Path("run"))
    for weight in player.policy.network.encoder.parameters():
        torch.nn.init.normal_(weight, std=0.3)  # so short a run has hardly changed them
    looks = looks_of(player.policy, player.settings.eyes.trained)
    stacks = Dataset(Path("data/flappy"), player.settings.frames).splits["test"].batch(np.arange(1)).observations
    picture = looks["eyes"](player.policy, stacks)
    assert picture is not None
    assert picture.shape == shape
    assert picture.dtype == np.uint8
    assert picture.std() > 5
    mine = load_way(Path("runs", way))[0]
    before = mine.retell(stacks)
    mine.encoder.load_state_dict(player.policy.network.encoder.state_dict())
    assert (mine.retell(stacks) == picture).all()
    if way == "vae":
        assert (before != picture).any()
    assert "eyes" not in looks_of(player.policy)
    shutil.rmtree(Path("runs", way))
    assert "eyes" not in looks_of(player.policy, player.settings.eyes.trained)


def test_a_run_goes_on(folder: Path) -> None:
    assert train.main(["--resume", "runs/sup", "--total-steps", "1280", "--quiet"]) == 0
    assert checkpoint.latest(Path("runs/sup")).name == "000001280"
    steps = [line["steps"] for line in read_metrics(Path("runs/sup/metrics.jsonl")) if "eval/loss" in line]
    assert steps == sorted(set(steps))
    assert {640, 1280} <= set(steps)


def test_a_run_whose_pictures_are_gone_says_so(folder: Path) -> None:
    shutil.rmtree("data")
    with pytest.raises(UserError, match="data/flappy is not a dataset"):
        train.main(["--resume", "runs/sup", "--total-steps", "1920", "--quiet"])


def test_probes_answer_with_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probing.main(["runs/sup", "--json", "--pictures", "3000"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["objective"] == "supervised"
    assert answer["data"] == "data/flappy"
    assert answer["r2"].keys() == answer["r2_random"].keys() >= {"y", "velocity", "gap_y", "impact"}
    assert answer["r2"]["pipe_x"] > 0.9
    assert probing.main(["runs/random", "--env-arg", "theme=night", "--pictures", "1000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["random", "random"]
    assert len(lines) == 1 + len(answer["r2"])


def test_probes_and_few_labels_are_of_the_pictures_it_learned_from(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the look it was trained in, unless told otherwise; and not of others that lie there by now."""
    config = Path("runs/sup/config.json")
    about = json.loads(config.read_text())
    about["config"]["look"] = ["theme=night"]
    config.write_text(json.dumps(about))
    seen: list[dict[str, str]] = []
    monkeypatch.setattr(probing, "probe", lambda encoder, data, pictures: seen.append(data.look) or {})
    told = {"trained": np.zeros(7), "fresh": np.zeros(7)}
    monkeypatch.setattr(few_labels, "compare", lambda encoder, data, *rest: seen.append(data.look) or told)
    for words in ("", "--env-arg theme=day", "--data data/flappy"):
        assert probing.main(["runs/sup", *words.split(), "--json"]) == 0
    assert few_labels.main(["runs/sup", "--labels", "20", "--seeds", "2"]) == 0
    # The probe has its control, and the labels two seeds, so each look comes twice.
    assert seen[::2] == seen[1::2] == [{"theme": "night"}, {"theme": "day"}, {}, {"theme": "night"}]
    about["config"]["fingerprint"] = "another's"
    config.write_text(json.dumps(about))
    refused(probing.main, "runs/sup", "was recorded anew")
    refused(few_labels.main, "runs/sup --labels 20", "was recorded anew")


WRONG = [
    ("encoder-supervised --data nowhere", "nowhere is not a dataset"),
    ("encoder-supervised --data data/flappy --env-arg theme=noon", "noon", "day, night"),
    ("encoder-supervised --data data/flappy --env-arg size=9", "the game's look, which size is no part of"),
    ("encoder-supervised --data data/flappy --env wingbeat/Catch-v0", "is of wingbeat/FlappyBird-v0, not of"),
    ("encoder-supervised --data data/flappy --pictures 10", "--pictures", "--data"),
    ("encoder-supervised --data data/flappy --preset head2023", "--preset"),
    ("encoder-supervised --data data/flappy --encoder mlp --out runs/x --precision fp32", "mlp", "states"),
    ("encoder-supervised --data data/flappy --encoder resnet --out runs/x --precision fp32", "resnet", "small"),
    ("encoder-supervised --data data/flappy --batch-size 99999 --out runs/x --precision fp32", "--batch-size"),
    ("encoder-supervised --data data/flappy --out runs/sup --precision fp32", "runs/sup exists already"),
    ("encoder-supervised --env CartPole-v1 --out runs/x --precision fp32", "CartPole-v1"),
    ("encoder-supervised --policy nobody --out runs/x --precision fp32", "--policy", "random, leaning"),
    ("encoder-supervised --frames 0", "--frames"),
    ("encoder-sleep", "encoder-supervised"),
    ("dataset", "--out"),
    ("dataset --out data/flappy", "data/flappy exists already"),
    ("dataset --out data/new --env CartPole-v1", "CartPole-v1"),
    ("dataset --out data/new --policy runs/sup", "an encoder's run"),
    ("dataset --out data/new --policy nobody", "--policy"),
    ("dataset --out data/new --noise 1.5", "--noise"),
    ("dataset --out data/new --pictures 40 --games 2 --longest 1000 --quiet", "too few", "--longest"),
    ("ppo --encoder runs/sup --frames 2 --precision fp32", "--frames 2", "has 3"),
    ("ppo --encoder runs/sup --encoder-lr 0 --precision fp32", "--encoder-lr"),
    ("ppo --encoder-mode frozen --precision fp32", "--encoder FOLDER"),
    ("sb3-ppo --encoder runs --precision fp32", "runs holds no encoder"),
    ("dqn --env CartPole-v1 --encoder runs/sup --precision fp32", "CartPole-v1"),
]


@pytest.mark.parametrize("case", WRONG, ids=[case[0] for case in WRONG])
def test_wrong_ways(case: tuple[str, ...], made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)  # nothing is changed, or the check fails
    refused(train.main, *case)


def test_wrong_probes(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    refused(probing.main, "nowhere", "nowhere holds no encoder")
    refused(probing.main, "runs/sup --data runs/sup", "is not a dataset")
    refused(probing.main, "runs/sup --pictures 0", "--pictures")
    refused(play.main, "runs/sup --headless", "an encoder's run", "--encoder runs/sup")


def test_a_trained_agent_can_play_the_data(folder: Path) -> None:
    words = [*TINY, "--total-steps", "64", "--evaluate-seconds", "0", "--out", "agent", "--quiet"]
    assert train.main(words) == 0
    assert train.main(f"dataset --out data/agent --policy agent --noise 1 {PLAYED}".split()) == 0
    rows = Dataset(Path("data/agent")).splits["train"].take(np.arange(500))
    assert set(rows["action"].tolist()) == {-1, 0, 1}
    with pytest.raises(UserError, match=r"--frame-skip 2, not .* --frame-skip 3"):
        train.main(f"dataset --out data/other --policy agent --frame-skip 3 {PLAYED}".split())
