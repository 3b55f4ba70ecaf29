"""Small random tables of conditionals, as networks, for the tests of the samplers."""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

import pymdm

V, L = 3, 4
ALPHA = 1e-7
POWERS = torch.tensor([(V + 1) ** (L - 1 - l) for l in range(L)])


def table(seed: int = 0) -> np.ndarray:
    """[S, L, V] random conditionals, inconsistent as a trained network's are."""
    return np.random.default_rng(seed).dirichlet(np.ones(V), size=((V + 1) ** L, L))


def network(mu: np.ndarray, calls: list[int] | None = None):
    logits = torch.from_numpy(np.log(mu))

    def score(tokens: torch.Tensor) -> torch.Tensor:
        if calls is not None:
            calls.append(len(tokens))
        return logits[tokens @ POWERS]

    return score


def draw(sampler, n=64, mu=None, **options):
    return pymdm.sample(
        network(table() if mu is None else mu), mask_id=V, length=L, num_samples=n, seed=11, sampler=sampler, **options
    )


def histogram(out) -> np.ndarray:
    assert int(out.tokens.max()) < V
    return np.bincount((out.tokens @ POWERS).numpy(), minlength=(V + 1) ** L)


def chi_square(out, law: np.ndarray) -> float:
    """p-value of the samples under a law over partial sequences; cells below 5 expected are pooled."""
    counts, expected = histogram(out), law * len(out)
    small = expected < 5
    observed = np.append(counts[~small], counts[small].sum())
    wanted = np.append(expected[~small], expected[small].sum())
    if wanted[-1] == 0:
        observed, wanted = observed[:-1], wanted[:-1]
    return float(stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue)


def sharpness(tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """[B, L] a score for samplers that take one, in an order that does not depend on the logits' scale."""
    return logits[..., :V].amax(-1) * (1.0 + tokens)


# Every sampler, in the forms that the tests of invariances run.
SAMPLERS = [
    pymdm.FirstHitting(),
    pymdm.FirstHitting(tokens_per_call=2),
    pymdm.FirstHitting(tokens_per_call=(1, 2)),
    pymdm.FirstHitting(tokens_per_call=2, order=2),
    pymdm.FirstHitting(tokens_per_call=2, corrector=True),
    pymdm.FirstHitting(schedule="cosine"),
    pymdm.FirstHitting(lookahead=3),
    pymdm.FirstHitting(tokens_per_call=2, lookahead=2),
    pymdm.Ancestral(steps=3),
    pymdm.Ancestral(steps=3, cache=False),
    pymdm.Ancestral(steps=3, lookahead=2),
    pymdm.Ancestral(steps=3, form="literal"),
    pymdm.Ancestral(steps=3, form="literal", noise="float32"),
    pymdm.Confidence("probability"),
    pymdm.Confidence("margin", tokens_per_call=2),
    pymdm.Confidence("entropy", block_length=2),
    pymdm.Confidence("probability", threshold=0.5),
    pymdm.Confidence("random"),
    pymdm.Confidence("maskgit_plus", tokens_per_call=(1, 2)),
    pymdm.Confidence("entropy", bound=0.7),
    pymdm.Remask(steps=6, eta=0.4),
    pymdm.Remask(steps=6, strategy="conf"),
    pymdm.Remask(steps=12, strategy="loop", eta=0.5),
]
# With a function of the user's, which no name or saved state can hold.
SCORED = [
    pymdm.Confidence(score=sharpness, tokens_per_call=2),
    pymdm.Confidence(score=sharpness, proposals=True, block_length=2),
    pymdm.Remask(steps=6, eta=0.4, score=sharpness),
]
