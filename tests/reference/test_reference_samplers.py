"""Per-sequence samplers and the enumerated laws they must follow."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from pymdm.reference import laws
from pymdm.reference.ancestral import ancestral, literal_logits
from pymdm.reference.first_hitting import first_hitting, masked_rank
from pymdm.reference.schedule import Cosine

V, L = 2, 3
TABLE = np.random.default_rng(1).dirichlet(np.ones(V), size=((V + 1) ** L, L))


def model(tokens, time=None):
    return np.log(TABLE[laws.state_index(tokens, V)])


def fit(samples, law):
    counts = np.bincount(laws.state_index(np.array(samples), V), minlength=len(law))
    assert counts[law == 0].sum() == 0
    return stats.chisquare(counts[law > 0], counts.sum() * law[law > 0]).pvalue


@pytest.mark.parametrize("prompt", [None, [V, 1, V]])
@pytest.mark.parametrize("k", [1, 2])
def test_first_hitting_law(prompt, k):
    samples = [
        first_hitting(model, L, mask_id=V, seed=1, sequence=i, prompt=prompt, tokens_per_call=k).tokens
        for i in range(1200)
    ]
    assert fit(samples, laws.first_hitting_law(TABLE, prompt, k)) > 1e-9


@pytest.mark.parametrize("form", ["choose-then-sample", "literal"])
def test_ancestral_law(form):
    samples = [ancestral(model, L, mask_id=V, seed=1, sequence=i, steps=3, form=form).tokens for i in range(1200)]
    assert fit(samples, laws.ancestral_law(TABLE, [1, 2 / 3, 1 / 3, 0])) > 1e-9


def test_first_hitting_fields():
    result = first_hitting(model, L, mask_id=V, seed=5, schedule=Cosine(), prompt=[V, 0, V], tokens_per_call=2)
    assert result.nfe == 1 and result.tokens[1] == 0 and sorted(result.order) == [0, 2]
    assert 1 > result.times[0] > result.times[1] > 0
    linear = first_hitting(model, L, mask_id=V, seed=5, prompt=[V, 0, V], tokens_per_call=2)
    assert np.allclose(Cosine().masked(result.times), linear.times)


def test_time_conditioned_network_sees_the_hitting_time():
    seen = []

    def timed(tokens, time):
        seen.append(float(time[0]))
        return model(tokens)

    result = first_hitting(timed, L, mask_id=V, seed=5, time_conditioned=True)
    assert seen == result.times.tolist()


def test_rank_is_unbiased_and_in_range():
    ranks = np.array([masked_rank(3, i, 0, 5) for i in range(5000)])
    assert stats.chisquare(np.bincount(ranks, minlength=5)).pvalue > 1e-9 and ranks.max() == 4


def test_literal_logits_are_the_two_stage_law():
    weights = np.exp(literal_logits(np.array([[0.0, 1.0, -np.inf]]), 0.25, temperature=0.5))
    mu = np.exp([0.0, 2.0]) / np.exp([0.0, 2.0]).sum()
    assert np.allclose(weights, [[0.25 * mu[0], 0.25 * mu[1], 0.0, 0.75]])


def test_consistent_conditionals_give_back_the_joint():
    joint = np.random.default_rng(2).dirichlet(np.full(27, 0.3)).reshape(3, 3, 3)
    mu = laws.conditionals(joint)
    assert np.allclose(laws.complete(laws.first_hitting_law(mu), 3, 3), joint.ravel(), atol=1e-14)
    for x in ([0, 1, 2], [2, 2, 0]):
        assert np.isclose(laws.log_likelihood(mu, x), np.log(joint[tuple(x)]))
        assert np.isclose(laws.nelbo(mu, x), -np.log(joint[tuple(x)]))  # the bound is tight when orders agree


def test_inconsistent_conditionals_bound():
    for x in ([0, 1, 0], [1, 1, 1]):
        assert laws.nelbo(TABLE, x) > -laws.log_likelihood(TABLE, x)


def brute_force(mu, x):
    """P(x) by summing over every order, the definition itself."""
    total = 0.0
    for order in permutations(range(L)):
        state, p = [V] * L, 1.0
        for l in order:
            p *= mu[laws.state_index(state, V)][l][x[l]]
            state[l] = x[l]
        total += p / 6
    return total


def test_law_against_all_orders():
    law = laws.complete(laws.first_hitting_law(TABLE), V, L)
    assert np.allclose(law, [brute_force(TABLE, x) for x in np.ndindex((V,) * L)], atol=1e-15)


def test_ancestral_tends_to_first_hitting_and_timed_law_agrees():
    exact = laws.first_hitting_law(TABLE)
    coarse, fine = (np.abs(laws.ancestral_law(TABLE, np.linspace(1, 0, n + 1)) - exact).sum() for n in (50, 500))
    assert fine < coarse / 8 and fine < 1e-2
    assert np.allclose(laws.timed_law(lambda m: TABLE), exact, atol=1e-10)
    assert laws.first_hitting_law(TABLE, [0, 1, 1])[laws.state_index([0, 1, 1], V)] == 1


def test_one_call_for_everything_is_the_product_law():
    law = laws.complete(laws.first_hitting_law(TABLE, tokens_per_call=L), V, L)
    start = TABLE[-1]
    assert np.allclose(law, [np.prod([start[l][x[l]] for l in range(L)]) for x in np.ndindex((V,) * L)])
    one_step = laws.complete(laws.ancestral_law(TABLE, [1.0, 0.0]), V, L)
    assert np.allclose(law, one_step)


def test_leftover_masks_are_counted():
    law = laws.ancestral_law(TABLE, [1.0, 0.5, 0.1])
    assert np.isclose(law[-1], 0.1**L)
    with pytest.raises(ValueError, match="complete"):
        laws.complete(law, V, L)


def test_bad_arguments():
    with pytest.raises(ValueError, match="sample: length"):
        first_hitting(model, 0, mask_id=V, seed=1)
    with pytest.raises(ValueError, match="sample: prompt"):
        first_hitting(model, L, mask_id=V, seed=1, prompt=[0, 1])
    with pytest.raises(ValueError, match="ancestral: form"):
        ancestral(model, L, mask_id=V, seed=1, form="other")
