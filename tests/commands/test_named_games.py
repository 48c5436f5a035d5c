"""A game in a module is trained because its user names it, and is not imported because a run's folder does."""

import json
import shutil
import sys
from pathlib import Path

import pytest

import train
from commands.player import load_player
from envs import GAMES
from experiment.errors import UserError
from perception import probe
from tests.commands.running import TINY, refused

NAME = "game_of_mine:MINE"


def forget() -> None:
    """Be a new process, as far as named games go."""
    GAMES.pop(NAME, None)
    sys.modules.pop("game_of_mine", None)


def test_a_run_of_a_named_game_wants_it_named_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("game_of_mine.py").write_text("from envs import CATCH as MINE\n")
    settings = [*TINY, "--evaluate-seconds", "0", "--quiet", "--total-steps", "64", "--out", "run"]
    assert train.main([*settings, "--env", NAME]) == 0
    forget()
    Path("game_of_mine.py").write_text("raise SystemExit('imported')\n")
    refused(train.main, "--resume run --total-steps 128", f"this run plays {NAME}", f"say so again: --env {NAME}")
    with pytest.raises(UserError, match=f"say so again: --env {NAME}"):
        load_player(Path("run"), "cpu")
    refused(train.main, "--resume run --env os:path", f"a run that plays {NAME}, not os:path")
    assert "game_of_mine" not in sys.modules
    Path("game_of_mine.py").write_text("from envs import CATCH as MINE\n")
    assert load_player(Path("run"), "cpu", NAME).steps == 64
    forget()
    shutil.copytree("run", "copy", ignore=shutil.ignore_patterns(".lock"))  # the run is this process's own
    assert train.main(["--resume", "copy", "--env", NAME, "--total-steps", "128", "--quiet"]) == 0
    forget()


def test_the_list_names_every_game(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--list-envs"]) == 0
    said = capsys.readouterr().out
    assert all(env_id in said for env_id in GAMES)


def test_pictures_of_a_named_game_want_it_named_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recording them, by chance and by an agent, learning from them, going on and probing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("game_of_mine.py").write_text("from envs import CATCH as MINE\n")
    named = f"--env {NAME}"
    assert train.main([*TINY, *f"{named} --evaluate-seconds 0 --quiet --total-steps 64 --out agent".split()]) == 0
    played = f"dataset {named} --pictures 400 --games 4 --longest 20 --quiet"
    for policy in ("leaning", "agent"):
        forget()
        assert train.main(f"{played} --policy {policy} --out {policy}-data".split()) == 0
    forget()
    learns = (
        "encoder-supervised --data leaning-data --total-steps 64 --batch-size 32 --precision fp32 --threads 1 --quiet"
    )
    refused(train.main, f"{learns} --out eyes", f"imports no code; if you trust it, add {named}")
    assert train.main(f"{learns} {named} --out eyes".split()) == 0
    assert json.loads(Path("eyes/config.json").read_text())["config"]["fingerprint"]
    forget()
    shutil.copytree("eyes", "copy", ignore=shutil.ignore_patterns(".lock"))
    refused(train.main, "--resume copy --total-steps 128", f"add {named}")
    assert train.main(f"--resume copy {named} --total-steps 128 --quiet".split()) == 0
    forget()
    refused(probe.main, "eyes", f"add {named}")
    assert probe.main(f"eyes {named}".split()) == 0
    forget()
