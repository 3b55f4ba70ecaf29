"""Intervals, accuracy and law of the uniform, exponential and Gumbel transforms; schedules."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from scipy import stats

from pymdm.reference import philox
from pymdm.reference.gumbel import CAP_FLOAT32, CAP_FLOAT64, gumbel
from pymdm.reference.schedule import Cosine, Geometric, Linear, grid
from pymdm.reference.uniform import exponential, log_uniform, uniform

EDGES = [0, 1, 2**52, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 2**11, 2**64 - 2, 2**64 - 1]


def test_uniform_never_reaches_its_ends():
    u = uniform(np.array(EDGES, dtype=np.uint64))
    assert np.all(u > 0) and np.all(u < 1) and np.all(np.diff(u) >= 0)


@pytest.mark.parametrize("r", [*EDGES, 12345678901234567, 2**64 - 98765432109])
def test_exponential_against_exact_arithmetic(r):
    getcontext().prec = 60
    one_minus_u = (Decimal(2**64 - r) - Decimal("0.5")) / Decimal(2**64)
    exact = -one_minus_u.ln()
    assert abs(Decimal(float(exponential(r))) / exact - 1) < Decimal(2) ** -51
    exact_log_u = ((Decimal(r) + Decimal("0.5")) / Decimal(2**64)).ln()
    assert abs(Decimal(float(log_uniform(r))) / exact_log_u - 1) < Decimal(2) ** -51


def test_gumbel_caps():
    top, bottom = 0, 2**64 - 1
    assert 45.05 < gumbel(top) < 45.06 and -3.82 < gumbel(bottom) < -3.8
    assert np.isclose(gumbel(bottom, "float32"), CAP_FLOAT32, rtol=1e-6) and abs(CAP_FLOAT32 - 16.6355) < 1e-4
    assert np.isclose(gumbel(bottom, "float64"), CAP_FLOAT64) and abs(CAP_FLOAT64 - 36.7368) < 1e-4
    assert np.isclose(gumbel(top, "truncated"), CAP_FLOAT32)
    assert gumbel(top, "float32") == -np.inf  # u = 0
    with pytest.raises(ValueError, match="gumbel: kind"):
        gumbel(0, "float16")


@pytest.mark.parametrize("kind", ["exact", "float32", "float64", "truncated"])
def test_gumbel_law(kind):
    g = gumbel(philox.bits(5, np.arange(200_000), 0, philox.FREE, 0), kind)
    distance = stats.kstest(g, stats.gumbel_r.cdf).statistic
    assert 2 * np.exp(-2 * len(g) * distance**2) > 1e-9


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Geometric(), Geometric(1e-3, 8.0)])
def test_schedules_invert_and_decrease(schedule):
    t = np.linspace(0, 1, 1001)
    m = schedule.masked(t)
    assert np.all(np.diff(m) >= 0) and np.all(np.diff(schedule.alpha(t)) <= 0)
    assert np.allclose(schedule.alpha(t) + m, 1, atol=1e-15)
    inner = t[m < 0.999]
    assert np.allclose(schedule.time(schedule.masked(inner)), inner, atol=1e-9)
    assert abs(schedule.alpha(0) - 1) < 1e-15 and abs(schedule.alpha(1)) < 1e-15
    assert m[0] == 0 and abs(m[-1] - 1) < 1e-15 and schedule.time(0.0) == 0 and np.isclose(schedule.time(1.0), 1)


def test_schedules_are_the_stated_formulas():
    t = np.linspace(0.01, 0.99, 9)
    assert np.allclose(Cosine().alpha(t), 1 - np.cos(np.pi / 2 * (1 - t)))
    low, high = 1e-3, 8.0
    raw = np.exp(-(low ** (1 - t)) * high**t)
    scaled = (raw - np.exp(-high)) / (np.exp(-low) - np.exp(-high))
    assert np.allclose(Geometric(low, high).alpha(t), scaled, rtol=1e-9)


def test_grid():
    assert grid(4).tolist() == [1.0, 0.75, 0.5, 0.25, 0.0]
    with pytest.raises(ValueError, match="grid: steps"):
        grid(0)
    with pytest.raises(ValueError, match="Geometric"):
        Geometric(2.0, 1.0)
