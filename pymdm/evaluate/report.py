"""An evaluation as JSON, Markdown and a picture, from one dictionary, so that the numbers are the same."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymdm.data.round_trip import lost_words
from pymdm.evaluate.generative import CONTROLS, Generation, ranking
from pymdm.evaluate.judges import describe_judge
from pymdm.evaluate.subject import finite
from pymdm.report.figure import name_points

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
    if run["text"].get("lost"):
        lines += [f"Note: {lost_words(run['text']['lost'], run['text']['name'])}.", ""]
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
    lines = ["## Likelihood", "", _likelihood_words(bound, unit), ""]
    lines += [f"| | bits per {unit} | 95% interval |", "|---|---|---|"]
    name = "upper bound" if bound else f"exact, {found.get('rule') or 'autoregressive'}"
    monte_carlo = f"{span(found['monte_carlo_interval95'])} (Monte Carlo)" if bound else "no Monte Carlo error"
    lines.append(f"| {name} | {number(found['bits_per_char'])} | {monte_carlo} |")
    known = found["text_interval95"][0] is not None
    text = f"{span(found['text_interval95'])} (text sampling)" if known else "needs more than one sequence"
    lines.append(f"| the same, for more such text | | {text} |")
    lines += [
        f"| {n}-gram, interpolated Witten-Bell | {number(bits)} | |" for n, bits in ngrams.items() if bits == bits
    ]
    per = f"{found['nats_per_token']:.4f} nats per token, perplexity {found['perplexity']:.2f}"
    size = f"{found['tokens']:,} tokens, {found['characters']:,} {unit}s"
    how = f"; {found['counts']}, {found['draws']:,} network rows" if bound else ""
    lines += ["", f"{per}; {size} evaluated{how}.", ""]
    if found.get("caveat"):
        lines += [f"Note: {found['caveat']}.", ""]
    if found.get("curve"):
        lines += [
            "Information curve: what a masked token costs, in nats, when this share of the sequence is masked with it. "
            "From top to bottom the network sees less; the area under the curve is the bound per token.",
            "",
        ]
        lines += ["| masked share | nats per masked token | 95% interval |", "|---|---|---|"]
        curve = found["curve"]
        for share, nats, ends in zip(
            curve["masked_share"], curve["nats_per_masked_token"], curve["interval95"], strict=True
        ):
            lines.append(f"| {share:.3f} | {nats:.3f} | {span(ends)} |")
        lines.append("")
    return lines


def _likelihood_words(bound: bool, unit: str) -> str:
    """What the table of likelihoods shows."""
    first = (
        "A masked model gives no likelihood in closed form, but a bound that the true cost cannot exceed (Proposition 3.1 of "
        "Zheng et al., ICLR 2025), here with its Monte Carlo error."
        if bound
        else "The cost of the text under the model, without error."
    )
    return (
        f"How many bits the text costs, less is better. {first} The second row says how far another text of this kind and "
        f"size may be off. The n-gram is counted on the training text, and what any model should beat."
    )


SAMPLES = """
What judges, models that give text a likelihood, say of this model's samples. Each row is one kind of text:

* **held-out text**: real, what the samples should look like;
* a **sampler**: NFE network calls a sample, temperature T. Its law: *exact* (the model's own), *approximate* (several tokens a
  call), or *tempered* (T below 1, another law, likelier and less varied by intent);
* **shuffled words**: the held-out text with the words of each piece in random order; **random letters**: its letters at random.

Each column: *bits/char*, the judge's cost of a character with its 95% interval over texts, comparable between judges;
*ppl/token*, perplexity per token of the judge's own, comparable within a column only; *entropy* of the tokens within a
text; *rep-4*, share of token 4-grams that repeat within a text; *distinct-2*, share of word pairs that differ;
*self-BLEU-4*, likeness of the texts to each other. Likely samples are good only while the last four stay near held-out text's:
repeating the likely costs few bits.
""".strip().splitlines()

CONTROL_WORDS = """
Can these judges judge? One must find held-out text likelier per character than its words shuffled, and those likelier than
random letters. Shuffled words are real words: a sample that a judge puts behind them has less likely words or spelling than
real text, however good its order is; in brackets those whose interval overlaps that of the shuffled words.
""".strip().splitlines()


def _generation(found: dict[str, Any]) -> list[str]:
    judges = list(found["judges"])
    heads = [f"{judge}: bits/char (95%) | {judge}: ppl/token" for judge in judges]
    lines = ["## Samples", "", *SAMPLES, ""]
    lines.append("| | law | noise | " + " | ".join(heads) + " | entropy, nats | rep-4 | distinct-2 | self-BLEU-4 |")
    lines.append("|" + "---|" * (7 + 2 * len(judges)))
    for g in found["generations"]:
        sampler = g["sampler"]
        cells = [name_of(g), sampler.get("law", ""), sampler.get("noise", "")]
        for judge in judges:
            score = g["judges"][judge]
            cells += [
                f"{number(score['bits_per_char'])} ({span(score['interval95'])})",
                number(score["perplexity"], 1),
            ]
        cells += [
            f"{g['entropy']['mean']:.3f}",
            number(g["repetition4"]),
            number(g["distinct"]["2"]),
            number(g["self_bleu4"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", _scored(found["generations"]), "", "Judges:", ""]
    for judge, facts in found["judges"].items():
        lines.append(f"* {describe_judge(judge, facts)}.")
        lost = max(g["judges"][judge].get("lost", 0.0) for g in found["generations"])
        if lost:
            lines.append(f"  Of one row, {lost_words(lost, 'the texts')}.")
    if found.get("controls"):
        lines += ["", "### Judges, judged", "", *CONTROL_WORDS, ""]
        lines += ["| judge | text, shuffled words, random letters in this order | samples behind shuffled words |"]
        lines += ["|---|---|---|"]
        for judge, facts in found["controls"].items():
            behind = "; ".join(_behind(found["generations"], judge, facts["behind_shuffled_words"])) or "none"
            lines.append(f"| {judge} | {'yes' if facts['in_order'] else 'NO'} | {behind} |")
    lines.append("")
    return lines


def _scored(generations: list[dict[str, Any]]) -> str:
    """How many texts of each kind were scored, and how long they are."""
    rows: dict[int, list[str]] = {}
    for g in generations:
        rows.setdefault(g["texts"], []).append(name_of(g))
    length = f"of {generations[0]['length']} tokens each"
    if len(rows) == 1:
        return f"{next(iter(rows))} texts {length} in every row, all scored."
    counts = (f"{number} of {' and of '.join(names)}" for number, names in rows.items())
    return f"Texts {length}, all scored: {'; '.join(counts)}."


def _behind(generations: list[dict[str, Any]], judge: str, names: list[str]) -> list[str]:
    """Samples of these names, in brackets where the judge may have put them there by chance."""
    ends = {name_of(g): g["judges"][judge]["interval95"] for g in generations}
    high = ends[CONTROLS[1]][1]
    return [name if ends[name][0] > high else f"({name})" for name in names]


def name_of(generation: dict[str, Any]) -> str:
    """As `Generation.label`."""
    s = generation["sampler"]
    return f"{s['name']}, NFE {s['nfe']:.4g}, T {s['temperature']:g}" if s else str(generation["name"])


def number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or value != value else f"{value:.{digits}f}"


def span(ends: Sequence[float | None]) -> str:
    if None in ends:
        return "-"
    return f"{number(ends[0])} to {number(ends[1])}"


class NoPicture(UserWarning):
    """An evaluation is written without its picture."""


def picture(result: dict[str, Any]) -> Any:
    """The information curve, and bits per character over entropy for every judge, as a figure; None without either.

    Raises:
        ImportError: matplotlib is missing.
    """
    from matplotlib.figure import Figure

    curve = (result.get("likelihood") or {}).get("curve")
    judges = list(result["generation"]["judges"]) if "generation" in result else []
    panels = bool(curve) + len(judges)
    if not panels:
        return None
    figure = Figure(figsize=(5.2 * panels, 4.2), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    if curve:
        ax, mean = axes.pop(0), curve["nats_per_masked_token"]
        error = [[m - (e[0] if e[0] is not None else m) for m, e in zip(mean, curve["interval95"], strict=True)]] * 2
        ax.errorbar(curve["masked_share"], mean, yerr=error, marker="o", markersize=3, capsize=2, label="mean, 95%")
        per_token = result["likelihood"]["nats_per_token"]
        ax.axhline(
            per_token, color="0.5", linestyle="--", linewidth=1, label=f"bound, {per_token:.3f} nats a token: the area"
        )
        ax.legend(fontsize=8)
        ax.set(xlabel="masked share n / L", ylabel="nats per masked token", title="information curve", ylim=(0, None))
    for ax, judge in zip(axes, judges, strict=True):
        _frontier_panel(ax, judge, result["generation"]["generations"])
    return figure


def _frontier_panel(ax: Any, judge: str, generations: list[dict[str, Any]]) -> None:
    """One line a temperature, along the NFE, with 95% intervals; held-out text as a star. Controls stay in the table."""
    lines: dict[float, list[tuple[float, float, tuple[float, float], float]]] = {}
    for g in generations:
        x, score = g["entropy"]["mean"], g["judges"][judge]
        y, ends = score["bits_per_char"], score["interval95"]
        around = (max(0.0, y - ends[0]), max(0.0, ends[1] - y)) if None not in ends else (0.0, 0.0)
        if g["sampler"]:
            lines.setdefault(g["sampler"]["temperature"], []).append((x, y, around, g["sampler"]["nfe"]))
        elif g["name"] == CONTROLS[0]:
            ax.errorbar(x, y, yerr=[[around[0]], [around[1]]], fmt="*", color="black", markersize=12, label=CONTROLS[0])
    for temperature, points in sorted(lines.items()):
        error = list(zip(*(p[2] for p in points), strict=True))
        style = {"marker": "o", "markersize": 4, "capsize": 2, "elinewidth": 0.8}
        ax.errorbar([p[0] for p in points], [p[1] for p in points], yerr=error, label=f"T = {temperature:g}", **style)
    ax.set(xlabel="entropy, nats", ylabel="bits per character, 95% intervals", title=f"judge {judge}; numbers: NFE")
    ax.legend(fontsize=8)
    name_points(ax, [(x, y, f"{nfe:.0f}") for points in lines.values() for x, y, _, nfe in points])


def write(result: dict[str, Any], stem: Path) -> list[Path]:
    """Writes stem.json, stem.md and stem.png; without matplotlib the first two, and a warning.

    Raises:
        OSError: a file cannot be written.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    numbers, text, image = (stem.with_name(stem.name + suffix) for suffix in (".json", ".md", ".png"))
    numbers.write_text(json.dumps(finite(result), indent=1) + "\n", encoding="utf-8")  # first: it cannot be had again
    try:
        drawn = picture(result)
    except ImportError:
        drawn = None
        warnings.warn(f"evaluate: {image} is not drawn, matplotlib is not installed", NoPicture, stacklevel=2)
    if drawn is not None:
        drawn.savefig(image, dpi=120)
    text.write_text(markdown(finite(result), image.name if drawn is not None else ""), encoding="utf-8")
    return [numbers, text, *([image] if drawn is not None else [])]
