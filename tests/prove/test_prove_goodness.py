"""The tests of laws themselves: levels, power, pooling, and the plan's bookkeeping."""

import numpy as np
import pytest

from pymdm.prove import goodness
from pymdm.prove.goodness import Fit
from pymdm.prove.plan import Plan, Verdict, chi_square_power, dkw_power, root_seed, sample_size


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("statistic", ["pearson", "g"])
def test_chi_square_keeps_its_level_with_small_cells(statistic, rng):
    p = rng.dirichlet(np.full(300, 0.4))
    values = np.array([goodness.chi_square(rng.multinomial(8000, p), p, statistic).p_value for _ in range(4000)])
    for level in (0.1, 0.01):
        assert abs(np.mean(values < level) - level) < 6 * np.sqrt(level / 4000)


def test_chi_square_has_the_stated_power(rng):
    cells, alpha, tv = 40, 1e-3, 0.05
    n = sample_size(cells, alpha, tv, miss=0.1)
    p = np.full(cells, 1 / cells)
    q = p * (1 + 2 * tv * np.where(np.arange(cells) % 2, 1, -1))  # the alternative that attains the bound
    assert np.isclose(0.5 * np.abs(q - p).sum(), tv)
    caught = np.mean([goodness.chi_square(rng.multinomial(n, q), p).p_value < alpha for _ in range(800)])
    assert abs(caught - 0.9) < 0.06 and abs(chi_square_power(n, cells, alpha, tv) - 0.9) < 0.01


def test_sample_sizes_are_the_published_ones():
    for cells, n in ((243, 8.5e5), (1024, 1.5e6), (4096, 2.7e6)):
        assert abs(sample_size(cells, 1e-9) / n - 1) < 0.02


def test_impossible_cells_are_never_pooled():
    fit = goodness.chi_square([1000, 1000, 1], [0.5, 0.5, 0.0])
    assert fit.p_value == 0 and "impossible" in fit.detail
    assert goodness.chi_square([1000, 1000, 0], [0.5, 0.5, 0.0]).p_value > 0.5


def test_pooling_rule():
    fit = goodness.chi_square([500, 480, 8, 6, 6], [0.5, 0.48, 0.008, 0.006, 0.006])
    assert fit.cells == 2 and np.isclose(fit.pooled, 0.02)  # 20 expected in all: joined to the smallest big cell
    fit = goodness.chi_square([500, 440, 20, 20, 20], [0.5, 0.44, 0.02, 0.02, 0.02])
    assert fit.cells == 3 and np.isclose(fit.pooled, 0.06)


def test_dkw_and_binomial(rng):
    u = rng.random(20_000)
    assert goodness.dkw(u).p_value > 1e-6 and goodness.dkw(u**1.1).p_value < 1e-9
    assert goodness.dkw(np.append(u, 1.5)).p_value == 0 and goodness.dkw(np.append(u, np.nan)).p_value == 0
    assert goodness.binomial(10, 10_000, 1e-3).p_value > 0.5 and goodness.binomial(60, 10_000, 1e-3).p_value < 1e-9
    assert goodness.binomial(1, 10, 0.0).p_value == 0 and goodness.binomial(0, 10, 0.0).p_value == 1
    assert dkw_power(10**6, 1e-9) > 1 - 1e-6 and dkw_power(1000, 1e-9) == 0


def test_independent_uniforms(rng):
    u = rng.random((50_000, 3))
    assert goodness.independent_uniforms(u).p_value > 1e-6
    u[:, 2] = (u[:, 0] + u[:, 1]) % 1.0  # pairwise independent, not jointly
    assert goodness.independent_uniforms(u).p_value < 1e-9


def test_contingency_keeps_its_level_whatever_the_margins_and_has_the_stated_power(rng):
    a, b = rng.dirichlet(np.full(5, 0.7)), rng.dirichlet(np.full(7, 0.7))
    product = np.outer(a, b)
    fits = [goodness.contingency(rng.multinomial(3000, product.ravel()).reshape(5, 7)) for _ in range(3000)]
    for level in (0.1, 0.01):
        share = np.mean([f.p_value < level for f in fits])
        assert abs(share - level) < 6 * np.sqrt(level / 3000) and fits[0].cells > 4
    tied = 0.95 * np.full((4, 4), 1 / 16) + 0.05 * np.eye(4) / 4
    tv, n = 0.5 * np.abs(tied - 1 / 16).sum(), 4000
    caught = np.mean(
        [goodness.contingency(rng.multinomial(n, tied.ravel()).reshape(4, 4)).p_value < 0.01 for _ in range(400)]
    )
    assert caught > chi_square_power(n, 10, 0.01, tv) - 0.1 > 0.3
    assert goodness.contingency(np.diag([3, 2, 1])).cells == 1  # too few counts to test anything
    assert goodness.contingency([[100, 0], [0, 0]]).p_value == 1


def test_tv_floor_is_what_noise_gives(rng):
    p = rng.dirichlet(np.ones(50))
    fits = [goodness.chi_square(rng.multinomial(10_000, p), p) for _ in range(200)]
    assert abs(np.mean([f.tv for f in fits]) / fits[0].tv_floor - 1) < 0.05
    assert 0.3 < np.std([f.tv for f in fits]) / fits[0].tv_error < 3


def verdicts(*p_values):
    return [Verdict(str(i), "law", Fit(0.0, p, 1)) for i, p in enumerate(p_values)]


def test_holm():
    plan = Plan(tests=4, alpha=0.04)
    plan.add(verdicts(0.5, 0.005, 0.013, 0.03))
    assert not plan.judge()
    assert [v.passed for v in plan.verdicts] == [True, False, False, True]  # 0.01, 0.0133, then 0.02 stops it
    assert np.isclose(plan.level, 0.01)


def test_plan_bookkeeping():
    plan = Plan(tests=1)
    with pytest.raises(ValueError, match="plan: 2 tests"):
        plan.add(verdicts(0.5, 0.5))
    nan = Plan(tests=1)
    nan.add(verdicts(float("nan")))
    assert not nan.judge()
    assert Plan(1, seed=1).seed_for("a") != Plan(1, seed=2).seed_for("a")


def test_reseeding(monkeypatch, capsys):
    monkeypatch.delenv("PYMDM_RESEED", raising=False)
    assert root_seed() == root_seed() == 20_240_903
    monkeypatch.setenv("PYMDM_RESEED", "1")
    drawn = root_seed()
    assert drawn != 20_240_903 and str(drawn) in capsys.readouterr().out
    assert root_seed() == drawn  # kept for the rest of the run
    monkeypatch.setenv("PYMDM_RESEED", "1234")
    assert root_seed() == 1234
