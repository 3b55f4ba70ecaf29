"""Total variation between a sampler and a known law, estimated from samples, with an interval that holds.

TV(q, p) = max_A q(A) - p(A) for the sampler's law q and the known law p. Plugging the frequencies in for q counts their
noise as distance, and no estimate from n samples is unbiased for every q, because |q - p| is not a polynomial of q. So
the samples are split in two halves. Each half chooses the event A = {x: its frequency exceeds p(x)}, and the other
half, which is independent of that choice, says how much likelier A is than under p:

    D = (q_2(A_1) - p(A_1) + q_1(A_2) - p(A_2)) / 2.

The mean of D is q(A) - p(A) averaged over the choice of A: exactly 0 for an exact sampler, TV(q, p) where every cell's
sign is known, and never above TV(q, p). Its variance: each term has v / (n/2) with v = q(A)(1 - q(A)), and the terms
correlate by 2/pi if no sign is known (cov(sign(a), a) = sqrt(2/pi) for a normal a) and not at all if all are, so it is
about (1 + 2/pi) v / n at zero distance and v / n far from it; the first is what is used.

Interval: below, D minus its normal quantile. Above, the plug-in estimate T plus sqrt(log(1/alpha) / (2n)): one sample
moves T by at most 1/n, so by McDiarmid's inequality T >= E T - that, and E T >= TV(q, p) by Jensen's inequality. The
upper end holds at every n; it includes the noise of the frequencies, as it must: these samples can not exclude less.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

COVERAGE = 0.95


@dataclass(frozen=True)
class Distance:
    """An estimated total variation.

    Attributes:
        tv: D above, unbiased at zero distance, so that it may be negative.
        error: its standard error, right for an exact sampler and right within a quarter for others.
        low, high: interval of the total variation, in [0, 1].
        n: samples.
        coverage: of the interval.
    """

    tv: float
    error: float
    low: float
    high: float
    n: int
    coverage: float = COVERAGE

    @property
    def seen(self) -> bool:
        """Whether the interval excludes an exact sampler."""
        return self.low > 0

    def text(self) -> str:
        """The estimate with its interval, or only the upper end where an exact sampler is not excluded.

        >>> Distance(0.02, 0.002, 0.016, 0.025, 1000).text(), Distance(0.001, 0.002, 0.0, 0.01, 1000).text()
        ('0.0200 (0.0160 to 0.0250)', 'at most 0.0100')
        """
        if not self.seen:
            return f"at most {self.high:.4f}"
        return f"{self.tv:.4f} ({self.low:.4f} to {self.high:.4f})"


def estimate(halves: ArrayLike, law: ArrayLike, coverage: float = COVERAGE) -> Distance:
    """Estimates the total variation between samples and a law.

    Args:
        halves: [2, K] counts of two independent halves of the samples.
        law: [K] probabilities; normalised here.
        coverage: of the interval; the two ends miss with equal chance.

    Returns:
        A `Distance`; with an empty half it knows nothing: 0 in [0, 1].

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> found = estimate([[600, 400], [590, 410]], [0.5, 0.5])
        >>> round(found.tv, 3), found.low > 0
        (0.095, True)
    """
    counts = np.asarray(halves, dtype=np.float64)
    p = np.asarray(law, dtype=np.float64).ravel()
    if counts.shape != (2, len(p)):
        raise ValueError(f"total_variation: expected counts of shape (2, {len(p)}), got {counts.shape}")
    p = p / p.sum()
    sizes = counts.sum(axis=1)
    if not sizes.all():
        return Distance(0.0, 0.5, 0.0, 1.0, int(sizes.sum()), coverage)
    n = float(sizes.sum())
    q = counts / sizes[:, None]
    plug_in = 0.5 * float(np.abs(counts.sum(axis=0) / n - p).sum())
    gains, spreads = [], []
    for chooses, tells in ((0, 1), (1, 0)):
        event = q[chooses] > p
        there, expected = float(q[tells, event].sum()), float(p[event].sum())
        gains.append(there - expected)
        spreads.append(max(there * (1 - there), expected * (1 - expected), 0.0))
    tv = sum(gains) / 2
    error = sqrt((1 + 2 / pi) * max(spreads) / n)
    miss = (1 - coverage) / 2
    high = min(1.0, plug_in + sqrt(log(1 / miss) / (2 * n)))
    low = min(max(0.0, tv - float(stats.norm.isf(miss)) * error), high)
    return Distance(tv, error, low, high, int(n), coverage)
