"""Where and how to compute: what is measured, and what is chosen then."""

import os
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from agents import device
from agents.device import Compute, choose_compute, choose_device, fastest, sensible_formats, set_threads
from experiment.errors import UserError

WAYS = [("fp32", "planes"), ("bf16", "planes"), ("fp32", "fused"), ("bf16", "fused")]


@pytest.mark.parametrize("wanted", range(len(WAYS)))
def test_the_fastest_way_is_found(wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which each way takes as long as it is told to; those that are hopeless are not asked again."""
    clock, asked = [0.0], []
    seconds = {way: 1.0 if i == wanted else 1.5 + 2 * (i == (wanted + 1) % 4) for i, way in enumerate(WAYS)}

    class Slow(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layout, self.weight = "planes", torch.nn.Parameter(torch.ones(1))

        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            half = torch.is_autocast_enabled("cpu")
            asked.append(("bf16" if half else "fp32", self.layout))
            clock[0] += seconds[asked[-1]] + 5 * (len(asked) <= len(WAYS))  # each is compiled at first
            return self.weight

    monkeypatch.setattr(device, "make_encoder", lambda spec: Slow())
    monkeypatch.setattr(device.time, "perf_counter", lambda: clock[0])
    assert fastest(torch.device("cpu"), WAYS) == WAYS[wanted]
    assert asked[:4] == WAYS
    hopeless = WAYS[(wanted + 1) % 4]
    assert asked.count(hopeless) == 2
    assert all(asked.count(way) == device.ROUNDS for way in WAYS if way != hopeless)


def test_what_is_said_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Sequence[tuple[str, str]]] = []

    def first(where: torch.device, ways: Sequence[tuple[str, str]]) -> tuple[str, str]:
        given.append(ways)
        return ways[-1]

    monkeypatch.setattr(device, "fastest", first)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    before = torch.get_num_threads()
    try:
        assert choose_compute("cpu", "fp32", 1) == Compute("cpu", "fp32", 1, "planes")
        assert choose_compute("cpu", "bf16", 1, "fused") == Compute("cpu", "bf16", 1, "fused")
        assert choose_compute("cpu", "auto", 1, "planes") == Compute("cpu", "bf16", 1, "planes")
        choose_compute("cpu", "auto", 1)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")  # and no bfloat16
        assert choose_compute("cpu", "auto", 1) == Compute("cpu", "fp32", 1, "fused")
        assert choose_compute("cpu", "bf16", 1) == Compute("cpu", "bf16", 1, "planes")
        monkeypatch.setattr(device, "fast", lambda: False)  # nor multiplies and adds at once
        assert choose_compute("cpu", "auto", 1) == Compute("cpu", "fp32", 1, "planes")
        assert choose_compute("cpu", "fp32", 1, "fused") == Compute("cpu", "fp32", 1, "planes")
    finally:
        torch.set_num_threads(before)
    planes = [("fp32", "planes"), ("bf16", "planes")]
    both = [planes[0], ("fp32", "fused"), planes[1], WAYS[3]]
    assert given == [planes[:1], [("bf16", "fused")], planes, both, both[:2], planes[1:], planes[:1], planes[:1]]


@pytest.mark.parametrize(
    ("device", "capability", "processor", "formats"),
    [
        ("cpu", "AVX512", "x86_64", ("fp32", "bf16")),
        ("cpu", "AVX2", "x86_64", ("fp32",)),
        ("cpu", "DEFAULT", "AMD64", ("fp32",)),
        ("cpu", "DEFAULT", "arm64", ("fp32", "bf16")),
        ("cuda", "AVX2", "x86_64", ("fp32", "bf16")),
    ],
)
def test_bfloat16_is_for_processors_that_have_it(
    device: str, capability: str, processor: str, formats: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr("platform.machine", lambda: processor)
    assert sensible_formats(torch.device(device)) == formats


def test_nothing_is_computed_where_there_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> None:
        pytest.fail("an encoder was asked")

    monkeypatch.setattr(torch.nn.Module, "__call__", never)
    assert fastest(torch.device("cpu"), [("fp32", "planes")]) == ("fp32", "planes")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors can't be chosen here")
def test_threads_keep_to_the_processors_that_they_may_use() -> None:
    mine, threads = os.sched_getaffinity(0), torch.get_num_threads()
    try:
        os.sched_setaffinity(0, {min(mine)})
        assert set_threads(0) == torch.get_num_threads() == 1
        assert set_threads(2) == 2
    finally:
        os.sched_setaffinity(0, mine)
        torch.set_num_threads(threads)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [str(choose_device(name)) for name in ("cuda", "cuda:1")] == ["cuda", "cuda:1"]
    with pytest.raises(UserError, match="there is no cuda:2, only cuda:0 to cuda:1"):
        choose_device("cuda:2")
