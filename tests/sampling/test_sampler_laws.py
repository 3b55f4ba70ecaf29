"""Laws, counts and orders of the samplers that are approximate or only need a small table.

Laws of the exact forms are in test_proof.py. Chi-square tests here use alpha 1e-7 each and fixed seeds (about 10 tests).
"""

from __future__ import annotations

import numpy as np
import torch
from helpers.sampler_tables import ALPHA, POWERS, L, V, chi_square, draw, network, table
from scipy import stats

import pymdm
from pymdm.prove import goodness
from pymdm.reference import laws
from pymdm.reference.second_order import extrapolated_law


def test_parallel_law_matches_enumeration():
    mu = table(1)
    for k in (1, 2, 4):
        out = draw(pymdm.FirstHitting(tokens_per_call=k), n=60_000, mu=mu)
        assert chi_square(out, laws.first_hitting_law(mu, None, k)) > ALPHA
        assert out.nfe == [-(-L // k)] * 60_000
    # The test has the power to tell two tokens a call from one.
    assert chi_square(out, laws.first_hitting_law(mu, None, 1)) < ALPHA


def test_ancestral_law_matches_enumeration():
    mu = table(2)
    for form in ("choose-then-sample", "literal"):
        out = draw(pymdm.Ancestral(steps=3, form=form), n=60_000, mu=mu)
        assert chi_square(out, laws.ancestral_law(mu, np.linspace(1, 0, 4))) > ALPHA
    assert chi_square(out, laws.first_hitting_law(mu)) < ALPHA


def test_ancestral_calls_match_the_closed_form():
    steps, n = 5, 20_000
    for form in ("choose-then-sample", "literal"):
        nfe = np.array(draw(pymdm.Ancestral(steps=steps, form=form), n=n).nfe)
        expected = steps * (1 - (1 - 1 / steps) ** L)
        assert abs(nfe.mean() - expected) < 6 * nfe.std() / np.sqrt(n)
    # Without a cache every step before the last mask is gone costs a call.
    calls: list[int] = []
    pymdm.sample(
        network(table(), calls), mask_id=V, length=L, seed=1, sampler=pymdm.Ancestral(steps=steps, cache=False)
    )
    assert 1 <= len(calls) <= steps


def test_second_order_forms_are_closer_than_the_first_order_one():
    # `noise` is what sampling alone adds to a total variation at this size; its own spread is an eighth of that.
    from pymdm.bench.second_order import LENGTH, VOCAB, ising
    from pymdm.bench.second_order import network as leave_one_out

    mu = laws.conditionals(ising(0.3, 0))
    law = laws.complete(laws.first_hitting_law(mu), VOCAB, LENGTH).ravel()
    weights = torch.from_numpy(VOCAB ** np.arange(LENGTH - 1, -1, -1))
    variation = {}
    for name, options in {"first": {}, "extrapolation": {"order": 2}, "corrector": {"corrector": True}}.items():
        out = pymdm.sample(
            leave_one_out(mu),
            mask_id=VOCAB,
            length=LENGTH,
            num_samples=100_000,
            seed=2,
            sampler=pymdm.FirstHitting(tokens_per_call=3, **options),
        )
        found = np.bincount((out.tokens @ weights).numpy(), minlength=VOCAB**LENGTH) / 100_000
        variation[name] = 0.5 * np.abs(found - law).sum()
    noise = 0.5 * float(np.sqrt(2 * law * (1 - law) / (np.pi * 100_000)).sum())
    assert variation["extrapolation"] < variation["first"] - noise
    assert variation["corrector"] < variation["first"] - noise


def test_time_conditioned_network_sees_the_hitting_time():
    seen: list[torch.Tensor] = []

    def score(tokens: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        seen.append(times.clone())
        return torch.zeros(*tokens.shape, V)

    out = pymdm.sample(score, mask_id=V, length=L, num_samples=3, seed=4, time_conditioned=True)
    by_rank = out.times.gather(1, out.rank.argsort(1))
    assert torch.equal(torch.stack(seen, 1), by_rank)
    assert bool((by_rank.diff(dim=1) < 0).all())


def test_user_schedule_maps_the_same_events():
    square = pymdm.Schedule("user", masked=lambda t: t * t, time_of_masked=lambda m: m**0.5)
    linear, mine = draw(pymdm.FirstHitting()), draw(pymdm.FirstHitting(schedule=square))
    assert torch.equal(linear.tokens, mine.tokens)
    torch.testing.assert_close(mine.times**2, linear.times)


def test_confidence_takes_the_surest_position_first():
    logits = torch.zeros(L, V)
    logits[:, 0] = torch.tensor([1.0, 9.0, 3.0, 5.0])
    options = dict(mask_id=V, length=L, seed=1, temperature=0)

    def sampled(sampler):
        return pymdm.sample(lambda tokens: logits.expand(len(tokens), L, V), sampler=sampler, **options)

    assert sampled(pymdm.Confidence("probability"))[0].rank.tolist() == [3, 0, 2, 1]
    assert sampled(pymdm.Confidence("margin", block_length=2))[0].rank.tolist() == [1, 0, 3, 2]
    # 9, 5 and 3 have probability above 0.9, 1 has not
    assert sampled(pymdm.Confidence("probability", threshold=0.9)).calls == 2


def test_random_rule_is_a_uniform_order():
    out = draw(pymdm.Confidence("random"), n=24_000)
    code = (out.rank @ torch.tensor([64, 16, 4, 1])).numpy()
    counts = np.unique(code, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > ALPHA


def test_rules_that_do_not_see_the_token_are_exact_for_consistent_conditionals():
    joint = np.random.default_rng(8).gamma(0.5, size=(V,) * L)
    mu = laws.conditionals(joint / joint.sum())
    law = laws.first_hitting_law(mu)
    for rule in ("margin", "entropy"):
        assert chi_square(draw(pymdm.Confidence(rule), n=60_000, mu=mu), law) > ALPHA
    assert chi_square(draw(pymdm.Confidence("probability"), n=60_000, mu=mu), law) < ALPHA
    inconsistent = table(8)
    law = laws.first_hitting_law(inconsistent)
    assert chi_square(draw(pymdm.Confidence("margin"), n=60_000, mu=inconsistent), law) < ALPHA


def test_a_mask_inside_the_vocabulary_whose_column_is_nan():
    """Ids 0, 2, 3 are the tokens, 1 the mask: the joint law is that of the table on the other columns."""
    mu, ids = table(41), torch.tensor([0, 2, 3])
    compact = torch.tensor([0, V, 1, 2])  # of the ids with the mask at 1, those of the table
    logits = torch.from_numpy(np.log(mu))

    def score(tokens: torch.Tensor) -> torch.Tensor:
        out = torch.full((*tokens.shape, V + 1), float("nan"), dtype=torch.float64)
        out[..., ids] = logits[compact[tokens] @ POWERS]
        return out

    for sampler, law in (
        (pymdm.FirstHitting(), laws.first_hitting_law(mu)),
        (pymdm.FirstHitting(tokens_per_call=2, order=2), extrapolated_law(mu, 2)),
        (pymdm.Ancestral(steps=3), laws.ancestral_law(mu, np.linspace(1, 0, 4))),
    ):
        out = pymdm.sample(score, mask_id=1, length=L, num_samples=60_000, seed=6, sampler=sampler)
        counts = np.bincount((compact[out.tokens] @ POWERS).numpy(), minlength=(V + 1) ** L)
        assert bool((out.tokens != 1).all()) and goodness.chi_square(counts, law).p_value > ALPHA
