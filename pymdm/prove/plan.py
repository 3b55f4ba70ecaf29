"""One error level for a whole run: the split of alpha, the power of each test, the verdicts, the seeds.

A run declares how many tests it will make, T. The family-wise error rate is held at `alpha` (1e-6) by Holm's procedure,
which never rejects less than Bonferroni at alpha / T; sample sizes and powers are computed for alpha / T, so they are
lower bounds.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from scipy import optimize, stats

from pymdm.prove.goodness import Fit

ALPHA = 1e-6  # chance that a correct implementation fails anywhere in a run
MISS = 1e-6  # chance that a test misses a total variation of TV
TV = 0.01
DEFAULT_SEED = 20_240_903


def chi_square_power(n: float, cells: int, alpha: float, tv: float = TV) -> float:
    """Least power of a chi-square test over all alternatives at total variation tv.

    By Cauchy-Schwarz sum (q-p)^2/p >= (sum |q-p|)^2 = 4 tv^2, so the noncentrality is at least 4 n tv^2.

    Example:
        >>> round(chi_square_power(8.5e5, 243, 1e-9), 5)
        1.0
    """
    if cells < 2:
        return 0.0
    return float(stats.ncx2.sf(stats.chi2.isf(alpha, cells - 1), cells - 1, 4 * n * tv**2))


def detectable(n: float, cells: int, alpha: float, power: float = 0.5) -> float:
    """The least total variation at which a chi-square test has this power against every alternative; 1 where none has.

    Example:
        >>> round(chi_square_power(1000, 8, 1e-7, detectable(1000, 8, 1e-7)), 6)
        0.5
    """
    if cells < 2 or chi_square_power(n, cells, alpha, 1.0) < power:
        return 1.0
    return float(optimize.brentq(lambda tv: chi_square_power(n, cells, alpha, tv) - power, 0.0, 1.0, xtol=1e-9))


@lru_cache(maxsize=4096)
def sample_size(cells: int, alpha: float, tv: float = TV, miss: float = MISS) -> int:
    """Samples for a chi-square test with power 1 - miss at total variation tv.

    Example:
        >>> round(sample_size(1024, 1e-9) / 1e6, 1)
        1.5
    """
    critical = stats.chi2.isf(alpha, cells - 1)

    def excess(log_n: float) -> float:  # positive while the miss rate is too high
        return float(stats.ncx2.logcdf(critical, cells - 1, 4 * np.exp(log_n) * tv**2) - np.log(miss))

    return int(np.ceil(np.exp(optimize.brentq(excess, np.log(1 / tv**2), np.log(1e4 / tv**2), xtol=1e-3)) * 1.001))


def dkw_power(n: int, alpha: float, distance: float = TV) -> float:
    """Least power of the DKW test when the true distribution functions differ by `distance` somewhere.

    Rejected when the sample is further than c = sqrt(log(2/alpha)/(2n)); missed only if F_n strays distance - c from
    its own F.
    """
    slack = distance - np.sqrt(np.log(2 / alpha) / (2 * max(n, 1)))
    return float(max(0.0, 1 - 2 * np.exp(-2 * n * slack**2))) if slack > 0 else 0.0


def binomial_power(n: int, probability: float, alpha: float, ratio: float = 1.5) -> float:
    """Power of the exact binomial test when the rate is `ratio` times too high (or too low, whichever is harder to
    see).
    """
    low = stats.binom.ppf(alpha / 2, n, probability) - 1
    high = stats.binom.isf(alpha / 2, n, probability) + 1
    more = stats.binom.sf(high - 1, n, min(1.0, ratio * probability))
    less = stats.binom.cdf(low, n, probability / ratio)
    return float(min(more, less))


@dataclass
class Verdict:
    """One test of a run.

    Attributes:
        name: what was tested, e.g. "first-hitting / tokens / #3 consistent V=3 L=4".
        law: the law in words or a formula.
        fit: statistic, p-value, n, cells, total variation.
        power: chance of catching `TV` (for chi-square and DKW tests), of a rate 1.5 times off (binomial); 1 for exact
            comparisons.
        passed: set by `Plan.judge`.
        threshold: the level that this p-value was compared with.
    """

    name: str
    law: str
    fit: Fit
    power: float = 1.0
    passed: bool | None = None
    threshold: float = float("nan")

    @property
    def p_value(self) -> float:
        return self.fit.p_value

    @property
    def statistical(self) -> bool:
        """Whether chance decides, so that it may miss; comparisons that must hold exactly have power 1."""
        return bool(self.fit.cells) or self.power < 1.0

    def line(self) -> str:
        """One line for a terminal."""
        state = {None: "?", True: "pass", False: "FAIL"}[self.passed]
        tail = f"  {self.fit.detail}" if self.fit.detail else ""
        return (
            f"{state:4}  p={self.fit.p_value:.2e}  n={self.fit.n:>8}  cells={self.fit.cells:>5}  "
            f"power={self.power:.7f}  {self.name}{tail}"
        )


@dataclass
class Plan:
    """The error budget of a run.

    Args:
        tests: T, how many tests the run will make (an upper bound).
        alpha: family-wise error rate.
        seed: root of every seed of the run.

    Example:
        >>> plan = Plan(tests=1000)
        >>> f"{plan.level:.0e}", plan.seed_for("a") == plan.seed_for("a"), plan.seed_for("a") == plan.seed_for("b")
        ('1e-09', True, False)
    """

    tests: int
    alpha: float = ALPHA
    seed: int = DEFAULT_SEED
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def level(self) -> float:
        """alpha / T, the level for which sizes and powers are computed."""
        return self.alpha / self.tests

    def seed_for(self, name: str) -> int:
        """A 63-bit seed for a named test, from the root seed."""
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Takes verdicts in; more than were declared is an error, because the level was split for T."""
        self.verdicts.extend(verdicts)
        if len(self.verdicts) > self.tests:
            raise ValueError(f"plan: {len(self.verdicts)} tests were made, {self.tests} declared")

    def judge(self) -> bool:
        """Holm: the i-th smallest of all p-values fails while it is at most alpha / (T - i), i = 0, 1, ..."""
        failing = True
        for i, verdict in enumerate(sorted(self.verdicts, key=lambda v: v.p_value)):
            verdict.threshold = self.alpha / (self.tests - i)
            failing = failing and not verdict.p_value > verdict.threshold  # a nan fails too
            verdict.passed = not failing
        return all(v.passed for v in self.verdicts)


def root_seed(reseed: bool | None = None) -> int:
    """The root seed: fixed, or with reseed (or PYMDM_RESEED in the environment) a new one, which is printed.

    PYMDM_RESEED may be 1 (draw one) or a number above 1 (use it, to repeat a run).
    """
    setting = os.environ.get("PYMDM_RESEED", "")
    if setting.isdigit() and int(setting) > 1:
        return int(setting)
    if reseed or (reseed is None and setting not in ("", "0")):
        seed = secrets.randbits(48) + 2
        os.environ["PYMDM_RESEED"] = str(seed)  # one seed for the whole process and its children
        print(f"\nproof: seed {seed} (repeat with PYMDM_RESEED={seed})", flush=True)
        return seed
    return DEFAULT_SEED
