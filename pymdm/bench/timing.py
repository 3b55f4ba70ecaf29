"""Seconds of several forms in interleaved rounds, their medians and ratios."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pymdm._native import C

SPIN = 0.25  # s; calls shorter than this follow an untimed call of the same form


@dataclass(frozen=True)
class Spread:
    """A median and the quartiles around it, over `rounds` values."""

    value: float
    low: float
    high: float
    rounds: int


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles (linear between order statistics) of at least one value."""
    low, middle, high = np.quantile(np.asarray(values, dtype=np.float64), (0.25, 0.5, 0.75))
    return Spread(float(middle), float(low), float(high), len(values))


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Ratio of the medians, with the quartiles of the ratios within rounds (those that both ran in)."""
    within = spread([a / b for a, b in zip(over, under, strict=False)])
    middle = spread(over).value / spread(under).value
    return Spread(middle, min(within.low, middle), max(within.high, middle), within.rounds)


def interleaved(
    forms: Mapping[str, Callable[[], Any]],
    rounds: int | Mapping[str, int],
    called: Mapping[str, float] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each form, round by round, so that other load on the machine falls on all alike.

    Every form is called once before anything is timed. Short calls then follow an untimed one of the same form each
    time: torch's threads spin for some milliseconds after its operators, and would take the processors from whichever
    form comes next (4 of 14 ms on 2 cores).

    Args:
        forms: name -> call.
        rounds: rounds for all, or for each form; a form with fewer takes part in the first ones only.
        called: seconds of the forms that were called before, and need no first call.

    Raises:
        ValueError: no rounds.

    >>> sorted(interleaved({"a": lambda: 1, "b": lambda: 2}, 3)) == ["a", "b"]
    True
    """
    counts = dict.fromkeys(forms, rounds) if isinstance(rounds, int) else dict(rounds)
    if min(counts.values()) < 1:
        raise ValueError(f"bench: rounds must be at least 1, got {min(counts.values())}")
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    called = called or {}
    expected = {name: called[name] if name in called else _seconds(form) for name, form in forms.items()}
    for i in range(max(counts.values())):
        for name, form in forms.items():
            if i >= counts[name]:
                continue
            if expected[name] < SPIN:
                form()
            expected[name] = _seconds(form)
            seconds[name].append(expected[name])
    return seconds


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """`count` threads for the core and torch, 0 for as many as the core would take; the old numbers come back."""
    before = C.num_threads(), torch.get_num_threads()
    C.set_num_threads(count)
    torch.set_num_threads(C.num_threads())
    try:
        yield
    finally:
        C.set_num_threads(before[0])
        torch.set_num_threads(before[1])


def use_clock(name: str) -> None:
    """What `interleaved` reads: "wall", or "cpu", the processor seconds of this process, for one thread on a busy machine.

    Raises:
        ValueError: "cpu" with more threads, which spin while they wait for one another.
    """
    global _clock
    if name == "cpu" and max(C.num_threads(), torch.get_num_threads()) > 1:
        raise ValueError("bench: --clock cpu needs --threads 1")
    _clock = name


_clock = "wall"


def _seconds(form: Callable[[], Any]) -> float:
    read = time.process_time if _clock == "cpu" else time.perf_counter
    start = read()
    form()
    return read() - start
