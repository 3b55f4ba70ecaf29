"""What noise of few bits does to a categorical draw and to an ancestral step, in closed form.

Gumbel-max draws argmax(log pi + g). A generator of b-bit uniforms k / 2^b never gives u above 1 - 2^-b, so g stops at M =
-log(-log(1 - 2^-b)); the law of the arg-max is then Proposition 5.2 (`pymdm.reference.truncated`). In an ancestral step
the mask is one of the classes, with weight 1 - r, and the tokens share r = (m_t - m_s) / m_t, which is 1/N in the first
of N steps: all of their weights are tiny, so the cap holds them all back. Zheng et al., ICLR 2025, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.reference.truncated import truncated_law

# form of the uniform -> b: the largest one is 1 - 2^-b. `torch.rand` draws k / 2^b with b the bits of the significand.
BITS: dict[str, float] = {
    "bfloat16": 8,
    "float16": 11,
    "float32": 24,
    "31-bit integers": 31,
    "32-bit integers": 32,
    "float64": 53,
    "pymdm, 64 bits": 65,  # u = (r + 1/2) / 2^64, taken from the end where floating point is fine
}


def cap_of_bits(bits: float) -> float:
    """Largest Gumbel noise of a uniform that stops at 1 - 2^-bits; Table 1 of Zheng et al. 2025.

    >>> round(cap_of_bits(24), 4), round(cap_of_bits(53), 4)
    (16.6355, 36.7368)
    """
    if not bits > 0:
        raise ValueError(f"precision: bits must be positive, got {bits}")
    return float(-np.log(-np.log1p(-(2.0**-bits))))


CAPS: dict[str, float] = {name: cap_of_bits(bits) for name, bits in BITS.items()}


def zipf(vocab_size: int, exponent: float = 1.0) -> NDArray[np.float64]:
    """[V] probabilities proportional to 1 / rank^exponent.

    >>> zipf(2).round(3).tolist()
    [0.667, 0.333]
    """
    if vocab_size < 1:
        raise ValueError(f"precision: vocab_size must be at least 1, got {vocab_size}")
    weights = np.arange(1, vocab_size + 1, dtype=np.float64) ** -exponent
    return np.asarray(weights / weights.sum())


def entropy(p: ArrayLike) -> float:
    """-sum p log p in nats; p [V] sums to 1, zeros count nothing."""
    p = np.asarray(p, dtype=np.float64)
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def total_variation(p: ArrayLike, q: ArrayLike) -> float:
    """Half the sum of |p - q|."""
    return float(0.5 * np.abs(np.asarray(p) - np.asarray(q)).sum())


def effective_temperature(law: ArrayLike, mu: ArrayLike) -> float:
    """The T at which softmax(log(mu) / T) has the entropy of `law`, by bisection; 1 where the entropies agree.

    Both [V]. It answers "how much colder is this draw": below 1 the law is more concentrated than mu.

    >>> round(effective_temperature([0.8, 0.2], [2 / 3, 1 / 3]), 3)
    0.5
    """
    mu = np.asarray(mu, dtype=np.float64)
    target, log_mu = entropy(law), np.log(mu[mu > 0])
    if abs(target - entropy(mu)) < 1e-12:
        return 1.0

    def tempered(temperature: float) -> float:
        scores = (log_mu - log_mu.max()) / temperature
        weights = np.exp(scores)
        return entropy(weights / weights.sum())

    low, high = 1e-3, 1e3
    if not tempered(low) < target < tempered(high):
        return float("nan")  # a flat mu, whose entropy no temperature changes, or a law of a single class
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if tempered(middle) < target else (low, middle)
    return float(np.sqrt(low * high))


@dataclass(frozen=True)
class DrawEffect:
    """One draw from mu alone, as the first-hitting sampler makes it: what the cap does to it.

    tv is the total variation from mu; entropy, of mu, and entropy_change in nats; temperature as `effective_temperature`.
    """

    tv: float
    entropy: float
    entropy_change: float
    temperature: float

    def to_dict(self) -> dict[str, float]:
        """As JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class StepEffect:
    """One ancestral step, where the mask is a class.

    factor: probability that the position leaves the mask, over the true r (1: no defect). tv: total variation between
    the law of the token, given that it leaves, and mu.
    """

    factor: float
    tv: float

    def to_dict(self) -> dict[str, float]:
        """As JSON-ready values."""
        return asdict(self)


def draw_effect(mu: ArrayLike, cap: float) -> DrawEffect:
    """What noise capped at `cap` does to one draw from mu [V]; Proposition 5.2.

    >>> draw_effect(zipf(50_257), CAPS["float32"]).tv < 0.003
    True
    """
    mu = _normalised(mu)
    law = truncated_law(mu, cap)
    exact = entropy(mu)
    return DrawEffect(total_variation(law, mu), exact, entropy(law) - exact, effective_temperature(law, mu))


def step_effect(mu: ArrayLike, move: float, cap: float) -> StepEffect:
    """What noise capped at `cap` does to an ancestral step that unmasks with probability `move`; Proposition 5.2.

    >>> effect = step_effect(zipf(50_257), 1 / 10_000, CAPS["float32"])
    >>> round(effect.factor, 2), round(effect.tv, 2)
    (0.44, 0.47)
    """
    if not 0 < move <= 1:
        raise ValueError(f"precision: move must be in (0, 1], got {move}")
    mu = _normalised(mu)
    law = truncated_law(np.append(mu * move, 1.0 - move), cap)[:-1]
    leaves = float(law.sum())
    return StepEffect(leaves / move, total_variation(law / leaves, mu) if leaves > 0 else 1.0)


def first_step(mu: ArrayLike, steps: Sequence[int], cap: float) -> list[StepEffect]:
    """The first of N ancestral steps (move = 1/N), for every N of `steps`."""
    return [step_effect(mu, 1.0 / n, cap) for n in steps]


def masks_left(mu: ArrayLike, steps: int, cap: float, points: int = 48) -> tuple[NDArray[Any], NDArray[Any]]:
    """Expected share of masks at time t of N ancestral steps, if every position predicts mu at every time.

    Args:
        mu: [V].
        steps: N.
        cap: of the noise; with no cap the share is t.
        points: values of r = move at which the factor is worked out; it is interpolated in log r between them.

    Returns:
        (t [N + 1] from 1 to 0, share [N + 1]).

    >>> t, share = masks_left(zipf(1000), 100, CAPS["pymdm, 64 bits"])
    >>> bool(abs(share - t).max() < 1e-6)
    True
    """
    if steps < 1:
        raise ValueError(f"precision: steps must be at least 1, got {steps}")
    move = 1.0 / np.arange(steps, 0, -1)
    grid = np.geomspace(move[0], 1.0, points) if steps > points else np.sort(move)
    factor = np.array([step_effect(mu, min(r, 1.0), cap).factor for r in grid])
    stays = 1.0 - move * np.interp(np.log(move), np.log(grid), factor)
    share = np.concatenate([[1.0], np.cumprod(np.clip(stays, 0.0, 1.0))])
    return 1.0 - np.arange(steps + 1) / steps, share


def _normalised(mu: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(mu, dtype=np.float64)
    if p.ndim != 1 or p.size < 1 or not np.all(np.isfinite(p)) or np.any(p < 0) or not p.sum() > 0:
        raise ValueError("precision: a prediction must be [V], finite, non-negative and not all zero")
    return np.asarray(p / p.sum())
