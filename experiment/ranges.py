"""Bounds of the numbers that the command line takes, as types of a dataclass's fields."""

import math
import sys
from dataclasses import fields
from typing import Annotated, Any, NamedTuple, get_args

from experiment.errors import UserError


class Range(NamedTuple):
    """What a number may be.

    Attributes:
        low: the least.
        high: the most; infinity where even that makes sense.
        above: whether it must be more than `low`.
    """

    low: float = 0.0
    high: float = sys.float_info.max
    above: bool = False


POSITIVE = Range(above=True)  # of a number without another range
Share = Annotated[float, Range(high=1.0)]
PositiveShare = Annotated[float, Range(high=1.0, above=True)]
NonNegative = Annotated[float, Range()]
Endless = Annotated[float, Range(high=math.inf, above=True)]
EndlessOrZero = Annotated[float, Range(high=math.inf)]
Natural = Annotated[int, Range(high=2**63 - 1)]
Seed = Annotated[int, Range(high=2**32 - 1)]  # evaluations have seeds from 2^33 on


def check(*groups: Any) -> None:
    """Refuse settings that are out of bounds, before anything is made.

    Args:
        *groups: dataclasses. Numbers must be more than 0 and finite, unless their field's type says otherwise.

    Raises:
        UserError: naming the flag.
    """
    for group in groups:
        for field in fields(group):
            value = getattr(group, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            low, high, above = _range(field.type)
            flag = f"--{field.name.replace('_', '-')}"
            if not value >= low or (above and value == low):  # NaN is neither
                raise UserError(f"{flag} must be {'more than' if above else 'at least'} {low:g}, not {value}")
            if value > high or (isinstance(value, int) and value >= 2**63):
                most = "at most 1" if high == 1 else "less than 2^32" if high < 2**33 else "less than 2^63"
                raise UserError(f"{flag} must be {'finite' if value == math.inf else most}, not {value}")


def _range(kind: Any) -> Range:
    """Find the range in a field's type, also in one that may be None."""
    for part in get_args(kind):
        if isinstance(part, Range):
            return part
        if (found := _range(part)) is not POSITIVE:
            return found
    return POSITIVE
