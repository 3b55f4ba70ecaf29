"""Checks of a caller's numbers: Python's and NumPy's are taken, everything else is refused in one line."""

from __future__ import annotations

import operator
from typing import Any


def integer(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """An int of anything that is one: int, NumPy integer, integer tensor of one element.

    Args:
        name: of the value, for the message.
        low, high: the smallest and the largest value taken; None is no limit.

    Raises:
        TypeError: not an integer; a float is never cut.
        ValueError: out of range.

    >>> import numpy as np
    >>> integer("seed", np.int64(4))
    4
    """
    try:
        if isinstance(value, bool) or str(getattr(value, "dtype", "")) == "torch.bool":
            raise TypeError
        found = operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"sample: {name} must be an integer, got {described(value)}") from None
    if low is not None and found < low:
        raise ValueError(f"sample: {name} must be at least {low}, got {described(found)}")
    if high is not None and found > high:
        raise ValueError(f"sample: {name} must be at most {high}, got {described(found)}")
    return found


def number(name: str, value: Any) -> float:
    """A float of anything that is a real number; strings are not.

    Raises:
        TypeError: not a number.
        ValueError: an integer that no float can hold.
    """
    try:
        if isinstance(value, str | bytes | bool):
            raise TypeError
        return float(value)
    except OverflowError:
        raise ValueError(f"sample: {name} must be a number that a float can hold, got {described(value)}") from None
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"sample: {name} must be a number, got {described(value)}") from None


def boolean(name: str, value: Any) -> bool:
    """A bool, Python's or NumPy's.

    Raises:
        TypeError: anything else.
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"sample: {name} must be True or False, got {described(value)}")
    return bool(value)


def numbers(name: str, values: Any) -> tuple[float, ...]:
    """Floats of a sequence of numbers, as a tuple.

    Raises:
        TypeError: not a sequence, or not of numbers.
    """
    return tuple(number(name, value) for value in entries(name, values))


def entries(name: str, values: Any) -> list[Any]:
    """The entries of a sequence, array or tensor; a text is none.

    Raises:
        TypeError: something without entries.
    """
    try:
        if isinstance(values, str | bytes | dict):
            raise TypeError
        return list(values)
    except TypeError:
        raise TypeError(f"sample: {name} must be a sequence, got {described(values)}") from None


def described(value: Any) -> str:
    """A value for an error's line: its type where it is no plain number, and never a long text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() < 200 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "...")
    return type(value).__name__
