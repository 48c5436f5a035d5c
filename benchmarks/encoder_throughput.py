"""Milliseconds of an encoder's forward pass and training step on the CPU, in every number format and layout.

    python -m benchmarks.encoder_throughput [--encoders small nature] [--threads 1] [--json]

All ways take turns in one process. The share of the FLOP limit is the FLOP of a training step over its time, over the
FLOP/s that a large matrix product in float32 reaches with as many threads; in bf16 it can be above 100%.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from agents.device import PRECISIONS, autocast, set_threads
from benchmarks.common import alternate, machine, print_json, summary
from benchmarks.flop import flop_per_sample, peak_flops
from experiment.command import main_line, parse
from experiment.errors import UserError
from perception import LAYOUTS, EncoderSpec, make_encoder

CPU = torch.device("cpu")


@dataclass
class Settings:
    """What to measure."""

    encoders: tuple[Literal["small", "nature", "lstm"], ...] = ("small", "nature")
    """networks; frames are two of 84 x 84, of the LSTM eight"""
    batch: int = 256
    """observations at once"""
    repeats: int = 15
    """measurements of each, in turns; the median is reported"""
    threads: int = 1
    """CPU threads; 0 for one a core"""
    json: bool = False
    """print one JSON object"""


def measures(network: str, batch: int) -> tuple[dict[str, Callable[[], float]], float]:
    """Make what takes the times, by what it is, in milliseconds; and count the FLOP of a training step."""
    torch.manual_seed(0)
    encoder = make_encoder(EncoderSpec(network, 8 if network == "lstm" else 2))
    observations = torch.randint(256, (batch, encoder.spec.frames, 84, 84), dtype=torch.uint8)

    def measure(precision: str, layout: str, training: bool) -> float:
        encoder.layout = layout
        start = time.perf_counter()
        with autocast(CPU, precision), torch.set_grad_enabled(training):
            features = encoder(observations)
        if training:
            features.square().mean().backward()
        return 1e3 * (time.perf_counter() - start)

    def kind(precision: str, layout: str, training: bool) -> Callable[[], float]:
        return lambda: measure(precision, layout, training)

    ways = itertools.product(PRECISIONS, LAYOUTS, (False, True))
    found = {f"{way[0]} {way[1]} {'training' if way[2] else 'forward'}": kind(*way) for way in ways}
    return found, batch * flop_per_sample(encoder, encoder)[1]


def main(argv: list[str]) -> int:
    """Measure and print; returns the exit code."""
    settings = parse(Settings, argv, "-m benchmarks.encoder_throughput", __doc__ or "")
    if settings.repeats < 1 or settings.batch < 1:
        raise UserError("--repeats and --batch must be at least 1")
    threads = set_threads(settings.threads)
    answer: dict[str, Any] = {"threads": threads, "machine": machine("torch", "numba", "numpy")}
    table = Table("encoder", "", "forward, ms", "training, ms", "of the FLOP limit")
    for network in settings.encoders:
        timed, flop = measures(network, settings.batch)
        times = alternate(timed, settings.repeats)
        peak = peak_flops("fp32")
        answer[network] = {name: summary(values) for name, values in times.items()}
        for precision, layout in itertools.product(PRECISIONS, LAYOUTS):
            forward, training = (
                answer[network][f"{precision} {layout} {what}"]["median"] for what in ("forward", "training")
            )
            share = flop / (training / 1e3) / peak
            table.add_row(network, f"{precision} {layout}", f"{forward:.1f}", f"{training:.1f}", f"{share:.0%}")
    if settings.json:
        print_json(answer)
    else:
        Console().print(table)
    return 0


if __name__ == "__main__":
    main_line(main)
