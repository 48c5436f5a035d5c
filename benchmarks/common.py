"""What all benchmarks share: the machine in words, alternating repeats, medians, and answers in JSON."""

import json
import math
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psutil

from envs.adapter import cores
from experiment.machine import cpu_name, version


def machine(*packages: str) -> dict[str, Any]:
    """Describe this machine and the versions of what matters for speed."""
    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "load": [round(value, 2) for value in psutil.getloadavg()],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def alternate(measures: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Take every measure once, then all again: a machine's moods then meet all alike.

    Returns:
        the values of each measure, in the order of the repeats; the first round is for warming up and left out.
    """
    for measure in measures.values():
        measure()
    rounds = [{name: measure() for name, measure in measures.items()} for _ in range(repeats)]
    return {name: [values[name] for values in rounds] for name in measures}


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return median, min and max, and the values themselves."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}


def print_json(answer: Mapping[str, Any]) -> None:
    """Print exactly one JSON object, with figures rounded to six digits, and null for what is no number."""
    print(json.dumps(_rounded(answer)))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
