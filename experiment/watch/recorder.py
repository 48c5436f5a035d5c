"""A film made while someone watches: one thread adds frames, another encodes them."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiment.film import film

WAITING = 120  # frames; a film that falls behind by more makes the window wait


class Recorder:
    """Films to a file until it is closed.

    Attributes:
        path: the film's.

    Args:
        path: where to; see `film`.
        fps: frames a second.
    """

    def __init__(self, path: Path, fps: int) -> None:
        self.path = path
        self._frames: queue.Queue[NDArray[np.uint8] | None] = queue.Queue(WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._film, args=(fps,), name="film")
        self._thread.start()

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame, uint8 [height, width, 3]."""
        self._frames.put(frame)

    @property
    def failed(self) -> bool:
        """No film comes of it; `close` says why."""
        return self._error is not None

    def close(self) -> str:
        """Finish the film; returns a line that says where it is, or why there is none."""
        self._frames.put(None)
        self._thread.join()
        return f"no film: {self._error}" if self._error else f"wrote {self.path}"

    def _film(self, fps: int) -> None:
        frames = self._given()
        try:
            film(frames, self.path, fps)
        except Exception as error:  # whatever it is, the window goes on
            self._error = error
            for _ in frames:  # take the rest, or `add` would wait for ever in front of a full queue
                pass

    def _given(self) -> Iterator[NDArray[np.uint8]]:
        while (frame := self._frames.get()) is not None:
            yield frame


def free_name(folder: Path, name: str) -> Path:
    """Return the first of <folder>/<name>-1.mp4, -2, ... that is not taken."""
    number = 1
    while (folder / f"{name}-{number}.mp4").exists():
        number += 1
    return folder / f"{name}-{number}.mp4"
