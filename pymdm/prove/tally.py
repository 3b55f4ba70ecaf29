"""Running counts of a sampler's output against the exact laws of a small model."""

from __future__ import annotations

from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pymdm.prove.goodness import Fit, binomial, chi_square, combine, dkw, independent_uniforms
from pymdm.prove.implementation import Batch
from pymdm.prove.plan import Verdict, binomial_power, chi_square_power, dkw_power
from pymdm.prove.tables import TableModel
from pymdm.prove.total_variation import COVERAGE, Distance, estimate
from pymdm.reference.schedule import SCHEDULES

RARE = 2e-3  # tokens with a probability below this are also tested one by one
KEEP = 1 << 20  # hitting times kept for the DKW tests


def states(tokens: Any, model: TableModel) -> NDArray[np.int64]:
    """[B] table index of each sequence [B, L]; one past the last where a token is neither a token nor the mask."""
    tokens = np.asarray(tokens)
    legal = np.all((tokens >= 0) & (tokens <= model.vocab_size), axis=1)
    return np.where(legal, model.index(np.where(legal[:, None], tokens, 0)), (model.vocab_size + 1) ** model.length)


class Tally:
    """Counts sequences, orders and hitting times of one model, and turns them into verdicts.

    Args:
        model: the table model.
        law: [S] exact law over partial sequences.
        prompt: [L] or None.
        schedule: the schedule that hitting times are measured on.
    """

    def __init__(self, model: TableModel, law: NDArray[np.float64], prompt: Any = None, schedule: str = "linear"):
        self.model, self.law = model, law
        length, v = model.length, model.vocab_size
        self.free = np.arange(length) if prompt is None else np.flatnonzero(np.asarray(prompt) == v)
        self.halves = np.zeros((2, len(law) + 1), dtype=np.int64)  # one cell more for tokens outside 0..V
        self.schedule = SCHEDULES[schedule]()
        n = len(self.free)
        self.orders = np.zeros(factorial(n) + 1, dtype=np.int64) if n <= 6 else np.zeros(0, dtype=np.int64)
        self.before = np.zeros((n, n), dtype=np.int64)  # [i, j]: free position i unmasked before j, for n > 6
        self.improper = 0  # orders that are not one of the free positions, for n > 6
        # rank[digits(order)]: number of the order among all n!, or n! where it is none
        self.rank = np.full(length**n, factorial(n)) if n <= 6 else np.zeros(0, dtype=np.int64)
        if n <= 6:
            for i, order in enumerate(permutations(self.free)):
                self.rank[self.digits(np.array(order))] = i
        self.levels: list[NDArray[np.float64]] = []  # (m_e / m_{e-1})^{n_e}, [chunk, n]
        self.kept = 0
        self.n = 0

    def digits(self, order: NDArray[np.int64]) -> Any:
        """Orders [..., n] as numbers in base L."""
        return order @ (self.model.length ** np.arange(order.shape[-1]))

    def add(self, batch: Batch) -> None:
        """Counts a batch."""
        where = states(batch.tokens, self.model)
        half = (len(where) + self.n % 2) // 2  # the first and the second half of every batch, of equal size in the end
        self.n += len(where)
        for counts, part in zip(self.halves, (where[:half], where[half:]), strict=True):
            counts += np.bincount(part, minlength=len(counts))
        if batch.order.shape[1] == 0:
            return
        n = len(self.free)
        order = np.asarray(batch.order)[:, :n]
        proper = np.all((order >= 0) & (order < self.model.length), axis=1)
        if n <= 6:
            digits = self.digits(np.where(proper[:, None], order, 0))
            self.orders += np.bincount(np.where(proper, self.rank[digits], factorial(n)), minlength=len(self.orders))
        else:
            proper &= np.all(np.sort(order, axis=1) == self.free, axis=1)
            self.improper += int(np.sum(~proper))
            when = np.argsort(order[proper], axis=1)
            self.before += (when[:, :, None] < when[:, None, :]).sum(axis=0)
        if self.kept < KEEP and batch.times.shape[1]:
            m = np.asarray(self.schedule.masked(np.asarray(batch.times)[:, :n]))
            ratio = m / np.concatenate([np.ones((len(m), 1)), m[:, :-1]], axis=1)
            uniform = ratio ** np.arange(n, 0, -1)
            self.levels.append(np.where((uniform > 1) & (uniform < 1 + 1e-9), 1.0, uniform))  # rounding of masked(time)
            self.kept += len(m)

    @property
    def counts(self) -> NDArray[np.int64]:
        """[S + 1] samples of every sequence; the last cell is of those that are none."""
        return np.asarray(self.halves.sum(axis=0))

    def distance(self, coverage: float = COVERAGE) -> Distance:
        """Total variation between the sampler and the law, with an interval."""
        return estimate(self.halves, np.append(self.law, 0.0), coverage)

    def token_verdict(self, name: str, law: str, level: float) -> Verdict:
        """Chi-square of complete (and partial, and illegal) sequences against the law."""
        fit = chi_square(self.counts, np.append(self.law, 0.0))
        return Verdict(f"{name} / tokens", law, fit, chi_square_power(self.n, fit.cells, level))

    def rare_verdict(self, name: str, level: float) -> Verdict | None:
        """Exact binomial tests of every (position, token) whose probability is below RARE; None where there is none."""
        length, v = self.model.length, self.model.vocab_size
        counts, law = (a[: len(self.law)].reshape((v + 1,) * length) for a in (self.counts, self.law))
        fits, powers = [], []
        for l in self.free:
            axes = tuple(a for a in range(length) if a != l)
            seen, expected = counts.sum(axis=axes), law.sum(axis=axes)
            for token in range(v):
                if expected[token] < RARE:
                    fits.append(binomial(int(seen[token]), self.n, float(expected[token])))
                    powers.append((float(expected[token]), token))
        if not fits:
            return None
        power = binomial_power(self.n, max(powers)[0], level / len(fits))
        return Verdict(
            f"{name} / rare tokens", f"each token with P < {RARE:g} at its probability", combine(fits), power
        )

    def order_verdict(self, name: str, level: float) -> Verdict:
        """Uniformity over all n! orders (n up to 6), else of every pair."""
        n = len(self.free)
        if n <= 6:
            law = np.append(np.full(factorial(n), 1 / factorial(n)), 0.0)  # the last cell: not an order of the masks
            fit = chi_square(self.orders, law)
            return Verdict(
                f"{name} / order",
                "each order of the n masked positions has probability 1/n!",
                fit,
                chi_square_power(self.n, fit.cells, level),
            )
        if self.improper:
            fit = Fit(
                float(self.improper), 0.0, self.n, detail=f"{self.improper} orders are not of the masked positions"
            )
            return Verdict(f"{name} / order", "an order of the masked positions", fit)
        pairs = [binomial(int(self.before[i, j]), self.n, 0.5) for i in range(n) for j in range(i)]
        return Verdict(f"{name} / order", "each pair of positions in either order with probability 1/2", combine(pairs))

    def time_verdicts(self, name: str, level: float) -> list[Verdict]:
        """Joint law of the hitting times: (m_e / m_{e-1})^{n_e} uniform (DKW) and independent (chi-square)."""
        u = np.concatenate(self.levels)
        if np.isnan(u).any():
            fit = Fit(float("nan"), 0.0, len(u), detail="a hitting time is missing")
            return [Verdict(f"{name} / hitting times", "finite", fit)]
        each = combine([dkw(u[:, e]) for e in range(u.shape[1])])
        few = u.shape[1] <= 8
        pairs = [u] if few else [u[:, i : i + 2] for i in range(u.shape[1] - 1)]  # neighbours where there are too many
        joint = combine([independent_uniforms(columns) for columns in pairs])
        return [
            Verdict(
                f"{name} / hitting times",
                "(m_e / m_{e-1})^n uniform on (0, 1) for each event e",
                each,
                dkw_power(len(u), level / u.shape[1]),
            ),
            Verdict(
                f"{name} / hitting times joint",
                "(m_e / m_{e-1})^n of all events jointly uniform, so independent",
                joint,
                chi_square_power(len(u), joint.cells, level),
            ),
        ]
