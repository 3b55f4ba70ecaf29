"""The training objective: the bound of Proposition 3.1 of arXiv 2409.02908, a mean over mask counts without any time.

NELBO(x0) = sum over n = 1..L of E[(1/n) * sum over the n masked l of -log mu(x_n)[l][x0[l]]], so with n uniform on
1..L the loss of one row is L times the mean cross-entropy over its n masked positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

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


def draw_masks(counts: NDArray[np.int64], length: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """For each row a uniformly random set of exactly counts[i] of L positions -> bool [B, L]."""
    order = rng.random((len(counts), length)).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return order < np.asarray(counts)[:, None]


def masked_cross_entropy(model: nn.Module, tokens: Tensor, masks: Tensor, mask_id: int) -> Tensor:
    """-log mu(x_n)[l][x0[l]] at the masked positions, in nats, with logits at those positions only.

    Args:
        model: called as model(tokens, rows=rows) -> [M, V].
        tokens: x0, int64 [B, L].
        masks: bool [B, L], M of them true.
        mask_id: id put where masks is true.

    Returns:
        float32 [M], row after row.
    """
    rows = masks.flatten().nonzero().squeeze(1)
    logits = model(tokens.masked_fill(masks, mask_id), rows=rows)
    return F.cross_entropy(logits.float(), tokens.flatten()[rows], reduction="none")


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


def exact_bound(log_probs: Callable[[Tensor], Tensor], tokens: Tensor, mask_id: int) -> float:
    """The bound of one sequence by enumerating all 2^L - 1 masks, in nats; for tests and tiny models (L <= 16).

    Args:
        log_probs: tokens [N, L] -> log mu, [N, L, V].
        tokens: int64 [L].
        mask_id: id of the mask.
    """
    L = len(tokens)
    if L > 16:
        raise ValueError(f"exact_bound: 2^L masks are too many for L = {L}")
    masks = (torch.arange(1, 2**L)[:, None] >> torch.arange(L)) % 2 == 1
    rows = tokens.expand(len(masks), L)
    logs = log_probs(rows.masked_fill(masks, mask_id)).double()
    nll = -logs.gather(-1, rows.unsqueeze(-1)).squeeze(-1)
    n = masks.sum(1)
    subsets = torch.tensor([math.comb(L, int(k)) for k in n], dtype=torch.float64)
    return float((torch.where(masks, nll, 0.0).sum(1) / n / subsets).sum())
