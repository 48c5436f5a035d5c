"""The benchmarks' common parts, and the throughput command's answer."""

import json
import runpy
import sys
from pathlib import Path

import pytest

from benchmarks.common import alternate, machine, print_json, summary
from benchmarks.env_throughput import main
from envs import GAMES

ROOT = Path(__file__).parents[2]


def test_measures_take_turns_after_a_round_for_warming_up() -> None:
    calls: list[str] = []

    def measure(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    values = alternate({"a": lambda: measure("a"), "b": lambda: measure("b")}, repeats=2)
    assert calls == ["a", "b"] * 3
    assert values == {"a": [3.0, 5.0], "b": [4.0, 6.0]}
    assert summary([3.0, 9.0, 5.0]) == {"median": 5.0, "min": 3.0, "max": 9.0, "values": [3.0, 9.0, 5.0]}


def test_json_is_one_object_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [1.23456789, 2], "b": {"c": (True, None, "x")}})
    assert capsys.readouterr().out == '{"a": [1.23457, 2], "b": {"c": [true, null, "x"]}}\n'


def test_the_machine_in_words() -> None:
    about = machine("numpy", "no-such-package")
    assert about["cpu"]
    assert about["cores"] >= 1
    assert about["numpy"]
    assert about["no-such-package"] is None


def test_the_throughput_command_answers_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--seconds", "0.02", "--repeats", "2"]) == 0
    answer = json.loads(capsys.readouterr().out)
    rates, times = answer["frames_per_second"], answer["wingbeat_is_times"]
    assert rates.keys() == times.keys()
    assert times["wingbeat"]["values"] == [1.0, 1.0]
    assert all(0 < rate["min"] <= rate["median"] <= rate["max"] for rate in rates.values())
    for name, ratio in times.items():
        by_hand = [
            ours / theirs for ours, theirs in zip(rates["wingbeat"]["values"], rates[name]["values"], strict=True)
        ]
        assert ratio["values"] == pytest.approx(by_hand, rel=1e-4)
    assert times["peer_private"]["median"] > 10  # 150 and more; far from any machine's moods


def test_the_throughput_of_every_game(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--seconds", "0.02", "--repeats", "1", "--env", "all"]) == 0
    rates = json.loads(capsys.readouterr().out)["frames_per_second"]
    assert set(rates) == {*GAMES, "memcpy"}
    assert all(rate["median"] > 1_000 for rate in rates.values())  # 400,000 and more on a quiet core


def test_the_throughput_of_no_game(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The file itself is run, as the command does."""
    monkeypatch.setenv("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # as it sets it, and it is put back afterwards
    monkeypatch.setattr(sys, "argv", ["env_throughput.py", "--env", "Chess"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(ROOT / "benchmarks" / "env_throughput.py"), run_name="__main__")
    assert stop.value.code == 2
    assert "--env must be all or one of wingbeat/FlappyBird-v0" in capsys.readouterr().err
