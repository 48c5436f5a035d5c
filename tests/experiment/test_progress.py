"""The line says what is true, in a terminal and elsewhere, and costs next to nothing."""

import io
import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiment import progress
from experiment.progress import Progress

ROOT = Path(__file__).parents[2]


class Clock:
    """Time that goes on when told."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_plain_lines_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1_000_000, start_steps=200_000) as shown:
        for second in range(26):  # 10,000 steps a second
            clock.now = 1000.0 + second
            shown.update(200_000 + second * 10_000, score=second / 2, best=float("nan"))
            if second == 12:
                shown.note("saved [a] note")
                shown.update(320_000, best=8)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        " 30%  300k/1.00M  10,000 steps/s  score 5.0  1:10 left",
        "saved [a] note",
        " 40%  400k/1.00M  10,000 steps/s  score 10.0  1:00 left",
        " 45%  450k/1.00M  in 0:25  10,000 steps/s  score 12.5",
    ]


def test_rate_is_that_of_the_last_half_minute(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(10**9)
    steps = 0
    for second in range(1, 121):
        clock.now = 1000.0 + second
        steps += 100 if second <= 60 else 5000
        shown.update(steps)
    rates = [int(rate.replace(",", "")) for rate in re.findall(r"([\d,]+) steps/s", capsys.readouterr().err)]
    assert rates[5] == 100
    assert rates[-1] == 5000
    assert 100 < rates[7] < 5000


def test_quiet_is_silent_and_close_is_idempotent(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(100, quiet=True) as shown:
        clock.now += 100
        shown.update(50, score=1.0)
        shown.note("hello")
    assert capsys.readouterr() == ("", "")
    loud = Progress(100)
    loud.close()
    loud.close()
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_known_yet(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress(0)
    clock.now += 11
    shown.update(0, score=float("nan"), phase="warm-up")
    assert capsys.readouterr().err == "100%  0/0  0 steps/s  phase warm-up  - left\n"


@pytest.mark.parametrize(
    ("steps", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00k"), (12_345, "12.3k"), (123_456, "123k"), (1_234_567, "1.23M"),
     (10**9, "1.00G")],
)  # fmt: skip
def test_counts(steps: int, text: str) -> None:
    assert progress._count(steps) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0, "0.0"), (12.34, "12.3"), (-3.0, "-3.0"), (0.00025, "0.00025"), (1234.5, "1,234.5"), (7, "7"), (0, "0"),
     (float("inf"), "inf"), ("x", "x")],
)  # fmt: skip
def test_numbers(number: float | str, text: str) -> None:
    assert progress._number(number) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (75, "1:15"), (3599.6, "1:00:00"), (3725, "1:02:05")])
def test_durations(seconds: float, text: str) -> None:
    assert progress._duration(seconds) == text


def test_an_update_is_cheap() -> None:
    shown = Progress(10**9)
    begin = time.process_time()
    for steps in range(10_000):
        shown.update(steps, score=1.0, best=2.0)
    assert (time.process_time() - begin) / 10_000 < 100e-6
    shown.close()


IN_A_TERMINAL = """
import sys, time
from experiment import progress
progress.LIVE_SECONDS = 0.0
with progress.Progress(1000) as shown:
    shown.update(250, score=12.3)
    shown.note("kept [bold] line")
    print("a warning of a library", file=sys.stderr)
    print("result")
    shown.update(500, score=45.6)
"""


def test_live_bar_in_a_terminal() -> None:
    """Standard error is a terminal, standard output is a pipe, as in `train.py --json | jq`."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=slave
    )
    os.close(slave)
    shown = io.BytesIO()
    while True:
        try:
            shown.write(os.read(master, 4096))
        except OSError:  # how a terminal's end reads on Linux
            break
    os.close(master)
    out, _ = process.communicate()
    text = shown.getvalue().decode()
    assert process.returncode == 0, text
    assert out == b"result\n"
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert "25%  250/1.00k" in plain
    assert "score 45.6" in plain
    for line in ("kept [bold] line", "a warning of a library"):
        assert line in [part.rstrip() for part in plain.replace("\r", "\n").split("\n")]
    assert text.rstrip().endswith("\x1b[?25h")  # the cursor is back
