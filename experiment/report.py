"""A run on one page: HTML that needs no other file, no network and no script."""

import io
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from experiment.charts import histogram, learning_curve
from experiment.evaluate import one_line
from experiment.html import Html, data_uri, element, join
from experiment.report_style import STYLE

Picture = NDArray[np.uint8]
# A browser may show what the page itself holds; it fetches nothing and runs nothing.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
JPEG_QUALITY = 88


@dataclass
class Moment:
    """A decision, and maps of the pixels that it hung on.

    Attributes:
        action: what the agent chose, in words.
        picture: what a person saw, uint8 [height, width, 3].
        maps: that picture with a saliency map over it, by the map's name.
    """

    action: str
    picture: Picture
    maps: dict[str, Picture]


@dataclass
class Report:
    """What a report tells.

    Attributes:
        name: the run's.
        about: its config.json.
        result: an evaluation, as `play.py --json` answers it.
        steps: decisions that the agent was trained for.
        metrics: the run's record, if it has one.
        film: an .mp4 of one episode, if the game can be filmed.
        poster: the film's first picture.
        moments: decisions with their saliency.
        watch: the words of the command that shows the agent.
        missing: sentences, each about something that can't be shown of this run.
    """

    name: str
    about: dict[str, Any]
    result: dict[str, Any]
    steps: int
    metrics: Sequence[dict[str, Any]] = ()
    film: bytes | None = None
    poster: Picture | None = None
    moments: list[Moment] = field(default_factory=list)
    watch: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def page(report: Report) -> str:
    """Write the page. Every text in it is escaped."""
    config, result = report.about["config"], report.result
    preset = f" ({result['preset']})" if result["preset"] else ""
    body = join(
        element(
            "header",
            element("p", "Wingbeat report", class_="over"),
            element("h1", report.name),
            element("p", f"{config['algorithm']} plays {result['env']}{preset}", class_="under"),
            _figures(report),
        ),
        _evaluation(report),
        _curve(report),
        _saliency(report.moments),
        _again(report),
        _settings(config),
        _made(report.about),
        _missing(report.missing),
        element("footer", "Made by Wingbeat. This file stands for itself: it loads nothing and runs no script."),
    )
    head = join(
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{report.name}: Wingbeat report"),
        element("style", Html(STYLE)),
    )
    return f"<!doctype html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"


def _figures(report: Report) -> Html:
    result, (low, high) = report.result, report.result["score_ci95"]
    cap = result["score_cap"]
    figures = [
        ("mean score", f"{result['score_mean']:.1f}", f"95% interval {low:.1f} to {high:.1f}"),
        ("median score", f"{result['score_median']:g}", f"lowest {result['score_min']:g}"),
    ]
    if cap:
        reached = round(result["reached_cap"] * result["episodes"])
        figures.append(
            ("reached the cap", f"{result['reached_cap']:.0%}", f"{reached} of {result['episodes']} at {cap}")
        )
    figures.append(("trained for", f"{report.steps:,}", "decisions"))
    if report.metrics:
        figures.append(("training time", f"{report.metrics[-1]['seconds'] / 60:.1f}", "minutes"))
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value, element("small", note)))
            for name, value, note in figures
        ),
        class_="figures",
    )


def _evaluation(report: Report) -> Html:
    result = report.result
    scores = ", ".join(f"{score:g}" for score in result["scores"])
    kept = {key: value for key, value in result.items() if key != "scores"}
    told = element(
        "section",
        element("h2", "Evaluation"),
        element("p", f"{one_line(result).capitalize()}."),
        histogram(result["scores"], result["score_cap"]),
        element(
            "p",
            f"{result['episodes']} fresh episodes, none of which training has seen, each played once with the greedy "
            "policy; the interval is a bootstrap over episodes.",
            class_="note",
        ),
        element("details", element("summary", "All figures"), _table(kept), element("p", f"scores: {scores}")),
    )
    if report.film is None or report.poster is None:
        return told
    film = element(
        "video",
        src=data_uri("video/mp4", report.film),
        poster=data_uri("image/jpeg", jpeg(report.poster)),
        controls="",
        muted="",
        loop="",
        playsinline="",
        aria_label="the agent playing",
    )
    caption = element("figcaption", f"The agent plays, seed {result['seed']}.")
    return element("div", told, element("figure", film, caption), class_="first")


def _curve(report: Report) -> Html:
    chart = learning_curve(report.metrics)
    return Html("") if chart is None else element("section", element("h2", "Learning curve"), chart)


def _saliency(moments: Sequence[Moment]) -> Html:
    if not moments:
        return Html("")
    rows = [
        element(
            "div",
            _image(moment.picture, f"It chose {moment.action}.", f"the game when the agent chose {moment.action}"),
            *(_image(picture, f"{name} saliency", f"{name} saliency") for name, picture in moment.maps.items()),
            class_="moment",
        )
        for moment in moments
    ]
    words = "Bright places speak for the action that was chosen: without them the agent would prefer it less."
    return element("section", element("h2", "What it looks at"), element("p", words), *rows)


def _image(picture: Picture, caption: str, alternative: str) -> Html:
    image = element("img", src=data_uri("image/jpeg", jpeg(picture)), alt=alternative)
    return element("figure", image, element("figcaption", caption))


def _again(report: Report) -> Html:
    config, command = report.about["config"], [str(word) for word in report.about.get("command") or []]
    parts = [element("h2", "Again"), element("h3", "Watch it"), element("pre", shlex.join(report.watch))]
    parts.append(element("h3", "Train it"))
    if not command:
        parts.append(element("p", "How it was trained is not on record."))
        return element("section", *parts)
    parts.append(element("pre", shlex.join(["python", Path(command[0]).name, *command[1:]])))
    parts.append(
        element(
            "p",
            f"The whole run was {config.get('total_steps', 0):,} decisions, on {config.get('device')} in "
            f"{config.get('precision')} with threads = {config.get('threads')} and layout = "
            f"{config.get('layout', 'planes')}. Where the command leaves these open, "
            "another machine may choose others; sums are then rounded otherwise, and the run takes another course.",
            class_="note",
        )
    )
    if "--out" in command:
        parts.append(element("p", "Give --out a folder that does not exist yet.", class_="note"))
    return element("section", *parts)


def _settings(config: Mapping[str, Any]) -> Html:
    groups = {"run": {key: value for key, value in config.items() if not isinstance(value, dict)}}
    groups |= {key: value for key, value in config.items() if isinstance(value, dict)}
    sections = (element("section", element("h3", name), _table(values)) for name, values in groups.items())
    return element("section", element("h2", "Settings"), element("div", *sections, class_="groups"))


def _made(about: Mapping[str, Any]) -> Html:
    versions = about.get("versions")
    made = {key: about.get(key) for key in ("started", "platform", "cpu", "cpus", "threads", "commit")}
    if isinstance(versions, dict):
        made |= versions
    return element("section", element("h2", "Versions and machine"), _table(made))


def _missing(sentences: Sequence[str]) -> Html:
    if not sentences:
        return Html("")
    items = (element("li", sentence) for sentence in sentences)
    return element("section", element("h2", "What is not here"), element("ul", *items))


def _table(values: Mapping[str, Any]) -> Html:
    rows = (
        element("tr", element("th", key, scope="row"), element("td", _words(value))) for key, value in values.items()
    )
    return element("table", element("tbody", *rows))


def _words(value: Any) -> str:
    """Write a setting as JSON does, but texts without quotes and an empty one as "none"."""
    if value is None or value in ("", [], ()):
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def jpeg(picture: Picture) -> bytes:
    """Encode a picture, uint8 [height, width, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "jpeg", quality=JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
