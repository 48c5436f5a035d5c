"""Is an environment fit to train on? `python -m envs.doctor ID`, described in docs/doctor.md.

`examine` starts the environment in a process of its own (`child`), where it is played (`probe`) and what was seen is
checked (`checks`). Each complaint is a `Finding`, whose kinds and mends stand in `finding`.
"""

from envs.doctor.examine import Report, examine
from envs.doctor.finding import ERROR, KINDS, NOTE, WARNING, Finding
from envs.doctor.making import NoSuchEnvironment

__all__ = ["ERROR", "KINDS", "NOTE", "WARNING", "Finding", "NoSuchEnvironment", "Report", "examine"]
