"""The shapes that the paper reports, looked for in an experiment's runs, and how sure each answer is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.evaluate.intervals import t_quantile
from pymdm.evaluate.judges import Scores
from pymdm.precision.experiment import NOISES, Run

ALPHA = 0.04  # chance that runs of one law get a NO somewhere, split over all samenesses
SHUFFLES = 20_000
CAPPED = ("float32", "truncated")
Values = tuple[NDArray[np.float64], NDArray[np.float64]]  # totals and sizes of sequences; their measure is sum / sum


@dataclass(frozen=True)
class Gap:
    """A difference of two measures over sequences.

    Attributes:
        difference: with `error`, its standard error, and `freedom`, Welch's degrees of freedom.
        p_value: chance of a difference at least as large where both groups are of one law, by `permutation`.
        needed: sequences a run that would show this difference 9 times of 10, at the level of the verdicts.
    """

    name: str
    difference: float
    error: float
    freedom: float
    p_value: float
    needed: float = math.nan

    @property
    def half(self) -> float:
        """Half the width of the 95% interval."""
        return t_quantile(self.freedom) * self.error


@dataclass(frozen=True)
class Finding:
    """One shape in one measure.

    Attributes:
        claim: what the paper reports. measure, unit: of the differences.
        fall: whether it is a fall or a sameness.
        gaps: the differences that it speaks of; the last decides about a fall, all about a sameness.
        level: p-value from which on a difference counts.
        verdict: "yes"; "NO", where a difference that counts speaks against it; "unclear", where a fall does not count.
    """

    claim: str
    measure: str
    unit: str
    fall: bool
    gaps: list[Gap]
    level: float = 0.0

    @property
    def verdict(self) -> str:
        if self.fall:
            if self.gaps[-1].p_value > self.level:
                return "unclear"
            return "yes" if self.gaps[-1].difference < 0 else "NO"
        return "yes" if all(g.p_value > self.level for g in self.gaps) else "NO"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        gaps = [asdict(g) | {"half": g.half} for g in self.gaps]
        return asdict(self) | {"verdict": self.verdict, "gaps": gaps}


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
            gaps = [_gap(name, *(_values(together, measure) for together in sides)) for name, *sides in pairs]
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
    return _judged(out, len(hitting.entropy))


def permutation(a: Values, b: Values, seed: int = 0) -> float:
    """p-value of the difference of two measures where all sequences are of one law: it then matters not whose they are.

    Exact at every number of sequences but for the Monte Carlo error of `SHUFFLES` shuffles, which are counted with the
    observed one, so that the p-value never understates. Two groups of 4 can not give less than 2/70.
    """
    totals, sizes = (np.concatenate(pair) for pair in zip(a, b, strict=True))
    n, m = len(totals), len(a[0])
    if n > m > 0 and len(np.unique(np.stack([totals, sizes]), axis=1).T) == 1:
        return 1.0
    rng = np.random.default_rng(seed)

    def apart(first: NDArray[Any]) -> NDArray[Any]:
        t, s = totals[first].sum(axis=-1), sizes[first].sum(axis=-1)
        return np.abs(t / np.maximum(s, 1) - (totals.sum() - t) / np.maximum(sizes.sum() - s, 1))

    observed = float(apart(np.arange(m)))
    beyond, left = 1, SHUFFLES
    while left:
        some = min(left, 1 << 12)
        chosen = np.argpartition(rng.random((some, n)), m - 1, axis=1)[:, :m]
        beyond, left = beyond + int((apart(chosen) >= observed * (1 - 1e-12)).sum()), left - some
    return beyond / (SHUFFLES + 1)


def _gap(name: str, a: Values, b: Values) -> Gap:
    (one, va, na), (other, vb, nb) = _ratio(*a), _ratio(*b)
    variance = va + vb
    freedom = variance**2 / (va**2 / (na - 1) + vb**2 / (nb - 1)) if variance > 0 else math.inf
    return Gap(name, one - other, math.sqrt(variance), freedom, permutation(a, b))


def _judged(found: list[Finding], samples: int) -> list[Finding]:
    """The level that a difference has to reach, and the size of runs that would let each reach it."""
    from scipy.stats import norm

    level = ALPHA / max(1, sum(len(f.gaps) for f in found if not f.fall))
    wanted = float(norm.isf(level / 2) + norm.isf(0.1))  # standard errors that are seen 9 times of 10

    def sized(gap: Gap) -> Gap:
        """For a difference below its standard error, the size that would show one as large as that."""
        effect = max(abs(gap.difference), gap.error)
        return replace(gap, needed=math.ceil(samples * (wanted * gap.error / effect) ** 2) if effect else math.inf)

    return [replace(f, level=level, gaps=[sized(g) for g in f.gaps]) for f in found]


def _values(runs: Sequence[Run], measure: str) -> Values:
    """The entropies, or bits and characters, of the sequences of all runs."""
    if measure == "entropy":
        values = np.concatenate([r.entropy for r in runs])
        return values, np.ones(len(values))
    scores: list[Scores] = [r.scores[measure] for r in runs]
    bits = np.concatenate([s.nats for s in scores]) / math.log(2)
    return bits, np.concatenate([s.characters for s in scores]).astype(np.float64)


def _ratio(totals: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float, int]:
    """Ratio of totals, its linearised variance over sequences, and their number."""
    ratio, n = float(totals.sum() / max(sizes.sum(), 1)), len(totals)
    variance = n / (n - 1) * float(np.square(totals - ratio * sizes).sum()) / max(float(sizes.sum()), 1.0) ** 2
    return ratio, variance, n
