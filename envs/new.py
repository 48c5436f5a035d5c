"""Begin a game of your own: `python -m envs.new my_game [--out FOLDER]` writes a skeleton that plays, and its test."""

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import tyro

from experiment.command import main_line, parse
from experiment.errors import UserError, explain

TEMPLATES = Path(__file__).parent / "templates"


@dataclass
class New:
    """Write a game that runs, for you to change, and a test of it."""

    name: Annotated[str, tyro.conf.Positional]
    """of the file, in lower case, as my_game"""
    out: Path = Path()
    """the folder; the current one if not given"""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    command = parse(New, argv, "-m envs.new")
    game, test = write(command.name, command.out)
    constant = command.name.upper()
    print(f"wrote {game} and {test}")
    print(f"test it:   cd {command.out} && python -m pytest {test.name}")
    print(f"train it:  PYTHONPATH={command.out} python train.py --env {command.name}:{constant}")
    return 0


def write(name: str, folder: Path) -> tuple[Path, Path]:
    """Write <name>.py and test_<name>.py.

    Args:
        name: of the module, lower case.
        folder: where; made if it does not exist.

    Returns:
        the two files.

    Raises:
        UserError: if the name is no module's or one that the skeleton uses, one of the files exists, or they can't be
            written.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower():
        raise UserError(f"a game's name is a Python module's in lower case, as my_game, not {name!r}")
    templates = [(TEMPLATES / template).read_text() for template in ("my_game.txt", "test_my_game.txt")]
    if re.search(rf"\b{name.upper()}\b", templates[0].replace("MY_GAME", "")):
        raise UserError(f"the skeleton has a {name.upper()} of its own; choose another name than {name}")
    if name in sys.stdlib_module_names:
        raise UserError(f"Python has a module {name} of its own; choose another name")
    there = find_spec(name)
    if there and there.origin and Path(there.origin).resolve() != (folder / f"{name}.py").resolve():
        raise UserError(f"there is a module {name} already, which a game of that name would hide; choose another name")
    words = {
        "my_game": name,
        "MY_GAME": name.upper(),
        "MyGame": "".join(word.capitalize() for word in name.split("_")),
    }
    files = folder / f"{name}.py", folder / f"test_{name}.py"
    for path in files:
        if path.exists():
            raise UserError(f"{path} exists already and would be lost; choose another name or folder")
    with explain(f"write to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(files, templates, strict=True):
            for word, mine in words.items():
                text = text.replace(word, mine)
            with path.open("x") as file:
                file.write(text)
    return files


if __name__ == "__main__":
    main_line(main)
