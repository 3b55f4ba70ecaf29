"""The law of the arg-max under noise from multiples of 2^-b, against the sum over all of them and against samples."""

import numpy as np
import pytest
import torch
from scipy import stats

from pymdm._native import C
from pymdm.precision.caps import cap_of_bits
from pymdm.precision.theory import ancestral_run, zipf
from pymdm.reference.lattice import lattice_law
from pymdm.reference.truncated import truncated_law


def enumerated(pi, bits):
    """P(n) = sum over j of P(E_n = e_j) prod_k P(E_k / pi_k > e_j / pi_n), e_j = -log(1 - j 2^-bits); ties to the first."""
    pi = np.asarray(pi) / np.sum(pi)
    e = -np.log1p(-np.arange(1, 2**bits) / 2**bits)
    e = np.append(e, np.inf)
    law = np.zeros(len(pi))
    for n in np.flatnonzero(pi):
        each = np.full(2**bits, 2.0**-bits)
        for k in range(len(pi)):
            if k != n and pi[k] > 0:
                bound = e / pi[n] * pi[k] * (1 + 1e-12 * np.sign(k - n))
                each *= 1 - np.searchsorted(e, bound) / 2**bits
        law[n] = each.sum()
    return law


RARE = [[0.02, 0.08, 0.3, 0.6], [0.0005, 0.0015, 0.998], [0.002] * 7 + [0.986], [0.5, 0.5], [0.0, 0.001, 0.999]]


@pytest.mark.parametrize("pi", RARE)
@pytest.mark.parametrize("bits", [8, 12])
def test_it_is_the_enumerated_law_up_to_the_lattice(pi, bits):
    law, right = lattice_law(pi, bits), enumerated(pi, bits)
    assert right.sum() == pytest.approx(1, abs=1e-4)  # u = 0 of two at once counts twice
    assert np.abs(law - right).sum() / 2 < 2.0**-bits * len(pi)
    assert law.sum() == pytest.approx(1) and all(law[np.asarray(pi) == 0] == 0)


def test_many_rare_classes_together_follow_the_trapezoid_rule():
    """Half of the multiple after the single ones, then a rate: 0.0018; with all or none of it 0.005."""
    pi = [0.005] * 100 + [0.5]
    assert np.abs(lattice_law(pi, 12) - enumerated(pi, 12)).sum() / 2 < 0.003


def test_rare_classes_win_more_often_than_with_truncated_noise():
    """The class of 2^-12 in the lattice of 2^-10: its clock rings at 4, 8, ... with 2^-10 each."""
    p = 2.0**-12
    pi = [p, 1 - p]
    right = sum(2.0**-10 * np.exp(-4 * j * (1 - p)) for j in range(1, 20))
    assert lattice_law(pi, 10)[0] == pytest.approx(right, rel=0.01)
    assert truncated_law(pi, cap_of_bits(10))[0] < 0.3 * right


def test_a_fine_lattice_changes_nothing_and_a_run_of_one_is_its_own_steps():
    mu = zipf(300)
    assert lattice_law(mu, 40) == pytest.approx(mu, rel=1e-6)
    run = ancestral_run(mu, 3, 1.0, lattice_bits=9)
    steps = [lattice_law(np.append(mu * r, 1 - r), 9)[:-1] for r in (1 / 3, 1 / 2, 1)]
    stays = np.cumprod([1, 1 - steps[0].sum(), 1 - steps[1].sum()])
    assert run.law == pytest.approx(stays @ np.array(steps))


@pytest.mark.slow
def test_float32_draws_follow_it_and_not_the_truncated_law():
    """K tokens of 2^-24 each beside the mask, 2^33 numbers: 298 rows leave the mask by the lattice, 188 if truncated."""
    K, batch, calls = 1 << 16, 64, 1 << 11
    weights = torch.full((batch, K + 1), 2.0**-24, dtype=torch.float64)
    weights[:, -1] = 1 - K * 2.0**-24
    logits, ids = weights.log(), torch.arange(batch)
    hits = sum(
        int((C.choose_emulated(logits, 5, ids, torch.full((batch,), i), C.Noise.float32) < K).sum())
        for i in range(calls)
    )
    leaves = [
        1 - law(weights[0].numpy(), how)[-1] for law, how in ((lattice_law, 24), (truncated_law, cap_of_bits(24)))
    ]
    assert stats.binomtest(hits, batch * calls, leaves[0]).pvalue > 1e-6
    assert stats.binomtest(hits, batch * calls, leaves[1]).pvalue < 1e-3


@pytest.mark.parametrize("pi", [[[0.5, 0.5]], [-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0]])
def test_bad_weights(pi):
    with pytest.raises(ValueError, match=r"^lattice_law: probabilities must be"):
        lattice_law(pi, 24)


def test_bad_bits():
    with pytest.raises(ValueError, match=r"^lattice_law: bits must be at least 2"):
        lattice_law([1.0], 1)
