"""Ancestral sampling where the law is known: a network that predicts the same Zipf law at every position and time.

Its tokens are independent draws from mu, so mu itself is the judge, and every run's law can be worked out
(`pymdm.precision.theory.ancestral_run`): by Proposition 5.2 where the noise is truncated, by the law of a lattice where it
comes from float32 uniforms. The vocabulary is as large as GPT-2's, where the defect is strong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pymdm.precision.caps import CAPS
from pymdm.precision.theory import ancestral_run, entropy, zipf
from pymdm.reference.lattice import lattice_law
from pymdm.reference.truncated import truncated_law

CAP_OF_NOISE = {
    "exact": CAPS["pymdm, 64 bits"],
    "float32": CAPS["float32"],
    "float64": CAPS["float64"],
    "truncated": CAPS["float32"],
}
LATTICE_BITS = {"float32": 24}  # kinds whose largest value comes often enough to be seen


@dataclass(frozen=True)
class Known:
    """A run beside its law.

    Attributes:
        sampler, noise, steps: as in `pymdm.precision.experiment.Run`; positions: tokens drawn.
        nats: mean of -log mu(token) with its standard error; expected_nats by the noise's law; exact_nats: entropy of mu.
        perplexity: exp of nats, generative perplexity under the true law.
        half: share of positions still masked at t = 1/2; expected_half by the noise's law; exact_half: without a cap.
        z_nats, z_half: measured minus expected, in standard errors.
        seconds: of sampling.
    """

    sampler: str
    noise: str
    steps: int
    positions: int
    nats: float
    nats_error: float
    expected_nats: float
    exact_nats: float
    half: float
    expected_half: float
    exact_half: float
    z_nats: float
    z_half: float
    seconds: float

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self) | {"perplexity": self.perplexity}


def known_law(
    *,
    vocab_size: int = 50_257,
    steps: Sequence[int] = (2048,),
    noises: Sequence[str] = ("float32", "truncated", "float64"),
    samples: int = 4,
    length: int = 64,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> list[Known]:
    """Samples the Zipf network with every kind of noise, and holds the samples against their law.

    Args:
        vocab_size: V. steps: N of the ancestral runs. noises: kinds of noise; each also with first-hitting.
        samples, length: B and L; B L positions are independent.
        seed: every run has its own sequence ids.
        progress: told one line per run.

    >>> [round(k.expected_half, 2) for k in known_law(vocab_size=8, steps=[4], noises=["float64"], samples=2)]
    [0.5, 0.5]
    """
    import pymdm

    mu = zipf(vocab_size)
    log_mu, exact = np.log(mu), entropy(mu)
    logits = torch.from_numpy(log_mu).float()

    def network(tokens: Tensor) -> Tensor:
        return logits.expand(*tokens.shape, vocab_size)

    say = progress or (lambda line: None)
    plans = [("first-hitting", noise, 0) for noise in noises]
    plans += [("ancestral", noise, n) for n in sorted(steps) for noise in noises]
    found = []
    for i, (name, noise, n) in enumerate(plans):
        sampler: Any = pymdm.FirstHitting(noise=noise)
        half, exact_half, bits = 0.5, 0.5, LATTICE_BITS.get(noise)
        if name == "ancestral":
            sampler = pymdm.Ancestral(steps=n, form="literal", noise=noise)
            run = ancestral_run(mu, n, CAP_OF_NOISE[noise], lattice_bits=bits)
            law, half = run.law, float(run.masks[math.ceil(n / 2)])
            exact_half = 1 - math.ceil(n / 2) / n
        else:
            law = truncated_law(mu, CAP_OF_NOISE[noise]) if bits is None else lattice_law(mu, bits)
        ids = list(range(i * samples, (i + 1) * samples))
        out = pymdm.sample(
            network,
            mask_id=vocab_size,
            num_samples=samples,
            length=length,
            seed=seed,
            sampler=sampler,
            sequence_ids=ids,
        )
        nats = -log_mu[torch.as_tensor(out.tokens).numpy().ravel()]
        masked = torch.as_tensor(out.times).double().numpy().ravel() < exact_half - 1e-9
        expected, count = float(-(law * log_mu).sum()), len(nats)
        spread = math.sqrt(max(float((law * (log_mu + expected) ** 2).sum()), 1e-300) / count)
        known = Known(
            name,
            noise,
            n,
            count,
            nats=float(nats.mean()),
            nats_error=spread,
            expected_nats=expected,
            exact_nats=exact,
            half=float(masked.mean()),
            expected_half=half,
            exact_half=exact_half,
            z_nats=float(nats.mean() - expected) / spread,
            z_half=float(masked.mean() - half) / math.sqrt(max(half * (1 - half), 1e-300) / count),
            seconds=out.seconds,
        )
        found.append(known)
        say(f"Zipf, {name} {noise} {n or ''}: {known.nats:.3f} nats, expected {expected:.3f}, exact {exact:.3f}")
    return found
