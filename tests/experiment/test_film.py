"""Films can be read back and hold the frames that were given."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from experiment.errors import UserError
from experiment.film import SUFFIXES, film


def frames(count: int, height: int = 48, width: int = 64) -> Iterator[NDArray[np.uint8]]:
    """Orange, with a blue square that moves 4 pixels a frame."""
    for i in range(count):
        frame = np.full((height, width, 3), (220, 120, 40), np.uint8)
        frame[16:32, 4 * i : 4 * i + 16] = (20, 60, 200)
        yield frame


@pytest.mark.parametrize(("height", "width"), [(48, 64), (47, 63)])
def test_mp4(tmp_path: Path, height: int, width: int) -> None:
    path = tmp_path / "new" / "film.mp4"
    film(frames(8, height, width), path, 30)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    result = subprocess.run(command, capture_output=True, check=True)
    assert re.search(rb"Video: h264.*yuv420p.*bt709.* 64x48.* 30 fps", result.stderr)  # even sizes
    read = np.frombuffer(result.stdout, np.uint8).reshape(8, 48, 64, 3)
    for i, frame in enumerate(frames(8, height, width)):
        assert np.abs(read[i, :46, :62].astype(int) - frame[:46, :62]).mean() < 4
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert [path.name for path in path.parent.iterdir()] == ["film.mp4"]


@pytest.mark.parametrize(("fps", "count"), [(20, 8), (100, 4)])
def test_gif(tmp_path: Path, fps: int, count: int) -> None:
    film(frames(8), tmp_path / "film.GIF", fps)
    read = iio.imread(tmp_path / "film.GIF", index=None)
    assert read.shape == (count, 48, 64, 3)
    assert np.abs(read[0].astype(int) - next(frames(1))).max() < 8
    assert iio.immeta(tmp_path / "film.GIF")["duration"] == {20: 50, 100: 20}[fps]
    assert iio.immeta(tmp_path / "film.GIF")["loop"] == 0


def test_png_is_the_last_frame(tmp_path: Path) -> None:
    film(frames(5), tmp_path / "still.png", 30)
    np.testing.assert_array_equal(iio.imread(tmp_path / "still.png"), list(frames(5))[-1])


@pytest.mark.parametrize("name", ["film.avi", "film", ".mp4"])
def test_an_unknown_suffix_is_refused_before_the_first_frame(tmp_path: Path, name: str) -> None:
    def never() -> Iterator[NDArray[np.uint8]]:
        raise AssertionError("a frame was asked for")
        yield

    with pytest.raises(UserError, match=r"\.mp4, \.gif or \.png"):
        film(never(), tmp_path / name, 30)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failing_film_leaves_the_old_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"film{suffix}"
    path.write_bytes(b"old")

    def breaking(error: BaseException) -> Iterator[NDArray[np.uint8]]:
        yield from frames(3)
        raise error

    for error in (RuntimeError("the game broke"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            film(breaking(error), path, 30)
    with pytest.raises(UserError, match="no frames"):
        film(iter(()), path, 30)
    with pytest.raises(ValueError, match="one size"):
        film([*frames(2), *frames(1, 50, 60)], path, 30)
    with pytest.raises(ValueError, match="uint8"):
        film((frame / 255 for frame in frames(2)), path, 30)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(path.name, b"old")]


@pytest.mark.parametrize("count", [1, 200])
def test_ffmpeg_failing_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho some; echo no such encoder >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: os.fspath(program))
    with pytest.raises(UserError) as caught:
        film(frames(count, 480, 640), tmp_path / "film.mp4", 30)
    assert str(caught.value) == f"cannot write {tmp_path / 'film.mp4'}: ffmpeg failed: no such encoder"
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]
