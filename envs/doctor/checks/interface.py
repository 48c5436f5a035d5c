"""What an environment is called with, and what else it owes its callers."""

from collections.abc import Iterator

from gymnasium import spaces

from envs.doctor.checks.evidence import Evidence
from envs.doctor.finding import ERROR, WARNING, Finding
from envs.doctor.making import parameters
from envs.doctor.probe import describe


def space_missing(seen: Evidence) -> Iterator[Finding]:
    """Both spaces are Gymnasium's."""
    for name in ("observation_space", "action_space"):
        space = getattr(seen.env, name, None)
        if not isinstance(space, spaces.Space):
            yield Finding("space-missing", ERROR, f"{name} is {describe(space)}")


def reset_signature(seen: Evidence) -> Iterator[Finding]:
    """Reset takes a seed and options."""
    names, _ = parameters(seen.env.unwrapped.reset)
    if "**" not in names:
        for name, severity in (("seed", ERROR), ("options", WARNING)):
            if name not in names:
                yield Finding("reset-signature", severity, f"reset takes no {name}")


def info_type(seen: Evidence) -> Iterator[Finding]:
    """Info is a dict."""
    if seen.play.odd_infos:
        yield Finding("info-type", ERROR, seen.play.odd_infos[0])
