"""The report: for people, as lines of at most 100 characters, and for programs, as one object."""

import textwrap
from typing import Any

from envs.doctor.checks.speed import TRAINING_STEPS
from envs.doctor.examine import Report
from envs.doctor.finding import ERROR, GROUPS, KINDS, NOTE, WARNING, Finding

WIDTH = 100
MARKS = {ERROR: "✗", WARNING: "!", NOTE: "·", "sound": "✓", "open": "?"}
PLAIN_MARKS = {ERROR: "X", WARNING: "!", NOTE: "-", "sound": "+", "open": "?"}  # where ✓ can't be printed
COLORS = {ERROR: "31", WARNING: "33", NOTE: "36", "sound": "32", "open": "2"}
INDENT, COLUMN = 4, 30  # of a finding's name and of its text


def as_dict(report: Report) -> dict[str, Any]:
    """Return everything as plain data, for JSON."""
    speed = report.facts.get("steps_per_second")
    return {
        "env": report.env,
        "settings": report.settings,
        "sound": report.sound,
        "complete": report.complete,
        "stopped_in": report.stopped_in or None,
        "errors": report.count(ERROR),
        "warnings": report.count(WARNING),
        "notes": report.count(NOTE),
        "findings": [finding.as_dict() for finding in report.findings],
        **report.facts,
        "training_steps": TRAINING_STEPS,
        "training_seconds": TRAINING_STEPS / speed if speed else None,
        "seconds": round(report.seconds, 3),
    }


def as_text(report: Report, color: bool = False, unicode: bool = True) -> str:
    """Return the report for people.

    Args:
        report: what was found out.
        color: whether to color the marks.
        unicode: whether ✓ and ✗ can be printed.
    """
    marks = MARKS if unicode else PLAIN_MARKS

    def mark(kind: str) -> str:
        return f"\x1b[{COLORS[kind]}m{marks[kind]}\x1b[0m" if color else marks[kind]

    lines = [report.env + "".join(f" {key}={value}" for key, value in report.settings.items()), ""]
    for name, text in _facts(report):
        lines += _wrapped(f"  {name:<14}", text)
    lines += [""] if report.facts else []
    for group in GROUPS:
        found = [finding for finding in report.findings if finding.kind.group == group]
        worst = next((s for s in (ERROR, WARNING, NOTE) if any(f.severity == s for f in found)), "")
        state = worst or ("sound" if report.complete else "open")
        count = sum(kind.group == group for kind in KINDS.values())
        about = {
            "sound": f"{count} checks, nothing found",
            "open": f"not fully checked: stopped while {report.stopped_in}",
        }
        lines.append(f"{mark(state)} {group:<{COLUMN - 2}}{about.get(state, '')}".rstrip())
        for finding in found:
            lines += _finding(finding, mark(finding.severity))
    lines += ["", _verdict(report)]
    return "\n".join(lines)


def _finding(finding: Finding, mark: str) -> list[str]:
    head = f"{' ' * (INDENT - 2)}{mark} {finding.name}".ljust(COLUMN + len(mark) - 1)
    seen = textwrap.wrap(finding.seen, WIDTH - COLUMN) or [""]
    mend = textwrap.wrap(f"mend: {finding.kind.mend}", WIDTH - COLUMN, subsequent_indent=" " * 6)
    return [head + seen[0], *(" " * COLUMN + line for line in [*seen[1:], *mend])]


def _facts(report: Report) -> list[tuple[str, str]]:
    facts = report.facts
    if not facts:
        return []
    rows = [("observations", facts["observation_space"]), ("actions", facts["action_space"])]
    played = f"{facts['steps']:,} steps of random play, {facts['episodes']:,} episodes"
    if facts["episode_steps"]:
        played += " of {:,} to {:,} steps (median {:g})".format(*(facts["episode_steps"][i] for i in (0, 2, 1)))
    limit = f"{facts['time_limit']:,} steps" if facts["time_limit"] else "none registered"
    rows += [("played", played), ("time limit", limit)]
    if facts["rewards"]:
        text = "{:g} to {:g} a step".format(*facts["rewards"])
        if facts["returns"]:
            text += ", {:g} to {:g} an episode (median {:g})".format(*(facts["returns"][i] for i in (0, 2, 1)))
        rows.append(("rewards", text))
    if speed := facts["steps_per_second"]:
        text = f"{speed:,.0f} steps/s, a reset {facts['reset_milliseconds']:,.3g} ms; {TRAINING_STEPS / 1e6:g} million"
        rows.append(("speed", f"{text} steps of training take {duration(TRAINING_STEPS / speed)} of stepping alone"))
    return rows


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.0f} seconds"


def _wrapped(head: str, text: str) -> list[str]:
    lines = textwrap.wrap(text, WIDTH - len(head), max_lines=3, placeholder=" ...")
    return [head + lines[0], *(" " * len(head) + line for line in lines[1:])]


def _verdict(report: Report) -> str:
    counts = [(report.count(kind), kind) for kind in (ERROR, WARNING, NOTE)]
    words = ", ".join(f"{n} {kind}{'s' * (n != 1)}" for n, kind in counts if n) or "nothing found"
    verdict = "Fit to train on" if report.sound else "Not fit to train on"
    return f"{verdict}: {words} ({report.seconds:.0f} s)."
