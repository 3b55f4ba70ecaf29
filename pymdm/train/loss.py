"""Draws and weights of the training bound: Proposition 3.1 of arXiv 2409.02908, a mean over mask counts without any time.

NELBO(x0) = sum over n = 1..L of E[(1/n) * sum over the n masked l of -log mu(x_n)[l][x0[l]]], so with n uniform on
1..L the loss of one row is L times the mean cross-entropy over its n masked positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

DRAWS = ("low-discrepancy", "stratified", "independent")


def draw_uniforms(rows: int, rng: np.random.Generator, draw: str = "low-discrepancy") -> NDArray[np.float64]:
    """Numbers in [0, 1), each uniform on its own.

    Args:
        rows: B.
        rng: where they come from.
        draw: "low-discrepancy": (u + i) / B with one u; "stratified": (u_i + i) / B; "independent": u_i.

    Returns:
        float64 [B], in rising order except for "independent".
    """
    if draw not in DRAWS:
        raise ValueError(f"draw_uniforms: draw must be one of {', '.join(DRAWS)}, got {draw!r}")
    if draw == "independent":
        return rng.random(rows)
    return (rng.random(1 if draw == "low-discrepancy" else rows) + np.arange(rows)) / rows


def draw_counts(rows: int, length: int, rng: np.random.Generator, draw: str = "low-discrepancy") -> NDArray[np.int64]:
    """Mask counts n_i = ceil(L * t_i), int64 [B], each uniform on 1..L on its own; see `draw_uniforms`."""
    t = draw_uniforms(rows, rng, draw)
    return np.clip(np.ceil(length * t), 1, length).astype(np.int64)  # t = 0 would give 0


def count_weights(
    counts: NDArray[np.int64], length: int, power: float = 1.0, weights: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """Weight of every masked token of a row with n masks, w_n / n, scaled so that w_n has mean 1 over n = 1..L.

    Args:
        counts: int64 [B], n.
        length: L.
        power: p of the positive weights w_n = (n/L)^(1-p) that Proposition 3.2 allows: 1 is the bound, 0 weighs every
            masked token alike. Only w_n = 1 estimates the bound.
        weights: w_1..w_L, any positive numbers, instead.

    Raises:
        ValueError: weights that are not L positive numbers.
    """
    w = (np.arange(1, length + 1) / length) ** (1.0 - power) if weights is None else np.asarray(weights, np.float64)
    if w.shape != (length,) or not (w > 0).all() or not np.isfinite(w).all():
        raise ValueError(f"count_weights: weights must be {length} positive finite numbers, got {w.size}")
    return (w / w.mean())[counts - 1] / counts
