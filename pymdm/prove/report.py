"""The proof as a report: Markdown, and one self-contained HTML file with plots."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path
from typing import Any

import numpy as np

from pymdm.prove.goodness import MIN_EXPECTED
from pymdm.prove.plan import MISS, TV, Verdict, sample_size
from pymdm.prove.run import Proof

Table = tuple[list[str], list[list[str]]]


def summary(proof: Proof) -> list[str]:
    """Sentences at the head of the report."""
    plan = proof.plan
    failed = [v for v in plan.verdicts if not v.passed]
    sampled = sum(v.fit.n for v in plan.verdicts)
    lines = [
        f"{len(plan.verdicts)} tests of {proof.implementation}: "
        + ("all passed." if not failed else f"{len(failed)} FAILED: " + "; ".join(v.name for v in failed) + "."),
        f"Family-wise error level {plan.alpha:g} by Holm's procedure over {plan.tests} declared tests "
        f"({plan.level:.2g} each at the first step). Root seed {plan.seed}; {sampled:,} draws and samples in all.",
        f"Power is the least chance of rejecting a law at total variation {TV:.0%} (rare tokens: a rate 1.5 times "
        f"off); sample sizes aim at 1 - {MISS:g}. Cells with fewer than {MIN_EXPECTED:g} expected are pooled into one; "
        "a cell of probability zero is never pooled, one observation there fails the test.",
    ]
    if proof.caught:
        missed = [c.fault.name for c in proof.caught if not c.caught]
        lines.append(
            f"{len(proof.caught)} planted faults (broken copies of the reference): "
            + ("all caught." if not missed else f"{len(missed)} MISSED: " + "; ".join(missed) + ".")
        )
    if proof.seconds:
        lines.append("Time: " + ", ".join(f"{part} {s:.0f} s" for part, s in proof.seconds.items()) + ".")
    return lines


def verdict_table(verdicts: list[Verdict]) -> Table:
    """One row per test."""
    head = ["result", "test", "law", "statistic", "p-value", "n", "cells", "power", "TV measured", "TV of noise"]
    rows = []
    for v in verdicts:
        fit = v.fit
        has_tv = not np.isnan(fit.tv)
        rows.append(
            [
                "pass" if v.passed else "FAIL",
                v.name + (f" ({fit.detail})" if fit.detail and not v.passed else ""),
                v.law,
                f"{fit.statistic:.4g}",
                f"{fit.p_value:.3g}",
                f"{fit.n:,}",
                str(fit.cells) if fit.cells else "",
                "exact" if v.power == 1.0 and not fit.cells else f"{v.power:.7f}",
                f"{fit.tv:.5f} ± {fit.tv_error:.5f}" if has_tv else "",
                f"{fit.tv_floor:.5f}" if has_tv else "",
            ]
        )
    return head, rows


def fault_table(proof: Proof) -> Table:
    """One row per planted fault, the ones that needed most samples first."""
    head = ["caught", "fault", "what is wrong", "caught by", "samples needed", "p-value"]
    rows = [
        ["yes" if c.caught else "MISSED", c.fault.name, c.fault.what, c.test, f"{c.n:,}", f"{c.p_value:.2g}"]
        for c in sorted(proof.caught, key=lambda c: -c.n)
    ]
    return head, rows


def approximation_table(proof: Proof) -> Table:
    """Enumerated distance of several tokens a call from the exact law."""
    rows = [[name, str(k), f"{tv:.5f}"] for name, k, tv in proof.approximations]
    return ["model", "tokens per call", "TV from the exact law"], rows


def sections(proof: Proof) -> list[tuple[str, Table]]:
    """Titled tables that have rows."""
    tables = [
        ("Laws tested", verdict_table(proof.plan.verdicts)),
        ("Planted faults", fault_table(proof)),
        ("Approximate samplers (enumerated)", approximation_table(proof)),
    ]
    return [(title, table) for title, table in tables if table[1]]


def markdown(proof: Proof) -> str:
    """The report as Markdown, without plots."""
    parts = [f"# Proof of {proof.implementation}\n", "\n\n".join(summary(proof)) + "\n"]
    for title, (head, rows) in sections(proof):
        cells = [[c.replace("|", "\\|") for c in row] for row in rows]
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        parts.append(f"## {title}\n\n" + "\n".join(lines + ["| " + " | ".join(row) + " |" for row in cells]) + "\n")
    return "\n".join(parts)


def figures(proof: Proof) -> list[tuple[str, bytes]]:
    """(caption, PNG) of each plot; empty without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return []
    found: list[tuple[str, bytes]] = []

    def keep(figure: Any, caption: str) -> None:
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=110, bbox_inches="tight")
        found.append((caption, out.getvalue()))

    p = np.sort([v.p_value for v in proof.plan.verdicts if v.fit.cells or 0 < v.p_value < 1])
    if len(p):
        figure = Figure(figsize=(5, 4))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="0.7", lw=1)
        axes.step(p, np.arange(1, len(p) + 1) / len(p), where="post")
        axes.set(xlabel="p-value", ylabel="share of tests", title="p-values of all statistical tests")
        keep(figure, "P-values against the diagonal of a correct sampler (bounds and discrete tests lie to its right).")
    distances = [v for v in proof.plan.verdicts if v.fit.cells > 2 and not np.isnan(v.fit.tv)]
    distances.sort(key=lambda v: v.fit.tv_floor)
    if distances:
        figure = Figure(figsize=(7, 4))
        axes = figure.subplots()
        x = np.arange(len(distances))
        axes.errorbar(
            x, [v.fit.tv for v in distances], [2 * v.fit.tv_error for v in distances], fmt=".", label="measured"
        )
        axes.plot(x, [v.fit.tv_floor for v in distances], color="0.5", label="expected from noise alone")
        axes.axhline(TV, color="tab:red", lw=1, label=f"{TV:.0%}, caught with the stated power")
        axes.set(
            xlabel="chi-square tests, by their noise floor",
            ylabel="total variation",
            yscale="log",
            title="Distance from the exact law",
        )
        axes.legend()
        keep(figure, "Total variation between samples and law, two standard errors, with its noise floor.")
    if proof.caught:
        figure = Figure(figsize=(7, 0.17 * len(proof.caught) + 1))
        axes = figure.subplots()
        ranked = sorted(proof.caught, key=lambda c: c.n)
        axes.barh(
            [c.fault.name for c in ranked], [c.n for c in ranked], color=["C0" if c.caught else "C3" for c in ranked]
        )
        axes.set(xscale="log", xlabel="samples until caught", title="Planted faults")
        axes.tick_params(axis="y", labelsize=6)
        axes.margins(y=0.01)
        keep(figure, "Samples after which each planted fault was rejected (red: missed).")
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    cells = [2, 8, 32, 128, 512, 2048, 4096]
    for tv in (0.005, 0.01, 0.02):
        axes.plot(cells, [sample_size(k, proof.plan.level, tv) for k in cells], marker=".", label=f"TV {tv:.1%}")
    axes.set(xscale="log", yscale="log", xlabel="cells", ylabel="samples", title=f"Samples for power 1 - {MISS:g}")
    axes.legend()
    keep(figure, f"Sample size of a chi-square test at level {proof.plan.level:.1g}.")
    return found


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; font-size: 12px; } td, th { border: 1px solid #ccc; padding: 2px 6px; text-align:
left; } th { background: #f2f2f2; position: sticky; top: 0; } .bad { background: #fdd; font-weight: bold; }
figure { display: inline-block; margin: 1em; vertical-align: top; max-width: 48%; } img { max-width: 100%; }
figcaption { font-size: 12px; color: #555; }
"""


def html_page(proof: Proof) -> str:
    """The report as one HTML file with its plots inside."""
    title = html.escape(f"Proof of {proof.implementation}")
    parts = [f"<h1>{title}</h1>", *(f"<p>{html.escape(line)}</p>" for line in summary(proof))]
    for caption, png in figures(proof):
        data = base64.b64encode(png).decode("ascii")
        text = html.escape(caption)
        parts.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )
    for heading, (head, rows) in sections(proof):
        parts.append(
            f"<h2>{html.escape(heading)}</h2><table><tr>{''.join(f'<th>{html.escape(h)}</th>' for h in head)}</tr>"
        )
        for row in rows:
            mark = ' class="bad"' if row[0] in ("FAIL", "MISSED") else ""
            parts.append(f"<tr{mark}>{''.join(f'<td>{html.escape(c)}</td>' for c in row)}</tr>")
        parts.append("</table>")
    body = "\n".join(parts)
    top = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en">{top}{body}</html>\n'


def write(proof: Proof, folder: str | Path, stem: str = "proof") -> tuple[Path, Path]:
    """Writes `<stem>.md` and `<stem>.html` into a folder (made if absent) and returns their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text, page = folder / f"{stem}.md", folder / f"{stem}.html"
    text.write_text(markdown(proof), encoding="utf-8")
    page.write_text(html_page(proof), encoding="utf-8")
    return text, page
