"""The training objective: the bound of Proposition 3.1 of arXiv 2409.02908, a mean over mask counts without any time.

NELBO(x0) = sum over n = 1..L of E[(1/n) * sum over the n masked l of -log mu(x_n)[l][x0[l]]], so with n uniform on
1..L the loss of one row is L times the mean cross-entropy over its n masked positions.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DRAWS = ("low-discrepancy", "stratified", "independent")


def draw_counts(rows: int, length: int, rng: np.random.Generator, draw: str = "low-discrepancy") -> NDArray[np.int64]:
    """Mask counts n_i = ceil(L * t_i), each uniform on 1..L on its own.

    Args:
        rows: B.
        length: L.
        rng: where the uniforms come from.
        draw: "low-discrepancy": t_i = (u + i) / B with one u; "stratified": (u_i + i) / B; "independent": u_i.

    Returns:
        int64 [B], in rising order except for "independent".
    """
    if draw not in DRAWS:
        raise ValueError(f"draw_counts: draw must be one of {', '.join(DRAWS)}, got {draw!r}")
    if draw == "independent":
        t = rng.random(rows)
    else:
        t = (rng.random(1 if draw == "low-discrepancy" else rows) + np.arange(rows)) / rows
    return np.clip(np.ceil(length * t), 1, length).astype(np.int64)  # u = 0 would give 0


def count_bound(losses: Tensor, counts: Tensor, length: int, weight_power: float = 1.0) -> Tensor:
    """Mean over the rows of the count bound, in nats per token, from the losses of all masked positions.

    Args:
        losses: [M], row after row, counts[i] of row i.
        counts: int64 [B], n.
        length: L.
        weight_power: p of the positive weights w_n = (n/L)^(1-p) that Proposition 3.2 allows: 1 is the bound, 0 weighs
            every masked token alike. Only p = 1 estimates the bound.
    """
    weights = (length / counts.double()) ** weight_power / length
    if weight_power != 1.0:  # same average weight per token as the bound
        n = torch.arange(1, length + 1, dtype=torch.float64)
        weights = weights / ((n / length) ** (1.0 - weight_power)).mean()
    per_loss = torch.repeat_interleave(weights.to(losses.dtype), counts)
    return (losses * per_loss).sum() / len(counts)
