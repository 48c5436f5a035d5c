"""Starting the environment's process, listening to it, and noticing when it hangs or dies."""

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import IO, Any

from envs.doctor.checks.seeds import across_processes
from envs.doctor.finding import ERROR, GROUPS, NOTE, WARNING, Finding
from envs.doctor.making import NoSuchEnvironment

HASH_SEEDS = ("1", "4321")  # of the two processes whose episodes are compared
STARTING = "starting Python"
START = 60.0  # seconds for Python and the imports on a busy machine
GRACE = 5.0  # seconds for a process that was told to stop
TAIL = 1 << 16  # bytes of what it wrote to standard error that are looked at


@dataclass
class Report:
    """What was found out about one environment."""

    env: str
    settings: dict[str, Any]
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    complete: bool = False  # whether all checks could be made
    stopped_in: str = ""  # else, while doing what
    seconds: float = 0.0

    def count(self, severity: str) -> int:
        """Return how many findings are so severe."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def sound(self) -> bool:
        """Whether there is no error."""
        return not self.count(ERROR)

    def add(self, finding: Finding) -> None:
        """Take a finding, once."""
        if finding not in self.findings:
            self.findings.append(finding)

    def sort(self) -> None:
        """Put findings in the order of their groups, the worst first."""
        severities = (ERROR, WARNING, NOTE)
        self.findings.sort(key=lambda f: (GROUPS.index(f.kind.group), severities.index(f.severity)))


@dataclass
class Child:
    """One process of an environment, and what it told."""

    job: dict[str, Any]
    hash_seed: str
    limit: float
    stage: str = STARTING
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    unknown: str = ""
    over: bool = False

    @property
    def started(self) -> bool:
        """Whether it has told anything yet."""
        return self.stage != STARTING

    def run(self) -> None:
        """Start it and listen until it is over, dies, or says nothing for longer than the limit."""
        words = [sys.executable, "-X", "faulthandler", "-m", "envs.doctor.child", json.dumps(self.job)]
        paths = [os.getcwd(), *(path for path in sys.path if path)]
        env = {**os.environ, "PYTHONHASHSEED": self.hash_seed, "PYTHONPATH": os.pathsep.join(paths)}
        env.setdefault("SDL_VIDEODRIVER", "dummy")  # no window opens
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, env=env, start_new_session=True
            )
            assert process.stdout is not None
            try:
                hung = not self._listen(process.stdout)
                if hung:
                    self._send(process, signal.SIGABRT)  # faulthandler then writes where it is
                    self._wait(process)
                elif not self.over:
                    self._wait(process)
            finally:
                self._send(process, signal.SIGKILL)  # and whatever the environment started
                process.wait()
                process.stdout.close()
            if not self.over:
                self._explain(hung, process.returncode, tail(errors))

    def _listen(self, lines: IO[bytes]) -> bool:
        """Read until the end; returns False if nothing came for too long."""
        with selectors.DefaultSelector() as selector:
            selector.register(lines, selectors.EVENT_READ)
            rest = b""
            while not self.over:
                if not selector.select(self.limit if self.started else max(self.limit, START)):
                    return False
                part = os.read(lines.fileno(), 1 << 16)
                if not part:
                    return True
                *whole, rest = (rest + part).split(b"\n")
                for line in whole:
                    self._take(json.loads(line))
        return True

    def _take(self, message: dict[str, Any]) -> None:
        self.stage = message.get("stage", self.stage)
        self.unknown = message.get("unknown", self.unknown)
        self.over = self.over or message.get("over", False)
        self.facts.update(message.get("facts", {}))
        self.events, self.labels = message.get("events", self.events), message.get("labels", self.labels)
        if "finding" in message:
            self.findings.append(Finding(**message["finding"]))

    def _explain(self, hung: bool, code: int, errors: str) -> None:
        """Make a finding of the end of a process that did not come through."""
        if hung:
            text = f"no answer for {self.limit:g} seconds while {self.stage}{where(errors)}"
            self.findings.append(Finding("env-hangs", ERROR, text))
            return
        if code < 0:
            text = f"its process was killed by {signal.Signals(-code).name} while {self.stage}{where(errors)}"
        else:
            text = f"its process ended with exit code {code} while {self.stage}"
        self.findings.append(Finding("env-dies", ERROR, text))

    @staticmethod
    def _send(process: "subprocess.Popen[bytes]", number: int) -> None:
        """Send a signal to the process and what it started: they are a group of their own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    @staticmethod
    def _wait(process: "subprocess.Popen[bytes]") -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)


def tail(file: IO[bytes]) -> str:
    """Return the end of a file as text."""
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - TAIL))
    return file.read().decode("utf-8", "replace")


def where(dump: str) -> str:
    """Return the innermost place of a dump by faulthandler, which has the most recent call first."""
    places = re.findall(r'File "(.+?)", line (\d+) in (\S+)', dump.split("most recent call first")[-1])
    own = [place for place in places if f"{os.sep}envs{os.sep}doctor{os.sep}" not in place[0]]
    if not own or not places or own[0] != places[0]:
        return ""
    path, line, function = own[0]
    return f", in {function} at {os.path.basename(path)} line {line}"


def examine(
    env: str,
    settings: dict[str, Any] | None = None,
    steps: int = 1000,
    seed: int = 0,
    limit: float = 30.0,
    timing_seconds: float = 2.0,
) -> Report:
    """Find out whether an environment is fit to train on.

    Args:
        env: an id for `gymnasium.make`, `package:Name-v0`, or `package.module:name` of a class or function. What
            stands before the colon is imported, in a process of its own.
        settings: for the environment itself.
        steps: of the playings that are compared.
        seed: of what is drawn.
        limit: seconds that one call of the environment may take.
        timing_seconds: how long the speed is measured.

    Raises:
        NoSuchEnvironment: if there is no such environment or setting.
    """
    begun = time.monotonic()
    report = Report(env, settings or {})
    job: dict[str, Any] = {"env": env, "settings": report.settings, "steps": steps, "seed": seed}
    job.update(timing_seconds=timing_seconds, only="")
    first = Child(job, HASH_SEEDS[0], limit)
    first.run()
    if first.unknown:
        raise NoSuchEnvironment(first.unknown)
    report.facts = first.facts
    for finding in first.findings:
        report.add(finding)
    if first.events and not {f.name for f in first.findings} & {"seed-ignored", "not-repeatable"}:
        second = Child({**job, "only": "playing", "steps": first.facts["steps"]}, HASH_SEEDS[1], limit)
        second.run()
        for finding in second.findings:
            if finding.name in ("env-raises", "env-hangs", "env-dies"):
                report.add(finding)
        for finding in across_processes(first.events, second.events, first.labels):
            report.add(finding)
    stopped = {"make-raises", "env-raises", "env-hangs", "env-dies", "reset-returns", "step-returns", "space-missing"}
    report.complete = first.over and not {finding.name for finding in report.findings} & stopped
    report.stopped_in = "" if report.complete else first.stage
    report.seconds = time.monotonic() - begun
    report.sort()
    return report
