"""What several tokens a call cost, measured, beside what the certificate predicts.

Let o be the order in which positions leave the mask, p(x | o) the probability of a text with one token a call and q(x | o) with
several, by teacher forcing. Along the order the cost is E[log p(x | o) - log q(x | o)] nats a sequence, a mean over texts and
orders: that is what `pymdm.evaluate.call_sizes.excess` predicts from the information curve.

order=2 is second order in the law of the tokens alone, the mean over orders. Along an order it costs more than order 1, always:
mu is the law of a token given what is known, and any other costs more. Where its line is cut at 0 it gives a text probability
0, along nearly every order for a trained network and a long text. So it has no certificate, and is compared by its samples:
what they cost under the network's own bound, less what samples of the exact sampler cost from the same random addresses. 0 is
right; above 0 they fit together worse than the exact sampler's, below 0 they are likelier than they should be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pymdm.evaluate.bound import attention_of, evaluate_bound
from pymdm.evaluate.call_sizes import best_sizes, excess, uniform_sizes
from pymdm.evaluate.intervals import mean_interval
from pymdm.evaluate.schedule import Information, known_ranks
from pymdm.network.engine import Engine
from pymdm.network.mu import log_mu
from pymdm.sampling.samplers import FirstHitting

Floats = NDArray[np.float64]
Estimate = tuple[float, tuple[float, float]]  # mean over texts, and its 95% interval
DRAWS = 8  # masks of each sample for its bound, the same for all samplers
EQUAL, BEST, SECOND = "equal calls", "best calls", "equal calls, order=2"


def line_coefficient(sizes: Sequence[int]) -> float:
    """c of mu_j + c (mu_j - mu_{j-1}): pairs within a call over pairs of neighbouring calls, at most 1 (docs/samplers.md).

    >>> line_coefficient([2, 2, 2])
    0.375
    """
    missing, offered = sum(k * (k - 1) / 2 for k in sizes), sum(a * b for a, b in pairwise(sizes))
    return min(1.0, missing / offered) if offered else 0.0


@torch.no_grad()
def path_log_probs(
    model: Any,
    text: Tensor,
    orders: NDArray[np.int64],
    sizes: Sequence[int],
    *,
    mask_id: int,
    order: int = 1,
    given: int = 0,
    drawable: int = 0,
    batch_size: int = 32,
) -> Floats:
    """log q(x | o) of a text along each order, in nats, by teacher forcing.

    Args:
        model: an `Engine`, a module, or a callable tokens [B, L] -> logits [B, L, V].
        text: x, int64 [L].
        orders: [R, L] positions, first those that are given, then those of the first call, and so on.
        sizes: tokens of each call; their sum is L - given. A network of attention "any-order" is shown them in the order.
        order: 1, or 2 for the extrapolated law. drawable: ids from here on stand for no token; 0: all stand for one.

    Returns:
        [R] float64; -inf where order 2 gives a token probability 0.
    """
    borders, c = np.cumsum([given, *sizes]), line_coefficient(sizes)
    reach = borders[1:] if order == 1 else np.append(borders[2:], borders[-1])  # order 2: the next call's positions too
    total = np.zeros(len(orders))
    for r, positions in enumerate(orders):
        ranks = np.empty(len(text), dtype=np.int64)
        ranks[positions] = np.arange(len(text))
        masks = torch.from_numpy(ranks >= borders[:-1, None])  # [K, L]
        rank = torch.from_numpy(known_ranks(ranks, given)) if attention_of(model) == "any-order" else None
        asked = masks & torch.from_numpy(ranks < reach[:, None])
        before: Tensor | None = None
        for part in range(0, len(masks), batch_size):
            here = slice(part, part + batch_size)
            laws = _laws(model, text, masks[here], asked[here], mask_id, drawable, rank)
            if order == 1:
                targets = text.expand_as(masks[here])[asked[here]]
                total[r] += float(laws.gather(1, targets[:, None]).sum())
                continue
            for j, law in enumerate(laws.split(asked[here].sum(1).tolist()), part):
                at = asked[j].nonzero().squeeze(1)
                own = torch.from_numpy(ranks)[at] < borders[j + 1]
                total[r] += float(_line(law[own], before, c).gather(1, text[at[own]][:, None]).sum())
                before = law[~own]
    return total


def _laws(
    model: Any, text: Tensor, masks: Tensor, asked: Tensor, mask_id: int, drawable: int, rank: Tensor | None
) -> Tensor:
    """log mu, float64 [M, V], at the positions asked of the text with each mask [B, L], row after row; rank [L] or None."""
    noisy, rows = text.expand_as(masks).masked_fill(masks, mask_id), asked.flatten().nonzero().squeeze(1)
    if isinstance(model, nn.Module | Engine):
        how = {} if rank is None else {"rank": rank.expand_as(noisy)}
        logits = model(noisy, rows=rows, **how)
    else:
        logits = model(noisy).flatten(0, 1)[rows]
    return log_mu(logits, mask_id, drawable).double()


def _line(now: Tensor, before: Tensor | None, c: float) -> Tensor:
    """log of mu_j + c (mu_j - mu_{j-1}), cut at 0 and normalised, from log mu_j and log mu_{j-1} [n, V]."""
    if before is None:
        return now
    line = (now.exp() * (1 + c) - before.exp() * c).clamp(min=0)
    return (line / line.sum(-1, keepdim=True)).log()


@dataclass(frozen=True)
class Excess:
    """One sampler's cost against one token a call, in nats a sequence, with 95% intervals.

    Attributes:
        name: of the sampler. sizes: tokens of each call. order: 1 or 2.
        predicted: from the texts that the schedule was found on, by resampling them; None for order 2.
        measured: along the order, on the other texts; None for order 2.
        impossible: share of (text, order) to which the sampler gives probability 0.
        samples: what its samples cost under the network's bound, less what those of the exact sampler do; or None.
    """

    name: str
    sizes: tuple[int, ...]
    order: int
    predicted: Estimate | None
    measured: Estimate | None
    impossible: float
    samples: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""

        def values(found: Estimate | None) -> dict[str, Any] | None:
            return None if found is None else {"nats": found[0], "interval95": list(found[1])}

        return {
            "sampler": self.name,
            "calls": len(self.sizes),
            "tokens_per_call": list(self.sizes),
            "order": self.order,
            "predicted": values(self.predicted),
            "measured": values(self.measured),
            "impossible": self.impossible,
            "samples": values(self.samples),
        }


def measure_excess(
    model: Any,
    texts: Tensor,
    information: Information,
    calls: Sequence[int],
    *,
    mask_id: int,
    drawable: int = 0,
    given: int = 0,
    orders: int = 8,
    draw: Callable[[FirstHitting], Tensor] | None = None,
    batch_size: int = 32,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[Excess]:
    """Predicts on every other text, from the first, and measures on those between.

    Args:
        model, mask_id, drawable, given, batch_size: as in `path_log_probs`.
        texts: int64 [S, L]. information: their curve, text by text (`measure_information`).
        calls: numbers of calls, each in equal sizes, in the best sizes for the first half, and in equal sizes at order 2.
        orders: R, random orders of each text.
        draw: samples int64 [N, L] of a sampler, from the same seed for each, N at least 2; None: no samples are compared.
        seed: of the orders, of the masks for the samples' bound, and of the interval's resampling.
        progress: told what is done.

    Returns:
        Three `Excess` a number of calls.

    Raises:
        ValueError: fewer than four texts, texts of another number than the curve's, a number of calls out of range.
    """
    free = information.length - given
    if len(texts) < 4 or len(texts) != len(information.costs):
        raise ValueError(f"schedule: at least 4 texts are needed, and a curve of each, got {len(texts)}")
    if any(not 1 <= k <= free for k in calls):
        raise ValueError(f"schedule: numbers of calls to measure must be in 1..{free}, got {list(calls)}")
    fit = replace(information, costs=information.costs[::2])
    curve, others = fit.curve(), texts[1::2]
    best = best_sizes(curve, given, lambda k, _: k == max(calls))
    plans = [("", (1,) * free, 1)]
    for k in calls:
        equal = uniform_sizes(free, k)
        plans += [(EQUAL, equal, 1), (BEST, best[k - 1], 1), (SECOND, equal, 2)]
    rng, found = np.random.default_rng([seed, 23]), np.empty((len(plans), len(others), orders))
    for s, text in enumerate(others):
        ways = np.stack([rng.permutation(len(text)) for _ in range(orders)])
        for i, (_, sizes, order) in enumerate(plans):
            options = {"mask_id": mask_id, "drawable": drawable, "given": given, "batch_size": batch_size}
            found[i, s] = path_log_probs(model, text, ways, sizes, order=order, **options)
        if progress is not None:
            progress(f"measured on {s + 1} of {len(others)} texts")
    costs = []
    for name, sizes, order in plans:
        if draw is None:
            break
        drawn = draw(FirstHitting(tokens_per_call=sizes, order=order))
        bound = evaluate_bound(
            model, [drawn], mask_id, samples=DRAWS, batch_size=batch_size, seed=seed, drawable=drawable
        )
        assert bound.by_sequence is not None
        costs.append(bound.by_sequence)
        if progress is not None:
            progress(f"measured {len(drawn)} samples of {name or 'one token a call'}, {len(sizes)} calls")
    made = []
    for i, (name, sizes, order) in enumerate(plans[1:], 1):
        pair: tuple[Estimate | None, Estimate | None] = (None, None)
        if order == 1:
            along = (found[0] - found[i]).mean(axis=1)
            predicted = excess(curve, sizes, given), fit.interval(sizes, given, seed)
            pair = predicted, (float(along.mean()), mean_interval(along))
        apart = costs[i] - costs[0] if costs else None
        own = None if apart is None else (float(apart.mean()), mean_interval(apart))
        made.append(Excess(name, sizes, order, *pair, float(np.isinf(found[i]).mean()), own))
    return made
