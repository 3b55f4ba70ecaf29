"""Several tokens a call at second order: the extrapolated first-hitting sampler, and the laws of both second-order forms.

Extrapolation: with k_j tokens in call j, a token of call j >= 2 is drawn from mu_j + c (mu_j - mu_{j-1}), clipped at 0
and normalised, c = min(1, sum_j k_j (k_j - 1) / 2 / sum_{j>=2} k_{j-1} k_j). Corrector: a token drawn from p = mu_j[l] moves to
q = (p + mu'_{j+1}[l]) / 2 by maximal coupling once call j + 1 has drawn its tokens. Neither law depends on the times, so
both are enumerated: call after call over sets of positions that are uniform among those left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference import philox
from pymdm.reference.choose import choose, filtered
from pymdm.reference.first_hitting import Sample, masked_rank, network_row, start_state
from pymdm.reference.laws import Counts, Law, call_sizes, state_index
from pymdm.reference.schedule import Linear
from pymdm.reference.uniform import log_uniform


def line_coefficient(sizes: Sequence[int]) -> float:
    """c of the extrapolation: pairs within a call over pairs of neighbouring calls, at most 1.

    Example:
        >>> line_coefficient([2, 2, 2]), line_coefficient([1, 1]), line_coefficient([1, 5])
        (0.375, 0.0, 1.0)
    """
    missing = sum(k * (k - 1) / 2 for k in sizes)
    offered = sum(a * b for a, b in pairwise(sizes))
    return min(1.0, missing / offered) if offered else 0.0


def extrapolate(
    mu: NDArray[np.float64], before: NDArray[np.float64], c: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """mu + c (mu - before) over the last axis, clipped at 0 and normalised."""
    line = np.maximum(mu + c * (mu - before), 0.0)
    return line / line.sum(axis=-1, keepdims=True)


def extrapolated(
    model: Callable[..., Any],
    length: int,
    *,
    mask_id: int,
    seed: int,
    sequence: int = 0,
    tokens_per_call: Counts,
    prompt: ArrayLike | None = None,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    schedule: Any = None,
    time_conditioned: bool = False,
) -> Sample:
    """Samples one sequence with extrapolation; approximate, second order.

    Args:
        others: as in `pymdm.reference.first_hitting.first_hitting` and `pymdm.reference.choose.choose`; temperature above 0.
        tokens_per_call: tokens drawn from one network output; a list gives each call's, the last entry repeats.

    Returns:
        A `Sample`.

    Example:
        >>> uniform_model = lambda tokens: np.zeros((*tokens.shape, 3))
        >>> extrapolated(uniform_model, 4, mask_id=3, seed=7, tokens_per_call=2).nfe
        2
    """
    schedule = schedule or Linear()
    x = start_state(length, mask_id, prompt)
    sizes = call_sizes(tokens_per_call, int(np.sum(x == mask_id)))
    c = line_coefficient(sizes)
    level, before = 1.0, None
    times: list[float] = []
    order: list[int] = []
    for k in sizes:
        hits: list[tuple[int, float]] = []
        waiting = np.flatnonzero(x == mask_id)
        for event in range(len(order), len(order) + k):
            level = level * float(
                np.exp(log_uniform(philox.bits(seed, sequence, event, philox.HITTING, 0)) / len(waiting))
            )
            rank = masked_rank(seed, sequence, event, len(waiting))
            hits.append((int(waiting[rank]), float(schedule.time(level))))
            waiting = np.delete(waiting, rank)
        logits = network_row(model, x, mask_id, hits[0][1] if time_conditioned else None)
        scores = filtered(logits, temperature, top_k=top_k, top_p=top_p)
        mu = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mu /= mu.sum(axis=-1, keepdims=True)
        for position, time in hits:
            p = mu[position] if before is None else extrapolate(mu[position], before[position], c)
            with np.errstate(divide="ignore"):
                x[position] = choose(np.log(p)[None], seed, sequence, len(order))[0]
            order.append(position)
            times.append(time)
        before = mu
    return Sample(x, np.array(times), np.array(order, dtype=np.int64), len(sizes))


def call_sets(free: tuple[int, ...], sizes: Sequence[int]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every way to deal the free positions to calls of the given sizes; all are equally likely."""
    if not sizes:
        yield ()
        return
    for here in combinations(free, sizes[0]):
        rest = tuple(l for l in free if l not in here)
        for later in call_sets(rest, sizes[1:]):
            yield (here, *later)


def _start(mu: NDArray[np.float64], prompt: ArrayLike | None) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    length, v = mu.shape[1:]
    start = np.full(length, v) if prompt is None else np.asarray(prompt, dtype=np.int64)
    return start, tuple(int(l) for l in np.flatnonzero(start == v))


def extrapolated_law(
    mu: NDArray[np.float64], tokens_per_call: Counts, prompt: ArrayLike | None = None, block_length: int = 0
) -> Law:
    """Law of the extrapolated sampler.

    Args:
        mu: [S, L, V] conditionals, tempered and truncated already where that is wanted.
        tokens_per_call: as in `call_sizes`.
        prompt: [L] with V at the free positions, or None.
        block_length: K, blocks from the left, each with a line and a coefficient of its own; 0: one block.

    Returns:
        [S] float64.
    """
    v = mu.shape[2]
    start, free = _start(mu, prompt)
    counts = [tokens_per_call] if isinstance(tokens_per_call, int) else list(tokens_per_call)
    blocks: dict[int, list[int]] = {}
    for l in free:
        blocks.setdefault(l // block_length if block_length else 0, []).append(l)
    dealt, calls = [], 0  # of each block: every way to deal its positions, and c
    for block in blocks.values():
        sizes = call_sizes(counts[min(calls, len(counts) - 1) :], len(block))
        dealt.append([(sets, line_coefficient(sizes)) for sets in call_sets(tuple(block), sizes)])
        calls += len(sizes)
    whole = np.tile(start, (v ** len(free), 1))
    whole[:, list(free)] = list(product(range(v), repeat=len(free)))
    rows, p, ways = np.arange(len(whole)), np.zeros(len(whole)), 0
    for way in product(*dealt):
        x, path = np.tile(start, (len(whole), 1)), np.ones(len(whole))
        for sets, c in way:
            before = None
            for here in sets:
                now = state_index(x, v)
                for l in here:
                    q = mu[now, l] if before is None else extrapolate(mu[now, l], mu[before, l], c)
                    path *= q[rows, whole[:, l]]
                x[:, list(here)] = whole[:, list(here)]
                before = now
        p, ways = p + path, ways + 1
    law = np.zeros(len(mu))
    law[state_index(whole, v)] = p / ways
    return law


def coupling(p: NDArray[np.float64], after: NDArray[np.float64], token: int) -> NDArray[np.float64]:
    """[V] law of what a token drawn from p becomes when it moves to (p + after) / 2 by maximal coupling."""
    q = (p + after) / 2
    out = np.zeros(len(p))
    out[token] = min(1.0, q[token] / p[token])
    excess = np.maximum(q - p, 0.0)
    return out + (1 - out[token]) * excess / excess.sum() if excess.sum() > 0 else out


def corrected_law(mu: NDArray[np.float64], tokens_per_call: Counts, prompt: ArrayLike | None = None) -> Law:
    """Law of the sampler with the corrector; arguments as in `extrapolated_law`, few and short sequences only.

    Row l of mu where position l is not masked must be its conditional given all other tokens. Unlike the corrected tokens, the
    outputs kept for the correction are those that the uncorrected ones gave.
    """
    v = mu.shape[2]
    start, free = _start(mu, prompt)
    law, ways = np.zeros(len(mu)), 0
    for sets in call_sets(free, call_sizes(tokens_per_call, len(free))):
        # (tokens that stand, latest output's state): probability
        chain: dict[tuple[tuple[int, ...], int], float] = {(tuple(start.tolist()), -1): 1.0}
        last: tuple[int, ...] = ()
        for here in sets:
            following: dict[tuple[tuple[int, ...], int], float] = {}
            for (x, seen), mass in chain.items():
                now = int(state_index(x, v))
                rows = [coupling(mu[seen, l], mu[now, l], x[l]) for l in last] + [mu[now, l] for l in here]
                for tokens in product(range(v), repeat=len(rows)):
                    chance = float(np.prod([row[t] for row, t in zip(rows, tokens, strict=True)]))
                    if chance > 0:
                        y = list(x)
                        for l, t in zip((*last, *here), tokens, strict=True):
                            y[l] = t
                        key = (tuple(y), now)
                        following[key] = following.get(key, 0.0) + mass * chance
            chain, last = following, here
        ways += 1
        for (x, _), mass in chain.items():
            law[state_index(x, v)] += mass
    return law / ways
