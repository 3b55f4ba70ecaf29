"""Gumbel-max choice of one class per row, every element evaluated in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference import philox
from pymdm.reference.gumbel import gumbel


def filtered(
    logits: ArrayLike,
    temperature: float = 1.0,
    banned: ArrayLike | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
) -> NDArray[np.float64]:
    """Scores logit / temperature in float64 with what may not be chosen set to -inf.

    Bans come first, then top-k (the k highest logits, ties to the lowest index), then top-p on what is left,
    renormalised (the smallest prefix of the descending order whose mass, after temperature, reaches p; ties to the
    lowest index; at least one).

    Args:
        logits: [M, V], any float dtype.
        temperature: at least 0; at 0 the scores are the logits themselves, for a plain arg-max.
        banned: [V] or [M, V] bool, True where a class may not be chosen.
        top_k: at least 1, or None.
        top_p: in (0, 1], or None.

    Raises:
        ValueError: a parameter is out of range, or a row holds NaN or +inf or has no finite logit left.
    """
    scores = np.array(logits, dtype=np.float64, ndmin=2)
    if not temperature >= 0:
        raise ValueError(f"choose: temperature must be at least 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"choose: top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"choose: top_p must be in (0, 1], got {top_p}")
    bad = np.flatnonzero(np.any(np.isnan(scores) | (scores == np.inf), axis=1))
    if bad.size:
        raise ValueError(f"choose: row {bad[0]} contains NaN or +inf")
    if banned is not None:
        scores[np.broadcast_to(np.asarray(banned, dtype=bool), scores.shape)] = -np.inf
    empty = np.flatnonzero(np.all(scores == -np.inf, axis=1))
    if empty.size:
        raise ValueError(f"choose: row {empty[0]} has no class left (every logit is -inf)")
    if top_k is not None and top_k < scores.shape[1]:
        order = np.argsort(-scores, axis=1, kind="stable")  # stable: equal logits stay in index order
        np.put_along_axis(scores, order[:, top_k:], -np.inf, axis=1)
    scaled = scores * (1.0 / temperature) if temperature > 0 else scores
    if top_p is not None and top_p < 1:
        order = np.argsort(-scaled, axis=1, kind="stable")
        mass = np.exp(np.take_along_axis(scaled, order, axis=1) - scaled.max(axis=1, keepdims=True))
        before = np.cumsum(mass, axis=1) - mass  # mass of the classes ahead of each one
        drop = before >= top_p * mass.sum(axis=1, keepdims=True)
        drop[:, 0] = False
        np.put_along_axis(scaled, order, np.where(drop, -np.inf, np.take_along_axis(scaled, order, axis=1)), axis=1)
    return scaled


def choose(
    logits: ArrayLike,
    seed: int,
    sequence: ArrayLike = 0,
    event: ArrayLike = 0,
    *,
    purpose: int = philox.TOKEN,
    base: ArrayLike = 0,
    temperature: float = 1.0,
    banned: ArrayLike | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    noise: str = "exact",
) -> NDArray[np.int64]:
    """Draws one class per row from softmax(logits / temperature): arg-max of score + Gumbel noise, ties to the lowest
    index.

    Law (exact up to 2^-64 resolution): P(v) = exp(logit_v / temperature) / sum. Temperature 0 is the plain arg-max.
    Top-k and top-p change the law (see `filtered`).

    Args:
        logits: [M, V].
        seed: integer in [0, 2^64).
        sequence, event, base: integers or [M]; class v of row i draws index base[i] + v of its address.
        purpose: purpose of the draw.
        temperature, banned, top_k, top_p: see `filtered`.
        noise: kind of `gumbel`.

    Returns:
        [M] int64.

    Raises:
        ValueError: see `filtered`.

    Example:
        >>> choose([[0.0, 5.0, -float("inf")]], seed=1).tolist()
        [1]
    """
    scores = filtered(logits, temperature, banned, top_k, top_p)
    rows, classes = scores.shape
    if temperature > 0:
        base = np.broadcast_to(np.asarray(base, dtype=np.uint64), (rows,))
        index = base[:, None] + np.arange(classes, dtype=np.uint64)
        seq, ev = (np.broadcast_to(np.asarray(a, dtype=np.uint64), (rows,))[:, None] for a in (sequence, event))
        scores += gumbel(philox.bits(seed, seq, ev, purpose, index), noise)
    return np.argmax(scores, axis=1)
