"""The plain PyTorch procedure of published samplers has the law it is compared for."""

import numpy as np
import torch
from scipy import stats

from pymdm.reference import laws
from pymdm.reference.published import sample_published

V, L, N = 2, 3, 4


def test_its_law_is_that_of_ancestral_sampling():
    mu = np.random.default_rng(5).dirichlet(np.ones(V), size=((V + 1) ** L, L))
    logits = torch.from_numpy(np.log(mu))
    powers = torch.tensor([(V + 1) ** (L - 1 - l) for l in range(L)])

    def network(tokens):
        return logits[tokens @ powers]

    for cache in (True, False):
        run = sample_published(network, batch=40_000, length=L, mask_id=V, steps=N, seed=1, cache=cache)
        assert run.steps == N and run.calls == N  # in a large batch something always changes
        counts = np.bincount((run.tokens @ powers).numpy(), minlength=(V + 1) ** L)
        law = laws.ancestral_law(mu, np.linspace(1, 0, N + 1))
        kept = law > 0
        assert counts[~kept].sum() == 0
        assert stats.chisquare(counts[kept], law[kept] / law[kept].sum() * 40_000).pvalue > 1e-7
        assert stats.chisquare(counts[kept], laws.first_hitting_law(mu)[kept] * 40_000).pvalue < 1e-7


def test_its_cache_saves_calls_of_a_single_sequence():
    calls = []

    def network(tokens):
        calls.append(1)
        return torch.zeros(*tokens.shape, V)

    run = sample_published(network, batch=1, length=L, mask_id=V, steps=64, seed=2)
    assert run.calls == len(calls) <= L + 1 and run.steps == 64
    assert bool((run.tokens < V).all())
