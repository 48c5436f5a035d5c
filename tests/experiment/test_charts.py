"""Charts, whose numbers are read back from the drawing."""

import re
from xml.etree import ElementTree

import pytest

from experiment.charts import histogram, learning_curve, ticks
from experiment.html import Html, data_uri, element, join


def bars(svg: str) -> list[tuple[str, float, bool]]:
    """Each bar's words, height and whether the cap is in it, from left to right."""
    found = [one for one in ElementTree.fromstring(svg).iter("rect")]
    assert [float(one.attrib["x"]) for one in found] == sorted(float(one.attrib["x"]) for one in found)
    titles = [one.find("title") for one in found]
    assert all(title is not None for title in titles)
    words = [str(title.text) for title in titles if title is not None]
    shown = zip(words, found, strict=True)
    return [(text, float(one.attrib["height"]), "capped" in one.attrib["class"]) for text, one in shown]


def test_a_histogram_counts_whole_scores_one_by_one() -> None:
    found = bars(histogram([0, 3, 3, 3, 7, 7], 7))
    assert [text for text, _, _ in found] == ["1 of 6 episodes", "3 of 6 episodes", "2 of 6 episodes"]
    assert found[1][1] == pytest.approx(3 * found[0][1], rel=1e-4)
    assert [capped for _, _, capped in found] == [False, False, True]


@pytest.mark.parametrize(
    ("scores", "cap", "words"),
    [
        ([200.0] * 9, 200, ["9 of 9 episodes"]),
        ([0.0], None, ["1 of 1 episodes"]),
        ([-21.0, 3.5, 499.0, 500.0], None, ["2 of 4 episodes", "2 of 4 episodes"]),
        ([4.9, 100.0], 100, ["1 of 2 episodes", "1 of 2 episodes"]),
    ],
)
def test_every_episode_is_in_one_bar(scores: list[float], cap: float | None, words: list[str]) -> None:
    assert [text for text, _, _ in bars(histogram(scores, cap))] == words


def test_a_curve_goes_through_its_points() -> None:
    """60 to 240 seconds are minutes; the middle evaluation lies halfway, at 50 of 100, with its interval around it."""
    metrics = [
        {"seconds": 0.0, "steps": 0, "train/score": 0.0},
        {"seconds": 120.0, "steps": 5, "eval/score_mean": 50.0, "eval/score_ci95": [25.0, 75.0]},
        {"seconds": 240.0, "steps": 9, "train/score": 100.0},
    ]
    text = learning_curve(metrics)
    assert text is not None
    assert "training time (minutes)" in text
    drawing = ElementTree.fromstring(re.sub(r"<p .*", "", text))
    line, dot = drawing.find("polyline"), drawing.find("circle")
    assert line is not None
    assert dot is not None
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    assert float(dot.attrib["cx"]) == pytest.approx((x0 + x1) / 2, abs=0.1)
    assert float(dot.attrib["cy"]) == pytest.approx((y0 + y1) / 2, abs=0.1)
    (whisker,) = [one for one in drawing.iter("line") if one.attrib["class"] == "whisker"]
    assert float(whisker.attrib["y1"]) == pytest.approx(y0 + (y1 - y0) / 4, abs=0.1)
    assert float(whisker.attrib["y2"]) == pytest.approx(y0 + (y1 - y0) * 3 / 4, abs=0.1)


@pytest.mark.parametrize("metrics", [[], [{"seconds": 1.0, "steps": 1, "train/score": None}]])
def test_nothing_gives_no_curve(metrics: list[dict[str, float]]) -> None:
    assert learning_curve(metrics) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 200, [0, 50, 100, 150, 200]), (-0.5, 3.5, [0, 1, 2, 3]), (0, 0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("p", "a < b & c", element("b", "d")) == "<p>a &lt; b &amp; c<b>d</b></p>"
    assert element("img", src='"><script>', alt="") == '<img src="&quot;&gt;&lt;script&gt;" alt>'
    assert join("<i>", Html("<br>")) == "&lt;i&gt;<br>"
    assert element("p", element("p", "<").replace("p", "b")) == "<p>&lt;b&gt;&amp;lt;&lt;/b&gt;</p>"
    assert data_uri("image/png", b"\x00\xff") == "data:image/png;base64,AP8="
