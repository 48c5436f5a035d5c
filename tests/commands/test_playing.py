"""What a trained agent answers, shows and films."""

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import play
from commands.build import ALGORITHMS, Settings, make_algorithm
from commands.eyes import EyesConfig
from commands.game import GameConfig
from commands.player import load_player
from experiment import checkpoint
from experiment.run import Run
from experiment.show import show
from experiment.watch.window import Viewing
from tests.commands.running import ANSWER, ROOT, command, everything, film_frames


def test_an_evaluation_answers_with_one_object(trained: Path, tmp_path: Path) -> None:
    done = command(f"play.py {trained} --headless --episodes 3 --score-cap 1 --json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    answer = json.loads(done.stdout)
    assert answer.keys() >= ANSWER
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
    as_judged = ["--episodes", "2", "--score-cap", "1"]
    for policy in ("run", "run/best", "run/checkpoints/000000256"):
        assert play.main([policy, "--json", *as_judged]) == 0
        assert json.loads(capsys.readouterr().out) == json.loads((run / "evaluation.json").read_text())
    assert play.main(["run", "--headless", *as_judged]) == 0
    assert "(classic), 2 fresh episodes: score " in capsys.readouterr().out
    assert everything(run) == before


@pytest.mark.parametrize(
    ("algorithm", "learner"), [("ppo", {}), ("a2c", {}), ("pqn", {}), ("dqn", {"learning_starts": 100})]
)
def test_what_plays_is_what_trained(algorithm: str, learner: dict[str, Any], tmp_path: Path) -> None:
    """The same action for every observation: weights and normalisation come back to the last bit."""
    config = {
        "algorithm": algorithm,
        "game": asdict(GameConfig()),
        "eyes": asdict(EyesConfig()),
        "learner": {**asdict(ALGORITHMS[algorithm].config()), "num_envs": 4, **learner},
        "total_steps": 1000,
        "seed": 0,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
    }
    agent: Any = make_algorithm(Settings.parse(config, "here"))
    for _ in range(2):
        agent.iterate()
    playing = agent.learner.average
    for head in playing.children():
        if isinstance(head, torch.nn.Linear):
            torch.nn.init.normal_(head.weight)  # so that some observations ask for this, some for that
    run = Run.create(tmp_path / "run", config, "x")
    checkpoint.save(run.checkpoint(agent.steps), agent.state_dict(), {"steps": agent.steps, "seconds": 0.0})
    player = load_player(run.path)
    observations = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (512, 2, 84, 84), np.uint8))
    actions = agent.policy(observations)
    assert set(actions.tolist()) == {0, 1}
    assert torch.equal(player.policy(observations), actions)
    assert player.steps == agent.steps


@pytest.mark.parametrize(("capability", "dtype"), [("AVX512", torch.bfloat16), ("AVX2", torch.float32)])
def test_a_processor_without_bfloat16_plays_without_it(
    capability: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped agent was trained in bfloat16, which takes ten times as long where it is emulated."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    policy: Any = load_player(ROOT / "agents" / "pretrained" / "flappy_bird").policy
    given: list[torch.dtype] = []
    convolution = next(module for module in policy.network.modules() if isinstance(module, torch.nn.Conv2d))
    convolution.register_forward_hook(lambda module, inputs, output: given.append(output.dtype))
    policy(torch.zeros(1, 2, 84, 84, dtype=torch.uint8))
    assert given == [dtype]


@pytest.mark.parametrize("name", ["film.mp4", "film.gif", "last.png"])
def test_a_film(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main(["run", "--record", f"new/{name}", "--seconds", "0.5"]) == 0
    assert capsys.readouterr().out == ""
    frames = film_frames(Path("new", name))
    assert len(frames) == (1 if name == "last.png" else 15)
    assert frames.std() > 10
    assert [path.name for path in Path("new").iterdir()] == [name]


def test_a_film_with_overlays(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, flags in {"bare": "--overlay none", "full": "--overlay all", "large": "--overlay none --scale 2"}.items():
        assert play.main(["run", "--record", f"{name}.png", "--seconds", "0.5", "--scale", "1", *flags.split()]) == 0
    assert capsys.readouterr().out == ""
    bare, full, large = (np.asarray(Image.open(f"{name}.png")).astype(int) for name in ("bare", "full", "large"))
    assert bare.shape == full.shape == (512, 576, 3)
    assert large.shape == (1024, 1152, 3)
    # The game's own pixels lie on the left, at twice the size each in a block of four.
    assert (large[:, :576] == bare[:, :288].repeat(2, 0).repeat(2, 1)).all()
    game = list(islice(show(GameConfig(), load_player(run).policy, 2), 15))[-1].picture
    assert (bare[:, :288] == game).all()
    assert (full[130:480, 288:] != bare[130:480, 288:]).mean() > 0.2


def test_a_film_of_a_race(run: Path) -> None:
    assert play.main(["--race", "run", "run/best", "--record", "race.png", "--seconds", "0.3", "--scale", "1"]) == 0
    picture = np.asarray(Image.open("race.png"))
    assert picture.shape == (512, 1152, 3)
    assert (picture[:, 288:574] == picture[:, 576:862]).mean() > 0.99  # the same agent in the same episode


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("run", ["run"]),
        ("--human", ["you"]),
        ("--human --env wingbeat/FlappyBird-v0 --preset head2023", ["you"]),
        ("--human --env envs.games.catch:CATCH", ["you"]),
        ("run --versus", ["you", "run"]),
        ("--race run run/best", ["run", "run 256"]),
    ],
)
def test_who_plays_in_the_window(arguments: str, names: list[str], run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window opens, is closed at once, and leaves nothing behind."""
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    seen = []

    def closing(viewing: Viewing) -> str:
        seen.extend(seat.name for seat in viewing.scene.seats)
        viewing.controls.left = True
        return ""

    monkeypatch.setattr(Viewing, "_banner", closing)
    before = everything(run)
    assert play.main(arguments.split()) == 0
    assert seen == names
    assert everything(run) == before
    assert not Path("data").exists()
