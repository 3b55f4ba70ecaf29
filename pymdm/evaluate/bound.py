"""The likelihood bound of a masked model on text, in nats and in bits per character, with its Monte Carlo error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

Denoiser = nn.Module | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bound:
    """An estimate of the negative evidence lower bound of Proposition 3.1 on a text.

    Attributes:
        nats: total over the text.
        std_error: Monte Carlo standard error of `nats`; it does not include that another text would give another value.
        tokens, characters: size of the text (characters is 0 when it was not given).
        draws: network rows that were evaluated.
    """

    nats: float
    std_error: float
    tokens: int
    characters: int
    draws: int

    @property
    def nats_per_token(self) -> float:
        """Bound per token in nats."""
        return self.nats / self.tokens

    @property
    def perplexity(self) -> float:
        """exp of the bound per token."""
        return math.exp(self.nats_per_token)

    @property
    def bits_per_char(self) -> float:
        """Bound per character in bits."""
        return self.nats / math.log(2.0) / self.characters if self.characters else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of `bits_per_char`, from the Monte Carlo error."""
        half = 1.96 * self.std_error / math.log(2.0) / self.characters if self.characters else math.nan
        return self.bits_per_char - half, self.bits_per_char + half


def evaluate_bound(
    model: Denoiser,
    sequences: Iterable[Tensor],
    mask_id: int,
    *,
    characters: int = 0,
    samples: int = 4,
    exact_counts: bool = False,
    batch_size: int = 32,
    seed: int = 0,
    autocast: bool = False,
) -> Bound:
    """Estimate the bound, summed over sequences.

    For each sequence of length L the counts are n_k = ceil(L * (k + u_k) / samples), k = 0..samples-1: one in each of
    `samples` equal strata of 1..L. With `exact_counts` every n = 1..L is taken `samples` times, so only the choice of
    the masked positions is random. The law is that of the bound in either case: the estimate is unbiased.

    Args:
        model: a `MaskedTransformer`, or any callable tokens int64 [B, L] -> logits [B, L, V].
        sequences: int64 [b, L] tensors; each may have its own L.
        mask_id: id that stands for a masked position.
        characters: characters of the whole text, for bits per character.
        samples: draws per sequence (or per sequence and count), even, at least 2 (the error comes from neighbouring
            pairs, so it is too large rather than too small).
        exact_counts: see above.
        batch_size: rows per network call.
        seed: of counts and positions; the same seed gives the same rows.
        autocast: run a module in bfloat16 autocast.

    Returns:
        The bound of all sequences together.

    Raises:
        ValueError: no sequence, or a number of samples that is not even and positive.

    Source: arXiv 2409.02908, Proposition 3.1.
    """
    if samples < 2 or samples % 2:
        raise ValueError(f"evaluate_bound: samples must be even and at least 2, got {samples}")
    if batch_size < 1:
        raise ValueError(f"evaluate_bound: batch_size must be at least 1, got {batch_size}")
    rng = np.random.default_rng([seed, 7])
    total, variance, tokens, draws = 0.0, 0.0, 0, 0
    training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        for rows, counts, weights in _plan(sequences, samples, exact_counts, rng):
            means = _mean_losses(
                model, rows, counts, mask_id, batch_size, rng, autocast
            )  # [R, samples] over n and draws
            values = (means * weights).reshape(-1, 2)
            total += float(values.sum())
            variance += float(np.square(values[:, 0] - values[:, 1]).sum())
            tokens += int(rows.numel() // counts.shape[1])
            draws += counts.size
    finally:
        if isinstance(model, nn.Module):
            model.train(training)
    if not tokens:
        raise ValueError("evaluate_bound: no text to evaluate")
    return Bound(total, math.sqrt(variance), tokens, characters, draws)


def _plan(
    sequences: Iterable[Tensor], samples: int, exact_counts: bool, rng: np.random.Generator
) -> Iterator[tuple[Tensor, NDArray[np.int64], float]]:
    """(rows [b, K, L] as repeats of each sequence, counts [b, K], weight of each draw's mean loss)."""
    for batch in sequences:
        b, L = batch.shape
        if exact_counts:
            counts = np.repeat(np.arange(1, L + 1), samples)[None].repeat(b, axis=0)
            weight = 1.0 / samples
        else:
            t = (np.arange(samples) + rng.random((b, samples))) / samples
            counts = np.clip(np.ceil(L * t), 1, L).astype(np.int64)
            weight = L / samples
        yield batch[:, None].expand(b, counts.shape[1], L), counts, weight


@torch.no_grad()
def _mean_losses(
    model: Denoiser,
    rows: Tensor,
    counts: NDArray[np.int64],
    mask_id: int,
    batch_size: int,
    rng: np.random.Generator,
    autocast: bool,
) -> NDArray[np.float64]:
    """Mean cross-entropy over the masked positions of each row, float64 [b, K]."""
    flat = rows.reshape(-1, rows.shape[-1])
    n = counts.reshape(-1)
    out = np.empty(len(n))
    for start in range(0, len(n), batch_size):
        part = slice(start, start + batch_size)
        masks = torch.from_numpy(draw_masks(n[part], flat.shape[1], rng)).to(flat.device)
        with torch.autocast(flat.device.type, torch.bfloat16, enabled=autocast):
            losses = token_losses(model, flat[part], masks, mask_id).double().cpu().numpy()
        out[part] = np.add.reduceat(losses, np.cumsum(n[part]) - n[part]) / n[part]
    return out.reshape(counts.shape)


def token_losses(model: Denoiser, tokens: Tensor, masks: Tensor, mask_id: int) -> Tensor:
    """-log mu(x_n)[l][x0[l]] at the masked positions, in nats, with logits at those positions only where possible.

    Args:
        model: a module called as model(tokens, rows=rows) -> [M, V], or a callable tokens [B, L] -> logits [B, L, V].
        tokens: x0, int64 [B, L].
        masks: bool [B, L], M of them true.
        mask_id: id put where masks is true.

    Returns:
        float32 [M], row after row.
    """
    noisy = tokens.masked_fill(masks, mask_id)
    rows = masks.flatten().nonzero().squeeze(1)
    logits = model(noisy, rows=rows) if isinstance(model, nn.Module) else model(noisy).flatten(0, 1)[rows]
    return F.cross_entropy(logits.float(), tokens.flatten()[rows], reduction="none")


def draw_masks(counts: NDArray[np.int64], length: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """For each row a uniformly random set of exactly counts[i] of L positions -> bool [B, L]."""
    order = rng.random((len(counts), length)).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return order < np.asarray(counts)[:, None]


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
