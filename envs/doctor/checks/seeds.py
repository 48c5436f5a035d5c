"""Chance: the same seed must give the same episodes, and another seed others."""

import collections
from collections.abc import Iterator

from envs.doctor.checks.evidence import Evidence, difference
from envs.doctor.finding import ERROR, NOTE, WARNING, Finding
from envs.doctor.making import parameters
from envs.doctor.probe import brief

CHANCE = 1e-6  # of a false alarm, where a check must tell a fault from bad luck


def seed_default(seen: Evidence) -> Iterator[Finding]:
    """Reset without a seed does not seed."""
    _, defaults = parameters(seen.env.unwrapped.reset)
    if defaults.get("seed") is not None:
        yield Finding("reset-reseeds", ERROR, f"reset has the default seed={brief(defaults['seed'])}: always the same")


def repeatable(seen: Evidence) -> Iterator[Finding]:
    """The same seed and actions give the same episodes."""
    if found := difference(seen.play, seen.again):
        label, index = found
        if index == 0:
            yield Finding("seed-ignored", ERROR, "reset with one seed, twice, gives two different first observations")
        else:
            yield Finding("not-repeatable", ERROR, f"the same seed and actions give something else from {label} on")


def reseeding(seen: Evidence) -> Iterator[Finding]:
    """Starts without a seed vary if those with different seeds do.

    If the commonest seeded start has the share p, n unseeded ones that are all alike have the chance p^n at most.
    """
    counts = collections.Counter(seen.seeded).most_common(1)
    if counts and len(set(seen.unseeded)) == 1:
        share = (counts[0][1] + 2) / (len(seen.seeded) + 2)
        if share ** (len(seen.unseeded) - 1) < CHANCE:
            many = len(seen.unseeded)
            yield Finding("reset-reseeds", ERROR, f"{many} resets without a seed in a row all began the same episode")


def one_start(seen: Evidence) -> Iterator[Finding]:
    """Different seeds give different episodes."""
    if len(seen.seeded) > 1 and len(set(seen.seeded)) == 1 and len(set(seen.unseeded)) == 1:
        yield Finding("one-start", NOTE, f"{len(seen.seeded)} different seeds all began the same episode")


def global_random(seen: Evidence) -> Iterator[Finding]:
    """Nobody else's generator is touched."""
    severity = ERROR if difference(seen.play, seen.again) else WARNING
    for name, label in seen.play.random_used.items():
        yield Finding("global-random", severity, f"{name}'s own generator is drawn from or seeded, first in {label}")


def sharing(seen: Evidence) -> Iterator[Finding]:
    """Two environments side by side do not disturb each other."""
    if difference(seen.play, seen.again) is None and (found := difference(seen.play, seen.apart)):
        yield Finding("instances-share", ERROR, f"a second one stepped in between changes the first from {found[0]} on")


def across_processes(mine: list[str], other: list[str], labels: list[str]) -> Iterator[Finding]:
    """The same seed and actions give the same episodes in another process."""
    for a, b, label in zip(mine, other, labels, strict=False):
        if a != b:
            text = f"the same seed and actions give something else in another process from {label} on"
            yield Finding("process-differs", ERROR, text)
            return
