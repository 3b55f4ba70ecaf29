"""Measures the cap and the tail of somebody's random numbers, and what they do to samples.

A source of noise is seen through E = -log u, the exponential behind it: Gumbel noise is g = -log E, so a source whose E
never falls below e^-M has cap M. In n draws about n d of them should be below d; a capped source gives none. A
categorical sampler is given the ancestral step in which the cap shows most: the mask with weight 1 - r and K tokens
that share r.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from scipy import stats

from pymdm.precision.theory import CAPS, draw_effect, first_step, step_effect, zipf

KINDS = ("uniform", "exponential", "gumbel", "categorical")
CHUNK = 1 << 22
DRAWS = {"categorical": 1 << 30}  # noise values, those inside of a categorical sampler counted
NOISE_DRAWS = 1 << 28
EXPECTED = 16  # tail hits that a right source gives in n draws
ZIPF, STEPS = 50_257, 10_000  # where the implied distortion is worked out
DELAY = 3.0  # of a categorical's tokens at the cap of float32, in units of their waiting time


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        name, kind, draws: what was measured, how often.
        cap: largest Gumbel noise seen; for a categorical sampler the cap that explains its count, infinite if none does.
        tail_hits, expected_hits: draws with E below 16 / draws; for a categorical sampler, draws that left the mask.
        p_value: two-sided, exact binomial.
        capped: p_value below 1e-6 with too few hits.
        step_factor, step_tv, draw_tv: implied by the cap, if capped: factor on the unmask rate and total variation of
            the token in the first of 10,000 ancestral steps, and total variation of one first-hitting draw, for a Zipf
            prediction over 50,257 tokens.
    """

    name: str
    kind: str
    draws: int
    cap: float
    tail_hits: int
    expected_hits: float
    p_value: float
    capped: bool
    step_factor: float
    step_tv: float
    draw_tv: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def audit_source(function: Callable[..., Any], kind: str, *, name: str = "", draws: int | None = None) -> Audit:
    """Audits a source of random numbers.

    Args:
        function: for noise, n -> [n] floats (torch or numpy); for "categorical", probabilities [B, K] float32 torch ->
            [B] integers.
        kind: "uniform", "exponential", "gumbel" or "categorical".
        name: for the report.
        draws: noise values in all; default 2^28, which shows every cap up to that of float32 (16.64), and 2^30 for a
            categorical sampler, of which each draw takes 65,537: a right one then unmasks 21 tokens, float32 noise 1.

    Raises:
        ValueError: an unknown kind, fewer than 1024 draws, or a function that returns something else.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> audit_source(lambda n: rng.random(n, dtype=np.float32), "uniform", draws=1 << 16).kind
        'uniform'
    """
    if kind not in KINDS:
        raise ValueError(f"precision audit: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    draws = DRAWS.get(kind, NOISE_DRAWS) if draws is None else draws
    if draws < 1024:
        raise ValueError(f"precision audit: draws must be at least 1024, got {draws}")
    return (_categorical if kind == "categorical" else _noise)(function, kind, name or "function", draws)


def _noise(function: Callable[..., Any], kind: str, name: str, draws: int) -> Audit:
    bound = EXPECTED / draws
    smallest, hits, left = np.inf, 0, draws
    while left:
        n = min(CHUNK, left)
        e = _exponential(function(n), kind, n)
        smallest, hits, left = min(smallest, float(e.min())), hits + int(np.sum(e < bound)), left - n
    probability = float(-np.expm1(-bound))
    p_value = float(stats.binomtest(hits, draws, probability).pvalue)
    cap = float(-np.log(smallest)) if smallest > 0 else np.inf
    return _judged(name, kind, draws, cap, hits, draws * probability, p_value)


def _exponential(values: Any, kind: str, n: int) -> np.ndarray:
    """The E behind the values, [n] float64."""
    array = values.detach().cpu().double().numpy() if isinstance(values, torch.Tensor) else np.asarray(values, float)
    if array.shape != (n,) or np.isnan(array).any():
        raise ValueError(f"precision audit: expected [{n}] numbers, got {array.shape} with NaN or of another shape")
    with np.errstate(divide="ignore", over="ignore"):
        if kind == "uniform":
            if array.min() < 0 or array.max() > 1:
                raise ValueError("precision audit: a uniform must be in [0, 1]")
            return np.asarray(-np.log(array))
        return array if kind == "exponential" else np.exp(-array)


def _categorical(function: Callable[..., Any], kind: str, name: str, draws: int) -> Audit:
    classes = 1 << 16
    move = float(np.exp(-CAPS["float32"])) * classes / DELAY
    rows = max(1, draws // (classes + 1))
    probabilities = torch.full((64, classes + 1), move / classes)
    probabilities[:, -1] = 1 - move
    hits = 0
    for start in range(0, rows, 64):
        p = probabilities[: min(64, rows - start)]
        found = torch.as_tensor(function(p.clone())).cpu()
        if found.shape != (len(p),) or found.is_floating_point() or found.min() < 0 or found.max() > classes:
            raise ValueError(f"precision audit: expected [{len(p)}] classes below {classes + 1}, got {found.shape}")
        hits += int((found < classes).sum())
    true = float((probabilities[0, :-1].double().sum() / probabilities[0].double().sum()).item())
    p_value = float(stats.binomtest(hits, rows, true).pvalue)
    mu = np.full(classes, 1 / classes)
    low, high = 0.0, 60.0  # the cap whose factor is what was seen
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if step_effect(mu, true, middle).factor * true * rows > hits else (middle, high)
    return _judged(name, kind, rows, low, hits, rows * true, p_value)


def _judged(name: str, kind: str, draws: int, cap: float, hits: int, expected: float, p_value: float) -> Audit:
    capped = p_value < 1e-6 and hits < expected
    if not capped:
        return Audit(
            name, kind, draws, np.inf if kind == "categorical" else cap, hits, expected, p_value, False, 1, 0, 0
        )
    mu = zipf(ZIPF)
    step = first_step(mu, [STEPS], cap)[0]
    return Audit(name, kind, draws, cap, hits, expected, p_value, True, step.factor, step.tv, draw_effect(mu, cap).tv)


def user_function(name: str) -> Callable[..., Any]:
    """The function that `module:function` names; modules of the current folder included."""
    module, _, function = name.partition(":")
    sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"precision audit: cannot load {name!r}, expected module:function ({error})") from None
    finally:
        sys.path.remove("")
