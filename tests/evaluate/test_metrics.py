"""Metrics of samples against their formulas written out."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymdm.evaluate.metrics import SMOOTHING, distinct_n, repetition, self_bleu, token_entropy, words


def grams(units, n):
    return [tuple(units[i : i + n]) for i in range(len(units) - n + 1)]


def slow_bleu(hypothesis, references, n):
    """BLEU of one hypothesis: the references' counts one by one."""
    log = 0.0
    for order in range(1, n + 1):
        own = Counter(grams(hypothesis, order))
        matches = sum(min(c, max(Counter(grams(r, order))[g] for r in references)) for g, c in own.items())
        log += math.log((matches or SMOOTHING) / max(1, sum(own.values()))) / n
    nearest = sorted(map(len, references), key=lambda r: (abs(r - len(hypothesis)), r))[0]
    return math.exp(log + min(0.0, 1 - nearest / len(hypothesis)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=12), min_size=2, max_size=6), st.integers(1, 4))
def test_self_bleu_equals_the_formula(texts, n):
    slow = [slow_bleu(t, texts[:i] + texts[i + 1 :], n) for i, t in enumerate(texts)]
    assert self_bleu(texts, n) == pytest.approx(sum(slow) / len(slow), rel=1e-12)


def test_self_bleu_tells_repeating_from_varied_samples():
    same, varied = [words("the cat sat on the mat")] * 4, [words(t) for t in ("a b c d e", "f g h i j", "k l m n o")]
    assert self_bleu(same) == pytest.approx(1.0) and self_bleu(varied) < 0.1
    assert math.isnan(self_bleu([["a"]])) and math.isnan(self_bleu([["a"], []]))


def test_entropy():
    assert token_entropy([5] * 9) == 0.0
    assert token_entropy(list(range(8))) == pytest.approx(math.log(8))
    assert token_entropy([0, 0, 0, 1]) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_repetition_and_distinct():
    assert repetition([1, 1, 1, 1, 1], 4) == 0.5 and repetition([1, 2, 3], 4) == 0.0 and repetition(range(9), 2) == 0.0
    assert distinct_n([[1, 2, 1, 2]], 2) == pytest.approx(2 / 3) and distinct_n([[1, 2], [1, 2]], 1) == 0.5
    assert math.isnan(distinct_n([[1]], 2))
    with pytest.raises(ValueError, match=r"^n-grams: n must be at least 1, got 0"):
        distinct_n([[1]], 0)
