"""The window's benchmark: its answer in JSON."""

import json

import pygame
import pytest

from benchmarks.window import main
from experiment.errors import UserError


def test_the_command_answers_in_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    assert main(["--json", "--seconds", "1", "--scale", "1", "--overlay", "actions,value"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["driver"] == "dummy"
    assert answer["window"] == [576, 512]
    assert answer["overlays"] == ["actions", "value"]
    assert 1 < answer["pictures_per_second"] < 64  # the clock waits whole milliseconds, 16 of them
    assert 0 < answer["game_frames_per_second"] < 40
    assert 0 < answer["cores_used"] < 8
    assert 0 < answer["gap_ms"]["median"] <= answer["gap_ms"]["p99"]
    assert not pygame.display.get_init()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="--overlay"):
        main(["--overlay", "smell"])
