"""What is read is what was written, and nothing else."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import pytest

from experiment.settings import read


@dataclass
class Some:
    """Of every kind."""

    number: int
    part: float = 0.5
    name: str = "x"
    on: bool = True
    perhaps: int | None = None
    way: Literal["here", "there"] = "here"
    words: tuple[str, ...] = ()


@pytest.mark.parametrize("given", [Some(3), Some(0, 2, "y", False, 7, "there", ("a=b", "c"))])
def test_it_comes_back(given: Some) -> None:
    assert read(Some, json.loads(json.dumps(asdict(given)))) == given


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"number": 1.5}, "number = 1.5"),
        ({"number": True}, "number = True"),
        ({"part": "half"}, "part = 'half'"),
        ({"perhaps": "two"}, "perhaps = 'two'"),
        ({"perhaps": 2.0}, "perhaps = 2.0"),
        ({"way": "nowhere"}, "way = 'nowhere'"),
        ({"words": [1]}, "words = "),
        ({"more": 1}, "unknown setting 'more'"),
    ],
)
def test_what_is_of_another_kind_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        read(Some, {"number": 1, **change})


def test_what_is_missing_is_named() -> None:
    with pytest.raises(TypeError, match="number"):
        read(Some, {})
