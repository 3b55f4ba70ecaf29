"""The n-gram baseline against Witten-Bell's formula written out with dictionaries."""

import math

import pytest
from helpers.slow_ngram import slow_probability
from hypothesis import given, settings
from hypothesis import strategies as st

from pymdm.evaluate.ngram import ngram_bits

TEXTS = st.text(alphabet="abcd", min_size=1, max_size=40)


def slow_bits(train, held_out, order):
    size = len(set(train) | set(held_out))
    total = 0.0
    for i, c in enumerate(held_out):
        total -= math.log2(slow_probability(train, held_out[max(0, i - order + 1) : i], c, size))
    return total / len(held_out)


@settings(max_examples=80, deadline=None)
@given(TEXTS, TEXTS)
def test_equals_the_formula(train, held_out):
    fast = ngram_bits(train, held_out, (1, 2, 3, 5))
    for order, bits in fast.items():
        assert bits == pytest.approx(slow_bits(train, held_out, order), abs=1e-12)


def test_probabilities_sum_to_one():
    train, alphabet = "abacabadabacabaa" * 3, "abcd"
    for context in ("", "a", "ab", "zz", "dab"):
        total = 0.0
        for c in alphabet:  # bits of context + c minus bits of context is -log2 p(c | context)
            both = ngram_bits(train, "abcdz" + context + c, (4,))[4] * (len(context) + 6)
            alone = ngram_bits(train, "abcdz" + context, (4,))[4] * (len(context) + 5)
            total += 2 ** (alone - both)
        total += 2 ** (
            ngram_bits(train, "abcdz" + context, (4,))[4] * (len(context) + 5)
            - ngram_bits(train, "abcdz" + context + "z", (4,))[4] * (len(context) + 6)
        )
        assert total == pytest.approx(1.0, abs=1e-9)


def test_large_alphabets_and_high_orders_do_not_overflow():
    train = "".join(chr(0x4E00 + (7 * i) % 9000) for i in range(20_000))
    assert ngram_bits(train, train[:500], (9,))[9] < 1.0  # each character follows from the one before


def test_bad_input():
    for texts in (("", "a"), ("a", "")):
        with pytest.raises(ValueError, match=r"^ngram_bits: both texts"):
            ngram_bits(*texts)
    with pytest.raises(ValueError, match=r"^ngram_bits: orders must be at least 1, got 0"):
        ngram_bits("a", "a", (0, 2))
