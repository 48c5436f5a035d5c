"""What a run leaves to look at: the learning curve, and films of the agent."""

import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment import files
from experiment.errors import UserError, explain

SUFFIXES = (".mp4", ".gif", ".png")
BLUE, ORANGE, INK = "#2f6fb0", "#e07b1f", "#333333"
TIMES = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


def learning_curve(metrics: list[dict[str, Any]], path: Path, title: str) -> None:
    """Draw score against time and against steps.

    Args:
        metrics: as `read_metrics` returns them. The line is `train/score`, the mean of recently finished training
            episodes; the points are `eval/score_mean` with their intervals `eval/score_ci95`, [low, high].
        path: a .png file; replaced at once.
        title: above the picture.

    Raises:
        UserError: if the disk refuses.
    """
    # Imported here: it takes a second. `Figure` without pyplot, so that nothing global changes.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    longest = max((line["seconds"] for line in metrics), default=0.0)
    second, unit = next((one for one in TIMES if longest >= 3 * one[0]), TIMES[-1])
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, color=INK, fontsize=13)
    by_time, by_steps = figure.subplots(1, 2, sharey=True)
    _draw_scores(by_time, metrics, "seconds", 1 / second)
    _draw_scores(by_steps, metrics, "steps", 1.0)
    by_time.set_xlabel(f"training time ({unit})", color=INK)
    by_steps.set_xlabel("steps of the agent", color=INK)
    by_steps.xaxis.set_major_formatter(EngFormatter(sep=""))
    by_time.set_ylabel("score", color=INK)
    if by_time.get_legend_handles_labels()[1]:
        by_time.legend(frameon=False, loc="best", labelcolor=INK)
    else:
        by_time.text(0.5, 0.5, "no episode has ended yet", transform=by_time.transAxes, ha="center", color=INK)
    with explain(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as temporary:
            figure.savefig(temporary, dpi=120, format="png")


def loss_curve(metrics: list[dict[str, Any]], path: Path, title: str) -> None:
    """Draw the loss against what was learned from.

    Args:
        metrics: as `read_metrics` returns them. The line is `train/loss`, the points are `eval/loss`.
        path: a .png file; replaced at once.
        title: above the picture.

    Raises:
        UserError: if the disk refuses.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, color=INK, fontsize=13)
    axes = figure.subplots()
    for key, color, style, label in (("train", BLUE, "-", "training"), ("eval", ORANGE, "o", "validation")):
        known = [(line["steps"], line[f"{key}/loss"]) for line in metrics if line.get(f"{key}/loss") is not None]
        if known:
            axes.plot(*zip(*known, strict=True), style, color=color, markersize=4, linewidth=1.4, label=label)
    axes.set_xlabel("pictures", color=INK)
    axes.set_ylabel("loss", color=INK)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    _plain_axes(axes)
    axes.legend(frameon=False, labelcolor=INK)
    with explain(f"write {path}"), files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _plain_axes(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(colors=INK)
    axes.grid(axis="y", color="#e6e6e6")
    axes.set_axisbelow(True)


def _draw_scores(axes: Any, metrics: list[dict[str, Any]], across: str, scale: float) -> None:
    train = [(line[across] * scale, line["train/score"]) for line in metrics if line.get("train/score") is not None]
    evaluations = [line for line in metrics if line.get("eval/score_mean") is not None]
    if train:
        axes.plot(*zip(*train, strict=True), color=BLUE, linewidth=1.6, label="training")
    if evaluations:
        means = [line["eval/score_mean"] for line in evaluations]
        pairs = [line.get("eval/score_ci95") or (mean, mean) for line, mean in zip(evaluations, means, strict=True)]
        bars = [[max(m - low, 0) for m, (low, _) in zip(means, pairs, strict=True)],
                [max(high - m, 0) for m, (_, high) in zip(means, pairs, strict=True)]]  # fmt: skip
        axes.errorbar(
            [line[across] * scale for line in evaluations], means, bars,
            fmt="o", color=ORANGE, markersize=5, capsize=3, elinewidth=1.2, label="evaluation, 95% interval", zorder=3,
        )  # fmt: skip
    _plain_axes(axes)
    axes.set_xlim(left=0)
    if min((score for _, score in train), default=0) >= 0:
        axes.set_ylim(bottom=0)


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
    with explain(f"write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(path) as temporary:
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
