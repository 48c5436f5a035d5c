"""The doctor finds planted faults by name, and leaves sound environments alone."""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from envs.doctor import ERROR, KINDS, NOTE, WARNING, NoSuchEnvironment, Report, examine
from envs.doctor.__main__ import main
from envs.doctor.checks import BY_STAGE
from envs.doctor.making import find
from envs.doctor.report import as_dict, as_text
from experiment.errors import UserError
from tests.envs.faults import EXPECTED, SOUND

ROOT = Path(__file__).parents[2]
SOUND_IDS = (
    "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "FrozenLake-v1", "Taxi-v4", "Pendulum-v1", "Blackjack-v1",
    "envs:wingbeat/FlappyBird-v0",
)  # fmt: skip
OWN = "tests.envs.faults:"


NAMES = [*(OWN + name for name in (*EXPECTED, *SOUND)), *SOUND_IDS]
AHEAD = 4  # examinations begun beyond the one that is waited for


class Reports:
    """Environments' reports, by name. Those that the next tests ask for are begun, too, three at a time.

    Not all at once: the tests may be shared out to several processes, each of which would examine every environment.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(3)
        self._begun: dict[str, Future[Report]] = {}

    def __getitem__(self, name: str) -> Report:
        place = NAMES.index(name)
        for each in NAMES[place : place + 1 + AHEAD]:
            if each not in self._begun:
                seconds = 8.0 if "Hangs" in each else 60.0
                timing = 2.0 if "Hoards" in each else 0.2  # a stall must not be as long as what memory is compared over
                steps = 60 if "SlowStep" in each else 400
                self._begun[each] = self.pool.submit(examine, each, None, steps, 0, seconds, timing)
        return self._begun[name].result()


@pytest.fixture(scope="module")
def reports() -> Iterator[Reports]:
    """Every environment's report."""
    reports = Reports()
    yield reports
    reports.pool.shutdown(cancel_futures=True)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "finding"), EXPECTED.items())
def test_a_planted_fault_is_found(reports: Reports, name: str, finding: str) -> None:
    report = reports[OWN + name]
    assert finding in {found.name for found in report.findings}, as_text(report)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [OWN + name for name in SOUND] + list(SOUND_IDS))
def test_a_sound_environment_is_left_alone(reports: Reports, name: str) -> None:
    report = reports[name]
    assert report.sound
    assert report.complete
    assert not [found for found in report.findings if found.severity != NOTE], as_text(report)
    assert set(report.facts) > {"steps_per_second", "episodes"}


@pytest.mark.timeout(600)
def test_a_report_fits_on_the_screen_and_into_json(reports: Reports) -> None:
    for report in (reports[OWN + "Raises"], reports["FrozenLake-v1"]):
        text = as_text(report)
        assert max(map(len, text.splitlines())) <= 100
        assert re.sub(r"\x1b\[\d+m", "", as_text(report, color=True)) == text
        assert as_text(report, unicode=False).isascii()
        answer = json.loads(json.dumps(as_dict(report)))
        assert answer["errors"] == sum(found["severity"] == "error" for found in answer["findings"])
        assert answer["sound"] is (answer["errors"] == 0)
    assert "IndexError: list index out of range" in as_text(reports[OWN + "Raises"])
    assert "in step at faults.py line" in as_text(reports[OWN + "Hangs"])


@pytest.mark.parametrize("name", ["Nonsense", "Trap"])
def test_nothing_that_an_environment_returns_stops_the_doctor(name: str) -> None:
    report = examine(OWN + name, None, 50, timing_seconds=0.1)
    assert not report.sound
    as_text(report)


@pytest.mark.parametrize(
    "name",
    ["Nothing-v0", "nobody:Nothing-v0", "tests.envs.nothing:Walk", "tests.envs.faults:Nothing", "tests.envs.faults:"],
)
def test_what_does_not_exist_is_refused_in_a_line(name: str) -> None:
    with pytest.raises(UserError, match=r"^.*there is no|has no|no module") as caught:
        main([name])
    assert "\n" not in str(caught.value)


def test_a_setting_is_handed_on() -> None:
    with pytest.raises(NoSuchEnvironment, match="takes no setting 'mass'"):
        examine("CartPole-v1", {"mass": 3})
    with pytest.raises(UserError, match="takes no setting 'mass'"):
        main(["CartPole-v1", "--env-arg", "mass=3"])
    with pytest.raises(UserError, match="name=value"):
        main(["CartPole-v1", "--env-arg", "mass"])


def test_an_id_is_found_as_train_py_finds_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Its package registers it only once it is imported."""
    main(["FlappyBird-v0", "--steps", "50", "--json"])
    assert json.loads(capsys.readouterr().out)["complete"]


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minatar.gym", None)
    with pytest.raises(NoSuchEnvironment, match="pip install minatar"):
        find("MinAtar/Nothing-v1", {})


def test_the_exit_code_is_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([OWN + "OldStep", "--steps", "50", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [found["name"] for found in answer["findings"] if found["severity"] == ERROR] == ["step-returns"]


def test_checks_lie_where_their_findings_belong() -> None:
    """The docs' groups are the files."""
    for check in (check for stage in BY_STAGE.values() for check in stage):
        names = re.findall(r'(?:Finding|of_part)\(\s*"([a-z-]+)"', inspect.getsource(check))
        groups = {KINDS[name].group for name in names}
        assert groups == {check.__module__.rsplit(".", 1)[-1]}, check.__name__


def test_the_page_has_every_finding_and_its_mend() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    for name, kind in KINDS.items():
        assert f"| `{name}` | {', '.join(kind.severities)} |" in page, name
        assert kind.mend.replace("|", "\\|") in page, name
        assert set(kind.severities) <= {ERROR, WARNING, NOTE}
