"""The record holds what was written, survives a crash, and TensorBoard reads the same numbers."""

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from experiment.errors import UserError
from experiment.metrics import Metrics, read_metrics, truncate


def board(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard's own reader sees, by tag: (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_values_come_back(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics:
        metrics.write(
            {
                "steps": np.int64(10), "seconds": 0.5, "loss": torch.tensor(0.25), "nan": float("nan"),
                "infinite": np.float32("inf"), "eval/score_ci95": np.array([1.0, np.nan]), "note": "ä", "none": None,
            }
        )  # fmt: skip
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines()  # there before it is closed
    expected = {
        "steps": 10, "seconds": 0.5, "loss": 0.25, "nan": None,
        "infinite": None, "eval/score_ci95": [1.0, None], "note": "ä", "none": None,
    }  # fmt: skip
    assert [json.loads(line) for line in lines] == [expected]
    assert read_metrics(tmp_path / "metrics.jsonl") == [expected]


def test_steps_and_seconds_are_needed(tmp_path: Path) -> None:
    with Metrics(tmp_path) as metrics, pytest.raises(ValueError, match="need steps and seconds"):
        metrics.write({"steps": 1})
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_tensorboard_reads_the_same_and_forgets_what_a_resume_undoes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Metrics(tmp_path) as metrics:
        for steps in (10, 20, 30):
            metrics.write({"steps": steps, "seconds": steps / 10, "train/score": steps / 4, "nan": float("nan")})
    assert board(tmp_path) == {
        "seconds": [(10, 1.0), (20, 2.0), (30, 3.0)],
        "train/score": [(10, 2.5), (20, 5.0), (30, 7.5)],
    }
    truncate(tmp_path / "metrics.jsonl", 20)
    with Metrics(tmp_path, resume_steps=20) as metrics:
        metrics.write({"steps": 25, "seconds": 2.5, "train/score": 1.0})
    assert board(tmp_path)["train/score"] == [(10, 2.5), (20, 5.0), (25, 1.0)]
    assert capsys.readouterr().err == ""


def test_tensorboard_failing_does_not_stop_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tensorboard").write_text("in the way")
    with Metrics(tmp_path) as metrics:
        for steps in (1, 2, 3):
            metrics.write({"steps": steps, "seconds": 0.0})
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 3
    assert capsys.readouterr().err.count("warning: no more TensorBoard events") == 1


@pytest.mark.parametrize("torn", [b"{", b'{"steps": 3, "seconds": 4', b'{"steps": 3, "seconds": 4}', b"\0" * 5000])
def test_a_line_torn_by_a_crash_is_dropped(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"steps": 1, "seconds": 1}\n' + torn)
    assert [line["steps"] for line in read_metrics(path)] == [1]
    with Metrics(tmp_path) as metrics:
        metrics.write({"steps": 2, "seconds": 2})
    assert path.read_bytes() == b'{"steps": 1, "seconds": 1}\n{"steps": 2, "seconds": 2}\n'


@pytest.mark.parametrize("line", [b"{", b"3", b"{}", b'{"steps": null, "seconds": 1}', b"\xff"])
def test_damage_in_the_middle_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"steps": 1, "seconds": 1}\n' + line + b'\n{"steps": 3, "seconds": 1}\n')
    before = path.read_bytes()
    for action in (read_metrics, lambda path: truncate(path, 1)):
        with pytest.raises(UserError, match="line 2 of"):
            action(path)
    assert path.read_bytes() == before


def test_files_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no record"):
        read_metrics(tmp_path / "metrics.jsonl")
    with pytest.raises(UserError, match="cannot write"):
        Metrics(tmp_path / "none")


def test_tensorboard_is_not_waited_for(tmp_path: Path) -> None:
    go_on = threading.Event()
    with Metrics(tmp_path) as metrics:
        metrics._thread.submit(go_on.wait, 30)
        begin = time.perf_counter()
        for steps in range(10):
            metrics.write({"steps": steps, "seconds": 0.0, "x": 1.0})
        assert time.perf_counter() - begin < 10
        assert len(read_metrics(tmp_path / "metrics.jsonl")) == 10
        go_on.set()
    assert board(tmp_path)["x"] == [(steps, 1.0) for steps in range(10)]
