"""The plots of a proof, as PNG (needs matplotlib; without it a report has none)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from pymdm.prove.plan import MISS, TV, sample_size
from pymdm.prove.run import Proof

Plot = tuple[str, str, bytes]  # stem of a file, caption, PNG


def plots(proof: Proof) -> list[Plot]:
    """All plots that the proof has data for."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    found: list[Plot] = []
    for draw in (_p_values, _distances, _sample_sizes, _approximations, _faults):
        drawn = draw(proof, Figure)
        if drawn is not None:
            figure, stem, caption = drawn
            out = io.BytesIO()
            figure.savefig(out, format="png", dpi=110, bbox_inches="tight")
            found.append((stem, caption, out.getvalue()))
    return found


def _axes(make: Any, width: float, height: float) -> tuple[Any, Any]:
    figure = make(figsize=(width, height))
    axes = figure.subplots()
    axes.grid(True, color="0.92")
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _p_values(proof: Proof, make: Any) -> Any:
    p = np.sort([v.p_value for v in proof.plan.verdicts if v.fit.cells or 0 < v.p_value < 1])
    if not len(p):
        return None
    figure, axes = _axes(make, 5.5, 4)
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, label="a correct sampler")
    axes.step(
        [0, *p, 1], [0, *(np.arange(1, len(p) + 1) / len(p)), 1], where="post", label=f"{len(p)} statistical tests"
    )
    axes.set(xlabel="p-value", ylabel="share of tests at or below", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", frameon=False)
    return (
        figure,
        "p_values",
        "P-values against the diagonal of a correct sampler; bounds and discrete tests lie below it.",
    )


def _distances(proof: Proof, make: Any) -> Any:
    tests = [v for v in proof.plan.verdicts if v.fit.cells > 2 and not np.isnan(v.fit.tv)]
    if not tests:
        return None
    tests.sort(key=lambda v: v.fit.tv_floor)
    figure, axes = _axes(make, 5.5, 4)
    x = np.arange(len(tests))
    measured, error = [v.fit.tv for v in tests], [2 * v.fit.tv_error for v in tests]
    axes.errorbar(x, measured, error, fmt=".", ms=4, lw=0.8, label="measured, two standard errors")
    axes.plot(x, [v.fit.tv_floor for v in tests], color="0.35", lw=1.2, label="expected from noise alone")
    axes.axhline(TV, color="tab:red", lw=1, label=f"{TV:.0%}, caught with the stated power")
    axes.set(xlabel="chi-square tests, by their noise", ylabel="total variation from the law", yscale="log")
    axes.legend(frameon=False, fontsize=8)
    return figure, "distances", "Total variation between samples and law, with what sampling noise alone explains."


def _approximations(proof: Proof, make: Any) -> Any:
    if not proof.distances:
        return None
    samplers = list(dict.fromkeys(d.sampler for d in proof.distances))
    models = list(dict.fromkeys(d.model for d in proof.distances))
    figure, axes = _axes(make, 7.5, 0.32 * len(samplers) + 1.2)
    for i, model in enumerate(models):
        rows = [(samplers.index(d.sampler), d.distance) for d in proof.distances if d.model == model]
        axes.errorbar(
            [max(d.tv, 1e-5) for _, d in rows],
            [-row + 0.22 * (len(models) / 2 - 0.5 - i) for row, _ in rows],
            xerr=[2 * d.error for _, d in rows],
            fmt="o",
            ms=4,
            lw=0.8,
            label=model,
        )
    axes.set(xscale="log", xlabel="total variation from the exact law, noise taken out", xlim=(1e-4, 1))
    axes.set_yticks([-i for i in range(len(samplers))], samplers, fontsize=8)
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(models))
    return figure, "approximations", "How far each approximate sampler is from the exact law of the network."


def _faults(proof: Proof, make: Any) -> Any:
    if not proof.caught:
        return None
    ranked = sorted(proof.caught, key=lambda c: c.n)
    figure, axes = _axes(make, 7, 0.15 * len(ranked) + 1)
    axes.barh(
        [c.fault.name for c in ranked],
        [c.n for c in ranked],
        color=["tab:blue" if c.caught else "tab:red" for c in ranked],
        height=0.7,
    )
    axes.set(xscale="log", xlabel="samples until rejected")
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.margins(y=0.005)
    return figure, "faults", "Samples after which each planted fault was rejected (red: missed)."


def _sample_sizes(proof: Proof, make: Any) -> Any:
    figure, axes = _axes(make, 5.5, 4)
    cells = [2, 8, 32, 128, 512, 2048, 4096]
    for tv in (0.005, 0.01, 0.02):
        axes.plot(cells, [sample_size(k, proof.plan.level, tv) for k in cells], marker=".", label=f"TV {tv:.1%}")
    axes.set(xscale="log", yscale="log", xlabel="cells of the law", ylabel="samples")
    axes.legend(frameon=False, fontsize=8)
    caption = f"Samples that a chi-square test at level {proof.plan.level:.1g} takes for power 1 - {MISS:g}."
    return figure, "sample_sizes", caption
