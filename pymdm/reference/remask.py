"""Ancestral sampling with remasking (ReMDM, Wang et al., arXiv 2503.00307), one sequence at a time, and its law.

In the notation of its source a step from t to s takes the tokens x at t, independently at every position:
a drawn token to the mask with probability sigma; a mask to v with probability (alpha_s - (1 - sigma) alpha_t) /
(1 - alpha_t) mu(x)[l][v].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference import laws, philox
from pymdm.reference.ancestral import stride
from pymdm.reference.choose import choose, filtered
from pymdm.reference.first_hitting import Sample, network_row, start_state
from pymdm.reference.schedule import SCHEDULES, grid
from pymdm.reference.uniform import uniform


def leave(alpha_t: float, alpha_s: float, sigma: float) -> float:
    """Probability that a masked token leaves the mask."""
    return (alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t)


def strategy_grid(
    strategy: str,
    steps: int,
    eta: float,
    schedule: str = "linear",
    t_on: float = 0.55,
    t_off: float = 0.05,
    alpha_on: float = 0.9,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels m [N + 1] and probabilities of masking again sigma [N] of the published strategies on an even grid of times.

    sigma_max = min(1, s / (1 - m)): "cap" min(eta, sigma_max), "rescale" and "conf" eta sigma_max, "loop" as "cap" in the
    steps within [t_off, t_on], where alpha stays at alpha_on, and 0 elsewhere.

    >>> strategy_grid("loop", 4, 0.5, t_on=0.5, t_off=0.25, alpha_on=0.75)[1].tolist()
    [0.0, 0.0, 0.3333333333333333, 0.0]
    """
    t = grid(steps)
    m = np.asarray(SCHEDULES[schedule]().masked(t))
    within = np.ones(steps, dtype=bool)
    if strategy == "loop":
        m = 1 - np.interp(t, [0.0, t_off, t_on, 1.0], [1.0, alpha_on, alpha_on, 0.0])
        within = (t[:-1] <= t_on) & (t[1:] >= t_off)
    most = np.minimum(1.0, np.divide(m[1:], 1 - m[:-1], out=np.full(steps, np.inf), where=m[:-1] < 1))
    sigma = np.minimum(eta, most) if strategy in ("cap", "loop") else eta * most
    return m, np.where(within & (m[1:] > 0), sigma, 0.0)


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


def confident_law(
    mu: NDArray[np.float64], levels: ArrayLike, sigma: ArrayLike, prompt: ArrayLike | None = None
) -> laws.Law:
    """[S] law of the chain with `confident`: enumerated over the tokens and the probabilities they were drawn with."""
    length, v = mu.shape[1:]
    start = np.full(length, v) if prompt is None else np.asarray(prompt)
    law: dict[tuple[tuple[int, ...], tuple[float, ...]], float] = {(tuple(start.tolist()), (0.0,) * length): 1.0}
    for (m, s), chance in zip(pairwise(np.asarray(levels, dtype=np.float64)), np.asarray(sigma), strict=True):
        move = (m - s) / m
        after: defaultdict[Any, float] = defaultdict(float)
        for (tokens, sure), p in law.items():
            rows = mu[laws.state_index(np.array(tokens), v)]
            total = sum(np.exp(-q) for q, x, l in zip(sure, tokens, start, strict=True) if x != v and l == v)
            choices = []  # of each position: (token, probability it was drawn with, chance)
            for l, (x, q) in enumerate(zip(tokens, sure, strict=True)):
                if start[l] != v:
                    choices.append([(x, 0.0, 1.0)])
                elif x == v:
                    choices.append([(v, 0.0, 1 - move), *((w, float(rows[l, w]), move * rows[l, w]) for w in range(v))])
                else:
                    again = chance * np.exp(-q) / total
                    choices.append([(v, 0.0, again), (x, q, 1 - again)])
            for picked in product(*choices):
                after[tuple(c[0] for c in picked), tuple(c[1] for c in picked)] += p * float(
                    np.prod([c[2] for c in picked])
                )
        law = {state: p for state, p in after.items() if p > 0}
    out = np.zeros((v + 1) ** length)
    for (tokens, _), p in law.items():
        out[laws.state_index(np.array(tokens), v)] += p
    return out


def masked_process(joint: ArrayLike, m: float) -> laws.Law:
    """[S] law of a sequence from `joint` [V, ..., V] whose tokens are masked independently with probability m."""
    law = np.asarray(joint, dtype=np.float64)
    for l in range(law.ndim):
        law = np.concatenate([(1 - m) * law, m * law.sum(axis=l, keepdims=True)], axis=l)
    return law.reshape(-1)
