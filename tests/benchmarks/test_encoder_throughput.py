"""The encoders' throughput command: its answer in JSON, and the operations that it counts."""

import json

import pytest

from benchmarks.encoder_throughput import main
from benchmarks.flop import flop_per_sample
from experiment.errors import UserError
from perception import EncoderSpec, make_encoder


def test_the_command_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--repeats", "2", "--batch", "20", "--encoders", "small"]) == 0
    answer = json.loads(capsys.readouterr().out)
    ways = {f"{precision} {layout}" for precision in ("fp32", "bf16") for layout in ("planes", "fused")}
    assert set(answer["small"]) == {f"{way} {what}" for way in ways for what in ("forward", "training")}
    for measured in answer["small"].values():
        assert len(measured["values"]) == 2
        assert measured["min"] > 0


def test_operations_are_those_of_the_layers() -> None:
    """Two for each product of a weight and a number; backward twice as many, less the pictures' gradient."""
    first, others = 13 * 13 * 16 * 2 * 8 * 8, 6 * 6 * 32 * 16 * 9 + 4 * 4 * 64 * 32 * 9 + 1024 * 128 + 128 * 256
    encoder = make_encoder(EncoderSpec())
    encoder.layout = "fused"
    assert flop_per_sample(encoder, encoder) == (2 * (first + others), 2 * (2 * first + 3 * others))
    assert encoder.layout == "fused"


def test_an_lstms_operations_are_counted() -> None:
    """Four gates, of what comes in and of what came out before; all frames are seen by the small network."""
    still = make_encoder(EncoderSpec(frames=1))
    forward, training = flop_per_sample(still, still)
    encoder, gates = make_encoder(EncoderSpec("lstm", 8)), 8 * 2 * 4 * 256 * (256 + 256)
    assert flop_per_sample(encoder, encoder) == (8 * forward + gates, 8 * training + 3 * gates)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(UserError, match="--repeats and --batch"):
        main(["--batch", "0"])
