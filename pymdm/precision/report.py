"""A result of `pymdm.precision.lab.run` as Markdown, and as one self-contained HTML page with plots and a replay."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Any

from pymdm.precision.figures import figures
from pymdm.precision.tables import audit_table, facts, machine, tables
from pymdm.report import page, table

TITLE = "What coarse random numbers do to samples"
INTRODUCTION = (
    "Samplers of masked diffusion models draw tokens by Gumbel-max. Noise made from 32-bit uniforms never exceeds 16.64, so "
    "unlikely classes never win. In ancestral sampling the mask is one of the classes and all tokens together are "
    "unlikely: they come late, and the likely ones come first, so that entropy and perplexity fall as the number of steps "
    "N grows (Zheng et al., ICLR 2025, section 5). The first-hitting sampler never draws the mask and hardly cares."
)
AUDIT = (
    "Gumbel-max and the exponential race are exact only as far as their random numbers go. Each source here is asked for the "
    "rare values that a right one gives, and what is missing is turned into what it does to a masked diffusion model's "
    "samples. The reasons, and a model's samples with such noise: "
)
SAME_TEXT = "Sequences of each kind, not chosen: the first of each run."
REPLAY = (
    "One sequence, twice, by the ancestral sampler with N = {steps:,} and the same 64-bit random numbers: with exact "
    "noise, and with the noise truncated at the cap of 32 bits."
)

STYLE = """
.texts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr)); gap: 1em; }
.card { border: 1px solid #ddd; border-radius: 6px; padding: .6em .8em; } .card h3 { margin: 0 0 .3em; font-size: .95em; }
.text { white-space: pre-wrap; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; margin: 0 0 .6em; }
.text + .text { border-top: 1px dashed #ddd; padding-top: .6em; }
.mask { color: #bbb; } .new { background: #ffe9a8; } .count { color: #555; font-size: .85em; }
.controls { display: flex; gap: 1em; align-items: center; margin: .6em 0; } .controls input { flex: 1; min-width: 0; }
button { font: inherit; padding: .3em 1em; } #replay-label { min-width: 5em; }
"""


def markdown(result: dict[str, Any], audit: str = "") -> str:
    """The facts and the tables, the last of them the audit's; audit: a file of `audit_markdown` beside it, to link."""
    parts = [f"# {TITLE}\n", INTRODUCTION + "\n", "".join(f"* {line}\n" for line in facts(result))]
    where = f"[{audit}]({audit})" if audit else "`pymdm precision audit`"
    return "\n".join([*parts, *map(table.markdown, tables(result)), f"More sources, torch's and NumPy's: {where}.\n"])


def audit_markdown(result: dict[str, Any], lab: str = "") -> str:
    """An audit alone, with its command and machine; lab: a file of `markdown` beside it, to link."""
    where = f"[{lab}]({lab})" if lab else "`pymdm precision`"
    lines = [
        f"* {line}\n" for line in (f"Command: {result['command']}", *machine(result["environment"], result["seed"]))
    ]
    return f"# Random numbers, audited\n\n{AUDIT}{where}.\n\n{''.join(lines)}\n{table.markdown(audit_table(result['audits']))}"


def html_page(result: dict[str, Any]) -> str:
    """One HTML file that fetches nothing; without matplotlib it has no plots and says so."""
    found = tables(result)
    body = [f"<h1>{html.escape(TITLE)}</h1>", f"<p>{html.escape(INTRODUCTION)}</p>"]
    body += [page.facts(facts(result)), table.html_table(found[0]), _plots(result), _replay(result["replay"])]
    body += [_texts(result["runs"]), *map(table.html_table, found[1:])]
    return page.page(TITLE, body, STYLE)


def _plots(result: dict[str, Any]) -> str:
    plots = figures(result)
    if not plots:
        return "<h2>Plots</h2><p>None: matplotlib is not installed (pip install matplotlib).</p>"
    return "<h2>Plots</h2>" + page.figures(plots)


def _replay(replay: dict[str, Any]) -> str:
    panels = "".join(
        f'<div class="card" data-panel="{html.escape(p["name"])}"><h3>{html.escape(p["name"])}</h3>'
        '<div class="text"></div><div class="count"></div></div>'
        for p in replay["panels"]
    )
    data = json.dumps(replay).replace("<", "\\u003c")
    script = files("pymdm.precision").joinpath("replay.js").read_text(encoding="utf-8")
    return (
        f"<h2>The masks filling in</h2><p>{html.escape(replay_caption(replay))}</p>"
        '<div class="controls"><button id="replay-play">Play</button>'
        '<input id="replay-time" type="range" min="0" max="100" value="50" aria-label="time">'
        f'<span id="replay-label"></span></div><div class="texts">{panels}</div>'
        f'<script type="application/json" id="replay-data">{data}</script><script>{script}</script>'
    )


def replay_caption(replay: dict[str, Any]) -> str:
    """What the two panels are, and how they differ, read from them."""
    exact, capped = replay["panels"]
    text = REPLAY.format(steps=replay["steps"])
    if exact["tokens"] == capped["tokens"] and exact["times"] == capped["times"]:
        return f"{text} Both are the same: here the cap did not show."
    half = [sum(t < 0.5 for t in panel["times"]) / len(panel["times"]) for panel in (exact, capped)]
    differ = sum(a != b for a, b in zip(exact["tokens"], capped["tokens"], strict=True))
    return (
        f"{text} At half time {half[0]:.0%} of the tokens of the first and {half[1]:.0%} of those of the second are still "
        f"masked; {differ} of {len(exact['tokens'])} tokens end up different."
    )


def _texts(runs: list[dict[str, Any]]) -> str:
    last = max(r["steps"] for r in runs)
    cards = []
    for r in runs:
        if r["sampler"] == "ancestral" and r["steps"] != last:
            continue
        texts = "".join(f'<p class="text">{html.escape(t)}</p>' for t in r["texts"])
        cards.append(f'<div class="card"><h3>{html.escape(r["name"])}</h3>{texts}</div>')
    return f'<h2>Samples side by side</h2><p>{SAME_TEXT}</p><div class="texts">{"".join(cards)}</div>'
