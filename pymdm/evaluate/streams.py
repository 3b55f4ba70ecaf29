"""The bound of networks that keep what they have seen: each pass gives every token a loss, along one order or in its block."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pymdm.data.masking import draw_masks
from pymdm.evaluate.bound import Bound
from pymdm.network.attention import two_copies, two_streams
from pymdm.network.mu import log_mu
from pymdm.network.transformer import MaskedTransformer


@torch.no_grad()
def order_losses(model: MaskedTransformer, tokens: Tensor, rank: Tensor) -> Tensor:
    """-log mu of each token given those before it in an order, in nats: exact, their sum is that of the order.

    Args:
        model: of attention "any-order".
        tokens: int64 [B, L].
        rank: int64 [B, L], when each token becomes known, 0, 1, ...; -1 in a group that is given, whose losses are 0.

    Returns:
        float32 [B, L].

    Raises:
        ValueError: a network of another attention.
    """
    c, L = model.config, tokens.shape[1]
    if c.attention != "any-order":
        raise ValueError(f"order_losses: needs attention 'any-order', got {c.attention!r}")
    both = torch.cat([tokens, torch.full_like(tokens, c.mask_id)], 1)
    logits = model(both, sight=two_streams(rank), rows=_second_halves(tokens))
    losses = -log_mu(logits, c.mask_id).float().gather(1, tokens.reshape(-1, 1)).view(-1, L)
    return losses.masked_fill(rank < 0, 0.0)


@torch.no_grad()
def block_losses(model: MaskedTransformer, tokens: Tensor, masks: Tensor) -> Tensor:
    """-log mu of each masked token given its block's other tokens and the blocks before; 0 elsewhere.

    Args:
        model: of attention "block".
        tokens: int64 [B, L].
        masks: bool [B, L].

    Returns:
        float32 [B, L], in nats.

    Raises:
        ValueError: a network of another attention.
    """
    c, L = model.config, tokens.shape[1]
    if c.attention != "block" or c.logit_shift:
        shifted = " with logit_shift" if c.logit_shift else ""
        raise ValueError(f"block_losses: needs attention 'block' without logit_shift, got {c.attention!r}{shifted}")
    both = torch.cat([tokens, tokens.masked_fill(masks, c.mask_id)], 1)
    logits = model(both, sight=two_copies(tokens, c.block_length, c.causal_context), rows=_second_halves(tokens))
    losses = -log_mu(logits, c.mask_id).float().gather(1, tokens.reshape(-1, 1)).view(-1, L)
    return losses.masked_fill(~masks, 0.0)


def evaluate_streams(
    model: MaskedTransformer,
    sequences: Iterable[Tensor],
    *,
    characters: int = 0,
    samples: int = 8,
    seed: int = 0,
    autocast: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Bound:
    """The bound over orders ("any-order") or over masks in every block ("block"), a mean over independent passes.

    Args:
        model: evaluated without dropout and left as it was.
        sequences: int64 [b, L] tensors.
        characters: of the whole text, for bits per character.
        samples: passes a sequence, at least 2 (their spread is the error).
        seed: of orders and masks.
        autocast: run in bfloat16 autocast.
        progress: told the number of rows done.

    Returns:
        The bound, with its Monte Carlo error; the degrees of freedom are at least samples - 1.

    Raises:
        ValueError: no sequence, fewer than two samples, or a network of another attention.
    """
    if samples < 2:
        raise ValueError(f"evaluate_streams: samples must be at least 2, got {samples}")
    rng = np.random.default_rng([seed, 13])
    parts: list[NDArray[np.float64]] = []
    variance, freedom, sizes, draws = 0.0, 0.0, [], 0
    training = model.training
    model.eval()
    try:
        for tokens in sequences:
            values = np.empty((len(tokens), samples))
            for s in range(samples):
                with torch.autocast(tokens.device.type, torch.bfloat16, enabled=autocast):
                    values[:, s] = _pass(model, tokens, rng)
                draws += len(tokens)
                if progress is not None:
                    progress(draws)
            own = values.var(axis=1, ddof=1) / samples
            variance, freedom = variance + float(own.sum()), freedom + float(np.square(own).sum()) / (samples - 1)
            parts.append(values.mean(1))
            sizes += [tokens.shape[1]] * len(tokens)
    finally:
        model.train(training)
    if not sizes:
        raise ValueError("evaluate_streams: no text to evaluate")
    return Bound(
        np.concatenate(parts),
        np.array(sizes, dtype=np.int64),
        characters,
        std_error=math.sqrt(variance),
        draws=draws,
        freedom=variance**2 / freedom if freedom else math.inf,  # Satterthwaite
    )


def _pass(model: MaskedTransformer, tokens: Tensor, rng: np.random.Generator) -> NDArray[np.float64]:
    """One unbiased estimate in nats for each sequence [b]."""
    b, L = tokens.shape
    K = model.config.block_length
    if not K:
        rank = torch.from_numpy(np.stack([rng.permutation(L) for _ in range(b)])).to(tokens.device)
        return order_losses(model, tokens, rank).double().sum(1).cpu().numpy()
    masks, weights = np.zeros((b, L), dtype=bool), np.zeros((b, L))
    for start in range(0, L, K):
        size = min(K, L - start)
        counts = rng.integers(1, size + 1, b)
        masks[:, start : start + size] = draw_masks(counts, size, rng)
        weights[:, start : start + size] = (size / counts)[:, None]
    losses = block_losses(model, tokens, torch.from_numpy(masks).to(tokens.device)).double().cpu().numpy()
    total: NDArray[np.float64] = (losses * weights).sum(1)
    return total


def _second_halves(tokens: Tensor) -> Tensor:
    """Flat indices of rows L .. 2 L - 1 of [B, 2 L]."""
    B, L = tokens.shape
    places = torch.arange(B * L, device=tokens.device)
    return places + (places // L + 1) * L
