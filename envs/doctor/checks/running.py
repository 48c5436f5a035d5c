"""Whether it runs at all is seen while it is played; here is what else there is to say of that."""

from collections.abc import Iterator

from envs.doctor.checks.evidence import Evidence
from envs.doctor.finding import WARNING, Finding


def prints(seen: Evidence) -> Iterator[Finding]:
    """It plays in silence."""
    if seen.play.steps and seen.printed > 5 * seen.play.steps:
        text = f"{seen.printed:,} bytes were printed in {seen.play.steps:,} steps"
        yield Finding("prints", WARNING, text)


def gymnasium_checker(seen: Evidence) -> Iterator[Finding]:
    """What Gymnasium's own checker says beyond all this."""
    for complaint in seen.complaints:
        yield Finding("gymnasium-checker", WARNING, complaint)
