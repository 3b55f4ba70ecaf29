"""Remasking (ReMDM): the compiled sampler against its reference and its enumerated law, and what the law keeps.

Chi-square tests here use alpha 1e-7 each (4 tests).
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.sampler_tables import ALPHA, POWERS, L, V, chi_square, draw, network, table

import pymdm
from pymdm._native import C
from pymdm.prove.plan import root_seed
from pymdm.reference import laws, remask

SAMPLERS = [
    pymdm.Remask(steps=5, eta=0.4),
    pymdm.Remask(steps=5, strategy="rescale", eta=0.7, schedule="cosine"),
    pymdm.Remask(steps=8, strategy="loop", eta=0.3, t_on=0.7, t_off=0.2),
    pymdm.Remask(steps=6, strategy="rescale", eta=1.0, switch=0.5),
]


def joint(seed: int, vocab: int = 2, length: int = 3) -> np.ndarray:
    """[V, ..., V] a law whose positions depend on each other strongly."""
    weights = np.random.default_rng(seed).gamma(0.3, size=(vocab,) * length) + 1e-4
    return weights / weights.sum()


@pytest.mark.parametrize("sampler", [*SAMPLERS, pymdm.Remask(steps=6, strategy="conf")], ids=str)
@pytest.mark.parametrize("prompt", [None, [V, 1, V, V]], ids=["free", "given"])
def test_each_sequence_is_the_reference_s(sampler, prompt):
    mu, ids = table(5), [0, 7, 2**32, 2**56 - 1, *range(100, 120)]
    start = [[V] * L if prompt is None else prompt] * len(ids)
    for temperature in (1.0, 0.6):
        out = pymdm.sample(
            network(mu), mask_id=V, infill=start, sequence_ids=ids, seed=9, sampler=sampler, temperature=temperature
        )
        for sample, sequence in zip(out, ids, strict=True):
            one = remask.remask(
                lambda tokens: np.log(mu)[tokens @ POWERS.numpy()],
                L,
                mask_id=V,
                seed=9,
                sequence=sequence,
                levels=sampler.levels(),
                sigma=sampler.sigmas(),
                confident=sampler.strategy == "conf",
                prompt=prompt,
                temperature=temperature,
            )
            assert sample.tokens.tolist() == one.tokens.tolist()
            assert sample.nfe == one.nfe


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_law_matches_enumeration(sampler):
    mu = table(root_seed() % 1000)
    law = remask.remask_law(mu, sampler.levels(), sampler.sigmas())
    assert abs(law.sum() - 1) < 1e-12
    assert chi_square(draw(sampler, n=60_000, mu=mu), law) > ALPHA


def test_the_law_test_sees_a_wrong_exit_probability():
    # Leaving with (m - s) / m, as without remasking, and masking again all the same.
    mu, sampler = table(5), SAMPLERS[0]
    law = laws.start_law(V, L)
    for m, s, sigma in zip(sampler.levels()[:-1], sampler.levels()[1:], sampler.sigmas(), strict=True):
        without = remask.remask_step(law, mu, m, s, 0.0)
        free = np.ones((len(law), L), dtype=bool)
        law = remask.remask_step(without, np.zeros_like(mu), 1.0, 1.0, sigma, free[0]) if s > 0 else without
    assert chi_square(draw(sampler, n=60_000, mu=mu), law) < ALPHA


def test_without_remasking_it_is_ancestral_sampling():
    none, plain = pymdm.Remask(steps=5, eta=0.0), pymdm.Ancestral(steps=5)
    assert torch.equal(draw(none).tokens, draw(plain).tokens)
    mu = table(3)
    assert np.allclose(
        remask.remask_law(mu, none.levels(), none.sigmas()), laws.ancestral_law(mu, none.levels()), atol=1e-15
    )


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0])
def test_one_step_keeps_levels_and_each_position_s_law(sigma):
    # With the true conditionals: P(z_l = v) = (1 - s) p_l(v) and P(z_l = mask) = s after the step, whatever sigma.
    p, m, s = joint(1, 3, 3), 0.6, 0.45
    after = remask.remask_step(remask.masked_process(p, m), laws.conditionals(p), m, s, sigma).reshape((4,) * 3)
    for l in range(3):
        others = tuple(i for i in range(3) if i != l)
        assert np.allclose(after.sum(axis=others), [*((1 - s) * p.sum(axis=others)), s], atol=1e-14)


def test_independent_positions_are_kept_exactly():
    p = np.einsum("i,j,k->ijk", *np.random.default_rng(2).dirichlet(np.ones(3), size=3))
    after = remask.remask_step(remask.masked_process(p, 0.6), laws.conditionals(p), 0.6, 0.5, 0.4)
    assert np.allclose(after, remask.masked_process(p, 0.5), atol=1e-15)


def test_the_error_of_a_step_is_that_of_tokens_that_leave_together():
    # Total variation of a step of length h and sigma of order h falls as h^2, so that of a whole run as 1 / N.
    p, m = joint(3), 0.5
    mu = laws.conditionals(p)
    found = []
    for h in (0.02, 0.01, 0.005):
        after = remask.remask_step(remask.masked_process(p, m), mu, m, m - h, 4 * h)
        found.append(0.5 * np.abs(after - remask.masked_process(p, m - h)).sum())
    assert found[0] / found[1] == pytest.approx(4, rel=0.05) and found[1] / found[2] == pytest.approx(4, rel=0.05)


def test_the_run_tends_to_the_true_law_as_fast_as_sigma_allows():
    p = joint(4)
    mu = laws.conditionals(p)

    def distance(steps: int, eta: float, **options) -> float:
        sampler = pymdm.Remask(steps=steps, eta=eta, **options)
        law = laws.complete(remask.remask_law(mu, sampler.levels(), sampler.sigmas()), 2, 3)
        return 0.5 * float(np.abs(law - p.ravel()).sum())

    for rate in (0.0, 1.6):  # sigma of order 1 / N: the error is halved with the step
        found = [distance(n, rate / n) for n in (32, 64, 128)]
        assert found[0] / found[1] == pytest.approx(2, rel=0.1) and found[1] / found[2] == pytest.approx(2, rel=0.1)
    # A sigma that does not shrink lets tokens leave together however short the steps are.
    assert distance(128, 0.2) / distance(256, 0.2) == pytest.approx(2**0.5, rel=0.03)
    assert distance(128, 0.2, strategy="loop") / distance(256, 0.2, strategy="loop") < 1.03


def test_levels_are_kept_by_every_strategy_but_conf():
    # Mean number of masks in the middle of a run, L m, by enumeration.
    mu = table(0)
    masks = (laws.all_states(V, L) == V).sum(axis=1)
    for sampler in SAMPLERS:
        half = sampler.steps // 2
        law = laws.start_law(V, L)
        for m, s, sigma in zip(sampler.levels()[:half], sampler.levels()[1:], sampler.sigmas(), strict=False):
            law = remask.remask_step(law, mu, m, s, sigma)
        assert law @ masks == pytest.approx(L * sampler.levels()[half], abs=1e-12)


def test_sigma_stays_within_its_bound():
    for strategy in ("cap", "rescale", "conf", "loop"):
        for steps in (1, 2, 3, 10, 100):
            sampler = pymdm.Remask(steps=steps, strategy=strategy, eta=1.0)
            m, sigma = np.array(sampler.levels()), np.array(sampler.sigmas())
            assert m[0] == 1 and m[-1] == 0 and np.all(np.diff(m) <= 0)
            assert np.all(sigma * (1 - m[:-1]) <= m[1:] + 1e-15) and sigma[-1] == 0
    with pytest.raises(ValueError, match=r"sigma must be in \[0, min\(1, s / \(1 - m\)\)\], got 0.9"):
        C.remask([1.0, 0.5, 0.2, 0.0], [0.5, 0.9, 0.0], pymdm.Schedule("linear").native(), False)


def test_a_run_may_be_stopped_where_no_mask_is_left():
    sampler = pymdm.Remask(steps=40, strategy="loop", eta=0.3, alpha_on=0.9)
    whole = draw(sampler, n=50)
    out, before, empty = draw(sampler, n=50, max_calls=1, batch_size=1), 0, False
    while out.calls > before:
        before = out.calls
        empty |= bool(((out.state.remaining == 0) & (out.state.nfe > 0)).any())
        out = pymdm.resume(network(table()), out.state.to_dict(), sampler=sampler, max_calls=1, batch_size=1)
    assert empty and torch.equal(out.tokens, whole.tokens) and torch.equal(out.rank, whole.rank)
    assert max(whole.nfe) > L  # tokens were drawn more than once
    assert int(out.state.remaining.sum()) == 0


def test_masks_beyond_the_grid_are_an_error():
    out = pymdm.sample(network(table()), mask_id=V, length=L, num_samples=2, seed=1, max_calls=L - 1)
    with pytest.raises((ValueError, RuntimeError), match=r"^sample: sequence 0 has masks at step \d+ of a grid of 1$"):
        C.run(out.state, pymdm.Remask(steps=1).native(), lambda *_: torch.zeros(1, V))


@pytest.mark.parametrize("steps", [1, 2, 5, 8, 20])
@pytest.mark.parametrize("strategy", ["cap", "rescale", "conf", "loop"])
def test_grids_are_those_of_the_reference(strategy, steps):
    for shape in ({}, {"t_on": 0.7, "t_off": 0.2, "alpha_on": 0.75}):
        sampler = pymdm.Remask(steps=steps, strategy=strategy, eta=0.3, schedule="cosine", **shape)
        levels, sigma = remask.strategy_grid(strategy, steps, 0.3, "cosine", **shape)
        assert np.allclose(sampler.levels(), levels, atol=1e-14)
        assert np.allclose(sampler.sigmas(), sigma, atol=1e-14)


def test_the_law_by_confidence_is_that_of_its_parts():
    mu, sampler = table(6)[: 3**2, :2, :2], pymdm.Remask(steps=4, strategy="conf")
    mu = mu / mu.sum(axis=-1, keepdims=True)
    none = remask.confident_law(mu, sampler.levels(), np.zeros(4))
    assert np.allclose(none, laws.ancestral_law(mu, sampler.levels()), atol=1e-15)
    law = remask.confident_law(mu, sampler.levels(), sampler.sigmas())
    assert abs(law.sum() - 1) < 1e-12 and not np.allclose(law, none, atol=1e-3)
    # Both drawn in the first step, (0, 1) with 0.9 and 0.1; the second masks each again by its share of sigma = 1/2.
    row = np.broadcast_to(np.array([[0.9, 0.1], [0.9, 0.1]]), (9, 2, 2))
    after = remask.confident_law(row, [1.0, 1e-9, 0.5 * 1e-9], [0.0, 0.5]).reshape(3, 3)
    share = np.exp(-0.9) / (np.exp(-0.9) + np.exp(-0.1))
    assert after[2, 1] == pytest.approx(
        0.09 * 0.5 * share * (1 - 0.5 * (1 - share)) + 0.01 * 0.25 * 0.75, abs=1e-8
    )  # from (0, 1) and from (1, 1)
