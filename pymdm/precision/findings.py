"""The shapes that the paper reports, looked for in an experiment's runs, and how sure each answer is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.evaluate.judges import Scores
from pymdm.precision.experiment import NOISES, Run

CLEAR = 3.0  # standard errors from which on a difference counts
CAPPED = ("float32", "truncated")


@dataclass(frozen=True)
class Gap:
    """A difference of two means with its standard error."""

    name: str
    difference: float
    error: float

    @property
    def z(self) -> float:
        return self.difference / self.error if self.error > 0 else 0.0


@dataclass(frozen=True)
class Finding:
    """One shape in one measure.

    Attributes:
        claim: what the paper reports. measure, unit: of the differences.
        fall: whether it is a fall or a sameness.
        gaps: the differences that it speaks of; the last decides about a fall, all about a sameness.
        verdict: "yes"; "NO", where a difference of at least 3 standard errors speaks against it; "unclear", where a fall
            is within 3 standard errors of nothing.
    """

    claim: str
    measure: str
    unit: str
    fall: bool
    gaps: list[Gap]

    @property
    def verdict(self) -> str:
        if self.fall:
            z = self.gaps[-1].z
            return "yes" if z <= -CLEAR else "NO" if z >= CLEAR else "unclear"
        return "yes" if all(abs(g.z) < CLEAR for g in self.gaps) else "NO"

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return asdict(self) | {"verdict": self.verdict}


def findings(runs: Iterable[Run]) -> list[Finding]:
    """The shapes of Table 2 and Figures 7, 9 and 10, in entropy and in each judge's bits per character.

    Args:
        runs: of `pymdm.precision.experiment.experiment`, with first-hitting among them.

    Returns:
        One `Finding` a claim and measure. Falls are judged on the runs with float32 and truncated noise together, which
        claim to be of one law.
    """
    runs = list(runs)
    by = {(r.sampler, r.noise, r.steps): r for r in runs}
    steps = sorted({n for s, _, n in by if s == "ancestral"})
    first, last, hitting = steps[0], steps[-1], by["first-hitting", "exact", 0]
    a = {(noise, n): by["ancestral", noise, n] for noise in NOISES for n in steps if ("ancestral", noise, n) in by}
    out: list[Finding] = []

    def tell(claim: str, pairs: list[tuple[str, list[Run], list[Run]]], fall: bool) -> None:
        for measure, unit in [("entropy", "nats"), *((judge, "bits/char") for judge in hitting.scores)]:
            gaps = [_gap(name, *(_mean(together, measure) for together in sides)) for name, *sides in pairs]
            out.append(Finding(claim, measure, unit, fall, gaps))

    if all((noise, last) in a for noise in NOISES):
        agree = [(f"N={n:,}", [a["float32", n]], [a["truncated", n]]) for n in steps]
        tell("ancestral: 32-bit and truncated 64-bit noise agree", agree, fall=False)
        capped = {n: [a[kind, n] for kind in CAPPED] for n in steps}
        names = [*CAPPED, "both"]
        low = [[r] for r in capped[last]] + [capped[last]]
        down = [(name, runs_of, [a["float64", last]]) for name, runs_of in zip(names, low, strict=True)]
        tell(f"ancestral: noise with the cap of 32 bits is lower at N={last:,} than 64-bit", down, fall=True)
        if first < last:
            high = [[r] for r in capped[first]] + [capped[first]]
            falls = list(zip(names, low, high, strict=True))
            tell(f"ancestral: with that cap it falls from N={first:,} to N={last:,}", falls, fall=True)
        stays = [(f"N={last:,}", [a["float64", last]], [hitting])]
        tell("ancestral: 64-bit noise stays with exact first-hitting", stays, fall=False)
    kinds = [k for k in NOISES if ("first-hitting", k, 0) in by]
    tell("first-hitting hardly cares", [(k, [by["first-hitting", k, 0]], [hitting]) for k in kinds], fall=False)
    return out


def chance(found: Sequence[dict[str, Any]]) -> float:
    """Of findings as dictionaries: probability that samenesses which hold get a NO somewhere; at most this."""
    return min(1.0, sum(len(f["gaps"]) for f in found if not f["fall"]) * math.erfc(CLEAR / math.sqrt(2)))


def _gap(name: str, a: tuple[float, float], b: tuple[float, float]) -> Gap:
    return Gap(name, a[0] - b[0], math.hypot(a[1], b[1]))


def _mean(runs: Sequence[Run], measure: str) -> tuple[float, float]:
    """Of the sequences of all runs: mean entropy, or bits per character of all texts, with its standard error."""
    if measure == "entropy":
        values = np.concatenate([r.entropy for r in runs])
        return _ratio(values, np.ones(len(values)))
    scores: list[Scores] = [r.scores[measure] for r in runs]
    return _ratio(
        np.concatenate([s.nats for s in scores]) / math.log(2), np.concatenate([s.characters for s in scores])
    )


def _ratio(totals: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    """Ratio of totals and its linearised standard error over sequences."""
    ratio, n = float(totals.sum() / max(sizes.sum(), 1)), len(totals)
    error = math.sqrt(n / (n - 1) * float(np.square(totals - ratio * sizes).sum())) / max(float(sizes.sum()), 1.0)
    return ratio, error
