"""The shapes that the paper reports, looked for in an experiment's runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.precision.experiment import NOISES, Run

CLEAR = 3.0  # standard errors from which on a difference counts


@dataclass(frozen=True)
class Finding:
    """One shape: what was measured, in standard errors, and whether it shows."""

    claim: str
    measured: str
    shows: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self)


def findings(runs: Iterable[Run]) -> list[Finding]:
    """The shapes of Table 2 and Figures 7, 9 and 10, in entropy and in each judge's bits per character.

    Args:
        runs: of `pymdm.precision.experiment.experiment`, with first-hitting among them.

    Returns:
        One `Finding` a claim; a claim about differences that are not there shows where all are below 3 standard errors.
    """
    runs = list(runs)
    by = {(r.sampler, r.noise, r.steps): r for r in runs}
    steps = sorted({n for s, _, n in by if s == "ancestral"})
    first, last, hitting = steps[0], steps[-1], by["first-hitting", "exact", 0]
    a = {(noise, n): by["ancestral", noise, n] for noise in NOISES for n in steps if ("ancestral", noise, n) in by}
    out: list[Finding] = []

    def tell(claim: str, pairs: list[tuple[str, Run, Run]], shows: Callable[[float], bool]) -> None:
        text, ok = [], True
        for name, left, right in pairs:
            for what, unit, d, z in _gaps(left, right):
                text.append(f"{name}, {what} {d:+.3f} {unit} ({z:+.1f} s.e.)")
                ok &= shows(z)
        out.append(Finding(claim, "; ".join(text), ok))

    def small(z: float) -> bool:
        return abs(z) < CLEAR

    def lower(z: float) -> bool:
        return z < -CLEAR

    if all((noise, last) in a for noise in NOISES):
        agree = [(f"N={n:,}", a["float32", n], a["truncated", n]) for n in steps]
        tell("ancestral: 32-bit and truncated 64-bit noise agree", agree, small)
        down = [(kind, a[kind, last], a["float64", last]) for kind in ("float32", "truncated")]
        tell(f"ancestral: noise with the cap of 32 bits lowers both at N={last:,}, beside 64-bit", down, lower)
        if first < last:
            falls = [(kind, a[kind, last], a[kind, first]) for kind in ("float32", "truncated")]
            tell(f"ancestral: with that cap both fall from N={first:,} to N={last:,}", falls, lower)
        stays = [(f"N={last:,}", a["float64", last], hitting)]
        tell("ancestral: 64-bit noise stays with exact first-hitting", stays, small)
    kinds = [k for k in NOISES if ("first-hitting", k, 0) in by]
    tell("first-hitting hardly cares", [(k, by["first-hitting", k, 0], hitting) for k in kinds], small)
    return out


def _gaps(a: Run, b: Run) -> list[tuple[str, str, float, float]]:
    """(what, unit, a - b, in standard errors) for entropy and for each judge."""
    found = [("entropy", "nats", *_gap(_mean(a.entropy), _mean(b.entropy)))]
    for judge in a.scores:
        bits = [_ratio(r.scores[judge].nats / math.log(2), r.scores[judge].characters) for r in (a, b)]
        found.append((judge, "bits/char", *_gap(*bits)))
    return found


def _gap(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    error = math.hypot(a[1], b[1])
    return a[0] - b[0], (a[0] - b[0]) / error if error > 0 else 0.0


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error."""
    return _ratio(np.asarray(values), np.ones(len(values)))


def _ratio(totals: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    """Ratio of totals and its linearised standard error over sequences."""
    ratio, n = float(totals.sum() / max(sizes.sum(), 1)), len(totals)
    error = math.sqrt(n / (n - 1) * float(np.square(totals - ratio * sizes).sum())) / max(float(sizes.sum()), 1.0)
    return ratio, error
