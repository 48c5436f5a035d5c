"""Settings from the disk: dataclasses that were written by `asdict` and JSON, read back."""

from dataclasses import fields
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin


def read(cls: Any, values: dict[str, Any]) -> Any:
    """Build a dataclass of numbers, texts, switches and lists of texts; missing ones get their defaults.

    Raises:
        TypeError: if something is missing, unknown or of another type, naming it.
    """
    kinds: dict[str, Any] = {field.name: field.type for field in fields(cls)}
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise TypeError(f"unknown setting {unknown[0]!r}")
    for name, value in values.items():
        if not _fits(value, kinds[name]):
            raise TypeError(f"{name} = {value!r}")
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Annotated:  # as a number with a range
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):  # as int | None
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is float:
        return type(value) in (int, float)
    if kind in (int, str, bool, type(None)):
        return type(value) is kind
    return not isinstance(value, list) or all(isinstance(item, str) for item in value)
