"""The page about a run: read back with a parser, and held against the evaluation and the run's own files."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

import play
from experiment.errors import UserError
from tests.commands.running import everything, film_frames

AS_JUDGED = ["--episodes", "3", "--score-cap", "1"]
EMPTY = ("meta", "img", "br")


class Page(HTMLParser):
    """Reads a page: elements must be closed in order; keeps all texts, addresses and the tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.contents: list[str] = []
        self.cells: dict[str, str] = {}
        self._row = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "poster", "xlink:href")]
        self.contents += [value or "" for name, value in attrs if name == "content"]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] == "th":
            self._row = data
        elif self.open and self.open[-1] == "td":
            self.cells.setdefault(self._row, data)


@pytest.fixture
def named(run: Path) -> Path:
    """A run whose name is what nobody should call a run."""
    return run.rename("<script>alert(1)<" + chr(92) + "script> & 'co'")


def test_a_report_stands_for_itself_and_tells_what_json_tells(named: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert play.main([str(named), "--json", *AS_JUDGED]) == 0
    answer = json.loads(capsys.readouterr().out)
    before = everything(named)
    assert play.main([str(named), "--report", *AS_JUDGED]) == 0
    assert capsys.readouterr().out == ""
    after = everything(named)
    file = named / "report.html"
    assert after.keys() - before.keys() == {str(file)}
    assert all(after[name] == data for name, data in before.items())
    text = file.read_text()
    assert len(text) < 3_000_000
    page = Page(text)

    # Nothing runs, nothing is fetched.
    assert not page.names & {"script", "link", "iframe", "object", "embed", "form"}
    assert not [name for name in page.attributes if name.startswith("on")]
    assert not re.search(r"https?:|url\(|@import", text)
    assert any(content.startswith("default-src 'none';") for content in page.contents)
    assert page.texts.count(named.name) == 1
    assert "<script" not in text

    for key in ("env", "preset"):
        assert page.cells[key] == answer[key]
    for key in ("episodes", "seed", "score_mean", "score_median", "score_ci95", "score_min", "score_cap",
                "reached_cap", "steps"):  # fmt: skip
        assert json.loads(page.cells[key]) == answer[key], key
    scores = next(one for one in page.texts if one.startswith("scores: "))
    assert [float(score) for score in scores.removeprefix("scores: ").split(", ")] == answer["scores"]

    config = json.loads((named / "config.json").read_text())
    assert json.loads(page.cells["rollout_steps"]) == config["config"]["learner"]["rollout_steps"] == 8
    assert json.loads(page.cells["final_cap"]) == config["config"]["runner"]["final_cap"]
    assert page.cells["torch"] == config["versions"]["torch"]
    assert page.cells["cpu"] == config["cpu"]
    assert " ".join(["python", "train.py", *config["command"][1:]]) in page.texts
    assert any(one.startswith("python play.py '<script>") for one in page.texts)

    films = [address for address in page.addresses if address.startswith("data:video/mp4;base64,")]
    pictures = [address for address in page.addresses if address.startswith("data:image/jpeg;base64,")]
    assert len(films) == 1
    assert len(pictures) >= 4  # the film's first picture, and a decision with its two maps
    assert len(films) + len(pictures) == len(page.addresses)
    film = named / "film.mp4"
    film.write_bytes(base64.b64decode(films[0].partition(",")[2], validate=True))
    assert 25 < len(film_frames(film)) <= 12 * 30
    for address in pictures:
        with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2], validate=True))) as picture:
            assert picture.size == (288, 512)
            assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 500


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, "This run's folder has no record of its training"),
        ('{"steps": 256, "seconds": 1.5, "train/score": null}\n', "The record of its training has no score"),
    ],
    ids=["no record", "no score"],
)
def test_what_a_run_lacks_is_said(record: str | None, words: str, run: Path) -> None:
    """No record, or one of a training in which no episode came to an end."""
    (run / "metrics.jsonl").unlink()
    if record:
        (run / "metrics.jsonl").write_text(record)
    assert play.main([str(run / "best"), "--report", "new/here.html", *AS_JUDGED]) == 0
    page = Page(Path("new/here.html").read_text())
    assert "Learning curve" not in page.texts
    assert f"{words}, so there is no learning curve." in page.texts
    assert [path.name for path in Path("new").iterdir()] == ["here.html"]
    assert not (run / "report.html").exists()


def test_an_agent_that_sees_numbers_has_no_saliency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import train

    monkeypatch.chdir(tmp_path)
    tiny = "ppo --env CartPole-v1 --num-envs 4 --rollout-steps 8 --total-steps 64 --precision fp32 --threads 1 --quiet"
    assert train.main([*tiny.split(), "--evaluate-seconds", "0", "--out", "states"]) == 0
    assert play.main(["--report", "states", "--episodes", "2", "--score-cap", "20"]) == 0
    page = Page(Path("states/report.html").read_text())
    assert "The agent sees numbers and no pixels, so there is no saliency." in page.texts
    assert "What it looks at" not in page.texts
    assert "Learning curve" in page.texts or "no learning curve" in " ".join(page.texts)
    assert len([address for address in page.addresses if address.startswith("data:video/mp4")]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("run --report=page.txt", "--report writes .html files, not page.txt"),
        ("--report page.txt", "there is no run page.txt"),
        ("--human --report", "--report tells of one agent"),
    ],
)
def test_what_is_no_report_is_refused(arguments: str, words: str, run: Path) -> None:
    before = everything(Path())
    with pytest.raises(UserError, match=re.escape(words)):
        play.main(arguments.split())
    assert everything(Path()) == before


def test_a_report_that_can_not_be_written_leaves_the_old_one(run: Path) -> None:
    Path("file").write_text("here")
    with pytest.raises(UserError, match=r"cannot write file/page\.html"):
        play.main([str(run), "--report", "file/page.html", *AS_JUDGED])
    assert Path("file").read_text() == "here"
