"""An evaluation as JSON, Markdown and a picture, from one dictionary, so that the numbers are the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymdm.evaluate.generative import CONTROLS, Generation, ranking
from pymdm.evaluate.subject import finite

UNITS = {"char": "character", "byte": "byte"}


def generation_facts(generations: Sequence[Generation], judges: Sequence[Any]) -> dict[str, Any]:
    """JSON-ready: every generation, who judged, and whether each judge tells text, shuffled words and random letters apart."""
    facts: dict[str, Any] = {
        "generations": [g.to_dict() for g in generations],
        "judges": {judge.name: judge.facts for judge in judges},
    }
    shown = [g for g in generations if g.name in CONTROLS]
    if len(shown) == len(CONTROLS):
        facts["controls"] = {}
        for judge in judges:
            order = ranking(generations, judge.name)
            facts["controls"][judge.name] = {
                "in_order": ranking(shown, judge.name) == list(CONTROLS),
                "behind_shuffled_words": order[order.index(CONTROLS[1]) + 1 :][
                    : -1 if order[-1] == CONTROLS[2] else None
                ],
            }
    return facts


def markdown(result: dict[str, Any], picture: str = "") -> str:
    """The report; every number comes from `result`, as `pymdm evaluate --json` prints it."""
    run = result["run"]
    lines = ["# Evaluation", ""]
    if run["command"]:
        lines.append(f"Made by `{run['command']}`.")
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    at = f", commit {run['commit']}" if run["commit"] else ""
    lines += [
        f"{run['machine']}; {versions}{at}; seed {run['seed']}.",
        f"Checkpoint {run['checkpoint']['name']}, sha256 {run['checkpoint']['sha256'][:16]}. Text: {run['text']['name']}, "
        f"{run['text']['characters']:,} {UNITS[run['text']['unit']]}s, {run['text']['tokens']:,} tokens.",
        "",
    ]
    if run["text"].get("note"):
        lines += [f"Note: {run['text']['note']}.", ""]
    if "likelihood" in result:
        unit = UNITS[run["text"]["unit"]]
        lines += _likelihood(result["likelihood"], result.get("ngram_bits_per_char", {}), unit)
    if "generation" in result:
        lines += _generation(result["generation"])
    if picture:
        lines += [f"![curves]({picture})", ""]
    return "\n".join(lines).rstrip() + "\n"


def _likelihood(found: dict[str, Any], ngrams: dict[str, float], unit: str) -> list[str]:
    bound = found["kind"] == "bound"
    lines = ["## Likelihood", "", f"| | bits per {unit} | 95% interval |", "|---|---|---|"]
    name = "upper bound" if bound else "exact, autoregressive"
    monte_carlo = f"{_range(found['monte_carlo_interval95'])} (Monte Carlo)" if bound else "no Monte Carlo error"
    lines.append(f"| {name} | {_number(found['bits_per_char'])} | {monte_carlo} |")
    lines.append(f"| the same, for more such text | | {_range(found['text_interval95'])} (text sampling) |")
    lines += [
        f"| {n}-gram, interpolated Witten-Bell | {_number(bits)} | |" for n, bits in ngrams.items() if bits == bits
    ]
    per = f"{found['nats_per_token']:.4f} nats per token, perplexity {found['perplexity']:.2f}"
    size = f"{found['tokens']:,} tokens, {found['characters']:,} {unit}s"
    how = f"; {found['counts']}, {found['draws']:,} network rows" if bound else ""
    lines += ["", f"{per}; {size} evaluated{how}.", ""]
    if found.get("curve"):
        lines += ["Information curve: nats of a masked token by masked share (its area is the bound per token).", ""]
        lines += ["| masked share | nats per masked token | 95% interval |", "|---|---|---|"]
        curve = found["curve"]
        for share, nats, ends in zip(
            curve["masked_share"], curve["nats_per_masked_token"], curve["interval95"], strict=True
        ):
            lines.append(f"| {share:.3f} | {nats:.3f} | {_range(ends)} |")
        lines.append("")
    return lines


def _generation(found: dict[str, Any]) -> list[str]:
    judges = list(found["judges"])
    heads = [f"{judge}: bits/char (95%) | {judge}: ppl/token" for judge in judges]
    lines = [
        "## Samples",
        "",
        "| | law | noise | " + " | ".join(heads) + " | entropy, nats | rep-4 | distinct-2 | self-BLEU |",
    ]
    lines.append("|" + "---|" * (7 + 2 * len(judges)))
    for g in found["generations"]:
        sampler = g["sampler"]
        name = f"{sampler['name']}, NFE {sampler['nfe']:g}, T {sampler['temperature']:g}" if sampler else g["name"]
        cells = [name, sampler.get("law", ""), sampler.get("noise", "")]
        for judge in judges:
            score = g["judges"][judge]
            cells += [
                f"{_number(score['bits_per_char'])} ({_range(score['interval95'])})",
                _number(score["perplexity"], 1),
            ]
        cells += [
            f"{g['entropy']['mean']:.3f}",
            _number(g["repetition4"]),
            _number(g["distinct"]["2"]),
            _number(g["self_bleu4"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    first = found["generations"][0]
    lines += [
        "",
        f"{first['texts']} texts of {first['length']} tokens each, all scored; intervals over texts. Entropy of each "
        "text over its own tokens; rep-4: repeated token 4-grams in a text; distinct-2 and self-BLEU-4 over words.",
    ]
    for judge, facts in found["judges"].items():
        told = ", ".join(f"{k} {v}" for k, v in facts.items() if isinstance(v, str | int | float))
        lines.append(f"Judge {judge}: {told}.")
    for judge, facts in found.get("controls", {}).items():
        behind = ", ".join(facts["behind_shuffled_words"]) or "none"
        lines.append(
            f"{judge} ranks held-out text before shuffled words before random letters: {'yes' if facts['in_order'] else 'NO'}; "
            f"samples behind shuffled words: {behind}."
        )
    lines.append("")
    return lines


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def _range(ends: Sequence[float | None]) -> str:
    return f"{_number(ends[0])} to {_number(ends[1])}"


def draw(result: dict[str, Any], path: Path) -> None:
    """The information curve, and bits per character over entropy for every judge, as PNG.

    Raises:
        ValueError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("evaluate: the picture needs matplotlib: pip install 'pymdm[plot]'") from None
    curve = (result.get("likelihood") or {}).get("curve")
    judges = list(result["generation"]["judges"]) if "generation" in result else []
    panels = bool(curve) + len(judges)
    if not panels:
        return
    figure = Figure(figsize=(5.2 * panels, 4.2), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    if curve:
        ax, mean = axes.pop(0), curve["nats_per_masked_token"]
        error = [[m - (e[0] if e[0] is not None else m) for m, e in zip(mean, curve["interval95"], strict=True)]] * 2
        ax.errorbar(curve["masked_share"], mean, yerr=error, marker="o", markersize=3, capsize=2)
        ax.set(xlabel="masked share n / L", ylabel="nats per masked token", title="information curve", ylim=(0, None))
    for ax, judge in zip(axes, judges, strict=True):
        _frontier_panel(ax, judge, result["generation"]["generations"])
    figure.savefig(path, dpi=120)


def _frontier_panel(ax: Any, judge: str, generations: list[dict[str, Any]]) -> None:
    """One line a temperature, along the NFE; held-out text as a star. Controls are off the scale and stay in the table."""
    lines: dict[float, list[tuple[float, float, float]]] = {}
    for g in generations:
        point = (g["entropy"]["mean"], g["judges"][judge]["bits_per_char"])
        if g["sampler"]:
            lines.setdefault(g["sampler"]["temperature"], []).append((*point, g["sampler"]["nfe"]))
        elif g["name"] == CONTROLS[0]:
            ax.plot(*point, "*", color="black", markersize=12, label=CONTROLS[0])
    for temperature, points in sorted(lines.items()):
        ax.plot([p[0] for p in points], [p[1] for p in points], marker="o", markersize=4, label=f"T = {temperature:g}")
        for x, y, nfe in points:
            ax.annotate(f"{nfe:.0f}", (x, y), textcoords="offset points", xytext=(4, 3), fontsize=7)
    ax.set(xlabel="entropy, nats", ylabel="bits per character", title=f"judge {judge}; numbers: NFE")
    ax.legend(fontsize=8)


def write(result: dict[str, Any], stem: Path) -> list[Path]:
    """Writes stem.json, stem.md and stem.png.

    Raises:
        ValueError: matplotlib is missing. OSError: a file cannot be written.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(stem.name + suffix) for suffix in (".json", ".md", ".png")]
    draw(result, paths[2])
    paths[0].write_text(json.dumps(finite(result), indent=1) + "\n", encoding="utf-8")
    paths[1].write_text(markdown(finite(result), paths[2].name if paths[2].exists() else ""), encoding="utf-8")
    return [p for p in paths if p.exists()]
