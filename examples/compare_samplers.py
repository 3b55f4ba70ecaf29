"""Samplers at equal numbers of network calls beside the exact law, in one plot: python examples/compare_samplers.py [PNG]

The network is a table that knows a random joint law of six binary tokens, so that the exact law is known by enumeration and
total variation can be counted.
"""

import sys

import numpy as np
import torch

import pymdm
from pymdm.reference import laws

L, V, SAMPLES = 6, 2, 20_000
joint = np.random.default_rng(0).dirichlet(np.full(V**L, 0.5)).reshape((V,) * L)
mu = laws.conditionals(joint)  # [(V + 1)^L, L, V]
exact = laws.complete(laws.first_hitting_law(mu), V, L).ravel()
logits = torch.from_numpy(np.log(np.maximum(mu, 1e-300)))
places = torch.tensor([(V + 1) ** i for i in reversed(range(L))])


def network(tokens: torch.Tensor) -> torch.Tensor:
    """[B, L] -> [B, L, V], by table."""
    return logits[tokens @ places]


def distance(sampler) -> float:
    """Total variation of a sampler's samples from the exact law; about 0.015 of it is the number of samples."""
    out = pymdm.sample(network, mask_id=V, length=L, num_samples=SAMPLES, seed=1, sampler=sampler)
    index = out.tokens @ torch.tensor([V**i for i in reversed(range(L))])
    return 0.5 * float(np.abs(np.bincount(index, minlength=V**L) / SAMPLES - exact).sum())


CALLS = (1, 2, 3, 6)
FORMS = {
    "first-hitting": lambda calls: pymdm.FirstHitting(tokens_per_call=L // calls),
    "first-hitting, order 2": lambda calls: pymdm.FirstHitting(tokens_per_call=L // calls, order=2),
    "ancestral": lambda calls: pymdm.Ancestral(steps=calls),
    "confidence": lambda calls: pymdm.Confidence(tokens_per_call=L // calls),
}
found = {name: [distance(form(calls)) for calls in CALLS] for name, form in FORMS.items()}
for name, values in found.items():
    print(f"{name:24}", "  ".join(f"{calls} calls {tv:.3f}" for calls, tv in zip(CALLS, values, strict=True)))

if len(sys.argv) > 1:
    from pymdm.report.figure import drawing

    with drawing(sys.argv[1], "compare_samplers") as axes:
        for name, values in found.items():
            axes.plot(CALLS, values, "o-", label=name)
        axes.set(xlabel="network calls a sequence", ylabel="total variation from the exact law")
        axes.legend()
