"""An evaluation in words and tables: the screen and Markdown take them from one dictionary, so the numbers are the same."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymdm.data.round_trip import lost_words
from pymdm.evaluate.facts import finite
from pymdm.evaluate.generative import CONTROLS, Generation, ranking
from pymdm.evaluate.judges import describe_judge
from pymdm.evaluate.pictures import picture
from pymdm.evaluate.subject import UNITS
from pymdm.report import figure
from pymdm.report.bits import Bits, number
from pymdm.report.table import Table
from pymdm.report.table import markdown as table_text


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


def likelihood_bits(result: dict[str, Any]) -> Bits:
    """Bits a character of the text; the interval is over masks that were drawn, a point where none were; NaN without any."""
    found, unit = result.get("likelihood"), UNITS[result["run"]["text"]["unit"]]
    if not found:
        return Bits(float("nan"), unit=unit)
    value = found["bits_per_char"]
    return Bits.between(value, found.get("monte_carlo_interval95", [value] * 2), unit, found["characters"])


def markdown(result: dict[str, Any], image: str = "") -> str:
    """The report; every number comes from `result`, as `pymdm evaluate --json` prints it."""
    command, picture_text = result["run"]["command"], f"![curves]({image})" if image else ""
    blocks = [
        "# Evaluation",
        f"Made by `{command}`." if command else "",
        "\n".join(f"* {line}" for line in facts(result)),
    ]
    blocks += [*notes(result), *(table_text(table).strip() for table in tables(result)), picture_text]
    return "\n\n".join(filter(None, blocks)) + "\n"


def tables(result: dict[str, Any]) -> list[Table]:
    """What was measured, the likelihood first."""
    out, found = [], result.get("likelihood")
    if found:
        out.append(_likelihood(result))
    if found and found.get("curve"):
        c = found["curve"]
        rows = [
            [f"{share:.3f}", number(nats), Bits.between(nats, ends).around]
            for share, nats, ends in zip(c["masked_share"], c["nats_per_masked_token"], c["interval95"], strict=True)
        ]
        text = (
            "What a masked token costs, in nats, when this share of the sequence is masked with it. From top to bottom the "
            "network sees less; the area under the curve is the bound per token."
        )
        out.append(Table(["masked share", "nats per masked token", "95% interval"], rows, "Information curve", text))
    return out + (_samples(result["generation"]) if "generation" in result else [])


def _likelihood(result: dict[str, Any]) -> Table:
    found, ngrams, bits = result["likelihood"], result.get("ngram_bits_per_char", {}), likelihood_bits(result)
    bound = found["kind"] == "bound"
    elsewhere = Bits.between(found["bits_per_char"], found["text_interval95"]).around
    kind = "upper bound" if bound else f"exact, {found.get('rule') or 'autoregressive'}"
    monte_carlo = f"{bits.around} (Monte Carlo)" if bound else "no Monte Carlo error"
    others = f"{elsewhere} (text sampling)" if elsewhere != "-" else "needs more than one sequence"
    rows = [
        [f"this model, {kind}", number(bits.value), monte_carlo],
        ["this model, for more such text", "", others],
        *([f"{n}-gram, Witten-Bell", number(b), ""] for n, b in ngrams.items() if b is not None and b == b),
    ]
    how = f"; {found['counts']}, {found['draws']:,} network rows" if bound else ""
    text = (
        f"{_likelihood_words(bound)}\n\n{found['nats_per_token']:.4f} nats per token, perplexity "
        f"{found['perplexity']:.2f}; {found['tokens']:,} tokens, {found['characters']:,} {bits.unit}s evaluated{how}."
    )
    return Table(["", f"bits per {bits.unit}", "95% interval"], rows, "Likelihood", text)


def _likelihood_words(bound: bool) -> str:
    """What the table of likelihoods shows."""
    first = (
        "A masked model gives no likelihood in closed form, but a bound that the true cost cannot exceed (Proposition 3.1 of "
        "Zheng et al., ICLR 2025), here with its Monte Carlo error."
        if bound
        else "The cost of the text under the model, without error."
    )
    return (
        f"How many bits the text costs, less is better. {first} The second row says how far another text of this kind and "
        "size may be off. The n-gram is counted on the training text, and what any model should beat."
    )


SAMPLES = """
What judges, models that give text a likelihood, say of this model's samples. Each row is one kind of text:

* **held-out text**: real, what the samples should look like;
* a **sampler**: NFE network calls a sample, temperature T. Its law: *exact* (the model's own), *approximate* (several tokens a
  call), or *tempered* (T below 1, another law, likelier and less varied by intent);
* **shuffled words**: the held-out text with the words of each piece in random order; **random letters**: its letters at random.

*Entropy* is of the tokens within a text; *rep-4*, share of token 4-grams that repeat within a text; *distinct-2*, share of word
pairs that differ; *self-BLEU-4*, likeness of the texts to each other. Likely samples are good only while these stay near
held-out text's: repeating the likely costs few bits.
""".strip()

JUDGED = """
*bits/char* is the judge's cost of a character, with its 95% interval over texts, comparable between judges; *ppl/token*,
perplexity per token of the judge's own, comparable within a judge only.
""".strip()

CONTROL_WORDS = """
Can these judges judge? One must find held-out text likelier per character than its words shuffled, and those likelier than
random letters. Shuffled words are real words: a sample that a judge puts behind them has less likely words or spelling than
real text, however good its order is; in brackets those whose interval overlaps that of the shuffled words.
""".strip()


def _samples(found: dict[str, Any]) -> list[Table]:
    """Tables of the variety of each kind of text, of what each judge says, and of whether the judges can judge."""
    generations = found["generations"]
    rows = [
        [name_of(g), g["sampler"].get("law", ""), g["sampler"].get("noise", "")]
        + [number(v) for v in (g["entropy"]["mean"], g["repetition4"], g["distinct"]["2"], g["self_bleu4"])]
        for g in generations
    ]
    head = ["", "law", "noise", "entropy, nats", "rep-4", "distinct-2", "self-BLEU-4"]
    out = [Table(head, rows, "Samples", f"{SAMPLES}\n\n{_scored(generations)}", right=tuple(head[3:]))]
    for i, (judge, facts_of_judge) in enumerate(found["judges"].items()):
        scores = [g["judges"][judge] for g in generations]
        rows = [
            [name_of(g), number(bits.value), bits.around, number(s["perplexity"], 1)]
            for g, s in zip(generations, scores, strict=True)
            for bits in (Bits.between(s["bits_per_char"], s["interval95"]),)
        ]
        lost = max(s.get("lost", 0.0) for s in scores)
        text = f"{JUDGED}\n\n" * (i == 0) + f"{describe_judge(judge, facts_of_judge)}."
        text += f" Of one row, {lost_words(lost, 'the texts')}." if lost else ""
        head = ["", "bits/char", "95% interval", "ppl/token"]
        out.append(Table(head, rows, f"Samples, judged by {judge}", text))
    if controls := found.get("controls"):
        head = ["judge", "text, shuffled words, random letters in this order", "samples behind shuffled words"]
        rows = []
        for judge, kept in controls.items():
            behind = "; ".join(_behind(generations, judge, kept["behind_shuffled_words"])) or "none"
            rows.append([judge, "yes" if kept["in_order"] else "NO", behind])
        out.append(Table(head, rows, "Judges, judged", CONTROL_WORDS))
    return out


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


def facts(result: dict[str, Any]) -> list[str]:
    """What was run on what."""
    run, text = result["run"], result["run"]["text"]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    at = f", commit {run['commit']}" if run["commit"] else ""
    hashed = f", sha256 {run['checkpoint']['sha256'][:16]}" if run["checkpoint"]["sha256"] else ""
    size = f"{text['characters']:,} {UNITS[text['unit']]}s, {text['tokens']:,} tokens"
    return [
        f"{run['machine']}; {versions}{at}; seed {run['seed']}",
        f"checkpoint {run['checkpoint']['name'] or 'in memory'}{hashed}; text {text['name']}, {size}",
    ]


def notes(result: dict[str, Any]) -> list[str]:
    """What a reader must know of the numbers."""
    text = result["run"]["text"]
    found = [text.get("note"), lost_words(text["lost"], text["name"]) if text.get("lost") else ""]
    return [f"Note: {note}." for note in (*found, (result.get("likelihood") or {}).get("caveat")) if note]


def headline(result: dict[str, Any]) -> str:
    """The number that matters, in one line: the likelihood, or the first sampler's judgement."""
    if found := result.get("likelihood"):
        bits, bound = likelihood_bits(result), found["kind"] == "bound"
        around = bits.around if bound else Bits.between(bits.value, found["text_interval95"]).around
        kind = "upper bound" if bound else "exact"
        return f"{number(bits.value)} bits per {bits.unit} ({kind}{f', 95% {around}' if around != '-' else ''})"
    first = next(g for g in result["generation"]["generations"] if g["sampler"])
    judge, score = next(iter(first["judges"].items()))
    bits = Bits.between(score["bits_per_char"], score["interval95"])
    return (
        f"{name_of(first)}: {number(bits.value)} bits/char under {judge} (95% {bits.around}), entropy "
        f"{first['entropy']['mean']:.3f} nats"
    )


class NoPicture(UserWarning):
    """An evaluation is written without its picture."""


def write(result: dict[str, Any], stem: Path) -> list[Path]:
    """Writes stem.json, stem.md and stem.png; without matplotlib the first two, and a warning.

    Raises:
        OSError: a file cannot be written.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    numbers, text, image = (stem.with_name(stem.name + suffix) for suffix in (".json", ".md", ".png"))
    numbers.write_text(json.dumps(finite(result), indent=1) + "\n", encoding="utf-8")  # first: it cannot be had again
    drawn = None
    if figure.available():
        with figure.styled():
            drawn = picture(result)
            if drawn is not None:
                figure.save(drawn, image)
    else:
        warnings.warn(f"evaluate: {image} is not drawn, matplotlib is not installed", NoPicture, stacklevel=2)
    text.write_text(markdown(finite(result), image.name if drawn is not None else ""), encoding="utf-8")
    return [numbers, text, *([image] if drawn is not None else [])]
