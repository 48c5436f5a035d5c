"""How a training goes, in one line on standard error: a live bar in a terminal, plain lines elsewhere."""

import math
import sys
import time
from collections import deque
from typing import Any

LIVE_SECONDS, PLAIN_SECONDS = 0.5, 10.0  # between two showings; drawing the bar takes about 2 ms
RATE_SECONDS = 30.0  # steps a second and the time left are taken from this long a stretch


class Progress:
    """Shows steps done, steps a second, the caller's numbers and the time left.

    Args:
        total_steps: where training ends.
        start_steps: where it begins, when a run is resumed.
        quiet: show nothing at all.
    """

    def __init__(self, total_steps: int, start_steps: int = 0, quiet: bool = False) -> None:
        self._total, self._start, self._steps, self._quiet = total_steps, start_steps, start_steps, quiet
        self._numbers: dict[str, float | str] = {}
        self._began = time.monotonic()
        self._recent = deque([(self._began, start_steps)])
        self._closed = False
        self._bar = None if quiet else _make_bar()
        if self._bar is not None:
            self._task = self._bar.add_task("", total=total_steps, completed=start_steps, text="")
            self._bar.start()
        self._interval = LIVE_SECONDS if self._bar is not None else PLAIN_SECONDS
        self._next = self._began + self._interval

    def update(self, steps: int, **numbers: float | str) -> None:
        """Tell how far training is. Cheap: nothing is drawn until it is time.

        Args:
            steps: done so far, with those before a resume.
            **numbers: shown under their names (score=12.3, best=40.0) until they change; NaN hides one.
        """
        self._steps = steps
        self._numbers.update(numbers)
        now = time.monotonic()
        if now >= self._next and not self._quiet:
            self._next = now + self._interval
            self._show(now)

    def note(self, text: str) -> None:
        """Print a line that stays, above the bar."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Show where it ended, and give the terminal back. May be called twice."""
        if self._closed or self._quiet:
            return
        self._closed = True
        now = time.monotonic()
        elapsed = max(now - self._began, 1e-9)
        parts = [self._done(), f"in {_duration(elapsed)}", f"{(self._steps - self._start) / elapsed:,.0f} steps/s"]
        self._draw("  ".join([*parts, *self._shown()]))
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _show(self, now: float) -> None:
        self._recent.append((now, self._steps))
        while len(self._recent) > 2 and self._recent[1][0] < now - RATE_SECONDS:
            self._recent.popleft()
        (then, before), seconds = self._recent[0], now - self._recent[0][0]
        rate = (self._steps - before) / seconds if now > then else 0.0
        left = f"{_duration(max(self._total - self._steps, 0) / rate)} left" if rate > 0 else "- left"
        self._draw("  ".join([self._done(), f"{rate:,.0f} steps/s", *self._shown(), left]))

    def _draw(self, text: str) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=self._steps, text=text, refresh=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _done(self) -> str:
        share = self._steps / self._total if self._total else 1.0
        return f"{share:4.0%}  {_count(self._steps)}/{_count(self._total)}"

    def _shown(self) -> list[str]:
        known = {name: value for name, value in self._numbers.items() if value == value}  # NaN is not itself
        return [f"{name.replace('_', ' ')} {_number(value)}" for name, value in known.items()]


def _make_bar() -> Any:
    """The bar of a terminal; None where lines can't be drawn over, as in a file or a build's log."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    # No thread that redraws: `update` does when it is time. Standard output is left to the caller's results.
    return Bar(
        BarColumn(bar_width=20), TextColumn("{task.fields[text]}", markup=False),
        console=console, auto_refresh=False, redirect_stdout=False,
    )  # fmt: skip


def _count(steps: int) -> str:
    """1234567 -> "1.23M"."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if steps >= size:
            return f"{steps / size:.{0 if steps >= 100 * size else 1 if steps >= 10 * size else 2}f}{unit}"
    return str(steps)


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    if not math.isfinite(value) or value == 0 or abs(value) >= 1:
        return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
    return f"{value:.2g}"


def _duration(seconds: float) -> str:
    """3725 s -> "1:02:05", 75 s -> "1:15"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
