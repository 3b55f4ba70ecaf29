"""Measures the cap and the tail of somebody's random numbers, and what they do to samples.

A source of noise is seen through E = -log u, the exponential behind it: Gumbel noise is g = -log E, so a source whose E
never falls below e^-M has cap M. In n draws about n d of them should be below d; a capped source gives none, and none
may be 0, which is infinite noise. A categorical sampler is given the ancestral step in which the cap shows most: the
mask with weight 1 - r and K tokens that share r.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from pymdm.precision.caps import CAPS
from pymdm.precision.theory import draw_effect, first_step, step_effect, zipf

KINDS = ("uniform", "exponential", "gumbel", "categorical", "logits")
CHUNK = 1 << 22
NOISE_DRAWS = 1 << 28
CATEGORICAL_DRAWS = 1 << 31  # the noise values inside of a categorical sampler counted
TAIL = 1e-3  # values of E that are looked at; more than any source's bound of the tail
LEVEL = 1e-5  # p-value below which a source is not what it should be
EXPECTED = 15  # tail hits that a right source gives in n draws; with 16 the bound at 2^28 draws is float32's smallest E
ZIPF, STEPS = 50_257, 10_000  # where the implied distortion is worked out
POWER = 0.999  # chance of rejecting a categorical sampler with the largest cap that is called visible
FAULTY = ("capped", "heavy", "infinite")
MOVES = 24  # tokens that a right categorical sampler gives in all its rows; float32 noise gives 0.6 of them


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        name, kind, draws: what was measured, how often.
        cap: largest finite Gumbel noise seen; for a categorical sampler the cap that explains its count, None without one.
        infinite: draws of infinite noise (u = 1, E <= 0).
        tail_hits, expected_hits: draws with E below 15 / draws; for a categorical sampler, draws that left the mask.
        p_value: two-sided, exact binomial.
        visible: the largest cap that so many draws show; of a larger one they say nothing.
        verdict: "capped" (p_value below 1e-5 with too few hits), "heavy" (with too many), "infinite" (some are), "sound",
            or "too few draws" where nothing was found and the cap of float32 uniforms, 16.64, would not have been.
        step_factor, step_tv, draw_tv: implied by the cap, if capped: factor on the unmask rate and total variation of
            the token in the first of 10,000 ancestral steps, and total variation of one first-hitting draw, for a Zipf
            prediction over 50,257 tokens.
    """

    name: str
    kind: str
    draws: int
    cap: float | None
    infinite: int
    tail_hits: int
    expected_hits: float
    p_value: float
    visible: float
    verdict: str
    step_factor: float
    step_tv: float
    draw_tv: float

    @property
    def sound(self) -> bool:
        return self.verdict == "sound"

    @property
    def faulty(self) -> bool:
        """Whether something is wrong, which is not the same as not sound: few draws show little."""
        return self.verdict in FAULTY

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def audit_source(function: Callable[..., Any], kind: str, *, name: str = "", draws: int | None = None) -> Audit:
    """Audits a source of random numbers.

    Args:
        function: for noise, n -> [n] floats (torch or numpy); for "categorical", probabilities [B, K] float32 torch ->
            [B] integers; for "logits" the same from their logarithms.
        kind: "uniform", "exponential", "gumbel", "categorical" or "logits".
        name: for the report.
        draws: noise values in all; default 2^28, which shows every cap up to that of float32 (16.64), and 2^31 for a
            categorical sampler, of which each draw takes 65,537.

    Raises:
        ValueError: an unknown kind, fewer than 65,536 draws, or a function that returns something else.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> audit_source(lambda n: rng.random(n, dtype=np.float32), "uniform", draws=1 << 16).kind
        'uniform'
    """
    if kind not in KINDS:
        raise ValueError(f"precision audit: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    categorical = kind in ("categorical", "logits")
    if draws is None:
        draws = CATEGORICAL_DRAWS if categorical else NOISE_DRAWS
    if draws < 1 << 16:
        raise ValueError(f"precision audit: draws must be at least 65536, got {draws}")
    return (_categorical if categorical else _noise)(function, kind, name or "function", draws)


def _noise(function: Callable[..., Any], kind: str, name: str, draws: int) -> Audit:
    bound = EXPECTED / draws
    smallest, hits, infinite, left = math.inf, 0, 0, draws
    while left:
        n = min(CHUNK, left)
        e = _tail(function(n), kind, n)
        finite = e[e > 0]
        smallest = min(smallest, float(finite.min(initial=math.inf)))
        hits, infinite, left = hits + int(np.sum(e < bound)), infinite + len(e) - len(finite), left - n
    cap = -math.log(smallest) if smallest < math.inf else None
    return _judged(name, kind, draws, cap, infinite, hits, -math.expm1(-bound), draws, -math.log(bound))


def _tail(values: Any, kind: str, n: int) -> np.ndarray:
    """The smallest E behind n values: all below `TAIL`, or the smallest alone."""
    x = torch.as_tensor(values).detach().cpu()
    if x.shape != (n,) or not x.is_floating_point():
        raise ValueError(f"precision audit: expected [{n}] floating point numbers, got {x.dtype} {list(x.shape)}")
    low, high = (float(v) for v in x.aminmax())  # NaN where there is one
    if math.isnan(low):
        raise ValueError("precision audit: NaN among the numbers")
    if kind == "exponential":
        return np.asarray(x[x <= max(low, TAIL)].double().numpy())
    if kind == "gumbel":
        return np.exp(-x[x >= min(high, -math.log(TAIL))].double().numpy())
    if low < 0 or high > 1 + 1e-6:
        raise ValueError(f"precision audit: a uniform must be in [0, 1], got {low if low < 0 else high}")
    return -np.log(x[x >= min(high, 1 - TAIL)].double().numpy())


def _categorical(function: Callable[..., Any], kind: str, name: str, draws: int) -> Audit:
    classes = 1 << 16
    rows = max(1, draws // (classes + 1))
    move = min(0.5, MOVES / rows)
    probabilities = torch.full((64, classes + 1), move / classes)
    probabilities[:, -1] = 1 - move
    hits = 0
    for start in range(0, rows, 64):
        p = probabilities[: min(64, rows - start)]
        found = torch.as_tensor(function(p.log() if kind == "logits" else p.clone())).cpu()
        if found.shape != (len(p),) or found.is_floating_point() or found.min() < 0 or found.max() > classes:
            raise ValueError(f"precision audit: expected [{len(p)}] classes below {classes + 1}, got {found.shape}")
        hits += int((found < classes).sum())
    true = float((probabilities[0, :-1].double().sum() / probabilities[0].double().sum()).item())
    mu = np.full(classes, 1 / classes)
    caught = [h for h in range(MOVES) if h < true * rows and stats.binomtest(h, rows, true).pvalue < LEVEL]
    rate = stats.beta.isf(POWER, max(caught) + 1, rows - max(caught)) * rows if caught else 0.0
    cap = _cap_of_count(mu, true, rows, max(hits, math.log(2)))  # none seen: as likely as not
    visible = _cap_of_count(mu, true, rows, float(rate)) if caught else 0.0
    return _judged(name, kind, rows, cap, 0, hits, true, rows, visible)


def _cap_of_count(mu: np.ndarray, move: float, rows: int, count: float) -> float:
    """The cap at which so many of `rows` rows are expected to leave the mask."""
    low, high = 0.0, 60.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if step_effect(mu, move, middle).factor * move * rows > count else (middle, high)
    return low


def _judged(
    name: str,
    kind: str,
    draws: int,
    cap: float | None,
    infinite: int,
    hits: int,
    probability: float,
    trials: int,
    visible: float,
) -> Audit:
    expected = probability * trials
    p_value = float(stats.binomtest(hits, trials, probability).pvalue)
    verdict = "infinite" if infinite else "sound" if visible >= CAPS["float32"] else "too few draws"
    if p_value < LEVEL:
        verdict = "capped" if hits < expected else "heavy"
    factor, step_tv, draw_tv = 1.0, 0.0, 0.0
    if verdict == "capped" and cap is not None:
        mu = zipf(ZIPF)
        step = first_step(mu, [STEPS], cap)[0]
        factor, step_tv, draw_tv = step.factor, step.tv, draw_effect(mu, cap).tv
    if verdict != "capped" and kind in ("categorical", "logits"):
        cap = None
    return Audit(name, kind, draws, cap, infinite, hits, expected, p_value, visible, verdict, factor, step_tv, draw_tv)
