"""Noise schedules alpha(t), decreasing in t on [0, 1], with 1 - alpha and its inverse computed without cancellation.

`masked(t)` = 1 - alpha(t) is the probability that a token is masked at time t, and `time(m)` is its inverse. Samplers
work with m = 1 - alpha (it starts at 1 in the first-hitting sampler) and only turn it into a time for reporting or for
a time-conditioned net.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Linear:
    """alpha(t) = 1 - t, so m = t: alpha(0) = 1, alpha(1) = 0."""

    def alpha(self, t: Any) -> Any:
        return 1.0 - np.asarray(t, dtype=np.float64)

    def masked(self, t: Any) -> Any:
        return np.asarray(t, dtype=np.float64)

    def time(self, m: Any) -> Any:
        return np.asarray(m, dtype=np.float64)


@dataclass(frozen=True)
class Cosine:
    """alpha(t) = 1 - cos(pi/2 (1 - t)) = 2 sin^2(pi/4 (1 - t)), m = sin(pi t / 2): alpha(0) = 1, alpha(1) = 0."""

    def alpha(self, t: Any) -> Any:
        return 2.0 * np.sin(np.pi / 4 * (1.0 - np.asarray(t, dtype=np.float64))) ** 2

    def masked(self, t: Any) -> Any:
        return np.sin(np.pi / 2 * np.asarray(t, dtype=np.float64))

    def time(self, m: Any) -> Any:
        return 2.0 / np.pi * np.arcsin(np.asarray(m, dtype=np.float64))


@dataclass(frozen=True)
class Geometric:
    """exp(-s) with s = low^(1-t) high^t, shifted and scaled to alpha(0) = 1 and alpha(1) = 0.

    m(t) = (exp(-low) - exp(-s)) / (exp(-low) - exp(-high)); the unscaled one would begin at exp(-low) and end at
    exp(-high).
    """

    low: float = 1e-5
    high: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < np.inf:
            raise ValueError(f"Geometric: need 0 < low < high, got {self.low} and {self.high}")

    def _span(self) -> float:
        """1 - exp(-(high - low)), the part of exp(-low) that is used."""
        return float(-np.expm1(self.low - self.high))

    def alpha(self, t: Any) -> Any:
        above = self.low * np.expm1(np.log(self.high / self.low) * np.asarray(t, dtype=np.float64))  # s - low
        return (np.exp(-above) - np.exp(self.low - self.high)) / self._span()

    def masked(self, t: Any) -> Any:
        above = self.low * np.expm1(np.log(self.high / self.low) * np.asarray(t, dtype=np.float64))
        return -np.expm1(-above) / self._span()

    def time(self, m: Any) -> Any:
        above = -np.log1p(-np.asarray(m, dtype=np.float64) * self._span())
        return np.clip(np.log1p(above / self.low) / np.log(self.high / self.low), 0.0, 1.0)


SCHEDULES: dict[str, Any] = {"linear": Linear, "cosine": Cosine, "geometric": Geometric}


def grid(steps: int, start: float = 1.0, end: float = 0.0) -> Any:
    """Times of an ancestral sampler, [steps + 1] float64 from start down to end, evenly spaced.

    Example:
        >>> grid(4).tolist()
        [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if steps < 1:
        raise ValueError(f"grid: steps must be at least 1, got {steps}")
    return start + (end - start) * np.arange(steps + 1) / steps
