"""The two commands: what is wrong ends in one line, and a run survives whatever happens to it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import psutil
import pytest
import torch

import play
import train
from experiment import checkpoint
from experiment.errors import UserError
from experiment.metrics import read_metrics

ROOT = Path(__file__).parents[1]
TINY = ["ppo", "--num-envs", "4", "--rollout-steps", "8", "--precision", "fp32", "--threads", "1", "--seed", "5"]
SHORT = ["--evaluate-episodes", "2", "--evaluate-cap", "1", "--final-episodes", "2", "--final-cap", "1"]
KEYS = {
    "env", "preset", "episodes", "seed", "score_mean", "score_median", "score_ci95", "score_cap", "reached_cap", "steps",
}  # fmt: skip


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def command(program: str, *arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, str(ROOT / program), *map(str, arguments)]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=100, check=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 256 steps, trained by the command."""
    folder = tmp_path_factory.mktemp("trained")
    done = command("train.py", *TINY, *SHORT, "--total-steps", 256, "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "warning" not in done.stderr.lower()
    assert [path.name for path in folder.iterdir()] == ["run"]
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that run to spoil, in the current folder."""
    shutil.copytree(trained, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return Path("run")


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def refused(main: Callable[[list[str]], int], arguments: str, *words: str) -> None:
    """The command must raise an error of one line that holds the words, and leave the current folder as it was."""
    before = everything(Path())
    with pytest.raises(UserError) as caught:
        main(arguments.split())
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    for word in words:
        assert word in message
    assert everything(Path()) == before


WRONG_TRAINING = [
    ("sac", "no algorithm 'sac'", "ppo, dqn"),
    ("ppo --nope 3", "--nope"),
    ("ppo extra", "extra"),
    ("--nope", "--nope"),
    ("dqn --epochs 2", "--epochs"),  # PPO's
    ("ppo --seed x", "--seed", "x"),
    ("ppo --seed 1.5", "--seed", "1.5"),
    ("ppo --seed", "--seed"),
    ("ppo --seed -1", "--seed", "-1"),
    ("ppo --seed 4294967296", "--seed", "4294967296"),  # from 2^33 on seeds are for evaluation
    ("ppo --seed 99999999999999999999", "--seed"),
    ("ppo --precision fp64", "--precision", "fp32", "bf16"),
    ("ppo --learning-rate fast", "--learning-rate", "fast"),
    ("ppo --learning-rate -0.001", "--learning-rate", "-0.001"),
    ("ppo --learning-rate 0", "--learning-rate"),
    ("ppo --learning-rate nan", "--learning-rate"),
    ("ppo --gamma 1.01", "--gamma", "at most 1"),
    ("ppo --total-steps -5", "--total-steps", "-5"),
    ("ppo --total-steps 0", "--total-steps"),
    ("ppo --num-envs 0", "--num-envs"),
    ("ppo --num-envs -4", "--num-envs", "-4"),
    ("ppo --num-envs 100000000 --precision fp32", "--num-envs"),
    ("ppo --frames 0", "--frames"),
    ("ppo --checkpoint-seconds -1", "--checkpoint-seconds"),
    ("ppo --keep -1", "--keep"),
    ("ppo --final-episodes 0", "--final-episodes"),
    (
        "ppo --env wingbeat/FlapyBird-v0 --precision fp32",
        "wingbeat/FlapyBird-v0",
        "did you mean wingbeat/FlappyBird-v0",
    ),
    ("ppo --env Chess --precision fp32", "Chess", "wingbeat/FlappyBird-v0"),
    ("ppo --preset hard --precision fp32", "hard", "classic, head2023"),
    ("ppo --env-arg theme --precision fp32", "--env-arg", "name=value", "theme"),
    ("ppo --env-arg theme=noon --precision fp32", "theme", "day, night", "noon"),
    ("ppo --env-arg bird=red --precision fp32", "bird"),
    ("ppo --env-arg preset=classic --precision fp32", "preset"),
    ("ppo --env-arg num_envs=3 --precision fp32", "num_envs"),
    ("ppo --encoder resnet --precision fp32", "resnet", "small, nature, impala"),
    ("ppo --feature-dim 0", "--feature-dim"),
    ("ppo --feature-dim large", "--feature-dim", "large"),
    ("ppo --device gpu", "device", "auto, cpu or cuda", "gpu"),
    ("ppo --device cuda", "no CUDA device", "--device cpu"),
    ("ppo --device mps", "device", "mps"),
    ("dqn --capacity 1000000000000 --precision fp32", "--capacity", "GiB"),
    ("dqn --capacity 10 --precision fp32", "10 transitions", "at least"),
    ("dqn --prioritized -0.5", "--prioritized"),
    ("ppo --out taken --precision fp32", "taken exists already"),
    ("ppo --out taken/thesis.tex --precision fp32", "taken/thesis.tex exists already"),
    ("ppo --out taken/thesis.tex/below --precision fp32", "taken/thesis.tex/below"),
    ("--resume nowhere", "there is no run nowhere"),
    ("--resume taken", "taken is not a run"),
    ("--resume", "--resume"),
    ("--resume taken --seed 3", "--seed"),
    ("--resume taken --total-steps -5", "--total-steps"),
    ("ppo --resume taken", "ppo"),
]


@pytest.mark.parametrize("case", WRONG_TRAINING, ids=[case[0] for case in WRONG_TRAINING])
def test_wrong_ways_to_train(case: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("taken").mkdir()
    Path("taken", "thesis.tex").write_text("precious")
    refused(train.main, *case)


WRONG_PLAYING = [
    ("--nope", "--nope"),
    ("nowhere", "there is no run nowhere"),
    ("taken", "taken is not a run"),
    ("taken/thesis.tex", "taken/thesis.tex"),
    ("run extra", "extra"),
    ("run --episodes 0 --headless", "--episodes"),
    ("run --episodes -1 --headless", "--episodes", "-1"),
    ("run --episodes many", "--episodes", "many"),
    ("run --seed -1", "--seed"),
    ("run --score-cap -1 --headless", "--score-cap"),
    ("run --seconds 0 --record x.mp4", "--seconds"),
    ("run --seconds nan --record x.mp4", "--seconds"),
    ("run --seconds inf --record x.mp4", "--seconds"),
    ("run --scale 0", "--scale"),
    ("run --scale inf", "--scale"),
    ("run --record film.avi", "film.avi", ".mp4, .gif or .png"),
    ("run --record film", "film", ".mp4"),
    ("run --preset hard --headless", "hard", "classic, head2023"),
    ("run --preset hard --record x.mp4", "hard"),
    ("run --preset hard", "hard"),
    ("run --env-arg theme=noon --json", "noon", "day, night"),
    ("run --env-arg theme --json", "--env-arg", "name=value"),
    ("run --device gpu --headless", "device", "gpu"),
    ("run --device cuda --headless", "no CUDA device", "--device cpu"),
    ("run/checkpoints/000000001 --headless", "000000001"),
    ("run --human", "--human"),
    ("--human --preset hard", "hard"),
    ("--human --env-arg theme=noon", "noon"),
    ("--headless", "no agent ships", "train.py"),
]


@pytest.mark.parametrize("case", WRONG_PLAYING, ids=[case[0] for case in WRONG_PLAYING])
def test_wrong_ways_to_play(
    case: tuple[str, ...], run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(play, "SHIPPED", Path("none shipped"))
    Path("taken").mkdir()
    Path("taken", "thesis.tex").write_text("precious")
    refused(play.main, *case)
    assert capsys.readouterr() == ("", "")  # the one line is still to come


def change_config(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    about = json.loads((run / "config.json").read_text())
    change(about["config"])
    (run / "config.json").write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda config: config["eyes"].update(encoder="nature"), ["does not fit", "another network"]),
        (lambda config: config["eyes"].update(feature_dim=64), ["does not fit", "encoder.body"]),
        (lambda config: config["eyes"].update(frames=3), ["does not fit"]),
        (lambda config: config["eyes"].update(encoder="resnet"), ["resnet"]),
        (lambda config: config["eyes"].update(pupils=2), ["unknown setting 'pupils'"]),
        (lambda config: config["eyes"].update(frames="two"), ["frames = 'two'"]),
        (lambda config: config["game"].update(env="Chess"), ["Chess"]),
        (lambda config: config["game"].update(preset="hard"), ["hard", "classic, head2023"]),
        (lambda config: config["learner"].update(gamma=None), ["gamma = None"]),
        (lambda config: config.update(precision="fp64"), ["fp64"]),
        (lambda config: config.update(algorithm="sac"), ["sac"]),
        (lambda config: config.pop("algorithm"), ["algorithm"]),
        (lambda config: config.pop("learner"), ["learner"]),
        (lambda config: config.update(learner=3), ["run"]),
        (lambda config: config.clear(), ["run"]),
    ],
)
def test_a_run_with_other_settings(change: Callable[[dict[str, Any]], Any], words: list[str], run: Path) -> None:
    change_config(run, change)
    refused(play.main, "run --headless --episodes 1", *words)
    shutil.copytree(run, "run to resume")
    os.environ.get("nothing")
    with pytest.raises(UserError) as caught:
        train.main(["--resume", "run to resume"])
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda config: config.update(device="cuda"), "CUDA"),
        (lambda config: config.update(device="abacus"), "abacus"),
        (lambda config: config["runner"].update(keep="all"), "keep"),
        (lambda config: config["runner"].update(walk=1), "walk"),
        (lambda config: config.pop("runner"), "runner"),
        (lambda config: config.update(runner=None), "run"),
    ],
)
def test_a_run_that_can_be_played_but_not_resumed(
    change: Callable[[dict[str, Any]], Any],
    word: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    change_config(run, change)
    with pytest.raises(UserError) as caught:
        train.main(["--resume", "run"])
    assert "\n" not in str(caught.value)
    assert word in str(caught.value)
    capsys.readouterr()
    assert play.main("run --json --episodes 1 --score-cap 1".split()) == 0
    assert json.loads(capsys.readouterr().out)["episodes"] == 1


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        del data[len(data) // 2 :]
    else:
        data[-100] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["truncated", "flipped"])
def test_a_damaged_policy(how: str, run: Path) -> None:
    damage(run / "best" / "state.safetensors", how)
    refused(play.main, "run --headless", "best", "damaged")
    (newest,) = (run / "checkpoints").iterdir()
    assert play.main([str(newest), "--headless", "--episodes", "1", "--score-cap", "1"]) == 0
    damage(newest / "state.safetensors", how)
    refused(play.main, f"{newest} --headless", str(newest), "damaged")
    shutil.rmtree(run / "best")
    refused(play.main, "run --headless", "no sound checkpoint")
    with pytest.raises(UserError, match="no sound checkpoint"):
        train.main(["--resume", "run"])


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        ("train.py", "ppo --learnin-rate 1", ["--learnin-rate"]),
        ("train.py", "ppo --preset hard --precision fp32", ["hard"]),
        ("play.py", "nowhere --headless --json", ["there is no run nowhere"]),
    ],
)
def test_a_command_that_fails_says_one_line_and_returns_2(
    program: str, arguments: str, words: list[str], tmp_path: Path
) -> None:
    done = command(program, *arguments.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr)
    assert all(word in done.stderr for word in words)
    assert not list(tmp_path.iterdir())


def test_a_window_without_a_display_says_one_line(run: Path) -> None:
    words = [sys.executable, str(ROOT / "play.py"), "run"]
    environment = {**os.environ, "SDL_VIDEODRIVER": "nowhere"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=100, check=False)
    assert done.returncode == 2
    assert re.fullmatch(r"error: no window can be opened [^\n]+--headless[^\n]+\n", done.stderr)


@pytest.mark.parametrize(
    ("main", "arguments", "flags"),
    [
        (train.main, "--help", ["--out", "--total-steps", "--env-arg", "--encoder", "--clip", "--final-cap"]),
        (train.main, "dqn --help", ["--capacity", "--dueling", "--no-dueling"]),
        (train.main, "--resume --help", ["--resume", "--total-steps"]),
        (play.main, "--help", ["--human", "--headless", "--json", "--record", "--score-cap"]),
    ],
)
def test_help_names_the_flags(
    main: Callable[[list[str]], int], arguments: str, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    assert stopped.value.code in (0, None)
    shown = capsys.readouterr()
    assert shown.err == ""
    assert all(flag in shown.out for flag in flags)


def test_a_run_leaves_what_it_should(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()} - {".lock"}
    assert names == {
        "config.json", "metrics.jsonl", "tensorboard", "checkpoints", "best", "curve.png", "best.mp4", "evaluation.json",
    }  # fmt: skip
    config = json.loads((trained / "config.json").read_text())["config"]
    assert config["algorithm"] == "ppo"
    assert config["seed"] == 5
    assert config["total_steps"] == 256
    assert config["learner"]["num_envs"] == 4
    assert config["runner"]["final_cap"] == 1
    assert [path.name for path in (trained / "checkpoints").iterdir()] == ["000000256"]
    tensors, meta = checkpoint.load(trained / "checkpoints" / "000000256")
    assert meta["steps"] == int(tensors["steps"]) == 256
    policy, _ = checkpoint.load(trained / "best")
    assert all(torch.equal(policy[key], tensors[key]) for key in policy)
    assert all(key.startswith("average.") for key in policy)
    lines = read_metrics(trained / "metrics.jsonl")
    assert [line["steps"] for line in lines] == [256, 256]
    assert {"train/score", "train/steps_per_second", "train/policy_loss"} <= lines[0].keys()
    assert {"eval/score_mean", "eval/score_ci95", "eval/reached_cap"} <= lines[1].keys()
    assert 0 < lines[0]["seconds"] <= lines[1]["seconds"] < 100
    assert list((trained / "tensorboard").iterdir())
    assert iio.imread(trained / "curve.png").shape[:2] == (480, 1200)
    film = iio.imread(trained / "best.mp4")
    assert film.shape[1:] == (512, 288, 3)
    assert len(film) >= 31
    evaluation = json.loads((trained / "evaluation.json").read_text())
    assert KEYS <= evaluation.keys()
    assert (evaluation["episodes"], evaluation["score_cap"], evaluation["seed"]) == (2, 1, 1)


def test_an_evaluation_answers_with_one_object(trained: Path, tmp_path: Path) -> None:
    done = command("play.py", trained, *"--headless --episodes 3 --score-cap 1 --json".split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    assert KEYS <= answer.keys()
    assert answer["env"] == "wingbeat/FlappyBird-v0"
    assert answer["preset"] == "classic"
    assert (answer["episodes"], answer["score_cap"], answer["seed"]) == (3, 1, 0)
    assert 0 <= answer["reached_cap"] <= 1
    assert answer["score_ci95"][0] <= answer["score_mean"] <= answer["score_ci95"][1]
    assert answer["steps"] >= 3 * 16  # nobody dies before frame 31
    assert len(answer["scores"]) == 3
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_playing_repeats_the_evaluation_at_the_end(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was trained is what plays: the same scores from the policy on the disk, in another process."""
    before = everything(run)
    for policy in ("run", "run/best", "run/checkpoints/000000256"):
        assert play.main([policy, *"--json --episodes 2 --score-cap 1 --seed 1".split()]) == 0
        assert json.loads(capsys.readouterr().out) == json.loads((run / "evaluation.json").read_text())
    assert play.main("run --headless --episodes 2 --score-cap 1 --seed 1".split()) == 0
    assert "classic" in (words := capsys.readouterr().out)
    assert "2 fresh episodes" in words
    assert everything(run) == before


def test_what_plays_is_what_trained(tmp_path: Path) -> None:
    """The same action for every observation, in fp32: weights and normalisation come back to the last bit."""
    from agents.build import Settings, load_player, make_algorithm
    from experiment.run import Run

    for algorithm, learner in (("ppo", {"averaging": 0.5}), ("dqn", {"learning_starts": 100, "target_rate": 0.5})):
        settings = Settings.parse(tiny_settings(algorithm, learner), "here")
        agent = make_algorithm(settings)
        for _ in range(3):
            agent.iterate()
        from dataclasses import asdict

        run = Run.create(tmp_path / algorithm, asdict(settings), "x")
        checkpoint.save(run.checkpoint(agent.steps), agent.state_dict(), {"steps": agent.steps, "seconds": 0.0})
        player = load_player(run.path)
        observations = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (512, 2, 84, 84), np.uint8))
        actions = agent.act(observations)
        assert set(actions.tolist()) == {0, 1}
        assert torch.equal(player.act(observations), actions)
        assert player.steps == agent.steps


def tiny_settings(algorithm: str, learner: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict

    from agents.build import ALGORITHMS, EyesConfig, GameConfig

    return {
        "algorithm": algorithm,
        "game": asdict(GameConfig()),
        "eyes": asdict(EyesConfig()),
        "learner": {**asdict(ALGORITHMS[algorithm][1]()), "num_envs": 4, **learner},
        "total_steps": 1000,
        "seed": 0,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
    }


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "last.png"])
def test_a_film(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main(["run", "--record", f"new/{name}", "--seconds", "0.5"]) == 0
    assert capsys.readouterr().out == ""
    film = iio.imread(Path("new", name))
    shape = film.shape if name == "last.png" else film.shape[1:]
    assert shape[:2] == (512, 288)
    assert name == "last.png" or len(film) == 15
    assert [path.name for path in Path("new").iterdir()] == [name]


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.02)


def start(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    words = [sys.executable, str(ROOT / "train.py"), *TINY, *SHORT, "--total-steps", "100000000", *arguments]
    return subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def resume(folder: Path, more: int) -> list[dict[str, Any]]:
    """Go on for some steps; returns the record, which must tell one story."""
    steps = int(checkpoint.latest(folder).name)
    assert train.main(["--resume", str(folder), "--total-steps", str(steps + more), "--quiet"]) == 0
    assert checkpoint.latest(folder).name == f"{steps + more:09d}"
    checkpoint.load(checkpoint.latest(folder))
    lines = read_metrics(folder / "metrics.jsonl")
    for kind in ("train/score", "eval/score_mean"):
        of_kind = [line["steps"] for line in lines if kind in line]
        assert of_kind[-1] == steps + more
        assert all(a < b for a, b in zip(of_kind, of_kind[1:], strict=False))
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds)
    return lines


def test_interrupted_and_resumed(tmp_path: Path) -> None:
    process, folder = start("--out", "run", cwd=tmp_path), tmp_path / "run"
    try:
        record = folder / "metrics.jsonl"
        wait_for(lambda: record.exists() and record.read_bytes().count(b"\n") >= 2, process)
        with pytest.raises(UserError, match=f"process {process.pid} is training"):
            train.main(["--resume", str(folder)])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert "go on with --resume run" in err
    assert (folder / "curve.png").exists()
    assert not (folder / "evaluation.json").exists()  # only a complete run is judged
    steps = int(checkpoint.latest(folder).name)
    before = read_metrics(folder / "metrics.jsonl")
    assert before[-1]["steps"] == steps
    lines = resume(folder, 128)
    assert lines[: len(before)] == before
    assert (folder / "evaluation.json").exists()


def test_killed_and_resumed(tmp_path: Path) -> None:
    process, folder = start("--out", "run", "--checkpoint-seconds", "0.5", cwd=tmp_path), tmp_path / "run"
    try:
        wait_for(lambda: len(list(folder.glob("checkpoints/0*/state.json"))) >= 2, process)
        time.sleep(0.3)
        process.kill()
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'{"steps": 99999999, "seconds": 9999.0, "train/sco')  # as a line that the kill tore
    steps = int(checkpoint.latest(folder).name)
    lines = resume(folder, 128)
    assert {line["steps"] for line in lines if line["steps"] > steps} == {steps + 128}
    assert psutil.pid_exists(os.getpid())
    assert len(list((folder / "checkpoints").iterdir())) <= 2


def test_stopped_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [*TINY, *SHORT, "--total-steps", "100000000", "--out", "run", "--max-seconds", "0.1", "--quiet"]
    assert train.main(arguments) == 0  # this process has run for longer
    assert Path("run", "checkpoints", "000000000").is_dir()
    assert Path("run", "evaluation.json").exists()


def test_dqn_trains_without_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = "dqn --num-envs 4 --capacity 1000 --batch-size 16 --learning-starts 64 --precision fp32 --threads 1"
    assert (
        train.main([*tiny.split(), *"--total-steps 256 --evaluate-seconds 0 --quiet --env-arg theme=night".split()])
        == 0
    )
    (run,) = Path("runs").iterdir()
    assert run.name == "dqn-FlappyBird-0-1"
    names = {path.name for path in run.iterdir()} - {".lock"}
    assert names == {"config.json", "metrics.jsonl", "tensorboard", "checkpoints", "curve.png"}
    assert read_metrics(run / "metrics.jsonl")[-1]["train/loss"] > 0
    assert train.main(["--resume", str(run), "--total-steps", "384", "--quiet"]) == 0
    assert checkpoint.latest(run).name == "000000384"
    assert play.main([str(run), "--headless", "--episodes", "2", "--score-cap", "1"]) == 0
