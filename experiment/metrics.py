"""The record of a run: metrics.jsonl, and the same numbers for TensorBoard.

A line is whole once its newline is there. What a crash leaves after the last newline is dropped.
"""

import json
import math
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from experiment import files
from experiment.errors import UserError, explain

FILE, BOARD = "metrics.jsonl", "tensorboard"


class Metrics:
    """Appends to <run>/metrics.jsonl and to the event files in <run>/tensorboard.

    TensorBoard's import and writing happen in a thread of their own. If it fails, that is said once, and
    the record goes on without it.

    Args:
        run_folder: as runs/x.
        resume_steps: when going on from a checkpoint, its steps: TensorBoard forgets what came after.

    Raises:
        UserError: if the file can't be written.
    """

    def __init__(self, run_folder: Path, resume_steps: int | None = None) -> None:
        self._path = run_folder / FILE
        with explain(f"write {self._path}"):
            self._file = self._path.open("ab")
            _drop_torn_line(self._path)
        # One thread, so that the import comes first and the rest in order.
        self._thread = ThreadPoolExecutor(1, "tensorboard")
        self._board: Any = None
        self._thread.submit(self._open_board, run_folder / BOARD, resume_steps)

    def write(self, numbers: Mapping[str, Any]) -> None:
        """Append one line.

        Args:
            numbers: at least `steps` (agent steps) and `seconds` (of training). Values: numbers, also NumPy's and
                torch's, text, None and lists of these; numbers that are not finite are written as null.

        Raises:
            ValueError: if steps or seconds are missing.
            UserError: if the disk refuses.
        """
        if not {"steps", "seconds"} <= numbers.keys():
            raise ValueError(f"metrics need steps and seconds, not only {', '.join(numbers) or 'nothing'}")
        line = {key: _plain(value) for key, value in numbers.items()}
        with explain(f"write {self._path}"):
            self._file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            self._file.flush()
        self._thread.submit(self._add, line)

    def close(self) -> None:
        """Finish both records. May be called twice."""
        if not self._file.closed:
            try:
                with explain(f"write {self._path}"):
                    self._file.close()
            finally:
                self._thread.submit(self._close_board)
                self._thread.shutdown()

    def __enter__(self) -> "Metrics":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _open_board(self, folder: Path, resume_steps: int | None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter

            purge = None if resume_steps is None else resume_steps + 1  # drops this step and later ones
            self._board = SummaryWriter(str(folder), purge_step=purge)
        except Exception as error:
            self._give_up(error)

    def _add(self, line: dict[str, Any]) -> None:
        if self._board is None:
            return
        try:
            for key, value in line.items():
                if key != "steps" and isinstance(value, int | float):
                    self._board.add_scalar(key, value, line["steps"])
            self._board.flush()
        except Exception as error:
            self._give_up(error)

    def _close_board(self) -> None:
        if self._board is not None:
            self._board.close()

    def _give_up(self, error: Exception) -> None:
        self._board = None
        print(f"warning: no more TensorBoard events ({error}); {self._path} goes on", file=sys.stderr)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl, oldest first.

    Raises:
        UserError: if the file is missing, or damaged anywhere but in a last line that a crash tore.
    """
    return [line for line, _ in _lines(path)]


def truncate(path: Path, steps: int) -> None:
    """Drop the lines after `steps`; the file is replaced at once.

    Raises:
        UserError: as `read_metrics`, or if the disk refuses.
    """
    kept = b"".join(text for line, text in _lines(path) if line["steps"] <= steps)
    with files.writing(path) as temporary:
        files.write(temporary, kept)


def _lines(path: Path) -> list[tuple[dict[str, Any], bytes]]:
    """Every whole line, read and as it stands."""
    if not path.exists():
        raise UserError(f"there is no record {path}; is this a run's folder, and has it trained?")
    with explain(f"read {path}"):
        texts = path.read_bytes().splitlines(keepends=True)
    result = []
    for number, text in enumerate(texts, 1):
        if not text.endswith(b"\n"):
            break
        try:
            line = json.loads(text)
            whole = isinstance(line, dict) and isinstance(line.get("steps"), int) and "seconds" in line
        except ValueError:
            whole = False
        if not whole:
            raise UserError(f"line {number} of {path} is damaged; delete that line")
        result.append((line, text))
    return result


def _drop_torn_line(path: Path) -> None:
    """Cut off what follows the last newline, or the next line would be added to it."""
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def _plain(value: Any) -> Any:
    """Make a value fit for JSON."""
    if hasattr(value, "tolist"):  # NumPy's and torch's
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
