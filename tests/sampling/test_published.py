"""The plain PyTorch procedure of published samplers has the law it is compared for."""

import numpy as np
import pytest
import torch
from scipy import stats

from pymdm.reference import laws
from pymdm.reference.published import categorical, sample_published

V, L, N = 2, 3, 4


POWERS = torch.tensor([(V + 1) ** (L - 1 - l) for l in range(L)])


def table():
    """Random conditionals mu [states, L, V], and the network that looks them up."""
    mu = np.random.default_rng(5).dirichlet(np.ones(V), size=((V + 1) ** L, L))
    logits = torch.from_numpy(np.log(mu))
    return mu, lambda tokens: logits[tokens @ POWERS]


@pytest.mark.parametrize("form", ["gumbel", "race"])
def test_its_law_is_that_of_ancestral_sampling(form):
    mu, network = table()
    for cache in (True, False):
        run = sample_published(network, batch=40_000, length=L, mask_id=V, steps=N, seed=1, cache=cache, form=form)
        assert run.steps == N and run.calls == N  # in a large batch something always changes
        counts = np.bincount((run.tokens @ POWERS).numpy(), minlength=(V + 1) ** L)
        law = laws.ancestral_law(mu, np.linspace(1, 0, N + 1))
        kept = law > 0
        assert counts[~kept].sum() == 0
        assert stats.chisquare(counts[kept], law[kept] / law[kept].sum() * 40_000).pvalue > 1e-7
        assert stats.chisquare(counts[kept], laws.first_hitting_law(mu)[kept] * 40_000).pvalue < 1e-7


def test_its_cache_changes_no_token():
    """One sequence often rests; a reused output must then be what a new call would have given."""
    _, network = table()
    calls = []
    for seed in range(64):
        runs = [
            sample_published(network, batch=1, length=L, mask_id=V, steps=16, seed=seed, cache=cache)
            for cache in (True, False)
        ]
        assert torch.equal(runs[0].tokens, runs[1].tokens) and runs[1].calls == 16
        calls.append(runs[0].calls)
    # One call at the start, then one after each step but the last in which one of L tokens moved.
    expected = 1 + 15 * (1 - (1 - 1 / 16) ** L)
    assert abs(np.mean(calls) - expected) < 6 * np.std(calls) / 8


@pytest.mark.parametrize("form", ["gumbel", "race"])
@pytest.mark.parametrize(("dtype", "bits", "cap"), [(torch.float32, 24, 16.6355), (torch.float64, 53, 36.7368)])
def test_its_noise_is_capped(monkeypatch, form, dtype, bits, cap):
    """Table 1 of the paper: with the largest u there is, a class wins over noise 0 up to log-weights M below, not more."""
    generator = torch.Generator().manual_seed(3)
    steps = torch.rand(100_000, dtype=dtype, generator=generator).double() * 2.0**bits
    assert bool((steps == steps.round()).all()) and bool((steps % 2 == 1).any())  # u is on that grid and no coarser one
    largest = torch.tensor([[1 - 2.0**-bits, np.exp(-1.0)]], dtype=dtype)
    monkeypatch.setattr(torch, "rand", lambda *args, **options: largest)
    for below, wins in ((cap - 0.01, True), (cap + 0.01, False)):
        weights = torch.tensor([[-below, 0.0]])
        assert (categorical(weights, dtype, generator, form).item() == 0) is wins


def test_its_cache_saves_calls_of_a_single_sequence():
    calls = []

    def network(tokens):
        calls.append(1)
        return torch.zeros(*tokens.shape, V)

    run = sample_published(network, batch=1, length=L, mask_id=V, steps=64, seed=2)
    assert run.calls == len(calls) <= L + 1 and run.steps == 64
    assert bool((run.tokens < V).all())
