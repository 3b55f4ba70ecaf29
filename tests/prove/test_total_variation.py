"""The estimated total variation: unbiased where there is none, its error right, its interval covering, at every size."""

import numpy as np
import pytest
from scipy.stats import binom

from pymdm.prove.plan import chi_square_power, detectable, root_seed
from pymdm.prove.total_variation import Distance, estimate

RATE = 1e-7  # chance that one of the counts below is outside by chance


def draws(cells, n, mix, repetitions, seed):
    """Estimates of independent samples, and the true distance."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(cells, 0.5))
    q = (1 - mix) * p + mix * rng.dirichlet(np.full(cells, 0.5))
    found = [estimate([rng.multinomial(n // 2, q), rng.multinomial(n - n // 2, q)], p) for _ in range(repetitions)]
    return found, 0.5 * float(np.abs(q - p).sum())


@pytest.mark.parametrize(("cells", "n"), [(8, 200), (64, 2000), (64, 100_000), (1000, 10_000)])
def test_of_an_exact_sampler_the_mean_is_zero_and_the_error_is_right(cells, n):
    """35% of tables of 27 cells showed more than 3 errors where noise was subtracted in squares; 27 * 0.3% is promised."""
    found, _ = draws(cells, n, 0.0, 400, root_seed())
    z = np.array([d.tv / d.error for d in found])
    assert abs(z.mean()) < 5.5 / 20 and 0.75 < z.std() < 1.25
    assert np.sum(np.abs(z) > 3) <= binom.isf(RATE, 400, 0.0035)
    assert np.mean([d.seen for d in found]) <= binom.isf(RATE, 400, 0.035) / 400


@pytest.mark.parametrize(("cells", "n"), [(2, 500), (8, 2000), (64, 500), (64, 50_000)])
@pytest.mark.parametrize("mix", [0.0, 0.03, 0.5])
def test_the_interval_covers(cells, n, mix):
    found, true = draws(cells, n, mix, 300, root_seed() + 1)
    inside = sum(d.low <= true <= d.high for d in found)
    assert inside >= binom.ppf(RATE, 300, 0.95)
    assert np.mean([d.tv for d in found]) <= true + 5.5 * found[0].error / 300**0.5  # never above, on average


def test_far_from_the_law_the_estimate_is_the_distance():
    found, true = draws(16, 50_000, 0.6, 100, root_seed() + 2)
    assert abs(np.mean([d.tv for d in found]) - true) < 0.002 and true > 0.1
    assert all(d.high - d.low < 0.02 and d.seen for d in found)


def test_illegal_samples_and_empty_halves():
    found = estimate([[0, 0, 50], [0, 0, 50]], [0.5, 0.5, 0.0])
    assert found.tv == 1 and found.low == 1 and found.high == 1
    assert estimate([[1, 0], [0, 0]], [0.5, 0.5]) == Distance(0.0, 0.5, 0.0, 1.0, 1)
    with pytest.raises(ValueError, match=r"total_variation: expected counts of shape \(2, 3\)"):
        estimate([[1, 2], [3, 4]], [0.2, 0.3, 0.5])


def test_detectable_is_the_inverse_of_power():
    for n, cells in ((1000, 8), (10**6, 200)):
        seen = detectable(n, cells, 1e-7)
        assert chi_square_power(n, cells, 1e-7, seen) == pytest.approx(0.5, abs=1e-4)
    assert detectable(5, 8, 1e-7) == 1 and detectable(1000, 1, 1e-7) == 1
