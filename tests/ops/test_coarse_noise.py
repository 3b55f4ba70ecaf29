"""Coarse noise in the compiled samplers: the same draws as the oracle evaluated at every element, and no others."""

import numpy as np
import pytest
import torch

import pymdm
from pymdm.reference import philox
from pymdm.reference.ancestral import literal_logits, stride
from pymdm.reference.gumbel import NOISE_KINDS, gumbel

COARSE = [kind for kind in NOISE_KINDS if kind != "exact"]


def scores(weights, seed, sequence, event, purpose, base, kind):
    """[V] float64 Gumbel-max scores, every element evaluated."""
    bits = philox.bits(seed, sequence, event, purpose, base + np.arange(weights.size))
    return weights + gumbel(bits, kind)


def assert_best(found, scored, kind):
    """The arg-max; float32 logarithms may differ in their last bit between libraries."""
    slack = 1e-5 if kind == "float32" else 1e-12
    assert scored[found] >= scored.max() - slack


@pytest.mark.parametrize("kind", COARSE)
@pytest.mark.parametrize("vocab", [1, 3, 257, 5000])
def test_first_hitting_draws_the_oracles_tokens(kind, vocab):
    logits = torch.from_numpy(np.random.default_rng(vocab).normal(size=vocab) * 4)
    out = pymdm.sample(
        lambda tokens: logits.expand(*tokens.shape, vocab),
        mask_id=vocab,
        num_samples=24,
        length=2,
        seed=9,
        sampler=pymdm.FirstHitting(noise=kind),
    )
    assert out.law == "approximate"
    for sample in out:
        for token, event in zip(sample.tokens.tolist(), sample.rank.tolist(), strict=True):
            scored = scores(logits.numpy(), 9, sample.sequence_id, event, philox.TOKEN, 0, kind)
            assert_best(token, scored, kind)


@pytest.mark.parametrize("kind", COARSE)
def test_one_literal_step_draws_the_oracles_classes(kind):
    """The first step of the literal form, all positions at once: one of V tokens or the mask, at addresses of their own."""
    vocab, length, steps = 999, 40, 3
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=vocab) * 4)
    states = []
    pymdm.sample(
        lambda tokens: logits.expand(*tokens.shape, vocab),
        mask_id=vocab,
        length=length,
        seed=5,
        sampler=pymdm.Ancestral(steps=steps, form="literal", noise=kind),
        watch=lambda state: states.append(state.tokens.clone()),
    )
    weights = literal_logits(logits.numpy()[None], 1 / steps)[0]
    for position, token in enumerate(states[0].tolist()):
        scored = scores(weights, 5, 0, 0, philox.LITERAL, position * stride(vocab + 1), kind)
        assert_best(token, scored, kind)
    assert (states[0] == vocab).any() and (states[0] < vocab).any()


def test_coarse_noise_needs_a_plain_sampler():
    with pytest.raises(ValueError, match="coarse noise is for plain first-hitting sampling only"):
        pymdm.FirstHitting(tokens_per_call=2, order=2, noise="float32")
    assert "float32" in pymdm.FirstHitting(noise="float32").warnings[0]
