"""The plots of a proof, as PNG (needs matplotlib; without it a report has none)."""

from __future__ import annotations

from typing import Any

import numpy as np

from pymdm.prove.plan import MISS, TV, detectable, sample_size
from pymdm.prove.run import Proof
from pymdm.report import figure

Plot = tuple[str, str, bytes]  # stem of a file, caption, PNG


def plots(proof: Proof) -> list[Plot]:
    """All plots that the proof has data for."""
    if not figure.available():
        return []
    found: list[Plot] = []
    with figure.styled():
        for draw in (_p_values, _distances, _sample_sizes, _approximations, _cells, _faults):
            drawn = draw(proof)
            if drawn is not None:
                picture, stem, caption = drawn
                found.append((stem, caption, figure.png(picture)))
    return found


def _p_values(proof: Proof) -> Any:
    p = np.sort([v.p_value for v in proof.plan.verdicts if v.fit.cells or 0 < v.p_value < 1])
    if not len(p):
        return None
    picture, axes = figure.axes()
    axes.plot([0, 1], [0, 1], color=figure.REFERENCE, lw=1, label="a correct sampler")
    axes.step(
        [0, *p, 1], [0, *(np.arange(1, len(p) + 1) / len(p)), 1], where="post", label=f"{len(p)} statistical tests"
    )
    axes.set(xlabel="p-value", ylabel="share of tests at or below", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="best")
    return (
        picture,
        "p_values",
        "P-values against the diagonal of a correct sampler; bounds and discrete tests lie below it.",
    )


def _distances(proof: Proof) -> Any:
    """Chi-square statistics of the tests of laws in units of their own noise, where an exact sampler stays near zero."""
    tests = [v for v in proof.plan.verdicts if v.fit.cells > 2 and not np.isnan(v.fit.tv_floor)]
    if not tests:
        return None
    tests.sort(key=lambda v: v.fit.n)
    failed = np.array([not v.passed for v in tests])
    x = np.arange(1, len(tests) + 1)
    y = np.array([(v.fit.tv - v.fit.tv_floor) / max(v.fit.tv_error, 1e-300) for v in tests])
    picture, axes = figure.axes()
    axes.axhline(0, color=figure.REFERENCE, lw=1, label="noise alone, on average")
    axes.axhspan(-3, 3, color=figure.REFERENCE, alpha=0.1, lw=0, label="three standard errors of noise")
    if not failed.all():
        axes.plot(x[~failed], y[~failed], ".", ms=5, label="tests that passed")
    if failed.any():
        axes.plot(x[failed], y[failed], "x", ms=6, color="tab:red", label="tests that failed")
    axes.set(xlabel="tests of a law, by number of samples", ylabel="excess of the distance, standard errors")
    if max(abs(y)) > 10:  # logarithmic beyond it
        axes.set_yscale("symlog", linthresh=10)
        beyond = [10.0**k for k in range(1, 9) if 10.0**k <= 2 * max(abs(y))]
        ticks = [*(-b for b in reversed(beyond) if -b >= 2 * min(y)), -3, 0, 3, *beyond]
        axes.set_yticks(ticks, [f"{t:,g}" for t in ticks])
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(loc="best")
    caption = (
        "Total variation between samples and law, less what noise gives on average, in its standard errors. Tests of an exact "
        "sampler scatter about zero."
    )
    return picture, "distances", caption


def _approximations(proof: Proof) -> Any:
    """Intervals of total variation on a square-root axis that has a zero."""
    if not proof.distances:
        return None
    audit = bool(proof.cells)
    rows = [d.model for d in proof.distances] if audit else list(dict.fromkeys(d.sampler for d in proof.distances))
    groups = [proof.implementation] if audit else list(dict.fromkeys(d.model for d in proof.distances))
    picture, axes = figure.axes(7.5, 0.34 * len(rows) + 1.5)
    for i, group in enumerate(groups):
        mine = [d for d in proof.distances if audit or d.model == group]
        places = [rows.index(d.model if audit else d.sampler) for d in mine]
        y = [-place + 0.22 * (len(groups) / 2 - 0.5 - i) for place in places]
        low, high = [d.distance.low for d in mine], [d.distance.high for d in mine]
        x = np.clip([d.distance.tv for d in mine], low, high)
        axes.errorbar(x, y, xerr=[x - low, np.array(high) - x], fmt="o", ms=4, lw=1, capsize=2, label=group)
    axes.axvline(0, color=figure.REFERENCE, lw=1, label="exact")
    axes.axvline(TV, color="tab:red", lw=0.8, ls=":", label=f"{TV:.0%}")
    axes.set_xscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))
    most = max(d.distance.high for d in proof.distances)
    ticks = [
        t
        for t in (0, *([0.001] if most < 0.05 else []), 0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1)
        if t <= 1.2 * most or t <= TV
    ]
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    axes.set(xlabel="total variation from the exact law (square-root axis); 0 is exact", xlim=(0, min(1, 1.1 * most)))
    axes.set_yticks([-i for i in range(len(rows))], rows, fontsize=8)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=min(3, len(groups) + 2))
    who = proof.implementation if audit else "each approximate sampler"
    return picture, "approximations", f"How far {who} is from the exact law of the network, with intervals; 0 is exact."


def _cells(proof: Proof) -> Any:
    """Frequency over probability of the cells that differ most, with the interval of the frequency."""
    cells = [c for c in proof.cells if c.law > 0][:15]
    if not cells:
        return None
    picture, axes = figure.axes(7.5, 0.27 * len(cells) + 1.3)
    y = -np.arange(len(cells))
    ratio = np.array([c.seen / c.law for c in cells])
    half = np.array([1.96 * np.sqrt(max(c.seen, 1 / c.n) * (1 - c.seen) / c.n) / c.law for c in cells])
    axes.axvline(1, color=figure.REFERENCE, lw=1, label="the law")
    axes.errorbar(ratio, y, xerr=[np.minimum(half, ratio), half], fmt="o", ms=4, lw=1, capsize=2, label="95% interval")
    axes.set_yticks(y, [f"{c.sequence}  ({c.model})" for c in cells], fontsize=8)
    words = "the sampler's frequency over the law's probability"
    if max(ratio) > 10:
        axes.set_xscale("symlog", linthresh=1)
        ticks = [0.0, *(10.0**k for k in range(9) if 10.0**k <= 2 * max(ratio + half))]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        words += ", logarithmic beyond 1"
    axes.set(xlabel=words, xlim=(0, None))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return picture, "cells", "Frequency over probability of the sequences that differ most; 1 is the law."


def _faults(proof: Proof) -> Any:
    if not proof.caught:
        return None
    ranked = sorted(proof.caught, key=lambda c: -c.n)
    picture, axes = figure.axes(7, 0.17 * len(ranked) + 1.2)
    for caught, colour, words in ((True, "tab:blue", "rejected"), (False, "tab:red", "MISSED, tried up to")):
        mine = [(i, c.n) for i, c in enumerate(ranked) if c.caught == caught]
        if mine:
            axes.plot([n for _, n in mine], [i for i, _ in mine], "o", ms=4, color=colour, label=words)
    axes.set_yticks(range(len(ranked)), [c.fault.name for c in ranked])
    axes.set(xscale="log", xlabel="samples until rejected", ylim=(-1, len(ranked)))
    axes.tick_params(axis="y", labelsize=7, length=0)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2)
    return picture, "faults", "Samples after which each planted fault was rejected."


def _sample_sizes(proof: Proof) -> Any:
    """What distance the tests of laws see with power one half, over the number of samples, beside what they had."""
    if proof.cells:
        tests = [v for v in proof.plan.verdicts if v.name.endswith("/ tokens")]
        picture, axes = figure.axes()
        n = np.geomspace(100, 1e7, 40)
        for cells in sorted({v.fit.cells for v in tests if v.fit.cells > 1}):
            axes.plot(n, [detectable(k, cells, proof.plan.level) for k in n], label=f"{cells} cells")
        had = {v.fit.n for v in tests}
        for i, k in enumerate(sorted(had)):
            axes.axvline(k, color=figure.REFERENCE, lw=0.8, ls=":", label="samples of this audit" if not i else None)
        axes.set(xscale="log", yscale="log", xlabel="samples", ylabel="total variation seen with power 1/2")
        axes.legend()
        return (
            picture,
            "sample_sizes",
            f"What the tests see at level {proof.plan.level:.1g}, over the number of samples.",
        )
    picture, axes = figure.axes()
    sizes = [2, 8, 32, 128, 512, 2048, 4096]
    for tv in (0.005, 0.01, 0.02):
        axes.plot(sizes, [sample_size(k, proof.plan.level, tv) for k in sizes], marker=".", label=f"TV {tv:.1%}")
    axes.set(xscale="log", yscale="log", xlabel="cells of the law", ylabel="samples")
    axes.legend()
    caption = f"Samples that a chi-square test at level {proof.plan.level:.1g} takes for power 1 - {MISS:g}."
    return picture, "sample_sizes", caption
