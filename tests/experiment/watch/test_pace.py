"""The pace of pictures, by a clock that stands still unless somebody waits or works."""

import pytest

from experiment.watch import pace


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def test_sixty_a_second_however_long_each_takes(clock: Clock) -> None:
    wait = pace.Pace().wait
    seconds = []
    for i in range(120):
        clock.now += 0.03 if i % 2 else 0.002  # every other one comes late
        seconds.append(wait())
    assert clock.now == pytest.approx(102.0, abs=0.02)
    assert sum(seconds) == pytest.approx(clock.now - 100)
    assert seconds[1] == pytest.approx(0.03)


def test_a_long_halt_is_not_made_up_for(clock: Clock) -> None:
    wait = pace.Pace().wait
    clock.now += 10
    assert wait() == pytest.approx(10)
    start = clock.now
    for _ in range(60):
        wait()
    assert clock.now - start == pytest.approx((60 - pace.LATE) / 60)
