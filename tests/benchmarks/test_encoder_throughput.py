"""The encoders' throughput command: its answer in JSON."""

import json

import pytest

from benchmarks.encoder_throughput import main
from experiment.errors import UserError


def test_the_command_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--repeats", "1", "--batch", "20", "--encoders", "small"]) == 0
    answer = json.loads(capsys.readouterr().out)
    ways = {f"{precision} {layout}" for precision in ("fp32", "bf16") for layout in ("planes", "fused")}
    assert set(answer["small"]) == {f"{way} {what}" for way in ways for what in ("forward", "training")}
    for way in ways:  # a training step is a forward pass and about twice as much
        assert answer["small"][f"{way} training"]["median"] > answer["small"][f"{way} forward"]["median"] > 0


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(UserError, match="--repeats and --batch"):
        main(["--batch", "0"])
