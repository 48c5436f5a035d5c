"""A file is replaced as a whole or not at all, and a failure names it."""

from pathlib import Path

import pytest

from experiment.errors import UserError
from experiment.files import write, write_json, writing


def test_json_is_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    for value in ({"a": [1]}, {"b": None}):
        write_json(tmp_path / "new" / "x.json", value)
    assert (tmp_path / "new" / "x.json").read_text() == '{\n  "b": null\n}\n'
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.json"]


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", object())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("x.json", "1\n")]


def test_a_failure_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write(path, "old")

    def failing(error: BaseException) -> None:
        with writing(path) as temporary:
            write(temporary, "ne")
            raise error

    with pytest.raises(UserError) as caught:
        failing(OSError(28, "No space left on device"))
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    with pytest.raises(KeyboardInterrupt):
        failing(KeyboardInterrupt())
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("x", "old")]
    with pytest.raises(UserError, match=r"cannot write .*x/y: "):  # a file stands where the folder would
        write_json(path / "y", 1)
