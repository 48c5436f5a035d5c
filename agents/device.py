"""Where and how to compute: device, threads, number format."""

import contextlib
import ctypes
import itertools
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import psutil
import torch

from envs.adapter import cores
from experiment.errors import UserError
from perception import LAYOUTS, EncoderSpec, make_encoder
from perception.contraction import fast

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
ROUNDS = 8  # of measurements, the first of which warms up; a busy neighbour hides what a few would show
HOPELESS = 2.0  # times as long as the fastest: no need to measure again


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

    From then on a GPU's convolutions are those that always sum in the same order, so that a seed gives the same run.

    Raises:
        UserError: if it is not there.
    """
    torch.backends.cudnn.deterministic = True
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
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"there is no {device}, only cuda:0 to cuda:{torch.cuda.device_count() - 1}")
    return device


def autocast(device: torch.device, precision: str) -> Any:
    """Compute in the chosen format within this context; weights stay float32."""
    return torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32")


def sensible_formats(device: torch.device) -> tuple[str, ...]:
    """Name the number formats that are worth a try there: with AVX2 or less a CPU takes ten times as long in bf16."""
    known = torch.backends.cpu.get_cpu_capability()
    old = known == "DEFAULT" and platform.machine().lower() in ("x86_64", "amd64")
    slow = device.type == "cpu" and (known == "AVX2" or old)
    return ("fp32",) if slow else tuple(PRECISIONS)


def set_threads(threads: int) -> int:
    """Compute with this many CPU threads, 0 for one a core that this process may use; returns the number."""
    keep_memory()
    torch.set_num_threads(threads or min(cores(), psutil.cpu_count(logical=False) or 1))
    return torch.get_num_threads()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Compute with a single CPU thread for a while."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Compute(NamedTuple):
    """Where and how to compute, as a run's settings say it.

    Attributes:
        device: as torch names it.
        precision: a name in PRECISIONS.
        threads: CPU threads.
        layout: a name in LAYOUTS.
    """

    device: str
    precision: str
    threads: int
    layout: str

    @property
    def words(self) -> str:
        """For the line with which a run begins."""
        return f"{self.device}, {self.precision} in {self.layout}, {self.threads} threads"


def choose_compute(device: str, precision: str, threads: int, layout: str = "auto") -> Compute:
    """Settle where and how to compute.

    Args:
        device: see `choose_device`.
        precision: a name in PRECISIONS, or "auto" for the fastest.
        threads: see `set_threads`.
        layout: a name in LAYOUTS, or "auto" for the fastest; with a precision of one's own "planes", so that runs can
            be repeated without a measurement that might come out differently. "planes" where there is no other.

    Raises:
        UserError: if the device is not there.
    """
    chosen = choose_device(device)
    threads = set_threads(threads)
    formats = sensible_formats(chosen) if precision == "auto" else (precision,)
    possible = LAYOUTS if chosen.type == "cpu" and fast() else ("planes",)
    if layout == "auto":
        layouts = possible if precision == "auto" else ("planes",)
    else:
        layouts = (layout if layout in possible else "planes",)
    precision, layout = fastest(chosen, list(itertools.product(formats, layouts)))
    return Compute(str(chosen), precision, threads, layout)


def fastest(device: torch.device, ways: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Time a training step of the default encoder in each of these ways, (precision, layout), and name the fastest.

    bf16 is several times as fast as fp32 on some CPUs and slower on others, and so are layouts: only a measurement
    tells.
    """
    encoder = make_encoder(EncoderSpec()).to(device)
    observations = torch.zeros(128, 2, 84, 84, dtype=torch.uint8, device=device)
    times = dict.fromkeys(ways, float("inf"))
    left = list(ways) if len(ways) > 1 else []
    for i in range(ROUNDS):  # in turn, so that a busy moment hits all
        for precision, layout in left:
            encoder.layout = layout
            start = time.perf_counter()
            with autocast(device, precision):
                features = encoder(observations)
            features.square().mean().backward()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if i:  # the first warms up
                times[precision, layout] = min(times[precision, layout], time.perf_counter() - start)
        left = [way for way in left if times[way] <= HOPELESS * min(times.values())]
    return min(times, key=lambda way: times[way])
