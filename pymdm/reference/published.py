"""Ancestral sampling of masked diffusion models as published code does it, in plain PyTorch.

Written from the description of the procedure, for comparison: logits at all positions, log-softmax, the mask as one of V + 1
classes, Gumbel noise over [B, L, V + 1], and a network output that is reused only while nothing in the whole batch has
changed. Law in exact arithmetic: that of ancestral sampling on the grid; with float32 noise the truncated one of
Proposition 5.2 (Zheng et al., ICLR 2025, sections 4 and 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class PublishedRun:
    """tokens [B, L] int64; calls of the network; steps that drew categoricals."""

    tokens: Tensor
    calls: int
    steps: int


def categorical(log_weights: Tensor, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """Arg-max of log-weights [..., K] plus Gumbel noise drawn in `dtype` -> [...] int64."""
    noise = torch.rand(log_weights.shape, dtype=dtype, generator=generator)
    return (log_weights.to(dtype) - (-noise.log()).log()).argmax(dim=-1)


def sample_published(
    network: Callable[[Tensor], Tensor],
    *,
    batch: int,
    length: int,
    mask_id: int,
    steps: int,
    seed: int,
    noise: torch.dtype = torch.float64,
    cache: bool = True,
    stop_after: int | None = None,
) -> PublishedRun:
    """Samples at the linear schedule.

    Args:
        network: tokens [B, L] int64 -> logits [B, L, V], V = mask_id.
        batch, length, steps: B, L and N.
        noise: dtype of the Gumbel noise.
        cache: reuse the output while nothing in the batch has changed.
        stop_after: only the first steps of the grid, for timing.

    Example:
        >>> run = sample_published(lambda x: torch.zeros(*x.shape, 3), batch=2, length=4, mask_id=3, steps=8, seed=1)
        >>> bool((run.tokens < 3).all())
        True
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.full((batch, length), mask_id)
    log_mu, calls, drawn = None, 0, 0
    for i in range(steps if stop_after is None else min(steps, stop_after)):
        t, s = 1 - i / steps, 1 - (i + 1) / steps
        if log_mu is None:
            with torch.no_grad():
                log_mu = network(x).float().log_softmax(dim=-1)
            calls += 1
        move = torch.full((batch, length, 1), (t - s) / t, dtype=log_mu.dtype)
        weights = torch.cat([log_mu + move.log(), torch.log1p(-move)], dim=-1)
        proposed = categorical(weights, noise, generator)
        drawn += 1
        new = torch.where(x == mask_id, proposed, x)
        if not cache or not torch.equal(new, x):
            log_mu = None
        x = new
    return PublishedRun(x, calls, drawn)
