"""Films: frames, as they come, into an .mp4, a .gif or the last one into a .png."""

import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiment import files
from experiment.errors import UserError

SUFFIXES = (".mp4", ".gif", ".png")


def film(frames: Iterable[NDArray[np.uint8]], path: Path, fps: int) -> None:
    """Write a film, frame by frame as they come; none but the current one is held.

    Args:
        frames: uint8 [height, width, 3], RGB, all of one size.
        path: .mp4 (H.264, plays everywhere; an odd size gets a black row or column), .gif (at most 50 frames a
            second, since players slow down faster ones), or .png (the last frame alone). Replaced at once.
        fps: frames a second.

    Raises:
        UserError: for any other suffix, before the first frame is asked for; without frames; if it can't be written.
        ValueError: if a frame is not as said above.
    """
    check_film_name(path)
    with files.writing(path) as temporary:
        if path.suffix.lower() == ".png":
            _write_still(frames, temporary)
        else:
            _encode(frames, temporary, fps)


def check_film_name(path: Path) -> None:
    """Check that `film` can write a file of this name.

    Raises:
        UserError: if its suffix is not a known one.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"can't film to {path}: the name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")


def _write_still(frames: Iterable[NDArray[np.uint8]], path: Path) -> None:
    from PIL import Image

    last = None
    for frame in frames:
        last = _checked(frame, last)
    if last is None:
        raise UserError("there are no frames to film")
    Image.fromarray(last).save(path)


def _encode(frames: Iterable[NDArray[np.uint8]], path: Path, fps: int) -> None:
    """Pipe the frames into the ffmpeg that comes with imageio-ffmpeg.

    Not through its `write_frames`, which does not look at how ffmpeg ends: a film cut short by a full disk
    would pass for a whole one.
    """
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise UserError("there are no frames to film")
    height, width = _checked(first, None).shape[:2]
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            _command(width, height, path, fps),
            stdin=subprocess.PIPE,
            stdout=messages,
            stderr=messages,
            start_new_session=True,  # Ctrl-C is ours to answer
        )
        assert process.stdin is not None
        try:
            for frame in itertools.chain([first], iterator):
                process.stdin.write(np.ascontiguousarray(_checked(frame, first)).data)
            process.stdin.close()
        except BrokenPipeError:  # ffmpeg has ended; its words are below
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        except BaseException:
            process.kill()
            process.communicate()
            raise
        if process.wait():
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines()
            raise OSError(f"ffmpeg failed: {lines[-1] if lines else process.returncode}")


def _ffmpeg() -> str:
    import imageio_ffmpeg  # type: ignore[import-untyped]

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise UserError(f"films need ffmpeg, which does not come with imageio-ffmpeg here: {error}") from error


def _command(width: int, height: int, path: Path, fps: int) -> list[str]:
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    if path.suffix.lower() == ".gif":
        # One palette made for this film, and only what moved is stored again.
        palette = "split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
        output = ["-filter_complex", f"fps={min(fps, 50)},{palette}", "-loop", "0"]
    else:
        # The colors' matrix is named in the file: players guess differently when it is not.
        even = f"pad={width + width % 2}:{height + height % 2}"
        output = ["-vf", f"{even},scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-c:v", "libx264"]
        output += ["-crf", "18", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709"]
        output += ["-movflags", "+faststart"]  # a browser can play it while it loads
    return [_ffmpeg(), "-y", "-v", "error", *source, *output, str(path)]


def _checked(frame: NDArray[np.uint8], before: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(f"a frame must be uint8 [height, width, 3], not {frame.dtype} {list(frame.shape)}")
    if before is not None and frame.shape != before.shape:
        raise ValueError(f"all frames must have one size: {list(frame.shape)} after {list(before.shape)}")
    return frame
