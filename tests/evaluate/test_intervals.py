"""Intervals cover as they claim, on models whose likelihood is known; each count may miss its limit once in 1e7 runs."""

import math

import numpy as np
import pytest
import torch
from helpers.joint_law import MASK, L, V, joint, true_conditionals
from scipy.stats import binom

from pymdm.evaluate.autoregressive import Likelihood
from pymdm.evaluate.bound import UNSEEN, Bound, evaluate_bound
from pymdm.evaluate.curve import CurveTally
from pymdm.evaluate.intervals import mean_interval, ratio_interval, t_quantile

RATE = 1e-7


def covers(inside, repetitions, low=0.94, high=0.96):
    """Whether so many hits are likely when the true coverage lies in [low, high]; high = 1 allows careful intervals."""
    fewest, most = binom.ppf(RATE, repetitions, low), binom.ppf(1 - RATE, repetitions, high)
    return fewest <= inside <= most


@pytest.fixture(scope="module")
def known():
    """A law over sequences, and the denoiser that knows it, by table."""
    p = joint(1)
    states = torch.cartesian_prod(*[torch.arange(V + 1)] * L)
    table = true_conditionals(p)(states).view((V + 1,) * L + (L, V)).nan_to_num(0.0)
    return p, lambda tokens: table[tuple(tokens.T)]


def monte_carlo(known, repetitions, seed, **settings):
    """Hits of the interval, hits if it were 0.6 as wide, mean of interval width over the width that the truth needs."""
    p, denoiser = known
    rows = torch.tensor([(0, 1, 2, 0), (2, 2, 1, 2), (1, 0, 0, 2), (1, 1, 2, 0)])
    exact = -sum(math.log(float(p[tuple(r)])) for r in rows.tolist())
    inside, narrow, halves, values = 0, 0, [], []
    for i in range(repetitions):
        bound = evaluate_bound(denoiser, [rows], MASK, characters=1, seed=1000 * seed + i, batch_size=4096, **settings)
        half = bound.bits.error * math.log(2)
        inside += abs(bound.nats - exact) <= half
        narrow += abs(bound.nats - exact) <= 0.6 * half
        halves.append(half)
        values.append(bound.nats)
    return inside, narrow, np.mean(halves) / (1.96 * np.std(values))


def test_monte_carlo_interval_of_the_sum_over_counts(known, request):
    """The known likelihood is inside 95% of the time, neither less nor more; at 0.6 of the width the test would see it."""
    inside, narrow, _ = monte_carlo(known, 400, 1, samples=4, exact_counts=True)
    assert covers(inside, 400)
    assert not covers(narrow, 400)


def test_monte_carlo_interval_of_strata_is_careful(known):
    """Pairs of neighbouring strata differ in mean too, so the interval is wider than it must, here less than twice."""
    inside, _, width = monte_carlo(known, 200, 2, samples=16)
    assert covers(inside, 200, high=1.0)
    assert 0.95 < width < 2


def rare_losses(sequences, length, rare, repetitions, **settings):
    """Hits of the interval where a few tokens cost 40 nats and all others nothing, whatever is masked; and the last bound."""
    flat = torch.zeros(sequences * length, dtype=torch.long)
    flat[:rare] = 1
    rows = flat[torch.randperm(len(flat), generator=torch.Generator().manual_seed(0))].view(sequences, length)

    def denoiser(tokens):
        return torch.tensor([0.0, -40.0, -50.0]).expand(*tokens.shape, 3)

    inside = 0
    for i in range(repetitions):
        bound = evaluate_bound(denoiser, [rows], 2, characters=1, seed=i, batch_size=4096, **settings)
        low, high = (bits * math.log(2) for bits in bound.bits.interval)
        inside += low <= 40 * rare <= high
    return inside, bound


def test_rare_large_losses_are_in_the_interval_or_the_interval_says_that_it_cannot_know():
    """From pairs of draws alone the first interval covers 83%, the second 89%: draws that both miss the loss agree."""
    inside, bound = rare_losses(20, 32, 3, 250, samples=4)
    assert covers(inside, 250, high=1.0) and bound.caveat == "" and 0.01 < bound.unseen < UNSEEN
    inside, bound = rare_losses(1, 16, 1, 250, samples=2, exact_counts=True)
    assert covers(inside, 250, high=1.0) and bound.unseen == 0
    inside, bound = rare_losses(20, 32, 1, 250, samples=2)  # two draws never saw it with chance 3/4 * 1/4
    assert covers(inside, 250, low=0.8, high=1.0) and "masked in no draw" in bound.caveat
    assert 0.1 < bound.unseen < 0.25


def test_text_interval_holds_the_entropy_of_the_law(known):
    """Texts drawn from the law and bounded by the denoiser that knows it: the expectation is the entropy."""
    p, denoiser = known
    flat = p.flatten().numpy()
    entropy = float(-(flat * np.log2(flat)).sum()) / L
    rng = np.random.default_rng(3)
    bound_hits = exact_hits = narrow = 0
    for i in range(300):
        places = rng.choice(len(flat), size=40, p=flat)
        rows = torch.from_numpy(np.stack(np.unravel_index(places, (V,) * L), axis=1))
        bound = evaluate_bound(denoiser, [rows], MASK, characters=40 * L, samples=4, seed=i, batch_size=4096)
        low, high = bound.bits_elsewhere.interval
        bound_hits += low <= entropy <= high
        narrow += abs((low + high) / 2 - entropy) <= 0.3 * (high - low)
        exact = Likelihood(-np.log(flat[places]), np.full(40, L), 40 * L)
        low, high = exact.bits_elsewhere.interval
        exact_hits += low <= entropy <= high
    assert covers(bound_hits, 300, 0.93, 0.97) and covers(exact_hits, 300, 0.93, 0.97)
    assert not covers(narrow, 300, 0.93, 0.97)


def test_ratio_interval_with_sizes_that_differ():
    """E total / E size = 2 where both are random and longer texts are likelier per character."""
    rng = np.random.default_rng(4)
    hits = 0
    for _ in range(1000):
        sizes = rng.integers(20, 60, size=30)
        totals = 2 * sizes + (sizes - 39.5) * 0.5 + rng.normal(size=30) * np.sqrt(sizes)
        low, high = ratio_interval(totals, sizes)
        hits += low <= 2 <= high
    assert covers(hits, 1000, 0.935, 0.965)


def test_degenerate_intervals():
    assert all(math.isnan(x) for x in (*ratio_interval([1.0], [1]), *ratio_interval([0.0, 0.0], [0, 0])))
    assert mean_interval([1.0, 3.0])[0] == pytest.approx(2 - 12.706 * math.sqrt(2) / math.sqrt(2), abs=1e-2)
    assert t_quantile(math.inf) == pytest.approx(1.959964, abs=1e-5)
    one = {"by_sequence": np.ones(1), "sizes": np.array([4]), "std_error": 0.1, "draws": 8}
    for bits in (Bound(**one, characters=4).bits_elsewhere, Bound(**one).bits, Likelihood(np.ones(2), np.ones(2)).bits):
        assert math.isnan(bits.error) and all(map(math.isnan, bits.interval))
    assert Likelihood(np.ones(2), np.ones(2), 2).bits.error == 0 and Bound(**one, characters=4).bits.count == 4


def test_the_curve_s_interval_takes_the_sequence_as_the_unit():
    """With all counts of a sequence in one bin its rows share what the text is like; rows as units would cover a third."""
    rng = np.random.default_rng(5)
    length, sequences, repetitions = 64, 30, 400
    counts = np.tile(np.arange(1, length + 1).repeat(2), (sequences, 1))
    inside = 0
    for _ in range(repetitions):
        losses = 3 + rng.normal(size=(sequences, 1)) + 0.3 * rng.normal(size=counts.shape)
        tally = CurveTally(8)
        tally.add(counts, length, losses)
        low, high = tally.curve().to_dict()["interval95"][3]
        inside += low <= 3 <= high
    assert covers(inside, repetitions)
