"""`python -m envs.doctor ID`: is this environment fit to train on?"""

import json
import os
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro

from envs.doctor.examine import examine
from envs.doctor.making import NoSuchEnvironment
from envs.doctor.report import as_dict, as_text
from envs.guest import setting
from experiment.command import main_line, pairs, parse
from experiment.errors import UserError


@dataclass
class Doctor:
    """Which environment, and how long."""

    env: tyro.conf.Positional[str]
    """an id that Gymnasium or train.py knows, package:Name-v0, or package.module:name of a class or function"""
    env_arg: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """settings of the environment, as gravity=-12.0"""
    steps: int = 1000
    """of random play, repeated with the same seed and in another process"""
    json: bool = False
    """one JSON object instead of the report"""


def main(argv: list[str]) -> int:
    """Run the command; returns 0 for a sound environment and 1 for one with an error."""
    about = "Tell whether an environment is fit to train on, and how to mend it if not"
    command: Doctor = parse(Doctor, argv, "-m envs.doctor", about)
    if os.name == "nt":
        raise UserError("the doctor watches an environment's process as only Linux and macOS can")
    if command.steps < 1:
        raise UserError(f"--steps takes 1 or more, not {command.steps}")
    own = {name: setting(text) for name, text in pairs(command.env_arg).items()}
    try:
        report = examine(command.env, own, command.steps)
    except NoSuchEnvironment as error:
        raise UserError(str(error)) from error
    if command.json:
        print(json.dumps(as_dict(report)))
    else:
        encoding = (sys.stdout.encoding or "ascii").lower()
        print(as_text(report, sys.stdout.isatty() and not os.environ.get("NO_COLOR"), encoding.startswith("utf")))
    return 0 if report.sound else 1


if __name__ == "__main__":
    main_line(main)
