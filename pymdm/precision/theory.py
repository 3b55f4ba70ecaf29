"""What noise of few bits does to a categorical draw and to an ancestral step, in closed form.

Gumbel-max draws argmax(log pi + g). Where g stops at a cap M (`pymdm.precision.caps`), the law of the arg-max is
Proposition 5.2 (`pymdm.reference.truncated`). In an ancestral step the mask is one of the classes, with weight 1 - r, and
the tokens share r = (m_t - m_s) / m_t, which is 1/N in the first of N steps: all of their weights are tiny, so the cap
holds them all back. Zheng et al., ICLR 2025, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pymdm.precision.caps import CAPS as CAPS
from pymdm.reference.lattice import lattice_law
from pymdm.reference.truncated import truncated_law


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
        """JSON-ready values."""
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
        """JSON-ready values."""
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


@dataclass(frozen=True)
class RunEffect:
    """A whole ancestral run of a position whose prediction is mu at every time.

    Attributes:
        times: t, [N + 1] from 1 to 0.
        masks: probability that the position is still masked at t, [N + 1]; t in exact arithmetic.
        law: of its token, [V]; mu in exact arithmetic.
    """

    times: NDArray[np.float64]
    masks: NDArray[np.float64]
    law: NDArray[np.float64]


def ancestral_run(
    mu: ArrayLike, steps: int, cap: float, points: int = 64, lattice_bits: int | None = None
) -> RunEffect:
    """N ancestral steps with noise capped at `cap`, each by Proposition 5.2.

    Args:
        mu: [V].
        steps: N.
        cap: of the noise.
        points: values of r at which the step's law is worked out; between them it is interpolated in log r. With no more
            steps than points nothing is interpolated.
        lattice_bits: the noise comes from multiples of 2^-lattice_bits, whose law (`pymdm.reference.lattice`) takes the
            place of that of Proposition 5.2; cap is then not used.

    >>> run = ancestral_run(zipf(1000), 100, CAPS["pymdm, 64 bits"])
    >>> bool(abs(run.masks - run.times).max() < 1e-6)
    True
    """
    if steps < 1:
        raise ValueError(f"precision: steps must be at least 1, got {steps}")
    mu = _normalised(mu)
    move = 1.0 / np.arange(steps, 0, -1)  # r of each step: 1/N, ..., 1/2, 1
    grid = np.geomspace(move[0], 1.0, points) if steps > points else move
    grid[-1] = 1.0

    def step(r: float) -> NDArray[np.float64]:
        classes = np.append(mu * r, 1.0 - r)
        return truncated_law(classes, cap) if lattice_bits is None else lattice_law(classes, lattice_bits)

    laws = np.stack([step(r)[:-1] for r in grid])  # [points, V], sums: r factor
    factor = laws.sum(axis=1) / grid
    log_grid, log_move = np.log(grid), np.log(move)
    leaves = np.clip(move * np.interp(log_move, log_grid, factor), 0.0, 1.0)
    masks = np.concatenate([[1.0], np.cumprod(1.0 - leaves)])
    weight = masks[:-1] * leaves  # probability of leaving in each step
    place = np.interp(log_move, log_grid, np.arange(len(grid)))
    low = np.minimum(place.astype(int), len(grid) - 1)
    high, part = np.minimum(low + 1, len(grid) - 1), place - low
    share = np.bincount(low, weight * (1 - part), len(grid)) + np.bincount(high, weight * part, len(grid))
    totals = laws.sum(axis=1, keepdims=True)
    law = share @ np.divide(laws, totals, out=np.zeros_like(laws), where=totals > 0)
    return RunEffect(1.0 - np.arange(steps + 1) / steps, masks, law)


def _normalised(mu: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(mu, dtype=np.float64)
    if p.ndim != 1 or p.size < 1 or not np.all(np.isfinite(p)) or np.any(p < 0) or not p.sum() > 0:
        raise ValueError("precision: a prediction must be [V], finite, non-negative and not all zero")
    return np.asarray(p / p.sum())
