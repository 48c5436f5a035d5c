"""The planted bugs still fit the code, and the tests that should catch them exist; `tests.mutants` runs them."""

import re

import pytest

from experiment.errors import UserError
from tests.mutants import MUTANTS, ROOT, Mutant, main, select


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bug_can_be_planted_and_its_test_exists(mutant: Mutant) -> None:
    compile(mutant.plant((ROOT / mutant.file).read_text()), mutant.file, "exec")
    named = re.fullmatch(r"((?:\w+/)+test_\w+\.py)::(test_\w+)(?:\[.+\])?", mutant.test)
    assert named
    path, name = named.groups()
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE)


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    with pytest.raises(UserError, match="no planted bug is called 'none'; --list names them"):
        select("none")


def test_a_bug_whose_text_is_gone_says_so() -> None:
    mutant = Mutant("a bug", "a.py", "x + 1", "x", "a/test_a.py::test_a")
    assert mutant.plant("y = x + 1\n") == "y = x\n"
    for source in ("y = x\n", "y = x + 1\nz = x + 1\n"):
        with pytest.raises(UserError, match=r"a bug: its text occurs [02] times in a\.py, not once"):
            mutant.plant(source)


def test_the_list_names_every_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert all(mutant.name in said and mutant.test in said for mutant in MUTANTS)
