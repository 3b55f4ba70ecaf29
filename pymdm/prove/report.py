"""The proof as a report: Markdown with the laws, distances and faults, and one self-contained HTML file with every test."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import numpy as np

from pymdm.prove.goodness import MIN_EXPECTED
from pymdm.prove.plan import MISS, TV, Verdict
from pymdm.prove.plots import plots
from pymdm.prove.run import Proof

Table = tuple[list[str], list[list[str]]]
LEGEND = (
    "Symbols: mu(x)[l] is the network's distribution of position l given the tokens x that are there; m = 1 - alpha is the "
    "probability of a mask; m_e is m at event e, with n masks before it; r is 64 random bits and w their high word."
)


def verdict(proof: Proof) -> str:
    """The outcome in one line."""
    tests, failed = len(proof.plan.verdicts), [v for v in proof.plan.verdicts if not v.passed]
    missed = [c.fault.name for c in proof.caught if not c.caught]
    words = [f"{tests} tests of {proof.implementation}: " + ("all passed" if not failed else f"{len(failed)} FAILED")]
    if proof.caught:
        words.append(
            f"{len(proof.caught)} planted faults: " + ("all caught" if not missed else f"{len(missed)} MISSED")
        )
    return "; ".join(words) + "."


def summary(proof: Proof) -> list[str]:
    """Sentences at the head of the report."""
    plan = proof.plan
    failed = [v.name for v in plan.verdicts if not v.passed]
    missed = [c.fault.name for c in proof.caught if not c.caught]
    lines = [verdict(proof)]
    if failed:
        lines.append("Failed: " + "; ".join(failed) + ".")
    if missed:
        lines.append("Missed: " + "; ".join(missed) + ".")
    lines += [
        f"Family-wise error level {plan.alpha:g} by Holm's procedure over {plan.tests} declared tests "
        f"({plan.level:.2g} each at the first step). Root seed {plan.seed}; "
        f"{sum(v.fit.n for v in plan.verdicts):,} draws and samples in all.",
        f"Power is the least chance of rejecting a law at total variation {TV:.0%}; for rare tokens, of rejecting a rate 1.5 "
        f"times off for the likeliest of them. Sample sizes aim at 1 - {MISS:g}. Cells with fewer than {MIN_EXPECTED:g} "
        "expected are pooled into one; a cell of probability zero is never pooled, one observation there fails the test.",
    ]
    if proof.fast:
        lines.append(
            "This is the fast subset: few samples and little power; `pymdm audit --full` has the power aimed at."
        )
    if proof.caught:
        lines.append("Planted faults are broken copies of the reference: they show what the checks can see.")
    if proof.seconds:
        lines.append("Time: " + ", ".join(f"{part} {s:.0f} s" for part, s in proof.seconds.items()) + ".")
    return lines


def law_table(verdicts: list[Verdict]) -> Table:
    """One row per law: its tests together."""
    laws: dict[tuple[str, str], list[Verdict]] = {}
    for v in verdicts:
        laws.setdefault((v.name.split(" / ")[0], v.law), []).append(v)
    rows = []
    for (what, law), tests in laws.items():
        statistical = [v for v in tests if v.fit.cells or v.power < 1.0]
        pooled = max(v.fit.pooled for v in tests)
        rows.append(
            [
                "pass" if all(v.passed for v in tests) else "FAIL",
                what,
                law,
                str(len(tests)),
                f"{sum(v.fit.n for v in tests):,}",
                f"{min(v.p_value for v in tests):.2g}",
                _power(min(v.power for v in statistical)) if statistical else "exact comparison",
                f"{pooled:.2g}" if pooled else "",
            ]
        )
    return ["result", "of", "law", "tests", "samples", "least p-value", "least power", "most pooled"], rows


def _power(power: float) -> str:
    """1 - 1e-6 and better read as that, not as a row of nines."""
    return f"1 - {1 - power:.0e}" if 0 < 1 - power < 1e-3 else f"{power:.4g}"


def verdict_table(verdicts: list[Verdict]) -> Table:
    """One row per test."""
    head = [
        "result",
        "test",
        "law",
        "statistic",
        "p-value",
        "n",
        "cells",
        "pooled",
        "power",
        "TV measured",
        "TV of noise",
    ]
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
                f"{fit.pooled:.2g}" if fit.pooled else "",
                "exact" if v.power == 1.0 and not fit.cells else _power(v.power),
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


def distance_table(proof: Proof) -> Table:
    """One row per approximate sampler, one column per model: total variation with sampling noise taken out."""
    samplers = list(dict.fromkeys(d.sampler for d in proof.distances))
    models = list(dict.fromkeys(d.model for d in proof.distances))
    found = {(d.sampler, d.model): d.distance for d in proof.distances}
    rows = []
    for sampler in samplers:
        cells = [found[sampler, model] for model in models]
        rows.append([sampler, *(f"{d.tv:.4f} ± {d.error:.4f}" if d.tv else f"below {d.error:.4f}" for d in cells)])
    return ["sampler", *models], rows


def approximation_table(proof: Proof) -> Table:
    """Enumerated distance of several tokens a call from the exact law."""
    rows = [[name, str(k), f"{tv:.5f}"] for name, k, tv in proof.approximations]
    return ["model", "tokens per call", "TV from the exact law"], rows


Section = tuple[str, str, tuple[str, ...], Table]  # title, sentence, stems of its plots, table


def sections(proof: Proof) -> list[Section]:
    """The parts that have rows."""
    parts: list[Section] = [
        ("Laws", LEGEND, ("p_values", "distances", "sample_sizes"), law_table(proof.plan.verdicts)),
        (
            "Approximate samplers, measured",
            "Total variation from the exact law of the network, that of FirstHitting(), with one standard error.",
            ("approximations",),
            distance_table(proof),
        ),
        (
            "Several tokens a call, enumerated",
            "Total variation of first-hitting sampling with k tokens from each network output; no sampling involved.",
            (),
            approximation_table(proof),
        ),
        (
            "Planted faults",
            "Samples are doubled until a check rejects the fault at the run's level.",
            ("faults",),
            fault_table(proof),
        ),
    ]
    return [part for part in parts if part[3][1]]


def markdown(proof: Proof, images: bool = False) -> str:
    """The report as Markdown, law by law; with `images` it refers to the plots that `write` puts beside it."""
    parts = [f"# Proof of {proof.implementation}\n", "\n\n".join(summary(proof)) + "\n"]
    if proof.facts:
        parts.append(_markdown_table((["run", ""], [[key, value] for key, value in proof.facts.items()])))
    captions = {stem: caption for stem, caption, _ in plots(proof)} if images else {}
    for title, words, stems, table in sections(proof):
        parts.append(f"## {title}\n\n{words}\n\n{_markdown_table(table)}")
        parts += [f"![{captions[s]}](proof_{s}.png)\n\n{captions[s]}\n" for s in stems if s in captions]
    return "\n".join(parts)


def _markdown_table(table: Table) -> str:
    head, rows = table
    cells = [[c.replace("|", "\\|") for c in row] for row in rows]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in cells]) + "\n"


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1280px; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { margin-bottom: .3em; } h2 { margin-top: 2em; border-bottom: 1px solid #ddd; padding-bottom: .2em; }
.verdict { font-size: 17px; font-weight: 600; padding: .6em 1em; border-radius: 6px; background: #e6f4ea; border-left: 6px solid
#2e7d32; } .verdict.bad { background: #fde8e8; border-left-color: #c62828; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; } td, th { border-bottom: 1px solid #e2e2e2;
padding: 4px 10px 4px 0; text-align: left; vertical-align: top; } th { border-bottom: 2px solid #bbb; white-space: nowrap; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; } th.number { text-align: right; }
tr.bad { background: #fde8e8; font-weight: bold; } .law { font-family: ui-monospace, monospace; font-size: 12px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: 1.5em; margin-top: 1em; }
figure { margin: 0; }
img { max-width: min(100%, 820px); } figcaption { font-size: 13px; color: #555; } summary { cursor: pointer; font-weight: 600; }
"""


def html_page(proof: Proof) -> str:
    """The report as one HTML file with its plots and every test inside."""
    title = html.escape(f"Proof of {proof.implementation}")
    first, *rest = summary(proof)
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="verdict{"" if proof.passed else " bad"}">{html.escape(first)}</p>',
        *(f"<p>{html.escape(line)}</p>" for line in rest),
    ]
    if proof.facts:
        parts.append(_html_table((["run", ""], [[key, value] for key, value in proof.facts.items()])))
    drawn = {stem: (caption, png) for stem, caption, png in plots(proof)}
    for heading, words, stems, table in sections(proof):
        parts.append(f"<h2>{html.escape(heading)}</h2><p>{html.escape(words)}</p>{_html_table(table)}")
        parts.append(_html_plots([drawn[stem] for stem in stems if stem in drawn]))
    tests = verdict_table(proof.plan.verdicts)
    parts.append(f"<h2>Every test</h2><details><summary>{len(tests[1])} tests</summary>{_html_table(tests)}</details>")
    top = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html><html lang="en"><head>{top}</head><body>{body}</body></html>\n'


def _html_plots(drawn: list[tuple[str, bytes]]) -> str:
    figures = []
    for caption, png in drawn:
        data, text = base64.b64encode(png).decode("ascii"), html.escape(caption)
        figures.append(
            f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
        )
    return f'<div class="plots">{"".join(figures)}</div>' if figures else ""


def _html_table(table: Table) -> str:
    head, rows = table
    numbers = {i for i in range(len(head)) if rows and all(_is_number(row[i]) for row in rows)}

    def cell(tag: str, i: int, text: str) -> str:
        kind = "number" if i in numbers else "law" if head[i] == "law" and tag == "td" else ""
        return f"<{tag}{f' class={kind!r}' if kind else ''}>{html.escape(text)}</{tag}>"

    lines = ["<tr>" + "".join(cell("th", i, h) for i, h in enumerate(head)) + "</tr>"]
    for row in rows:
        bad = ' class="bad"' if row[0] in ("FAIL", "MISSED") else ""
        lines.append(f"<tr{bad}>" + "".join(cell("td", i, c) for i, c in enumerate(row)) + "</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _is_number(text: str) -> bool:
    """Whether a cell belongs on the right: a number, a power, a comparison, or nothing."""
    return not text or text[0].isdigit() or text.startswith(("-", "nan", "below ", "exact"))


def write(proof: Proof, folder: str | Path, stem: str = "proof") -> tuple[Path, Path]:
    """Writes `<stem>.html`, `<stem>.md` and the latter's plots into a folder (made if absent); returns (md, html)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text, page = folder / f"{stem}.md", folder / f"{stem}.html"
    for name, _, png in plots(proof):
        (folder / f"proof_{name}.png").write_bytes(png)
    text.write_text(markdown(proof, images=True), encoding="utf-8")
    page.write_text(html_page(proof), encoding="utf-8")
    return text, page
