"""Total variation of the parallel first-hitting variants from the exact law, on models that can be enumerated.

Run: python -m pymdm.bench.second_order --out docs
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pymdm
from pymdm.reference import laws

LENGTH, VOCAB = 6, 2
VARIANTS = {"first order": {}, "extrapolation": {"order": 2}, "corrector": {"corrector": True}}


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


def measure(strength: float, samples: int, models: int) -> list[dict[str, Any]]:
    """Mean total variation over `models` random laws for every variant and number of tokens a call."""
    rows: list[dict[str, Any]] = []
    weights = torch.from_numpy(VOCAB ** np.arange(LENGTH - 1, -1, -1))
    for per_call in (6, 3, 2, 1):
        row: dict[str, Any] = {"strength": strength, "nfe": LENGTH // per_call}
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
                counts = torch.bincount(out.tokens @ weights, minlength=VOCAB**LENGTH)
                found.append(0.5 * float(np.abs(counts.numpy() / samples - law).sum()))
            row[name] = float(np.mean(found))
        rows.append(row)
        print(row, flush=True)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Measures, and writes second_order.{json,md,png}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1 << 20)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    options = parser.parse_args(argv)
    rows = [row for e in (0.05, 0.15, 0.4) for row in measure(e, options.samples, options.models)]
    # E |count / n - p| = sqrt(2 p (1 - p) / (pi n)): what equal frequencies would show.
    floor = 0.5 * VOCAB**LENGTH * float(np.sqrt(2 * 2.0**-LENGTH / (np.pi * options.samples)))
    about = {"length": LENGTH, "vocab": VOCAB, "samples": options.samples, "models": options.models, "floor": floor}
    (options.out / "second_order.json").write_text(json.dumps({**about, "rows": rows}, indent=1) + "\n")
    lines = [
        "# Parallel first-hitting: total variation from the exact law",
        "",
        f"Made by `python -m pymdm.bench.second_order --samples {options.samples} --models {options.models}`: binary",
        f"sequences of length {LENGTH}, pairwise interactions J ~ N(0, strength^2), mean of {options.models} random laws,",
        f"{options.samples:,} samples each. Sampling noise alone shows about {floor:.4f}. Shape: second_order.png.",
        "",
        "| strength | NFE | first order | extrapolation | corrector |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        cells = " | ".join(f"{row[name]:.4f}" for name in VARIANTS)
        lines.append(f"| {row['strength']} | {row['nfe']} | {cells} |")
    (options.out / "second_order.md").write_text("\n".join(lines) + "\n")
    _plot(rows, floor, options.out / "second_order.png")
    return 0


def _plot(rows: list[dict[str, Any]], floor: float, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    strengths = sorted({row["strength"] for row in rows})
    figure, axes = plt.subplots(1, len(strengths), figsize=(4 * len(strengths), 3.2), sharey=True)
    for axis, strength in zip(axes, strengths, strict=True):
        mine = [row for row in rows if row["strength"] == strength]
        for name, marker in zip(VARIANTS, "o^s", strict=True):
            axis.loglog([r["nfe"] for r in mine], [r[name] for r in mine], marker=marker, label=name)
        axis.axhline(floor, color="grey", linestyle=":", label="sampling noise")
        axis.set(title=f"interaction {strength}", xlabel="NFE")
    axes[0].set_ylabel("total variation")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
