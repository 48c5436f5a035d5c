"""Where and how to compute: device, threads, number format."""

import contextlib
import ctypes
import sys
import time
from typing import Any

import psutil
import torch

from experiment.errors import UserError
from perception import EncoderSpec, make_encoder

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def keep_memory() -> None:
    """Let glibc keep freed memory: by default each large tensor is mapped anew, page fault by page fault.

    Halves the time of a training step on a CPU. Does nothing where there is no glibc.
    """
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            libc = ctypes.CDLL("libc.so.6")
            libc.mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
            libc.mallopt(-1, (1 << 31) - 1)  # M_TRIM_THRESHOLD


def choose_device(name: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda" or "cuda:1"; auto takes a GPU if there is one.

    Raises:
        UserError: if it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(f"device must be auto, cpu or cuda, not {name!r}") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"device must be auto, cpu or cuda, not {name!r}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("there is no CUDA device that torch can use here; try --device cpu")
    return device


def autocast(device: torch.device, precision: str) -> Any:
    """Compute in the chosen format within this context; weights stay float32."""
    return torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32")


def set_threads(threads: int) -> int:
    """Compute with this many CPU threads, 0 for one a core; returns the number."""
    keep_memory()
    torch.set_num_threads(threads or psutil.cpu_count(logical=False) or 1)
    return torch.get_num_threads()


def choose_compute(device: str, precision: str, threads: int) -> tuple[str, str, int]:
    """Settle where and how to compute; returns (device, precision, threads).

    Raises:
        UserError: if the device is not there.
    """
    chosen = choose_device(device)
    threads = set_threads(threads)
    return str(chosen), fastest_precision(chosen) if precision == "auto" else precision, threads


def fastest_precision(device: torch.device) -> str:
    """Time a training step of the default encoder in each number format and name the faster one.

    bf16 is several times faster than fp32 on some CPUs and slower on others, so only a measurement tells.
    """
    encoder = make_encoder(EncoderSpec()).to(device)
    observations = torch.zeros(128, 2, 84, 84, dtype=torch.uint8, device=device)
    times = dict.fromkeys(PRECISIONS, float("inf"))
    for _ in range(3):  # in turn, so that a busy moment hits both; the first time warms up
        for name in PRECISIONS:
            start = time.perf_counter()
            with autocast(device, name):
                features = encoder(observations)
            features.square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times[name] = min(times[name], time.perf_counter() - start)
    return min(times, key=lambda name: times[name])
