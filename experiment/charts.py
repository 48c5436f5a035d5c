"""Two charts as SVG whose colors are the page's: a histogram of scores, and a learning curve."""

import math
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

from experiment.curves import read_scores, time_unit
from experiment.html import Html, element, join

WIDTH, HEIGHT = 640.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 12.0, 14.0, 40.0  # margins
BARS = 20


class _Plane:
    """Places numbers in a drawing and draws its axes."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float]) -> None:
        self.xs, self.ys = _wide(xs), _wide(ys)

    def x(self, value: float) -> float:
        low, high = self.xs
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.ys
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def draw(self, *inside: Html, across: str, up: str, title: str) -> Html:
        """Put axes with their names behind what is drawn; screen readers read out the title."""
        parts = [element("title", title)]
        for tick in ticks(*self.ys):
            y = self.y(tick)
            parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
            parts.append(element("text", f"{tick:g}", x=LEFT - 7, y=y + 4, text_anchor="end"))
        for tick in ticks(*self.xs):
            parts.append(element("text", f"{tick:g}", x=self.x(tick), y=HEIGHT - BOTTOM + 17, text_anchor="middle"))
        parts.append(element("text", across, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 4, text_anchor="middle"))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        turned = f"rotate(-90 11 {middle:g})"
        parts.append(element("text", up, x=11.0, y=middle, text_anchor="middle", transform=turned))
        return element("svg", *parts, *inside, viewBox=f"0 0 {WIDTH:g} {HEIGHT:g}", role="img", class_="chart")


def histogram(scores: Sequence[float], cap: float | None) -> Html:
    """Draw how many episodes have which score; bars that hold the cap are marked.

    Args:
        scores: at least one.
        cap: the score at which episodes ended, or None.
    """
    low, high = min(0.0, *scores), max(*scores, 1.0, cap or 0.0)
    if high - low < BARS and all(float(score).is_integer() for score in scores):
        edges = [value - 0.5 for value in range(math.floor(low), math.ceil(high) + 2)]
    else:
        edges = [low + (high - low) * i / BARS for i in range(BARS + 1)]
    counts = [0] * (len(edges) - 1)
    for score in scores:
        counts[max(0, min(len(counts) - 1, sum(edge <= score for edge in edges) - 1))] += 1
    plane, bars = _Plane((edges[0], edges[-1]), (0, max(counts))), []
    for (left, right), count in zip(pairwise(edges), counts, strict=True):
        if count:
            capped = cap is not None and left <= cap <= right
            x, y = plane.x(left) + 1, plane.y(count)
            label = element("title", f"{count} of {len(scores)} episodes")
            kind = "bar capped" if capped else "bar"
            width, height = max(1.0, plane.x(right) - 1 - x), plane.y(0) - y
            bars.append(element("rect", label, x=x, y=y, width=width, height=height, class_=kind))
    return plane.draw(*bars, across="score", up="episodes", title=f"scores of {len(scores)} episodes")


def learning_curve(metrics: Sequence[dict[str, Any]]) -> Html | None:
    """Draw scores against the time of training, as `experiment.curves.learning_curve` does.

    Args:
        metrics: as `read_metrics` returns them.

    Returns:
        the chart; None if there is nothing to draw.
    """
    scores, (second, unit) = read_scores(metrics), time_unit(metrics)
    if not any(scores):
        return None
    heights = [height for score in chain(*scores) for height in (score.low, score.mean, score.high)]
    longest = max(line["seconds"] for line in metrics)
    plane = _Plane((0, longest / second), (min(0.0, *heights), max(1.0, *heights)))
    drawn = []
    if scores.training:
        points = " ".join(f"{plane.x(one.seconds / second):.1f},{plane.y(one.mean):.1f}" for one in scores.training)
        drawn.append(element("polyline", points=points, class_="line"))
    for _, seconds, mean, low, high in scores.evaluations:
        x = plane.x(seconds / second)
        drawn.append(element("line", x1=x, x2=x, y1=plane.y(low), y2=plane.y(high), class_="whisker"))
        note = element("title", f"{mean:.1f} ({low:.1f} to {high:.1f})")
        drawn.append(element("circle", note, cx=x, cy=plane.y(mean), r=4.0, class_="dot"))
    chart = plane.draw(*drawn, across=f"training time ({unit})", up="score", title="score against training time")
    key = [
        element("span", "training", class_="key line"),
        element("span", "evaluation, 95% interval", class_="key dot"),
    ]
    return join(chart, element("p", *key[: 1 + bool(scores.evaluations)], class_="keys"))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from low to high, a step of 1, 2 or 5 times a power of ten apart, at most `most` + 1."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough * (1 - 1e-9))
    return [round(step * i, 12) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _wide(reach: tuple[float, float]) -> tuple[float, float]:
    low, high = reach
    return (low, high) if high > low else (low, low + 1)
