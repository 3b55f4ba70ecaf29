"""Law of the arg-max under Gumbel noise from uniforms that are multiples of d = 2^-b, as float32 uniforms are.

Noise truncated at the cap never comes close to it; a lattice gives its largest value with probability d, and so holds the
unlikely classes back a little less (`pymdm.reference.truncated` is Proposition 5.2 for the first kind). The exponential
behind the noise is j d, j = 1, 2, ..., with hazard d each, up to terms of order d. So the clock of class k can only ring
at T = j d / pi_k, and the first to ring wins. The first `ATOMS` of these times are taken one by one, the further ones as
half of the next and a rate pi_k from there on (the trapezoid rule). Ties, of probability d, are shared in any order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

ATOMS = 4


def lattice_law(probabilities: ArrayLike, bits: int) -> NDArray[np.float64]:
    """P(arg-max = n) for Gumbel noise -log(-log u), u a multiple of 2^-bits, to an error of order 2^-bits K.

    Args:
        probabilities: [K] non-negative weights, at least one positive; normalised here.
        bits: b, 24 for float32 uniforms.

    Returns:
        [K] float64 that sums to 1.

    Raises:
        ValueError: a weight is negative or not finite, there is no mass, or bits is below 2.

    Example:
        >>> [round(float(p), 4) for p in lattice_law([0.01, 0.99], 8)]
        [0.0082, 0.9918]
    """
    pi = np.asarray(probabilities, dtype=np.float64)
    if pi.ndim != 1 or not np.all(np.isfinite(pi)) or np.any(pi < 0) or not pi.sum() > 0:
        raise ValueError("lattice_law: probabilities must be [K], finite, non-negative and not all zero")
    if bits < 2:
        raise ValueError(f"lattice_law: bits must be at least 2, got {bits}")
    pi = pi / pi.sum()
    d, classes = 2.0**-bits, np.flatnonzero(pi > 0)
    p = pi[classes]
    start = ATOMS + 1  # the multiple at which the rate begins
    time = np.concatenate([j * d / p for j in range(1, start + 1)])
    atom = np.repeat([d] * ATOMS + [d / 2], len(p))
    rate = np.concatenate([np.zeros(ATOMS * len(p)), p])
    order = np.argsort(time, kind="stable")
    time, atom, rate = time[order], atom[order], rate[order]
    running = np.cumsum(rate)  # from this event to the next
    wait = np.append(np.diff(time), np.inf)
    spent = np.concatenate([[0.0], np.cumsum(running[:-1] * wait[:-1])])  # hazard of the rates before the event
    before = np.cumsum(atom) - atom + spent  # and of the atoms
    rang = np.exp(-before) * -np.expm1(-atom)
    after = np.exp(-before - atom)
    with np.errstate(divide="ignore", invalid="ignore"):
        alive = np.where(running > 0, after * -np.expm1(-running * wait) / running, after * wait)
    left = np.cumsum(alive[::-1])[::-1]  # integral, from the event on, of the probability that nobody has rung
    law = np.zeros_like(pi)
    np.add.at(law, classes[order % len(p)], rang + rate * left)
    return np.asarray(law / law.sum())
