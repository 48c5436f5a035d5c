"""The experiment: its arithmetic by hand, what is run how, and one short run that goes on where it was stopped."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

import train
from benchmarks import pretraining, time_to_solve
from benchmarks.pretraining import Cell, Settings, _interval, cells, compare, main, ratio
from experiment.errors import UserError


def test_rows_are_scratch_and_all_that_makes_sense() -> None:
    found = [cell.name for cell in cells(Settings(ways=("random", "vae"), agents=("dqn",)))]
    assert found == ["dqn-scratch", "dqn-scratch-likewise", "dqn-random-frozen", "dqn-vae-frozen", "dqn-vae-finetune"]
    alone = cells(Settings(ways=("supervised",), modes=("frozen",), agents=("ppo",), likewise=False))
    assert [cell.name for cell in alone] == ["ppo-scratch", "ppo-supervised-frozen"]


@pytest.mark.parametrize("agent", pretraining.FROZEN)
def test_the_settings_for_frozen_eyes_are_flags_of_their_agent(agent: str) -> None:
    """An encoder that is not there is noticed only after all flags were understood."""
    with pytest.raises(UserError, match="there is no encoder 'none'"):
        train.main([agent, *pretraining.FROZEN[agent].split(), "--encoder", "none"])


def test_ratios_by_hand() -> None:
    """Of medians; the interval of single values is that value."""
    assert ratio([10.0], [40.0]) == {"ratio": 0.25, "low": 0.25, "high": 0.25}
    found = ratio([10.0, 20.0, 30.0], [40.0, 40.0, 40.0])
    assert found == {"ratio": 0.5, "low": 0.25, "high": 0.75}


def test_never_is_the_longest_of_all() -> None:
    found = ratio([10.0, None, 30.0], [40.0, 40.0, 40.0])
    assert (found["ratio"], found["low"], found["high"]) == (0.75, 0.25, "never")
    assert _interval(found) == "0.75 (0.25 to never)"
    assert ratio([None, None, 30.0], [40.0])["ratio"] == "never"


def test_scratch_that_never_got_there_is_told_from_eyes_that_did_not() -> None:
    found = ratio([10.0], [None])
    assert found == dict.fromkeys(("ratio", "low", "high"), "scratch never")
    assert _interval(found) == "scratch never"
    some = [40.0, None, None, None, None]  # a median of 40 takes three of them: 0.06 of the resamples
    found = ratio([10.0] * 5, some)
    assert _interval(found) == "scratch never (scratch never to 0.25)"
    assert _interval(ratio([0.0] * 3, [40.0] * 3)) == "0.00 (0.00 to 0.00)"  # there before the first step


def test_there_is_no_interval_where_too_many_resamples_have_no_ratio() -> None:
    """Of three values one of which is never, 7 of 27 medians are, and 49 of 729 times both: 0.067. Of five, 0.003."""
    found = ratio([10.0, 10.0, None], [40.0, 40.0, None])
    assert found == {"ratio": 0.25, "low": None, "high": None}
    assert _interval(found) == "0.25 (no interval)"
    found = ratio([10.0] * 4 + [None], [40.0] * 4 + [None])
    assert found == {"ratio": 0.25, "low": "scratch never", "high": "never"}
    assert ratio([None], [None]) == {"ratio": "scratch never", "low": None, "high": None}


def test_what_an_encoder_cost_is_left_out_and_added_in() -> None:
    def run(frames: float | None) -> dict[str, Any]:
        found = {} if frames is None else {"frames_20": frames, "seconds_20": frames / 10}
        return {**found, "at_end": {"frames": 9.0, "seconds": 9.0, "score_mean": 1.0}}

    scratch, mine = Cell("ppo", "scratch", ""), Cell("ppo", "vae", "frozen")
    rows = compare({scratch: [run(100.0)], mine: [run(50.0)]}, {"vae": {"frames": 30.0, "seconds": 15.0}}, (20.0, 50.0))
    assert "frames_20_ratio" not in rows[0]
    assert rows[1]["frames_20"] == 50.0
    assert rows[1]["frames_20_ratio"]["ratio"] == 0.5
    assert rows[1]["frames_20_ratio_with_cost"]["ratio"] == 0.8
    assert rows[1]["seconds_20_ratio_with_cost"]["ratio"] == 2.0
    rows = compare({scratch: [run(100.0)], mine: [run(50.0), run(None)]}, {}, (20.0, 50.0))
    assert (rows[1]["reached_20"], rows[1]["seeds"], rows[1]["frames_20"]) == (1, 2, None)
    assert (rows[1]["reached_50"], rows[1]["frames_50_ratio"]["ratio"]) == (0, "scratch never")


def test_a_short_run_leaves_a_plot_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bar of no pipes is passed at once, and nobody passes one, by night, after a few steps."""
    short = ["--total-steps=128", "--num-envs=2", "--rollout-steps=8", "--threads=1", "--precision=fp32"]

    def here(how: Any, seed: int, folder: Path) -> None:
        """Agents train in this process, which has imported and compiled all there is; encoders in one of their own."""
        assert train.main([*time_to_solve.words(how, seed, folder), *short]) == 0

    monkeypatch.setattr(time_to_solve, "train", here)
    left = tmp_path / "out" / "agents" / "ppo-scratch-0"  # by a run that was stopped
    left.mkdir(parents=True)
    (left / "config.json").write_text("{")
    with pytest.raises(UserError, match="holds something else"):
        main(["--seeds", "1", "--out", str(tmp_path / "out")])
    settings = {"pictures": 3000, "encoder_steps": 0, "limit": 1e6, "every": 30.0, "bars": [0.0, 1.0]}
    settings |= {"env": "wingbeat/FlappyBird-v0", "env_arg": ["theme=night"], "policy": "leaning", "noise": 0.3}
    settings |= {"frozen": pretraining.FROZEN, "train_args": ["--gamma=0.9"]}
    (tmp_path / "out" / "settings.json").write_text(json.dumps(settings))
    words = ["--ways", "random", "--modes", "frozen", "--agents", "ppo", "--seeds", "1", "--every", "30", "--json"]
    words += [
        "--train-args=--gamma=0.9",
        "--limit",
        "1e6",
    ]  # seconds count from the start of this process, which has run other tests
    words += ["--pictures", "3000", "--out", str(tmp_path / "out"), "--bars", "0", "1", "--env-arg", "theme=night"]
    assert main(words) == 0
    answer = json.loads(capsys.readouterr().out)
    scratch, likewise, frozen = answer["rows"]
    assert (scratch["way"], frozen["way"], frozen["mode"]) == ("scratch", "random", "frozen")
    assert (likewise["way"], likewise["mode"]) == ("scratch", "likewise")
    for row in (scratch, likewise, frozen):
        assert (row["reached_0"], row["reached_1"], row["frames_1"]) == (1, 0, None)
        assert row["frames_0"] == 2 * 128
    assert math.isclose(frozen["frames_0_ratio"]["ratio"], frozen["frames_0"] / scratch["frames_0"], rel_tol=1e-4)
    assert answer["costs"]["random"]["frames"] == 6000
    config = json.loads((tmp_path / "out" / "agents" / "ppo-scratch-0" / "config.json").read_text())["config"]
    assert config["game"]["env_arg"] == ["theme=night"]
    assert (config["learner"]["gamma"], config["learner"]["epochs"]) == (0.9, 1)
    for name, mode in (("ppo-random-frozen", "frozen"), ("ppo-scratch-likewise", "auto")):
        config = json.loads((tmp_path / "out" / "agents" / f"{name}-0" / "config.json").read_text())["config"]
        assert (config["eyes"]["encoder_mode"], config["learner"]["epochs"]) == (mode, 4)
    assert json.loads((tmp_path / "out" / "data" / "dataset.json").read_text())["look"] == {}
    assert (tmp_path / "out" / "pretraining.png").stat().st_size > 5000
    monkeypatch.setattr(pretraining, "command", lambda words, out: pytest.fail(f"made again: {words}"))
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == answer["rows"]
    with pytest.raises(UserError, match="other settings"):
        main([*words, "--every", "31"])


def test_what_does_not_fit_is_refused() -> None:
    for words in (["--seeds", "0"], ["--limit", "0"], ["--ways", "bert"]):
        with pytest.raises(UserError, match=words[0]):
            main(words)
