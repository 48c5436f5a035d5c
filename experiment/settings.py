"""Settings from the disk: a dataclass from what `asdict` and JSON made of it."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin


def read(cls: Any, values: dict[str, Any]) -> Any:
    """Build a dataclass of numbers, texts, switches and lists of texts; what is missing has its default.

    Raises:
        TypeError: if something is missing, unknown or of another type, naming it.
    """
    kinds: dict[str, Any] = {field.name: field.type for field in fields(cls)}
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise TypeError(f"unknown setting {unknown[0]!r}")
    for name, value in values.items():
        kind = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}.get(kinds[name])
        texts = not isinstance(value, list) or all(isinstance(item, str) for item in value)
        chosen = get_origin(kinds[name]) is not Literal or value in get_args(kinds[name])
        if (kind and type(value) not in kind) or not texts or not chosen:
            raise TypeError(f"{name} = {value!r}")
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
