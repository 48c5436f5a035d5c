"""Which numbers settings may have, by the types of their fields."""

import math
from dataclasses import dataclass

import pytest

from experiment.errors import UserError
from experiment.ranges import Endless, EndlessOrZero, Natural, NonNegative, PositiveShare, Seed, Share, check
from experiment.settings import read


@dataclass
class Settings:
    rate: float = 1e-3
    batch_size: int = 64
    gamma: Share = 0.5
    tau: PositiveShare = 0.5
    entropy_coef: NonNegative = 0.5
    keep: Natural = 2
    workers: Natural | None = None
    max_grad_norm: Endless = 1.0
    max_seconds: EndlessOrZero = 0.0
    seed: Seed = 0
    on: bool = False
    name: str = "x"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"gamma": 0.0, "entropy_coef": 0.0, "keep": 0, "workers": 0, "max_seconds": 0.0},
        {"gamma": 1.0, "tau": 1.0, "entropy_coef": 1e9, "workers": 3, "seed": 2**32 - 1},
        {"max_grad_norm": math.inf, "max_seconds": math.inf},
        {"rate": 1e-30, "batch_size": 2**62},
    ],
)
def test_what_may_be(given: dict[str, float]) -> None:
    check(Settings(**given))  # type: ignore[arg-type]
    assert read(Settings, given) == Settings(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rate", 0.0, "--rate must be more than 0"),
        ("rate", math.nan, "--rate must be more than 0, not nan"),
        ("rate", math.inf, "--rate must be finite"),
        ("batch_size", 0, "--batch-size must be more than 0"),
        ("batch_size", 2**63, "--batch-size must be less than 2"),
        ("gamma", -0.1, "--gamma must be at least 0, not -0.1"),
        ("gamma", 1.1, "--gamma must be at most 1, not 1.1"),
        ("tau", 0.0, "--tau must be more than 0"),
        ("tau", 1.1, "--tau must be at most 1"),
        ("entropy_coef", math.inf, "--entropy-coef must be finite"),
        ("workers", -1, "--workers must be at least 0"),
        ("max_grad_norm", 0.0, "--max-grad-norm must be more than 0"),
        ("max_seconds", math.nan, "--max-seconds must be at least 0"),
        ("seed", 2**32, "--seed must be less than 2"),
    ],
)
def test_what_may_not(name: str, value: float, words: str) -> None:
    with pytest.raises(UserError) as caught:
        check(Settings(), Settings(**{name: value}))  # type: ignore[arg-type]
    assert str(caught.value).startswith(words)


def test_a_range_does_not_hide_a_type() -> None:
    for wrong in ({"gamma": "0.5"}, {"keep": 2.0}, {"workers": 1.5}, {"seed": True}, {"max_seconds": None}):
        with pytest.raises(TypeError):
            read(Settings, wrong)
