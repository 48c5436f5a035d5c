"""How a run was made: versions, computer, command. Kept with every run so that it can be made again."""

import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("wingbeat", "torch", "numpy", "gymnasium", "numba", "stable-baselines3")


def describe() -> dict[str, Any]:
    """Describe this process and its computer, ready for JSON.

    Returns:
        versions: of Python and the packages that results depend on; None if not installed.
        platform, cpu: in words.
        cpus: processors that this process may use.
        threads: those torch uses, as set by now.
        command: the command line, a list.
        commit: of this code, with "-dirty" after it if files differ from it; None outside a git checkout.
        started: now, UTC, ISO 8601.
    """
    import torch  # here, so that whoever only reads a run does not wait for it

    from envs.adapter import cores

    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cpus": cores(),
        "threads": torch.get_num_threads(),
        "command": sys.argv,
        "commit": _commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def version(package: str) -> str | None:
    """Return an installed package's version, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """The processor's name as its maker writes it; platform.processor() says no more than "x86_64" on most."""
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str | None:
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():  # installed: a .git further up would be somebody else's
        return None
    # Without optional locks, for which git might wait for another git, this takes milliseconds.
    return _output(
        "git", "--no-optional-locks", "-C", str(root),
        "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*",
    )  # fmt: skip


def _output(*command: str) -> str | None:
    """Run a short command; returns its output, or None if it fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=2, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
