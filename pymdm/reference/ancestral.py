"""Ancestral sampling on a time grid, one sequence at a time, in both forms (section 4 of Zheng et al., ICLR 2025).

From t down to s, with m = 1 - alpha, each masked token independently stays masked with probability m_s / m_t and
otherwise becomes v with probability mu(x_t)[l][v]. Exact for this discretised chain; the chain tends to the reverse
process as the grid gets fine.

choose-then-sample draws first which positions move, then their tokens; literal draws one of V + 1 classes, the mask
last. The laws are equal with exact noise, and only the literal form suffers from coarse noise (section 5.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pymdm.reference import philox
from pymdm.reference.choose import choose, filtered
from pymdm.reference.first_hitting import Sample, network_row, start_state
from pymdm.reference.schedule import Linear, grid
from pymdm.reference.uniform import uniform


def stride(classes: int) -> int:
    """Indices reserved per position: the number of classes rounded up to whole counter blocks of 4."""
    return (classes + 3) // 4 * 4


def literal_logits(logits: Any, move: float, temperature: float = 1.0) -> Any:
    """[M, V] logits -> [M, V + 1] log-weights, mask last: log(move * mu) and log(1 - move); temperature acts on mu
    only.
    """
    scores = filtered(logits, temperature)
    peak = scores.max(axis=-1, keepdims=True)
    log_mu = scores - peak - np.log(np.sum(np.exp(scores - peak), axis=-1, keepdims=True))
    with np.errstate(divide="ignore"):
        stay = np.full_like(log_mu[:, :1], np.log1p(-move))
        return np.concatenate([log_mu + np.log(move), stay], axis=-1)


def ancestral(
    model: Callable[..., Any],
    length: int,
    *,
    mask_id: int,
    seed: int,
    sequence: int = 0,
    steps: int = 16,
    times: ArrayLike | None = None,
    form: str = "choose-then-sample",
    noise: str = "exact",
    prompt: ArrayLike | None = None,
    temperature: float = 1.0,
    schedule: Any = None,
    time_conditioned: bool = False,
) -> Sample:
    """Samples one sequence along a grid; the network is called once in every step that starts with a mask.

    Args:
        model, length, mask_id, seed, sequence, prompt, temperature, schedule: as in `first_hitting`.
        steps: N, number of steps of an even grid from 1 to 0; ignored when `times` is given.
        times: [N + 1] decreasing times.
        form: "choose-then-sample" or "literal".
        noise: kind of `gumbel`, for the literal form; other than "exact" it reproduces a known defect.
        time_conditioned: give the network the time at the start of the step.

    Returns:
        A `Sample`; masks remain where the grid ends above m = 0. `order` lists positions by step, then from the left.

    Raises:
        ValueError: an argument is not as said.

    Example:
        >>> uniform_model = lambda tokens: np.zeros((*tokens.shape, 3))
        >>> bool(np.all(ancestral(uniform_model, 4, mask_id=3, seed=7, steps=8).tokens < 3))
        True
    """
    if form not in ("choose-then-sample", "literal"):
        raise ValueError(f"ancestral: form must be choose-then-sample or literal, got {form!r}")
    schedule = schedule or Linear()
    t = grid(steps) if times is None else np.asarray(times, dtype=np.float64)
    m = np.asarray(schedule.masked(t))
    x = start_state(length, mask_id, prompt)
    when, order, nfe = [], [], 0
    for event in range(len(t) - 1):
        masked = np.flatnonzero(x == mask_id)
        if masked.size == 0:
            break
        logits = network_row(model, x, mask_id, float(t[event]) if time_conditioned else None)
        nfe += 1
        move = float((m[event] - m[event + 1]) / m[event])
        if form == "literal":
            weights = literal_logits(logits[masked], move, temperature)
            base = masked * stride(mask_id + 1)
            token = choose(weights, seed, sequence, event, purpose=philox.LITERAL, base=base, noise=noise)
            moved, token = masked[token < mask_id], token[token < mask_id]
        else:
            u = uniform(philox.bits(seed, sequence, event, philox.MOVE, masked))
            moved = masked[u < move]
            base = moved * stride(mask_id)
            token = np.empty(0, dtype=np.int64)
            if moved.size:
                token = choose(logits[moved], seed, sequence, event, base=base, temperature=temperature)
        x[moved] = token
        when += [float(t[event + 1])] * len(moved)
        order += moved.tolist()
    return Sample(x, np.array(when), np.array(order, dtype=np.int64), nfe)
