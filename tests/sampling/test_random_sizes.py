"""Sizes of calls for an unknown information curve: their bound holds for every curve, and for no fixed sizes."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

import pymdm
from pymdm.evaluate.call_sizes import excess, uniform_sizes
from pymdm.sampling.call_schedule import sizes_from

STARTS = (np.arange(1000) + 0.5) / 1000  # the sizes are constant between a few dozen of them
CASES = [(24, 8), (24, 13), (64, 16), (9, 3), (17, 2)]


def bound(tokens: int, calls: int, first: str) -> float:
    """Times the dual total correlation ("few") or the total correlation ("many")."""
    r = tokens ** (1 / (calls - 1))
    return (r - 1) / log(r) - 1 if first == "few" else 2 * (1 - (1 - 1 / r) / log(r))


def worst(tokens: int, calls: int, first: str, starts: np.ndarray) -> float:
    """The largest share of D or T that the mean excess takes, over curves with one step, of which all are sums."""
    mean, k = np.zeros(tokens - 1), np.arange(1, tokens)
    for start in starts:  # h(m) = 1 for m < k, else 0: tokens from k to the end of the call that holds k - 1 and k
        known = np.cumsum([0, *sizes_from(tokens, calls, first, start)])
        mean += (known[np.searchsorted(known, k)] - k) / len(starts)
    return float((mean / (k if first == "few" else tokens - k)).max())


@pytest.mark.parametrize("first", ["few", "many"])
@pytest.mark.parametrize(("tokens", "calls"), CASES)
def test_the_bound_holds_in_expectation(tokens, calls, first):
    assert worst(tokens, calls, first, STARTS) <= bound(tokens, calls, first)


@pytest.mark.parametrize("first", ["few", "many"])
def test_a_start_that_is_not_random_costs_more(first):
    """Planted fault: one start for all."""
    fixed = min(worst(64, 16, first, np.array([start])) for start in (0.0, 0.3, 0.7))
    assert fixed > 1.5 * worst(64, 16, first, STARTS)
    assert first == "many" or fixed > bound(64, 16, first)


def test_equal_calls_have_no_such_bound():
    """A curve that falls after its first token: equal calls pay for all others of the first call."""
    curve = np.array([1.0, *[0.0] * 63])
    assert excess(curve, uniform_sizes(64, 16)) == 3.0 > 10 * bound(64, 16, "few")
    assert np.mean([excess(curve, sizes_from(64, 16, "few", s)) for s in STARTS]) <= bound(64, 16, "few")


def test_the_step_curves_are_priced_as_any_curve_is():
    rng = np.random.default_rng(3)
    for first in ("few", "many"):
        curve = np.sort(rng.random(24))[::-1]
        total = (curve - curve[-1]).sum() if first == "few" else (curve[0] - curve).sum()
        mean = np.mean([excess(curve, sizes_from(24, 8, first, s)) for s in STARTS])
        assert 0 < mean <= bound(24, 8, first) * total


@pytest.mark.parametrize(("tokens", "calls"), [(1, 1), (5, 1), (5, 5), (128, 16), (1000, 1000)])
def test_sizes_are_those_of_a_sampler(tokens, calls):
    for first in ("few", "many"):
        for seed in range(20):
            sizes = pymdm.random_sizes(tokens, calls, first=first, seed=seed)
            assert sum(sizes) == tokens and len(sizes) <= calls and min(sizes) >= 1
    assert len({pymdm.random_sizes(128, 16, seed=s) for s in range(9)}) > 1
    assert pymdm.FirstHitting(tokens_per_call=sizes).law == ("exact" if max(sizes) == 1 else "approximate")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((0, 1), "tokens must be at least 1"), ((4, 5), "calls must be at most 4"), ((4, 0), "calls must be at least 1")],
)
def test_bad_wishes_are_one_line(arguments, words):
    with pytest.raises(ValueError, match=f"^sample: {words}"):
        pymdm.random_sizes(*arguments)
    with pytest.raises(ValueError, match="first must be one of few, many, got 'all'"):
        pymdm.random_sizes(4, 2, first="all")
