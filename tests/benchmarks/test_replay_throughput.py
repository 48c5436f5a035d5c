"""The replay's throughput command: its answer in JSON, and that both ways learn the same."""

import json

import pytest

from benchmarks.replay_throughput import main
from experiment.errors import UserError


def test_the_command_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    flags = "--json --iterations 1 --repeats 2 --capacity 3200 --threads 1 --precision fp32"
    assert main(flags.split()) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["weights_equal"] is True
    assert answer["replay_bytes"] == {"redrawn": 3200 * 89, "stored": 3200 * (84 * 84 + 9)}
    rates = answer["steps_per_second"]
    by_hand = [a / b for a, b in zip(rates["redrawn"]["values"], rates["stored"]["values"], strict=True)]
    assert answer["redrawn_is_times"]["values"] == pytest.approx(by_hand, rel=1e-4)
    assert len(by_hand) == 2


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="a replay of 10 transitions is too small"):
        main(["--capacity", "10", "--precision", "fp32", "--threads", "1"])
    with pytest.raises(UserError, match="--nope"):
        main(["--nope"])
