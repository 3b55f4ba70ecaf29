"""Choice: filters, ties, errors, and its law; Proposition 5.2 against its formula and by simulation."""

import numpy as np
import pytest
from scipy import stats

from pymdm.reference import philox
from pymdm.reference.choose import choose, filtered
from pymdm.reference.gumbel import CAP_FLOAT32, gumbel
from pymdm.reference.truncated import truncated_law
from pymdm.reference.uniform import exponential

INF = float("inf")


def test_law_is_the_softmax():
    logits = np.array([0.3, -1.0, 2.0, -INF, 0.3])
    n = 200_000
    counts = np.bincount(choose(np.tile(logits, (n, 1)), 3, np.arange(n), temperature=0.7), minlength=5)
    p = np.exp(logits / 0.7) / np.exp(logits / 0.7).sum()
    assert counts[3] == 0
    live = p > 0
    assert stats.chisquare(counts[live], n * p[live]).pvalue > 1e-9


def test_ties_and_temperature_zero():
    assert choose([[1.0, 3.0, 3.0, 2.0]], 0, temperature=0.0).tolist() == [1]
    # argmax of the float64 scores, written out
    logits = np.linspace(-1, 1, 9)
    noise = gumbel(philox.bits(4, 2, 5, philox.TOKEN, 40 + np.arange(9)))
    assert choose([logits], 4, 2, 5, base=40).tolist() == [int(np.argmax(logits + noise))]


def test_top_k_top_p_and_bans():
    row = np.log([0.4, 0.3, 0.2, 0.1])
    assert np.isfinite(filtered([row], top_k=2))[0].tolist() == [True, True, False, False]
    assert np.isfinite(filtered([[1.0, 1.0, 1.0, 0.0]], top_k=2))[0].tolist() == [True, True, False, False]
    assert np.isfinite(filtered([row], top_p=0.69))[0].tolist() == [True, True, False, False]
    assert np.isfinite(filtered([row], top_p=0.71))[0].tolist() == [True, True, True, False]
    assert np.isfinite(filtered([row], top_p=1e-9))[0].tolist() == [True, False, False, False]
    assert np.isfinite(filtered([row], temperature=0.1, top_p=0.9))[0].tolist() == [True, False, False, False]
    assert np.isfinite(filtered([row], banned=[True, False, False, False], top_k=1))[0].tolist() == [
        False,
        True,
        False,
        False,
    ]
    # after top-k the rest is renormalised: 0.4/0.7 < 0.6 so both stay
    assert np.isfinite(filtered([row], top_k=2, top_p=0.6))[0].tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    "kwargs,words",
    [
        ({"temperature": -1.0}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0.0}, "top_p"),
        ({"banned": [True, True]}, "row 0 has no class"),
    ],
)
def test_bad_parameters(kwargs, words):
    with pytest.raises(ValueError, match=f"choose: .*{words}"):
        choose([[0.0, 1.0]], 0, **kwargs)


@pytest.mark.parametrize("bad", [float("nan"), INF])
def test_bad_rows_are_named(bad):
    with pytest.raises(ValueError, match="choose: row 1"):
        choose([[0.0, 1.0], [bad, 0.0]], 0)
    with pytest.raises(ValueError, match="choose: row 0"):
        choose([[-INF, -INF]], 0)


def test_proposition_5_2_known_value():
    law = truncated_law([0.02, 0.08, 0.3, 0.6], 1.0)
    assert np.allclose(law, [9e-10, 0.00272, 0.22983, 0.76746], rtol=6e-3, atol=5e-11)


def test_proposition_5_2_against_the_formula_as_printed():
    rng = np.random.default_rng(0)
    for cap in (-0.5, 1.0, 3.0):
        pi = np.sort(rng.dirichlet(np.ones(6)))
        c, k, previous = np.exp(-cap), len(pi), np.concatenate([[0.0], pi[:-1]])
        tails = np.cumsum(pi[::-1])[::-1]
        count = k + 1 - np.arange(1, k + 1)
        with np.errstate(divide="ignore"):
            beta = (np.exp((count - tails / pi) * c) - np.exp((count - tails / previous) * c)) / tails
        assert np.allclose(truncated_law(pi, cap), pi * np.cumsum(beta), rtol=1e-9, atol=1e-14)


def test_proposition_5_2_ties_zeros_and_size():
    law = truncated_law([0.0, 0.25, 0.25, 0.5, 0.0], 1.0)
    assert law[0] == law[4] == 0 and law[1] == law[2] > 0 and np.isclose(law.sum(), 1, atol=1e-14)
    assert np.allclose(truncated_law(np.full(7, 1 / 7), 2.0), 1 / 7)
    zipf = 1 / np.arange(1, 300_001)
    law = truncated_law(zipf, CAP_FLOAT32)
    assert np.all(law >= 0) and np.isclose(law.sum(), 1, atol=1e-10) and np.all(np.diff(law) <= 0)
    assert np.allclose(truncated_law([0.1, 0.2, 0.7], 60.0), [0.1, 0.2, 0.7], rtol=1e-12)
    assert np.allclose(truncated_law([5e-324, 1e-300, 1.0], 10.0), [0, 0, 1])
    with pytest.raises(ValueError, match="truncated_law"):
        truncated_law([0.0, 0.0], 1.0)


def test_proposition_5_2_published_size_of_the_defect():
    """First ancestral step, Zipf prediction, V = 50,257: unmasking slowed to x.58 (N = 2,048) and x.44 (N = 10,000)."""
    zipf = 1 / np.arange(1, 50_258)
    zipf /= zipf.sum()
    for steps, factor, distance in ((2048, 0.58, 0.35), (10_000, 0.44, 0.47)):
        law = truncated_law(np.concatenate([zipf / steps, [1 - 1 / steps]]), CAP_FLOAT32)
        assert abs((1 - law[-1]) * steps - factor) < 0.01
        assert abs(0.5 * np.abs(law[:-1] / law[:-1].sum() - zipf).sum() - distance) < 0.01


def test_truncated_noise_follows_the_closed_form():
    pi, cap, n = np.array([0.02, 0.08, 0.3, 0.6]), 1.0, 200_000
    e = np.exp(-cap) + exponential(philox.bits(9, np.arange(n)[:, None], 0, philox.FREE, np.arange(4)))
    counts = np.bincount(np.argmin(e / pi, axis=1), minlength=4)
    law = truncated_law(pi, cap)
    assert counts[0] == 0 and stats.chisquare(counts[1:], n * law[1:] / law[1:].sum()).pvalue > 1e-9
