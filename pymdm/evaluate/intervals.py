"""Intervals for totals per unit of size, such as bits per character over texts of different lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pymdm.report.bits import Bits

LEVEL = 0.95
Values = Sequence[float] | NDArray[np.float64] | NDArray[np.int64]


def ratio_interval(totals: Values, sizes: Values, level: float = LEVEL) -> tuple[float, float]:
    """Interval of E[total] / E[size] from independent units, such as texts: it covers that other texts would be drawn.

    Ratio estimator with its linearised variance N / (N - 1) * sum (total_i - r size_i)^2 / (sum size_i)^2 and Student's t
    at N - 1 degrees of freedom. (Cochran 1977, section 6.)

    Args:
        totals, sizes: [N] of the units.
        level: coverage.

    Returns:
        (low, high); NaN with fewer than two units or no size at all.

    Example:
        >>> ratio_interval([1.0, 1.0, 1.0], [2, 2, 2])
        (0.5, 0.5)
    """
    a, b = np.asarray(totals, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if len(a) < 2 or not b.sum():
        return math.nan, math.nan
    ratio = float(a.sum() / b.sum())
    variance = len(a) / (len(a) - 1) * float(np.square(a - ratio * b).sum()) / float(b.sum()) ** 2
    half = t_quantile(len(a) - 1, level) * math.sqrt(variance)
    return ratio - half, ratio + half


def ratio_bits(nats: Values, sizes: Values, unit: str = "character") -> Bits:
    """Bits a unit of texts, [N] nats and sizes, with the interval of `ratio_interval`; NaN without a unit.

    >>> ratio_bits([1.0, 1.0], [2, 2]).short
    '0.721 ± 0.000'
    """
    count = int(np.sum(sizes))
    low, high = ratio_interval(nats, sizes)
    value = float(np.sum(nats)) / count if count else math.nan
    return Bits(value / math.log(2), (high - low) / 2 / math.log(2), unit, count)


def mean_interval(values: Values, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a mean over independent units, [N].

    Example:
        >>> mean_interval([1.0, 1.0])
        (1.0, 1.0)
    """
    return ratio_interval(values, np.ones(len(values)), level)


def t_quantile(freedom: float, level: float = LEVEL) -> float:
    """Half width, in standard errors, of a two-sided Student interval.

    Example:
        >>> round(t_quantile(1e9), 3)
        1.96
    """
    from scipy.stats import t

    return float(t.ppf(0.5 + level / 2, freedom))
