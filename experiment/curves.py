"""How a training went, as pictures: the scores of an agent, or the loss of an encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiment import files

BLUE, ORANGE, INK = "#2f6fb0", "#e07b1f", "#333333"
TIMES = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


class Score(NamedTuple):
    """A mean score at some moment of a training.

    Attributes:
        steps: of the agent until then.
        seconds: of training until then.
        mean: the score.
        low: where its 95% interval begins; the mean if the record has no interval.
        high: where it ends; likewise.
    """

    steps: int
    seconds: float
    mean: float
    low: float
    high: float


class Scores(NamedTuple):
    """All scores in a run's record, oldest first.

    Attributes:
        training: `train/score`, the means of recently finished training episodes.
        evaluations: `eval/score_mean` with their intervals `eval/score_ci95`, [low, high].
    """

    training: list[Score]
    evaluations: list[Score]


def read_scores(metrics: Sequence[dict[str, Any]]) -> Scores:
    """Pick the scores out of a record, as `read_metrics` returns it; both lists may be empty."""

    def score(line: dict[str, Any], mean: float, interval: Sequence[float] | None = None) -> Score:
        low, high = interval or (mean, mean)
        return Score(line["steps"], line["seconds"], mean, low, high)

    trained = [line for line in metrics if line.get("train/score") is not None]
    evaluated = [line for line in metrics if line.get("eval/score_mean") is not None]
    return Scores(
        [score(line, line["train/score"]) for line in trained],
        [score(line, line["eval/score_mean"], line.get("eval/score_ci95")) for line in evaluated],
    )


def time_unit(metrics: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """Choose the unit in which a run's time is shown: its seconds, and its name in the plural."""
    longest = max((line["seconds"] for line in metrics), default=0.0)
    return next((one for one in TIMES if longest >= 3 * one[0]), TIMES[-1])


def learning_curve(metrics: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draw score against time and against steps: training as a line, evaluations as points with their intervals.

    Args:
        metrics: as `read_metrics` returns them; see `Scores`.
        path: a .png file; replaced at once.
        title: above the picture.

    Raises:
        UserError: if the disk refuses.
    """
    from matplotlib.ticker import EngFormatter

    scores, (second, unit) = read_scores(metrics), time_unit(metrics)
    figure = new_figure(10, 4, title)
    by_time, by_steps = figure.subplots(1, 2, sharey=True)
    _draw_scores(by_time, scores, lambda score: score.seconds / second)
    _draw_scores(by_steps, scores, lambda score: score.steps)
    by_time.set_xlabel(f"training time ({unit})", color=INK)
    by_steps.set_xlabel("steps of the agent", color=INK)
    by_steps.xaxis.set_major_formatter(EngFormatter(sep=""))
    by_time.set_ylabel("score", color=INK)
    if any(scores):
        by_time.legend(frameon=False, loc="best", labelcolor=INK)
    else:
        by_time.text(0.5, 0.5, "no episode has ended yet", transform=by_time.transAxes, ha="center", color=INK)
    save_figure(figure, path)


def loss_curve(metrics: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draw the loss against the pictures learned from so far.

    Args:
        metrics: as `read_metrics` returns them. The line is `train/loss`, the points are `eval/loss`.
        path: a .png file; replaced at once.
        title: above the picture.

    Raises:
        UserError: if the disk refuses.
    """
    from matplotlib.ticker import EngFormatter

    figure = new_figure(7, 4, title)
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
    save_figure(figure, path)


def new_figure(width: float, height: float, title: str = "") -> Any:
    """Make an empty matplotlib figure.

    Args:
        width: inches.
        height: inches.
        title: above all that will be drawn; "" for none.
    """
    # Imported here: it takes a second. `Figure` without pyplot, so that nothing global changes.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, color=INK, fontsize=13)
    return figure


def save_figure(figure: Any, path: Path, dpi: int = 120) -> None:
    """Write a figure as a .png, which is replaced at once; its folder is made.

    Raises:
        UserError: if the disk refuses.
    """
    with files.writing(path) as temporary:
        figure.savefig(temporary, dpi=dpi, format="png")


def _draw_scores(axes: Any, scores: Scores, across: Callable[[Score], float]) -> None:
    """Draw scores; `across` gives the place of each from left to right."""
    training, evaluations = scores
    if training:
        xs, ys = [across(score) for score in training], [score.mean for score in training]
        axes.plot(xs, ys, color=BLUE, linewidth=1.6, label="training")
    if evaluations:
        bars = [[max(score.mean - score.low, 0) for score in evaluations],
                [max(score.high - score.mean, 0) for score in evaluations]]  # fmt: skip
        axes.errorbar(
            [across(score) for score in evaluations], [score.mean for score in evaluations], bars,
            fmt="o", color=ORANGE, markersize=5, capsize=3, elinewidth=1.2, label="evaluation, 95% interval", zorder=3,
        )  # fmt: skip
    _plain_axes(axes)
    axes.set_xlim(left=0)
    if min((score.mean for score in training), default=0) >= 0:
        axes.set_ylim(bottom=0)


def _plain_axes(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#bbbbbb")
    axes.tick_params(colors=INK)
    axes.grid(axis="y", color="#e6e6e6")
    axes.set_axisbelow(True)
