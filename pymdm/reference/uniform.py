"""64 random bits -> uniform -> exponential, each with its interval.

u = (r + 1/2) / 2^64 lies in (0, 1) for every r, and u and 1 - u have the same law because ~r and r have. In float64 the
two ends are not alike: near 0 the values are 2^-65, 3 * 2^-65, ... and all distinct, near 1 they round to multiples of
2^-53 and the top 2^10 of them would round to 1.0. So a logarithm is always taken from the end that is fine (log1p on
the other), and `uniform`, which must return one float64, stops at 1 - 2^-53: u in [2^-65, 1 - 2^-53], never 0 and never
1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

BELOW_ONE = 1.0 - 2.0**-53
HALF = np.uint64(1) << np.uint64(63)


def uniform(bits: ArrayLike) -> NDArray[np.float64]:
    """Uniform on (0, 1) from 64 bits: (r + 1/2) / 2^64, in [2^-65, 1 - 2^-53].

    Example:
        >>> float(uniform(0)) == 2.0**-65, float(uniform(2**64 - 1)) < 1.0
        (True, True)
    """
    r = np.asarray(bits, dtype=np.uint64)
    return np.minimum((r.astype(np.float64) + 0.5) * 2.0**-64, BELOW_ONE)


def exponential(bits: ArrayLike) -> NDArray[np.float64]:
    """Standard exponential from 64 bits, E = -log(1 - u), relative error a few 2^-53 everywhere.

    The interval is [2^-65, 65 log 2] = [2.7e-20, 45.06]: the smallest value is -log1p(-2^-65) = 2^-65 (1 + 2^-66 +
    ...), the largest -log(2^-65). For r >= 2^63 the complement ~r is small and exact, so no digit is lost there either.
    """
    r = np.asarray(bits, dtype=np.uint64)
    low = r < HALF
    v = (np.where(low, r, ~r).astype(np.float64) + 0.5) * 2.0**-64  # u or 1 - u, in (0, 1/2]
    return np.where(low, -np.log1p(-v), -np.log(v))


def log_uniform(bits: ArrayLike) -> NDArray[np.float64]:
    """log u in [-45.06, -2^-65], never 0: log u(r) = -E(~r), since u(~r) = 1 - u(r)."""
    return -exponential(~np.asarray(bits, dtype=np.uint64))
