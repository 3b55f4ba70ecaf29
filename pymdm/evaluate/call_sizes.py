"""Sizes of network calls: what they cost by an information curve h(m), and the cheapest ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def excess(curve: Floats, sizes: Iterable[int], given: int = 0) -> float:
    """Nats a sequence that calls of these sizes cost against one token a call.

    Args:
        curve: h(m), m = 0 .. L-1 known tokens. sizes: tokens of each call. given: tokens known before the first.

    >>> excess(np.array([2.0, 1.0, 0.5]), [1, 2])
    0.5
    """
    total, known = 0.0, given
    for size in sizes:
        total += float(size * curve[known] - curve[known : known + size].sum())
        known += size
    return total


def uniform_sizes(tokens: int, calls: int) -> tuple[int, ...]:
    """`tokens` in `calls` calls of sizes that differ by at most one, the larger ones last.

    >>> uniform_sizes(8, 3)
    (2, 3, 3)
    """
    borders = [tokens * i // calls for i in range(calls + 1)]
    return tuple(b - a for a, b in pairwise(borders))


def best_sizes(
    curve: Floats, given: int = 0, stop: Callable[[int, float], bool] | None = None
) -> list[tuple[int, ...]]:
    """Sizes of the cheapest 1, 2, 3, ... calls, up to the first for which stop(calls, nats) is true, or one token a call.

    Time O(K n^2) for n tokens and K calls.
    """
    h = np.asarray(curve, dtype=np.float64)[given:]
    n = len(h)
    sums = np.concatenate([[0.0], np.cumsum(h)])
    ends = np.arange(n + 1)
    # cost[a, b]: one call from a known to b known; infinite unless b > a
    cost = np.where(ends[None, :] > ends[:n, None], (ends[None, :] - ends[:n, None]) * h[:, None], np.inf)
    cost -= np.where(ends[None, :] > ends[:n, None], sums[None, :] - sums[:n, None], 0.0)
    value = np.full(n + 1, np.inf)
    value[0] = 0.0
    before: list[NDArray[np.int64]] = []
    found: list[tuple[int, ...]] = []
    for calls in range(1, n + 1):
        through = value[:n, None] + cost
        before.append(through.argmin(axis=0))
        value = through.min(axis=0)
        at, sizes = n, []
        for step in reversed(before):
            sizes.append(int(at - step[at]))
            at = int(step[at])
        found.append(tuple(reversed(sizes)))
        if stop is not None and stop(calls, max(0.0, float(value[n]))):
            break
    return found
