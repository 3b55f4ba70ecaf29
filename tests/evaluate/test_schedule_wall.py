"""Half the calls at no more nats: out of reach on consistent models by enumeration, so a wall and not a missing schedule."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pymdm.evaluate.call_sizes import best_sizes, excess, uniform_sizes

L = 8


def joint(interaction: float) -> np.ndarray:
    """[2, ..., 2] Curie-Weiss: p(x) proportional to exp(J/L sum_{l<q} s_l s_q), s = 2x - 1; all positions are alike."""
    total = np.array([sum(2 * b - 1 for b in x) for x in itertools.product((0, 1), repeat=L)])
    weights = np.exp(interaction / L * (total**2 - L) / 2)
    return (weights / weights.sum()).reshape((2,) * L)


def marginal(law: np.ndarray, m: int) -> np.ndarray:
    return law.sum(axis=tuple(range(m, L)))


def curve(law: np.ndarray) -> np.ndarray:
    """h(m) = H(m + 1) - H(m), H(m) the entropy of m positions: exact, as positions are alike."""
    entropies = [-float((p := marginal(law, m)).ravel() @ np.log(p).ravel()) for m in range(1, L + 1)]
    return np.diff([0.0, *entropies])


def divergence(law: np.ndarray, sizes: tuple[int, ...]) -> float:
    """KL(law || law of the scheduled sampler) along one order, by the sum over all sequences; all orders give the same."""
    found = 0.0
    for x in itertools.product((0, 1), repeat=L):
        known, log_q = 0, 0.0
        for size in sizes:
            before = float(marginal(law, known)[x[:known]])
            for l in range(known, known + size):  # p(x_l | known): position l takes the place of the next one
                log_q += np.log(float(marginal(law, known + 1)[(*x[:known], x[l])]) / before)
            known += size
        found += float(law[x]) * (np.log(float(law[x])) - log_q)
    return found


@pytest.mark.parametrize(("interaction", "uniform", "best"), [(0.6, 0.0187668, 0.0569532), (1.2, 0.1282181, 0.3189792)])
def test_the_best_two_calls_cost_more_than_four_equal_ones(interaction, uniform, best):
    law = joint(interaction)
    h = curve(law)
    costs = {sizes: divergence(law, sizes) for sizes in [(k, L - k) for k in range(1, L)] + [(2, 2, 2, 2)]}
    for sizes, cost in costs.items():
        assert excess(h, sizes) == pytest.approx(cost, abs=1e-9)  # the certificate is the divergence here too
    least = min((cost, sizes) for sizes, cost in costs.items() if len(sizes) == 2)
    assert best_sizes(h)[1] == least[1]
    assert least[0] > 2 * costs[uniform_sizes(L, 4)] > 0
    assert (costs[2, 2, 2, 2], least[0]) == pytest.approx((uniform, best), abs=1e-7)


def test_a_curve_that_falls_evenly_costs_more_than_twice_at_half_the_calls():
    """L / K = s tokens a call cost K s (s - 1) / 2 steps of the curve: the ratio is (2s - 1) / (s - 1)."""
    h = np.linspace(2.0, 1.0, 16)
    for calls in (8, 4):
        s = 16 // calls
        ratio = excess(h, best_sizes(h)[calls // 2 - 1]) / excess(h, uniform_sizes(16, calls))
        assert ratio == pytest.approx((2 * s - 1) / (s - 1))


def test_a_curve_that_is_flat_after_its_start_allows_it():
    """So the wall is the curve's, not the method's."""
    h = np.array([3.0, 1.0, *[0.99] * 14])
    assert excess(h, best_sizes(h)[1]) < excess(h, uniform_sizes(16, 4))
