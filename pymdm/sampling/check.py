"""Checks of what a caller passes: Python's and NumPy's numbers are taken, everything else is refused in one line.

The line begins with the operation, "sample" unless it is said.
"""

from __future__ import annotations

import operator
import os
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

SAMPLE = "sample"


def integer(name: str, value: Any, low: int | None = None, high: int | None = None, operation: str = SAMPLE) -> int:
    """An int of anything that is one: int, NumPy integer, integer tensor of one element.

    Args:
        name: of the value, for the message.
        low, high: the smallest and the largest value taken; None is no limit.
        operation: with which the message begins.

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
        raise TypeError(f"{operation}: {name} must be an integer, got {described(value)}") from None
    if low is not None and found < low:
        raise ValueError(f"{operation}: {name} must be at least {low}, got {described(found)}")
    if high is not None and found > high:
        raise ValueError(f"{operation}: {name} must be at most {high}, got {described(found)}")
    return found


def number(name: str, value: Any, operation: str = SAMPLE) -> float:
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
        raise ValueError(
            f"{operation}: {name} must be a number that a float can hold, got {described(value)}"
        ) from None
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{operation}: {name} must be a number, got {described(value)}") from None


def boolean(name: str, value: Any, operation: str = SAMPLE) -> bool:
    """A bool, Python's or NumPy's.

    Raises:
        TypeError: anything else.
    """
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{operation}: {name} must be True or False, got {described(value)}")
    return bool(value)


def numbers(name: str, values: Any, operation: str = SAMPLE) -> tuple[float, ...]:
    """Floats of a sequence of numbers, as a tuple.

    Raises:
        TypeError: not a sequence, or not of numbers.
    """
    return tuple(number(name, value, operation) for value in entries(name, values, operation))


def entries(name: str, values: Any, operation: str = SAMPLE) -> list[Any]:
    """The entries of a sequence, array or tensor; a text is none.

    Raises:
        TypeError: something without entries.
    """
    try:
        if isinstance(values, str | bytes | dict):
            raise TypeError
        return list(values)
    except TypeError:
        raise TypeError(f"{operation}: {name} must be a sequence, got {described(values)}") from None


def path(name: str, value: Any, operation: str = SAMPLE) -> str:
    """The text of a path: a string, or what has `__fspath__`.

    Raises:
        TypeError: anything else.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{operation}: {name} must be a path, got {described(value)}")
    return os.fspath(value)


def of_types(values: Mapping[str, Any], kinds: Mapping[str, Any], operation: str) -> dict[str, Any]:
    """The values of `kinds`, each as its annotated type: bool, int, float, str (of a path its text), tuple[float, ...], or
    one of these and None.

    Args:
        values: name -> value. kinds: name -> type; values of other names are left out.
        operation: with which messages begin.

    Raises:
        TypeError: a value of another type.

    >>> of_types({"steps": 3, "lr": 1}, {"steps": int | None, "lr": float}, "train")
    {'steps': 3, 'lr': 1.0}
    >>> of_types({"steps": "3"}, {"steps": int | None}, "train")
    Traceback (most recent call last):
        ...
    TypeError: train: steps must be an integer, got '3'
    """
    return {name: _of_type(name, values[name], kind, operation) for name, kind in kinds.items()}


def _of_type(name: str, value: Any, kind: Any, operation: str) -> Any:
    if get_origin(kind) in (types.UnionType, Union):
        if value is None:
            return None
        (kind,) = (k for k in get_args(kind) if k is not type(None))
    if get_origin(kind) is tuple:
        return numbers(name, value, operation)
    if kind is str:
        if not isinstance(value, str | os.PathLike):
            raise TypeError(f"{operation}: {name} must be a string, got {described(value)}")
        return os.fspath(value)
    if kind is int:
        return integer(name, value, operation=operation)
    return boolean(name, value, operation) if kind is bool else number(name, value, operation)


def described(value: Any) -> str:
    """A value for an error's line: its type where it is no plain number, and never a long text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() < 200 else f"an integer of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:40] + "...")
    return type(value).__name__
