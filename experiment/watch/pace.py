"""When it is time for the next picture."""

import time

RATE = 60  # pictures a second
LATE = 3  # pictures that come sooner at most to make up for one that came late


class Pace:
    """Waits from picture to picture, `RATE` of them a second."""

    def __init__(self) -> None:
        self._last = self._due = time.perf_counter()

    def wait(self) -> float:
        """Wait for the next picture's turn; returns the seconds since the last one's.

        After a picture that came late the next ones come sooner, so that as many are shown.
        """
        now = time.perf_counter()
        self._due = max(self._due + 1 / RATE, now - LATE / RATE)
        time.sleep(max(0.0, self._due - now))
        last, self._last = self._last, time.perf_counter()
        return self._last - last
