"""Goodness-of-fit tests: statistic, p-value, cells used, and how far the sample is from the law.

Pooling rule, the same everywhere: cells whose expected count is below 25 are merged into one cell, and if that is still
below 25 it joins the smallest other cell. A cell of probability zero is never pooled: one observation there is a
rejection.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

MIN_EXPECTED = 25.0


@dataclass(frozen=True)
class Fit:
    """Outcome of one test.

    Attributes:
        statistic: the test's statistic.
        p_value: probability of one at least as extreme under the law.
        n: sample size.
        cells: cells after pooling (degrees of freedom + 1), 0 where the test has none.
        tv: total variation between the sample's frequencies and the law, before pooling; nan where not defined.
        tv_floor: what tv is expected to be from sampling noise alone.
        tv_error: standard error of tv.
        pooled: probability of the merged cells.
        detail: a sentence for the report.
    """

    statistic: float
    p_value: float
    n: int
    cells: int = 0
    tv: float = float("nan")
    tv_floor: float = float("nan")
    tv_error: float = float("nan")
    pooled: float = 0.0
    detail: str = ""


def pool(counts: NDArray[np.float64], expected: NDArray[np.float64]) -> tuple[NDArray, NDArray, float]:
    """Applies the pooling rule to cells of positive probability; returns counts, expected, probability merged."""
    small = expected < MIN_EXPECTED
    if not small.any():
        return counts, expected, 0.0
    merged = float(expected[small].sum())
    pooled = merged / float(expected.sum())
    counts = np.append(counts[~small], counts[small].sum())
    expected = np.append(expected[~small], merged)
    if merged < MIN_EXPECTED and len(expected) > 1:
        smallest = int(np.argmin(expected[:-1]))
        counts[smallest] += counts[-1]
        expected[smallest] += merged
        counts, expected = counts[:-1], expected[:-1]
    return counts, expected, pooled


def chi_square(counts: ArrayLike, law: ArrayLike, statistic: str = "pearson") -> Fit:
    """Chi-square test of counts against a fully specified law.

    The p-value uses the exact mean K - 1 and the exact variance 2(K-1) + (sum 1/p - K^2 - 2K + 2)/n of Pearson's
    statistic (a scaled chi-square with both matched), so that cells near the pooling limit do not raise the false alarm
    rate in the far tail. "g" is the likelihood-ratio statistic with Williams' correction.

    Args:
        counts: [K] observations per cell; a cell of probability 0 with an observation rejects outright.
        law: [K] probabilities; normalised here.
        statistic: "pearson" or "g".

    Returns:
        A `Fit`.
    """
    observed = np.asarray(counts, dtype=np.float64).ravel()
    p = np.asarray(law, dtype=np.float64).ravel()
    if observed.shape != p.shape:
        raise ValueError(f"chi_square: {observed.size} counts for {p.size} cells")
    p = p / p.sum()
    n = int(observed.sum())
    live = p > 0
    outside = int(observed[~live].sum())
    distance = 0.5 * float(np.abs(observed / max(n, 1) - p).sum())
    floor = 0.5 * float(np.sqrt(2 * p * (1 - p) / (np.pi * max(n, 1))).sum())  # E|normal| = sd sqrt(2/pi)
    error = 0.5 * float(np.sqrt((1 - 2 / np.pi) * (p * (1 - p)).sum() / max(n, 1)))
    if outside:
        detail = f"{outside} of {n} samples are impossible under the law"
        return Fit(float("inf"), 0.0, n, int(live.sum()), distance, floor, error, 0.0, detail)
    o, e, pooled = pool(observed[live], n * p[live])
    k = len(e)
    if k < 2:
        return Fit(0.0, 1.0, n, k, distance, floor, error, pooled, "one cell after pooling")
    if statistic == "g":
        with np.errstate(divide="ignore", invalid="ignore"):
            value = 2 * float(np.sum(np.where(o > 0, o * np.log(o / e), 0.0)))
        value /= 1 + (float(np.sum(n / e)) - 1) / (6 * n * (k - 1))
        return Fit(value, float(stats.chi2.sf(value, k - 1)), n, k, distance, floor, error, pooled)
    value = float(np.sum((o - e) ** 2 / e))
    mean = k - 1.0
    variance = 2 * mean + (float(np.sum(n / e)) - k * k - 2 * k + 2) / n
    scale = max(variance, 2 * mean) / (2 * mean)
    p_value = float(stats.chi2.sf(value / scale, mean / scale))
    return Fit(value, p_value, n, k, distance, floor, error, pooled)


def contingency(table: ArrayLike) -> Fit:
    """Test of independence of two variables, whatever their laws: expected counts are the product of the margins.

    The statistic is G = 2 sum o log(o / e), whose far tail keeps to chi-square where Pearson's does not. Values are
    merged, the rarest first, until every expected count is at least 25; a table of too few counts has one cell and tests
    nothing.

    Args:
        table: [R, C] counts of the pairs.

    Returns:
        A `Fit` whose cells are the degrees of freedom + 1, and whose distance is that of the pairs from the product.

    Example:
        >>> contingency([[500, 0], [0, 500]]).p_value < 1e-9, contingency([[90, 210], [210, 490]]).p_value
        (True, 1.0)
    """
    counts = np.asarray(table, dtype=np.float64)
    n = float(counts.sum())
    rows, columns = (_groups(counts.sum(axis=axis), np.sqrt(MIN_EXPECTED * n)) for axis in (1, 0))
    counts = rows @ counts @ columns.T
    r, c = counts.shape
    if r < 2 or c < 2:
        return Fit(0.0, 1.0, int(n), 1, detail="one cell after pooling")
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        value = 2 * float(np.where(counts > 0, counts * np.log(counts / expected), 0.0).sum())
    freedom = (r - 1) * (c - 1)
    distance = 0.5 * float(np.abs(counts - expected).sum()) / n
    return Fit(value, float(stats.chi2.sf(value, freedom)), int(n), freedom + 1, distance)


def _groups(margin: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """[G, K] membership of K values in groups of at least so many counts: a value each, the rare ones together."""
    large = np.flatnonzero(margin >= least)
    groups = np.zeros((len(large) + 1, len(margin)))
    groups[np.arange(len(large)), large] = 1
    groups[-1, margin < least] = 1
    if len(large) and groups[-1] @ margin < least:  # too few for a group: they join the smallest other one
        groups[np.argmin(margin[large])] += groups[-1]
        groups = groups[:-1]
    return groups


def dkw(values: ArrayLike) -> Fit:
    """Uniformity on (0, 1) by the Dvoretzky-Kiefer-Wolfowitz bound with Massart's constant, valid at every n.

    P(sup |F_n - F| > d) <= 2 exp(-2 n d^2), so the p-value never understates.
    """
    x = np.sort(np.asarray(values, dtype=np.float64).ravel())
    n = len(x)
    if n == 0 or not np.all((x >= 0) & (x <= 1)):
        return Fit(1.0, 0.0, n, detail="values outside [0, 1]")
    steps = np.arange(1, n + 1) / n
    distance = float(max(np.max(steps - x), np.max(x - (steps - 1 / n))))
    return Fit(distance, min(1.0, 2 * float(np.exp(-2 * n * distance**2))), n)


def binomial(hits: int, n: int, probability: float) -> Fit:
    """Exact two-sided binomial test: twice the smaller tail."""
    if probability <= 0:
        return Fit(float(hits), 0.0 if hits else 1.0, n, detail="an impossible event was seen" if hits else "")
    lower, upper = stats.binom.cdf(hits, n, probability), stats.binom.sf(hits - 1, n, probability)
    rate = hits / max(n, 1)
    sd = float(np.sqrt(probability * (1 - probability) / max(n, 1)))
    p_value = float(min(1.0, 2 * min(lower, upper)))
    detail = f"{hits} seen, {n * probability:.1f} expected"
    floor = sd * float(np.sqrt(2 / np.pi))
    return Fit(rate / probability, p_value, n, 2, abs(rate - probability), floor, sd, 0.0, detail)


def independent_uniforms(columns: ArrayLike, bins: int | None = None) -> Fit:
    """Chi-square on the joint cells of [N, d] values that should be independent and uniform on (0, 1).

    `bins` per dimension defaults to the largest number with at most 256 cells in all; at most 8 columns.
    """
    u = np.asarray(columns, dtype=np.float64)
    n, d = u.shape
    if not 1 <= d <= 8:
        raise ValueError(f"independent_uniforms: 1 to 8 columns, got {d}")
    bins = bins or int(np.floor(256 ** (1 / d) + 1e-9))
    cell = np.minimum((u * bins).astype(np.int64), bins - 1)
    if np.any(u < 0) or np.any(u > 1):
        return Fit(float("inf"), 0.0, n, detail="values outside [0, 1]")
    index = np.ravel_multi_index(tuple(cell.T), (bins,) * d)
    return chi_square(np.bincount(index, minlength=bins**d), np.full(bins**d, 1.0 / bins**d))


def combine(fits: list[Fit]) -> Fit:
    """Bonferroni over several fits: the smallest p-value times their number, with that fit's other numbers."""
    worst = min(fits, key=lambda fit: fit.p_value)
    p_value = min(1.0, worst.p_value * len(fits))
    detail = worst.detail + (f" (worst of {len(fits)})" if len(fits) > 1 else "")
    return Fit(
        worst.statistic, p_value, worst.n, worst.cells, worst.tv, worst.tv_floor, worst.tv_error, worst.pooled,
        detail.strip(),
    )  # fmt: skip
