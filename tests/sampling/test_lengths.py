"""Lengths drawn before the sequences, at their own address."""

import pytest
import torch
from scipy import stats

import pymdm
from pymdm.random import Purpose, uniform
from pymdm.sampling.lengths import drawn_lengths

LAW = {3: 1.0, 5: 2.0, 4: 1.0}


def test_law_of_the_lengths():
    """20,000 draws, alpha 1e-7; equal weights are refused by the same test."""
    found = drawn_lengths(LAW, 11, range(20_000))
    counts = [found.count(length) for length in (3, 4, 5)]
    assert sum(counts) == 20_000
    assert stats.chisquare(counts, [5_000, 5_000, 10_000]).pvalue > 1e-7
    assert stats.chisquare(counts).pvalue < 1e-7


def test_a_length_depends_on_seed_and_sequence_alone():
    whole = drawn_lengths(LAW, 11, range(50))
    assert drawn_lengths(LAW, 11, [40, 7]) == [whole[40], whole[7]]
    assert drawn_lengths(LAW, 12, range(50)) != whole
    u = uniform(1, seed=11, sequence=torch.arange(50), purpose=Purpose.LENGTH).flatten().tolist()
    assert whole == [3 if x * 4 < 1 else 4 if x * 4 < 2 else 5 for x in u]


def test_sampled_lengths_change_no_token():
    """The same tokens as with those lengths given."""
    network = lambda tokens: torch.zeros(*tokens.shape, 4)  # noqa: E731
    out = pymdm.sample(network, mask_id=4, length=LAW, num_samples=12, seed=5)
    lengths = [len(t) for t in out.tokens]
    assert set(lengths) == {3, 4, 5} and lengths == drawn_lengths(LAW, 5, range(12))
    same = pymdm.sample(network, mask_id=4, length=lengths, num_samples=12, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(out.tokens, same.tokens, strict=True))


@pytest.mark.parametrize("law", [{}, {3: 0.0}, {3: -1.0, 4: 2.0}, {3: float("nan")}, {0: 1.0}, {3: "a"}])
def test_bad_laws_are_one_line(law):
    with pytest.raises((ValueError, TypeError), match="length"):
        drawn_lengths(law, 1, [0])
