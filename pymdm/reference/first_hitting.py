"""The first-hitting sampler, one sequence at a time (Proposition 4.1 of Zheng et al., ICLR 2025).

Law (exact for one token a call): p(x) = E over uniformly random orders of prod_e mu(x before e)[l_e][x_{l_e}], and the
levels m = 1 - alpha(tau) of the events satisfy (m_e / m_{e-1})^{n_e} uniform on (0, 1) and independent, n_e tokens
being masked before event e.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference import philox
from pymdm.reference.choose import choose
from pymdm.reference.schedule import Linear
from pymdm.reference.uniform import log_uniform


@dataclass
class Sample:
    """One sampled sequence.

    Attributes:
        tokens: [L] int64, no mask left.
        times: [n] float64, hitting time of each event in order of events (decreasing).
        order: [n] int64, the position unmasked by each event.
        nfe: network calls made.
    """

    tokens: NDArray[np.int64]
    times: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    order: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    nfe: int = 0


def start_state(length: int, mask_id: int, prompt: ArrayLike | None) -> NDArray[np.int64]:
    """[L] int64: the prompt, whose free positions hold mask_id, or all masks."""
    if prompt is None:
        if length < 1:
            raise ValueError(f"sample: length must be at least 1, got {length}")
        return np.full(length, mask_id, dtype=np.int64)
    tokens = np.array(prompt, dtype=np.int64)
    if tokens.shape != (length,):
        raise ValueError(f"sample: prompt must have shape ({length},), got {tokens.shape}")
    return tokens


def network_row(model: Callable[..., Any], tokens: NDArray[np.int64], mask_id: int, time: float | None) -> Any:
    """[L, V] float64 logits of one sequence, any column from mask_id on cut off."""
    logits = model(tokens[None, :]) if time is None else model(tokens[None, :], np.array([time]))
    return np.asarray(logits, dtype=np.float64)[0, :, :mask_id]


def masked_rank(seed: int, sequence: int, event: int, n: int) -> int:
    """Unbiased integer in [0, n): Lemire's multiply-shift with rejection on 64-bit draws; law: each value exactly
    1/n.
    """
    index = 0
    while True:
        r = int(philox.bits(seed, sequence, event, philox.POSITION, index))
        if (r * n) % 2**64 >= (2**64 - n) % n:
            return (r * n) >> 64
        index += 1


def first_hitting(
    model: Callable[..., Any],
    length: int,
    *,
    mask_id: int,
    seed: int,
    sequence: int = 0,
    prompt: ArrayLike | None = None,
    temperature: float = 1.0,
    tokens_per_call: int = 1,
    schedule: Any = None,
    time_conditioned: bool = False,
) -> Sample:
    """Samples one sequence, one network call for every `tokens_per_call` tokens; exact for 1, first-order approximate
    above.

    Args:
        model: tokens [1, L] int64 (, time [1] float64) -> logits [1, L, >= mask_id]; columns from mask_id on are
            ignored.
        length: L.
        mask_id: V, the id of the mask.
        seed: integer in [0, 2^64).
        sequence: id of the sequence, in [0, 2^56).
        prompt: [L] int64 with mask_id at the free positions, or None for all masks.
        temperature: divides the logits; 0 is arg-max.
        tokens_per_call: tokens drawn from one network output.
        schedule: object of `pymdm.reference.schedule`, default linear.
        time_conditioned: give the network the hitting time of the (first) token it is asked for.

    Returns:
        A `Sample`.

    Raises:
        ValueError: length, prompt or logits are not as said.

    Example:
        >>> uniform_model = lambda tokens: np.zeros((*tokens.shape, 3))
        >>> result = first_hitting(uniform_model, 4, mask_id=3, seed=7)
        >>> sorted(result.order.tolist()), result.nfe
        ([0, 1, 2, 3], 4)
    """
    schedule = schedule or Linear()
    x = start_state(length, mask_id, prompt)
    level, times, order, nfe = 1.0, [], [], 0
    logits: Any = None
    for event in range(int(np.sum(x == mask_id))):
        masked = np.flatnonzero(x == mask_id)
        n = len(masked)
        level = level * float(np.exp(log_uniform(philox.bits(seed, sequence, event, philox.HITTING, 0)) / n))
        time = float(schedule.time(level))
        if event % tokens_per_call == 0:
            logits = network_row(model, x, mask_id, time if time_conditioned else None)
            nfe += 1
        position = int(masked[masked_rank(seed, sequence, event, n)])
        x[position] = choose(logits[position : position + 1], seed, sequence, event, temperature=temperature)[0]
        times.append(time)
        order.append(position)
    return Sample(x, np.array(times), np.array(order, dtype=np.int64), nfe)
