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


def predict(network: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """One network call: tokens [B, L] -> float32 log mu [B, L, V]. Its time is t1 of the paper's speed model."""
    with torch.no_grad():
        return network(tokens).float().log_softmax(dim=-1)


def categorical(log_weights: Tensor, dtype: torch.dtype, generator: torch.Generator, form: str = "gumbel") -> Tensor:
    """Draws from weights [..., K] given by their logarithms -> [...] int64.

    Args:
        log_weights: not normalized.
        dtype: of the noise; u is uniform on multiples of 2^-53 (float64) or 2^-24 (float32) in [0, 1).
        generator: of the noise, on the device of the weights.
        form: "gumbel", arg-max of log w - log(-log u); or "race", arg-max of w / -log u, one logarithm less, which
            some codes use. In exact arithmetic they are the same draw.
    """
    noise = torch.rand(log_weights.shape, dtype=dtype, generator=generator, device=log_weights.device)
    if form == "race":
        return (log_weights.to(dtype).exp() / -noise.log()).argmax(dim=-1)
    return (log_weights.to(dtype) - (-noise.log()).log()).argmax(dim=-1)


def ancestral_step(
    tokens: Tensor,
    log_mu: Tensor,
    step: int,
    steps: int,
    mask_id: int,
    noise: torch.dtype,
    generator: torch.Generator,
    form: str = "gumbel",
) -> tuple[Tensor, bool]:
    """Step i of N from t = 1 - i/N to s = 1 - (i+1)/N: the new tokens [B, L], and whether any changed.

    Its time is t2 of the paper's speed model. Weights: (t - s) / t mu on tokens, s / t on the mask.
    """
    t, s = 1 - step / steps, 1 - (step + 1) / steps
    move = torch.full((*tokens.shape, 1), (t - s) / t, dtype=log_mu.dtype, device=tokens.device)
    weights = torch.cat([log_mu + move.log(), torch.log1p(-move)], dim=-1)
    proposed = categorical(weights, noise, generator, form)
    new = torch.where(tokens == mask_id, proposed, tokens)
    return new, not torch.equal(new, tokens)


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
    form: str = "gumbel",
    stop_after: int | None = None,
    device: str | torch.device = "cpu",
) -> PublishedRun:
    """Samples at the linear schedule.

    Args:
        network: tokens [B, L] int64 -> logits [B, L, V], V = mask_id; time-free, as its output is reused.
        batch, length, steps: B, L and N.
        noise: dtype of the noise.
        cache: reuse the output while nothing in the batch has changed.
        form: of the categorical draw, see `categorical`.
        stop_after: only the first steps of the grid, for timing.
        device: where tokens and noise live.

    Example:
        >>> run = sample_published(lambda x: torch.zeros(*x.shape, 3), batch=2, length=4, mask_id=3, steps=8, seed=1)
        >>> bool((run.tokens < 3).all())
        True
    """
    generator = torch.Generator(device).manual_seed(seed)
    x = torch.full((batch, length), mask_id, device=device)
    log_mu: Tensor | None = None
    calls = drawn = 0
    for i in range(steps if stop_after is None else min(steps, stop_after)):
        if log_mu is None:
            log_mu = predict(network, x)
            calls += 1
        x, changed = ancestral_step(x, log_mu, i, steps, mask_id, noise, generator, form)
        drawn += 1
        if changed or not cache:
            log_mu = None
    return PublishedRun(x, calls, drawn)
