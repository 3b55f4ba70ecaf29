"""Law of the arg-max under truncated Gumbel noise: Proposition 5.2 of Zheng et al. (ICLR 2025), in closed form.

With noise capped at M, the exponential E_k is c + Exp(1), c = exp(-M) (the exponential forgets), and the arg-max is the
first arrival of T_k = E_k / pi_k: class k starts its clock of rate pi_k only at z_k = c / pi_k. Sort pi ascending,
S_i = sum_{k>=i} pi_k. Between z_i and z_{i-1} exactly the classes k >= i run, and nobody has arrived by z_i with
probability exp(-h_i), where

    h_K = 0,   h_{i-1} = h_i + S_i (z_{i-1} - z_i),
    beta(i) = (exp(-h_i) - exp(-h_{i-1})) / S_i,
    P(n) = pi_n * sum_{i<=n} beta(i).

Every term is a sum of terms of one sign, so nothing cancels, for any number of classes; ties give z_{i-1} = z_i and
beta = 0; a zero class has z = inf, h = inf and never wins; the P(n) telescope to 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def truncated_law(probabilities: ArrayLike, cap: float) -> NDArray[np.float64]:
    """P(arg-max = n) for Gumbel noise conditioned on being at most `cap`; Proposition 5.2.

    Args:
        probabilities: [..., K] non-negative weights, at least one positive in each row; normalised here.
        cap: M, the largest noise (16.6355 for float32 uniforms).

    Returns:
        [..., K] float64 that sums to 1.

    Raises:
        ValueError: a weight is negative or not finite, or a row has no mass.

    Example:
        >>> [float(f"{p:.5g}") for p in truncated_law([0.02, 0.08, 0.3, 0.6], 1.0)]
        [8.9475e-10, 0.0027165, 0.22983, 0.76746]
    """
    pi = np.asarray(probabilities, dtype=np.float64)
    if not np.all(np.isfinite(pi)) or np.any(pi < 0) or np.any(pi.sum(axis=-1) <= 0):
        raise ValueError("truncated_law: probabilities must be finite, non-negative and not all zero")
    pi = pi / pi.sum(axis=-1, keepdims=True)
    order = np.argsort(pi, axis=-1, kind="stable")
    p = np.take_along_axis(pi, order, axis=-1)  # ascending
    mass = np.cumsum(p[..., ::-1], axis=-1)[..., ::-1]  # S_i
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        start = np.exp(-cap) / p  # z_i, inf for a zero (or denormal) class
        below = np.concatenate([np.full_like(start[..., :1], np.inf), start[..., :-1]], axis=-1)  # z_{i-1}
        wait = mass * np.where(np.isinf(start), 0.0, below - start)  # h_{i-1} - h_i >= 0
        above = np.concatenate([wait[..., 1:], np.zeros_like(wait[..., :1])], axis=-1)
        hazard = np.cumsum(above[..., ::-1], axis=-1)[..., ::-1]  # h_i, a sum of the waits above i
        beta = np.where(np.isinf(start), 0.0, np.exp(-hazard) * -np.expm1(-wait) / mass)
    law = np.empty_like(pi)
    np.put_along_axis(law, order, p * np.cumsum(beta, axis=-1), axis=-1)
    return law
