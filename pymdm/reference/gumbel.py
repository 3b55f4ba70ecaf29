"""Gumbel noise from 64 bits, and the coarser noises that published samplers draw.

g = -log E with E in [2^-65, 65 log 2], so g lies in [-log(65 log 2), 65 log 2] = [-3.81, 45.06]. The winning tail
(large g) sits at r -> 0, where u has its finest steps: the cap 45.06 is reached only with probability 2^-64. Section 5
and Table 1 of Zheng et al. (ICLR 2025): float32 uniforms stop at 1 - 2^-24 (g <= 16.6355), float64 ones at 1 - 2^-53 (g
<= 36.7368).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference.uniform import exponential

CAP_FLOAT32 = float(-np.log(-np.log1p(-(2.0**-24))))  # 16.6355
CAP_FLOAT64 = float(-np.log(-np.log1p(-(2.0**-53))))  # 36.7368
CAP_64_BIT = float(-np.log(-np.log1p(-(2.0**-65))))  # 45.0546
NOISE_KINDS = ("exact", "float32", "float64", "truncated")


def gumbel(bits: ArrayLike, kind: str = "exact") -> NDArray[np.float64]:
    """Gumbel noise of a kind; Zheng et al. 2025, section 5.

    Args:
        bits: uint64 of any shape.
        kind: "exact": -log E on all 64 bits. "float32": -log(-log u) computed in float32, u = k / 2^24 (k the top 24
            bits, as a float32 generator draws it, 0 included). "float64": the same in float64 with u = k / 2^53.
            "truncated": exact noise conditioned on being at most the float32 cap M: u is scaled by exp(-exp(-M)) = 1 -
            2^-24, so E grows by exp(-M).

    Returns:
        float64 of the same shape; -inf where a coarse u is 0.

    Example:
        >>> round(float(gumbel(2**64 - 1, "float32")), 4), round(float(gumbel(0)), 4)
        (16.6355, 45.0546)
    """
    r = np.asarray(bits, dtype=np.uint64)
    if kind == "exact":
        return -np.log(exponential(r))
    if kind == "truncated":
        return -np.log(exponential(r) + np.exp(-CAP_FLOAT32))
    with np.errstate(divide="ignore"):
        if kind == "float32":
            u32 = (r >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
            return (-np.log(-np.log(u32))).astype(np.float64)
        if kind == "float64":
            u64 = (r >> np.uint64(11)).astype(np.float64) * 2.0**-53
            return -np.log(-np.log(u64))
    raise ValueError(f"gumbel: kind must be one of {', '.join(NOISE_KINDS)}, got {kind!r}")
