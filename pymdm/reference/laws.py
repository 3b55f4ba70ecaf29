"""Exact laws of samplers on small models, by enumeration of every partial sequence.

A model is its table of conditionals mu [S, L, V] float64: S = (V + 1)^L partial sequences, digit V standing for the
mask and position 0 the most significant digit. A law is an array [S] over partial sequences; where every mask is gone
only digits below V have mass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from pymdm.reference.truncated import truncated_law

Law = NDArray[np.float64]


def state_index(tokens: ArrayLike, vocab_size: int) -> NDArray[np.int64]:
    """Index in [0, S) of partial sequences [..., L] int64 whose tokens are 0..V (V the mask).

    Example:
        >>> int(state_index([1, 2], vocab_size=2))
        5
    """
    tokens = np.asarray(tokens, dtype=np.int64)
    return np.ravel_multi_index(tuple(np.moveaxis(tokens, -1, 0)), (vocab_size + 1,) * tokens.shape[-1])


def all_states(vocab_size: int, length: int) -> NDArray[np.int64]:
    """[S, L] int64, every partial sequence in the order of `state_index`."""
    return np.stack(np.unravel_index(np.arange((vocab_size + 1) ** length), (vocab_size + 1,) * length), axis=-1)


def start_law(vocab_size: int, length: int, prompt: ArrayLike | None = None) -> Law:
    """All mass on the given prompt (its free positions hold V), or on the fully masked sequence."""
    law = np.zeros((vocab_size + 1) ** length)
    law[state_index(np.full(length, vocab_size) if prompt is None else prompt, vocab_size)] = 1.0
    return law


def subsets(items: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every subset of items, the empty one first."""
    for size in range(len(items) + 1):
        yield from combinations(items, size)


def step_law(law: Law, classes: NDArray[np.float64], weight: Callable[[int, int], float]) -> Law:
    """One step in which a set of masked positions moves and each mover draws its token independently of the others.

    From x with masked set A, P(x -> y) = weight(|A|, |S|) * prod_{l in S} q(x)[l][y_l] * prod_{l in A - S} q(x)[l][V],
    S the movers.

    Args:
        law: [S] before the step.
        classes: q [S, L, V + 1]; column V is the weight of staying masked.
        weight: (number masked, number moving) -> weight of one such set.

    Returns:
        [S] after the step.
    """
    length, v = classes.shape[1], classes.shape[2] - 1
    shape = (v + 1,) * length
    before, q, after = law.reshape(shape), classes.reshape(*shape, length, v + 1), np.zeros(shape)
    tokens, mask = slice(0, v), slice(v, v + 1)
    for masked in subsets(tuple(range(length))):
        here = tuple(mask if l in masked else tokens for l in range(length))
        if not before[here].any():
            continue
        for movers in subsets(masked):
            factor = weight(len(masked), len(movers))
            if factor == 0:
                continue
            flow = factor * before[here]
            for l in masked:
                if l in movers:  # axis l, of size 1 so far, becomes the token drawn there
                    flow = flow * np.swapaxes(q[here][..., l, :v], l, -1)[..., 0]
                else:
                    flow = flow * q[here][..., l, v]
            there = tuple(mask if l in masked and l not in movers else tokens for l in range(length))
            after[there] += flow
    return after.reshape(-1)


Counts = int | Sequence[int]


def call_sizes(tokens_per_call: Counts, free: int) -> list[int]:
    """Tokens of each call of a sequence with `free` masks; the last entry of a list repeats.

    Example:
        >>> call_sizes((1, 4), 10)
        [1, 4, 4, 1]
    """
    counts = [tokens_per_call] if isinstance(tokens_per_call, int) else list(tokens_per_call)
    sizes: list[int] = []
    while free > 0:
        sizes.append(min(counts[min(len(sizes), len(counts) - 1)], free))
        free -= sizes[-1]
    return sizes


def first_hitting_law(mu: NDArray[np.float64], prompt: ArrayLike | None = None, tokens_per_call: Counts = 1) -> Law:
    """Law of the first-hitting sampler: a uniformly random set of k masked positions moves in every call.

    Args:
        mu: [S, L, V] conditionals.
        prompt: [L] with V at the free positions, or None.
        tokens_per_call: k, or a list as in `call_sizes`; 1 is the exact sampler, others its first-order approximation.

    Returns:
        [S] float64.
    """
    length, v = mu.shape[1:]
    law = start_law(v, length, prompt)
    free = length if prompt is None else int(np.sum(np.asarray(prompt) == v))
    classes = np.concatenate([mu, np.ones_like(mu[..., :1])], axis=-1)
    for size in call_sizes(tokens_per_call, free):
        law = step_law(law, classes, lambda n, k, size=size: (k == size) / comb(n, k))  # type: ignore[misc]
    return law


def ancestral_law(
    mu: NDArray[np.float64], levels: ArrayLike, prompt: ArrayLike | None = None, cap: float | None = None
) -> Law:
    """Law of ancestral sampling along levels m = 1 - alpha (decreasing), either form; with `cap`, of the literal form
    whose Gumbel noise is truncated there (Proposition 5.2 applied to every draw of every step).

    Args:
        mu: [S, L, V] conditionals.
        levels: [N + 1] decreasing, from m_0 to m_N.
        prompt: [L] with V at the free positions, or None.
        cap: largest Gumbel noise, or None for exact noise.

    Returns:
        [S] float64; masks remain with positive probability where the last level is above 0.
    """
    length, v = mu.shape[1:]
    law = start_law(v, length, prompt)
    levels = np.asarray(levels, dtype=np.float64)
    for m, s in pairwise(levels):
        move = (m - s) / m
        classes = np.concatenate([move * mu, np.full_like(mu[..., :1], s / m)], axis=-1)
        if cap is not None:
            classes = truncated_law(classes, cap)
        law = step_law(law, classes, lambda n, k: 1.0)
    return law


def timed_law(mu_of_level: Callable[[float], NDArray[np.float64]], prompt: ArrayLike | None = None) -> Law:
    """Law of the exact sampler with a time-conditioned network: the continuous-time reverse process itself.

    In s = -log m every masked position moves at rate 1 to a token of mu at level m = exp(-s), so
    dP/ds = sum over masked l of (inflow - P). Integrated to s = 45 (a mask is left with probability below L * 3e-20) at
    tolerance 1e-11.

    Args:
        mu_of_level: m in (0, 1] -> [S, L, V] conditionals.
        prompt: [L] with V at the free positions, or None.

    Returns:
        [S] float64.
    """
    mu = mu_of_level(1.0)
    length, v = mu.shape[1:]
    masks = np.sum(all_states(v, length) == v, axis=1)

    def slope(s: float, law: Law) -> Law:
        mu = mu_of_level(float(np.exp(-s)))
        classes = np.concatenate([mu, np.ones_like(mu[..., :1])], axis=-1)
        return step_law(law, classes, lambda n, k: float(k == 1)) - masks * law

    start = start_law(v, length, prompt)
    law = solve_ivp(slope, (0.0, 45.0), start, method="DOP853", rtol=1e-11, atol=1e-14).y[:, -1]
    law = np.where(masks > 0, 0.0, np.maximum(law, 0.0))
    return law / law.sum()


def complete(law: Law, vocab_size: int, length: int) -> NDArray[np.float64]:
    """[V^L] law of the complete sequences, position 0 most significant; raises if mass is left on masks."""
    table = law.reshape((vocab_size + 1,) * length)[(slice(0, vocab_size),) * length]
    if abs(table.sum() - law.sum()) > 1e-12:
        raise ValueError("complete: the law has mass on partial sequences")
    return table.reshape(-1)


def conditionals(joint: ArrayLike) -> NDArray[np.float64]:
    """mu [S, L, V] of a joint law [V, ..., V]: mu(x)[l][v] = P(x_l = v | unmasked tokens of x); uniform where P = 0."""
    marginal = np.asarray(joint, dtype=np.float64)
    length, v = marginal.ndim, marginal.shape[0]
    for l in range(length):  # index V of axis l: that token summed out
        marginal = np.concatenate([marginal, marginal.sum(axis=l, keepdims=True)], axis=l)
    columns = []
    for l in range(length):
        numerator = np.moveaxis(np.take(marginal, range(v), axis=l), l, -1)  # [..., V], axis l gone
        numerator = np.broadcast_to(np.expand_dims(numerator, l), (v + 1,) * length + (v,))
        total = numerator.sum(axis=-1, keepdims=True)
        columns.append(np.where(total > 0, numerator / np.where(total > 0, total, 1.0), 1.0 / v))
    return np.stack(columns, axis=-2).reshape(-1, length, v)


def log_likelihood(mu: NDArray[np.float64], tokens: ArrayLike) -> float:
    """log P(tokens), tokens [L], under the exact first-hitting law."""
    law = first_hitting_law(mu)
    with np.errstate(divide="ignore"):
        return float(np.log(law[state_index(tokens, mu.shape[2])]))


def nelbo(mu: NDArray[np.float64], tokens: ArrayLike) -> float:
    """Negative evidence lower bound of tokens [L], in nats, exactly: Proposition 3.1 summed over every masked set.

    NELBO = sum_{n=1..L} E_{|A| = n} (1/n) sum_{l in A} -log mu(x with A masked)[l][x_l], never below -log P(tokens).
    """
    length, v = mu.shape[1:]
    tokens = np.asarray(tokens, dtype=np.int64)
    total = 0.0
    for masked in subsets(tuple(range(length))):
        if masked:
            x = tokens.copy()
            x[list(masked)] = v
            rows = mu[state_index(x, v), list(masked), tokens[list(masked)]]
            with np.errstate(divide="ignore"):
                total += float(-np.log(rows).mean()) / comb(length, len(masked))
    return total
