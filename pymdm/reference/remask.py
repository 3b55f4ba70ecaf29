"""Ancestral sampling with remasking (ReMDM, Wang et al., arXiv 2503.00307), one sequence at a time, and its law.

In the notation of its source a step from t to s takes the tokens x at t, independently at every position:
a drawn token to the mask with probability sigma; a mask to v with probability (alpha_s - (1 - sigma) alpha_t) /
(1 - alpha_t) mu(x)[l][v].
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference import laws, philox
from pymdm.reference.ancestral import stride
from pymdm.reference.choose import choose, filtered
from pymdm.reference.first_hitting import Sample, network_row, start_state
from pymdm.reference.uniform import uniform


def leave(alpha_t: float, alpha_s: float, sigma: float) -> float:
    """Probability that a masked token leaves the mask."""
    return (alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t)


def remask(
    model: Callable[..., Any],
    length: int,
    *,
    mask_id: int,
    seed: int,
    sequence: int = 0,
    levels: ArrayLike,
    sigma: ArrayLike,
    confident: bool = False,
    prompt: ArrayLike | None = None,
    temperature: float = 1.0,
) -> Sample:
    """Samples one sequence along levels m [N + 1] from 1 to 0, masking again with probabilities sigma [N].

    Args:
        model, length, mask_id, seed, sequence, prompt, temperature: as in `first_hitting`.
        confident: scale sigma by each drawn token's share of exp(-p), p its probability when it was drawn; masked tokens
            leave as with sigma 0.

    Returns:
        A `Sample` without times; nfe counts the steps in which a token left the mask.
    """
    m, sigma = np.asarray(levels, dtype=np.float64), np.asarray(sigma, dtype=np.float64)
    x = start_state(length, mask_id, prompt)
    free = x == mask_id
    probability, nfe = np.zeros(length), 0
    for step in range(len(sigma)):
        masked, drawn = np.flatnonzero(x == mask_id), np.flatnonzero(free & (x != mask_id))
        u = uniform(philox.bits(seed, sequence, step, philox.MOVE, masked))
        moved = masked[u < leave(1 - m[step], 1 - m[step + 1], 0.0 if confident else sigma[step])]
        share = np.exp(-probability[drawn]) / np.exp(-probability[drawn]).sum() if confident and drawn.size else 1.0
        u = uniform(philox.bits(seed, sequence, step, philox.REMASK, drawn))
        again = drawn[u < sigma[step] * share]
        if moved.size:
            logits = network_row(model, x, mask_id, None)[moved]
            base = moved * stride(mask_id)
            x[moved] = choose(logits, seed, sequence, step, base=base, temperature=temperature)
            scores = filtered(logits, temperature)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            probability[moved] = (weights / weights.sum(axis=-1, keepdims=True))[np.arange(len(moved)), x[moved]]
            nfe += 1
        x[again] = mask_id
    return Sample(x, nfe=nfe)


def remask_step(
    law: laws.Law, mu: NDArray[np.float64], m: float, s: float, sigma: float, free: NDArray[np.bool_] | None = None
) -> laws.Law:
    """[S] law after one step, by the sum over all pairs of partial sequences (small V and L only)."""
    length, v = mu.shape[1:]
    states = laws.all_states(v, length)
    move = leave(1 - m, 1 - s, sigma)
    masked = np.concatenate([move * mu, np.full_like(mu[..., :1], 1 - move)], axis=-1)
    stay = np.eye(v + 1)[states]  # [S, L, V + 1]
    drawn = (1 - sigma) * stay
    drawn[..., v] += sigma
    if free is not None:
        drawn = np.where(free[:, None], drawn, stay)
    rows = np.where((states == v)[..., None], masked, drawn)
    after = np.zeros_like(law)
    for i in np.flatnonzero(law):
        row = law[i : i + 1]
        for l in range(length):
            row = (row[:, None] * rows[i, l][None, :]).ravel()
        after += row
    return after


def remask_law(
    mu: NDArray[np.float64], levels: ArrayLike, sigma: ArrayLike, prompt: ArrayLike | None = None
) -> laws.Law:
    """[S] law of the whole chain; given tokens of `prompt` [L] stay."""
    length, v = mu.shape[1:]
    free = None if prompt is None else np.asarray(prompt) == v
    law = laws.start_law(v, length, prompt)
    for (m, s), chance in zip(pairwise(np.asarray(levels, dtype=np.float64)), np.asarray(sigma), strict=True):
        law = remask_step(law, mu, m, s, chance, free)
    return law


def masked_process(joint: ArrayLike, m: float) -> laws.Law:
    """[S] law of a sequence from `joint` [V, ..., V] whose tokens are masked independently with probability m."""
    law = np.asarray(joint, dtype=np.float64)
    for l in range(law.ndim):
        law = np.concatenate([(1 - m) * law, m * law.sum(axis=l, keepdims=True)], axis=l)
    return law.reshape(-1)
