"""Total variation of the parallel first-hitting variants from the exact law, on models that can be enumerated.

Binary sequences of length 6 with pairwise interactions J ~ N(0, strength^2); mean over random laws. What sampling noise
alone would show is given beside.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

import pymdm
from pymdm.bench import common
from pymdm.bench.rows import Row, row
from pymdm.reference import laws
from pymdm.report.figure import ticks_at

EXAMPLE = "pymdm bench second_order --samples 131072 --models 3"
TIMED = False
QUICK = {"samples": 1 << 14, "models": 1}
FULL = {"samples": 1 << 20, "models": 4}
STRENGTHS = (0.05, 0.15, 0.4)
LENGTH, VOCAB = 6, 2
VARIANTS: dict[str, dict[str, Any]] = {
    "first order": {},
    "extrapolation": {"order": 2},
    "corrector": {"corrector": True},
}


def ising(strength: float, seed: int) -> np.ndarray:
    """[2] * L joint law exp(sum J_lq s_l s_q + sum h_l s_l), s = +-1, J ~ N(0, strength^2), h ~ N(0, 1/4)."""
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(size=(LENGTH, LENGTH)) * strength, 1)
    field = rng.normal(size=LENGTH) / 2
    spins = 2 * np.stack(np.unravel_index(np.arange(VOCAB**LENGTH), (VOCAB,) * LENGTH), axis=-1) - 1
    weight = np.exp(np.einsum("bi,ij,bj->b", spins, couplings, spins) + spins @ field)
    return (weight / weight.sum()).reshape((VOCAB,) * LENGTH)


def network(mu: np.ndarray) -> Any:
    """The table as a callable; at a position that is not masked it gives the conditional given all other tokens."""
    states, powers = laws.all_states(VOCAB, LENGTH), (VOCAB + 1) ** np.arange(LENGTH - 1, -1, -1)
    index = states @ powers
    full = mu.copy()
    for l in range(LENGTH):
        given = states[:, l] != VOCAB
        full[given, l] = mu[index[given] + (VOCAB - states[given, l]) * powers[l], l]
    logits, weights = torch.from_numpy(np.log(full)), torch.from_numpy(powers)
    return lambda tokens: logits[tokens @ weights]


def measure(strength: float, samples: int, models: int) -> list[Row]:
    """Mean total variation over `models` random laws for every variant and number of tokens a call."""
    rows: list[Row] = []
    weights = torch.from_numpy(VOCAB ** np.arange(LENGTH - 1, -1, -1))
    for per_call in (6, 3, 2, 1):
        for name, options in VARIANTS.items():
            found = []
            for seed in range(models):
                mu = laws.conditionals(ising(strength, seed))
                law = laws.complete(laws.first_hitting_law(mu), VOCAB, LENGTH).ravel()
                out = pymdm.sample(
                    network(mu),
                    num_samples=samples,
                    length=LENGTH,
                    mask_id=VOCAB,
                    seed=seed,
                    sampler=pymdm.FirstHitting(tokens_per_call=per_call, **options),
                )
                assert isinstance(out.tokens, torch.Tensor)
                counts = torch.bincount(out.tokens @ weights, minlength=VOCAB**LENGTH)
                found.append(0.5 * float(np.abs(counts.numpy() / samples - law).sum()))
            rows.append(row(f"strength {strength}, NFE {LENGTH // per_call}", name, float(np.mean(found))))
    return rows


def run(args: argparse.Namespace) -> common.Measured:
    """One row a strength, number of calls and variant."""
    rows = [r for strength in STRENGTHS for r in measure(strength, args.samples, args.models)]
    # E |count / n - p| = sqrt(2 p (1 - p) / (pi n)): what equal frequencies would show.
    floor = 0.5 * VOCAB**LENGTH * float(np.sqrt(2 * 2.0**-LENGTH / (np.pi * args.samples)))
    settings = {"length": LENGTH, "vocab": VOCAB, "samples": args.samples, "models": args.models}
    return common.Measured(settings, rows, [f"Sampling noise alone shows about {floor:.4f}."])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument("--samples", type=common.at_least(1), default=1 << 17, help="for each law (default 131072)")
    parser.add_argument("--models", type=common.at_least(1), default=3, help="random laws averaged over (default 3)")


def plot(result: dict[str, Any], figure: Any) -> None:
    """Total variation over the number of calls, one panel a strength."""
    figure.set_size_inches(4 * len(STRENGTHS), 3.4)
    panels = figure.subplots(1, len(STRENGTHS), sharey=True)
    for axis, strength in zip(panels, STRENGTHS, strict=True):
        for name, marker in zip(VARIANTS, "o^s", strict=True):
            start = f"strength {strength}, NFE "
            mine = [r for r in result["rows"] if r["subject"].startswith(start) and r["measure"] == name]
            nfe = [int(r["subject"].removeprefix(start)) for r in mine]
            axis.loglog(nfe, [r["value"] for r in mine], marker=marker, label=name)
        axis.set(title=f"interaction {strength}", xlabel="NFE")
        ticks_at(axis.xaxis, nfe)
    panels[0].set_ylabel("total variation")
    panels[0].legend()
