"""The likelihood bound of a masked model on text, in nats and in bits per character, with its Monte Carlo error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pymdm.data.masking import draw_masks
from pymdm.evaluate.cost import Cost
from pymdm.evaluate.curve import Curve, CurveTally
from pymdm.evaluate.intervals import t_quantile
from pymdm.network.engine import Engine
from pymdm.network.mu import log_mu
from pymdm.report.bits import Bits

UNSEEN = 0.05  # what a 95% interval may miss
OTHERS = {
    "causal": "evaluate_likelihood, which is exact",
    "block": "evaluate_streams",
}  # where masks anywhere say nothing
Denoiser = nn.Module | Engine | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bound(Cost):
    """An estimate of the negative evidence lower bound of Proposition 3.1 on a text.

    Attributes:
        std_error: Monte Carlo standard error of `nats`; it does not include that another text would give another value.
        draws: network rows that were evaluated.
        freedom: degrees of freedom of `std_error`.
        unseen: chance that a token was masked in no draw, so that nothing is known of its loss.
        curve: loss by masked share, where it was asked for.
    """

    std_error: float = 0.0
    draws: int = 0
    freedom: float = math.inf
    unseen: float = 0.0
    curve: Curve | None = None

    @property
    def bits(self) -> Bits:
        """Bound in bits a character on this text; its interval is of the Monte Carlo error alone."""
        error = self._per_character(t_quantile(self.freedom) * self.std_error)
        return Bits(self._per_character(self.nats), error, self.unit, self.characters)

    @property
    def caveat(self) -> str:
        """Why the interval of `bits` may not be trusted, or "": it can not hold what no draw could have seen."""
        if self.unseen > UNSEEN:
            return (
                f"{self.unseen:.0%} of the tokens were masked in no draw: a loss that is large at a few tokens may be missing "
                "from the bound and from its interval; more draws a sequence see them"
            )
        return ""


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
    curve_bins: int = 0,
    drawable: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Bound:
    """Estimate the bound, summed over sequences.

    For each sequence of length L the counts are n_k = ceil(L * (k + u_k) / samples), k = 0..samples-1: one in each of
    `samples` equal strata of 1..L. With `exact_counts` every n = 1..L is taken `samples` times, so only the choice of
    the masked positions is random. The law is that of the bound in either case: the estimate is unbiased.

    Args:
        model: a `MaskedTransformer`, an `Engine`, or any callable tokens int64 [B, L] -> logits [B, L, V]. One of attention
            "any-order" is shown what is known in a random order.
        sequences: int64 [b, L] tensors; each may have its own L.
        mask_id: id that stands for a masked position.
        characters: characters of the whole text, for bits per character.
        samples: draws per sequence (or per sequence and count), even, at least 2 (the error comes from neighbouring
            pairs, so it is too large rather than too small).
        exact_counts: see above.
        batch_size: rows per network call.
        seed: of counts and positions; the same seed gives the same rows.
        autocast: run a module in bfloat16 autocast.
        curve_bins: also give the loss by masked share, in so many bins (see `Curve`).
        drawable: ids from here on stand for no token (see `log_mu`); 0: all stand for one.
        progress: told the number of rows done, after each group of sequences.

    Returns:
        The bound of all sequences together. Its Monte Carlo error comes from differences of neighbouring draws, or from
        the spread of the losses within the draws where that is larger: a rare large loss that one draw of a pair saw and
        the other could have seen counts even if both happened to see it. Its degrees of freedom come from
        Satterthwaite's formula, corrected for pairs.

    Raises:
        ValueError: no sequence, a number of samples that is not even and positive, or a network that sees masks otherwise
            while it samples (attention "causal" or "block").

    Source: arXiv 2409.02908, Proposition 3.1.
    """
    attention = attention_of(model)
    if attention in OTHERS:
        raise ValueError(
            f"evaluate_bound: masks anywhere are not what a network of attention {attention!r} samples from; use "
            f"{OTHERS[attention]}"
        )
    if samples < 2 or samples % 2:
        raise ValueError(f"evaluate_bound: samples must be even and at least 2, got {samples}")
    if batch_size < 1:
        raise ValueError(f"evaluate_bound: batch_size must be at least 1, got {batch_size}")
    rng = np.random.default_rng([seed, 7])
    squares: list[NDArray[np.float64]] = []
    spreads: list[NDArray[np.float64]] = []
    parts: list[NDArray[np.float64]] = []
    sizes: list[int] = []
    draws, unseen = 0, 0.0
    tally = CurveTally(curve_bins) if curve_bins else None
    training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        for rows, counts, weights in _plan(sequences, samples, exact_counts, rng):
            # [b, K], mean and sum of squared deviations over the n masked positions
            means, scatter = _mean_losses(model, rows, counts, mask_id, drawable, batch_size, rng, autocast)
            values = means * weights
            parts.append(values.sum(1))
            pairs = values.reshape(-1, 2)
            squares.append(np.square(pairs[:, 0] - pairs[:, 1]))
            spreads.append(weights**2 * _mask_variances(scatter, counts, rows.shape[-1]).reshape(-1, 2).sum(1))
            sizes += [rows.shape[-1]] * len(rows)
            draws += counts.size
            unseen += float((1 - counts / rows.shape[-1]).prod(axis=1).sum()) * rows.shape[-1]
            if tally is not None:
                tally.add(counts, rows.shape[-1], means)
            if progress is not None:
                progress(draws)
    finally:
        if isinstance(model, nn.Module):
            model.train(training)
    if not sizes:
        raise ValueError("evaluate_bound: no text to evaluate")
    by_sequence, square, spread = (np.concatenate(values) for values in (parts, squares, spreads))
    if spread.sum() > square.sum():  # the draws happened to agree more than the losses within them allow
        square = spread
    return Bound(
        by_sequence,
        np.array(sizes, dtype=np.int64),
        characters,
        std_error=math.sqrt(float(square.sum())),
        draws=draws,
        freedom=_freedom(square),
        unseen=unseen / sum(sizes),
        curve=tally.curve() if tally is not None else None,
    )


def _freedom(squares: NDArray[np.float64]) -> float:
    """Degrees of freedom of a sum of squared differences d_i^2, each with one: 3 (sum d^2)^2 / sum d^4 - 2, at least 1.

    For N alike normal pairs E (sum d^2)^2 = N^2 + 2 N and E sum d^4 = 3 N (unit variance), so this is N.
    """
    fourth = float(np.square(squares).sum())
    return max(1.0, 3.0 * float(squares.sum()) ** 2 / fourth - 2.0) if fourth > 0 else math.inf


def _mask_variances(scatter: NDArray[np.float64], counts: NDArray[np.int64], length: int) -> NDArray[np.float64]:
    """Variance [b, K] of a draw's mean loss over n of L positions chosen without replacement: S^2 (1/n - 1/L).

    S^2 is pooled over the draws of a sequence, so that what a draw of many positions saw also counts for one of few.
    scatter: [b, K] sums of squared deviations. (Cochran 1977, section 2.6.)
    """
    freedom = (counts - 1).sum(axis=1)
    pooled = scatter.sum(axis=1) / np.maximum(freedom, 1)
    return np.asarray(pooled[:, None] * (1 / counts - 1 / length))


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
    drawable: int,
    batch_size: int,
    rng: np.random.Generator,
    autocast: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sum of squared deviations of the cross-entropies at each row's masked positions, float64 [b, K] each."""
    flat = rows.reshape(-1, rows.shape[-1])
    n = counts.reshape(-1)
    out, scatter = np.empty(len(n)), np.empty(len(n))
    for start in range(0, len(n), batch_size):
        part = slice(start, start + batch_size)
        masks = torch.from_numpy(draw_masks(n[part], flat.shape[1], rng)).to(flat.device)
        rank = None
        if attention_of(model) == "any-order":
            rank = torch.from_numpy(rng.permuted(np.tile(np.arange(flat.shape[1]), (len(masks), 1)), axis=1))
            rank = rank.to(flat.device)
        with torch.autocast(flat.device.type, torch.bfloat16, enabled=autocast):
            losses = token_losses(model, flat[part], masks, mask_id, drawable, rank).double().cpu().numpy()
        starts = np.cumsum(n[part]) - n[part]
        out[part] = np.add.reduceat(losses, starts) / n[part]
        scatter[part] = np.add.reduceat(np.square(losses - np.repeat(out[part], n[part])), starts)
    return out.reshape(counts.shape), scatter.reshape(counts.shape)


def attention_of(model: Any) -> str:
    """What the rows of a network see, `ModelConfig.attention`; of a callable it is taken that all see all.

    >>> attention_of(lambda tokens: tokens)
    'bidirectional'
    """
    return str(getattr(getattr(model, "config", None), "attention", "bidirectional"))


def token_losses(
    model: Denoiser, tokens: Tensor, masks: Tensor, mask_id: int, drawable: int = 0, rank: Tensor | None = None
) -> Tensor:
    """-log mu(x_n)[l][x0[l]] at the masked positions, in nats, with logits at those positions only where possible.

    Args:
        model: a module called as model(tokens, rows=rows) -> [M, V], or a callable tokens [B, L] -> logits [B, L, V].
        tokens: x0, int64 [B, L].
        masks: bool [B, L], M of them true.
        mask_id: id put where masks is true.
        drawable: ids from here on stand for no token; 0: all stand for one.
        rank: int64 [B, L], of attention "any-order": when each known token became known, see `Engine`.

    Returns:
        float32 [M], row after row.
    """
    noisy = tokens.masked_fill(masks, mask_id)
    rows = masks.flatten().nonzero().squeeze(1)
    if isinstance(model, nn.Module | Engine):
        logits = model(noisy, rows=rows) if rank is None else model(noisy, rows=rows, rank=rank)
    else:
        logits = model(noisy).flatten(0, 1)[rows]
    targets = tokens.flatten()[rows, None]
    return -log_mu(logits, mask_id, drawable).float().gather(1, targets).squeeze(1)


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
