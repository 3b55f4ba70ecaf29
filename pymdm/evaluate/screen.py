"""An evaluation on a terminal: tables that fit its width, and the number that matters last."""

from __future__ import annotations

from typing import Any

from pymdm.data.round_trip import lost_words
from pymdm.evaluate.report import UNITS, name_of, number, span
from pymdm.report.table import Table


def tables(result: dict[str, Any]) -> list[Table]:
    """What was measured, the curve first, the likelihood last; the numbers of `pymdm.evaluate.report.markdown`.

    Args:
        result: as `pymdm evaluate --json` prints it.
    """
    out = []
    found, unit = result.get("likelihood"), UNITS[result["run"]["text"]["unit"]]
    if found and found.get("curve"):
        c = found["curve"]
        rows = [
            [f"{share:.3f}", number(nats), span(ends)]
            for share, nats, ends in zip(c["masked_share"], c["nats_per_masked_token"], c["interval95"], strict=True)
        ]
        out.append(Table(["masked share", "nats per masked token", "95% interval"], rows, "Information curve"))
    if "generation" in result:
        out += _samples(result["generation"])
    if found:
        out.append(_likelihood(found, result.get("ngram_bits_per_char", {}), unit))
    return out


def _samples(found: dict[str, Any]) -> list[Table]:
    rows = [
        [
            name_of(g),
            *(g["sampler"].get(key, "") for key in ("law", "noise")),
            *map(number, (g["entropy"]["mean"], g["repetition4"], g["self_bleu4"])),
        ]
        for g in found["generations"]
    ]
    out = [Table(["", "law", "noise", "entropy", "rep-4", "self-BLEU-4"], rows, "Samples")]
    for judge in found["judges"]:
        rows = []
        for g in found["generations"]:
            s = g["judges"][judge]
            rows.append([name_of(g), number(s["bits_per_char"]), span(s["interval95"]), number(s["perplexity"], 1)])
        out.append(Table(["", "bits/char", "95% interval", "ppl/token"], rows, f"Samples, judged by {judge}"))
    if judged := found.get("controls"):
        kept = [[judge, "yes" if facts["in_order"] else "NO"] for judge, facts in judged.items()]
        out.insert(0, Table(["judge", "text, shuffled words, random letters in this order"], kept, "Judges, judged"))
    return out


def _likelihood(found: dict[str, Any], ngrams: dict[str, float], unit: str) -> Table:
    bound = found["kind"] == "bound"
    rows = [[f"{n}-gram, Witten-Bell", number(bits), ""] for n, bits in ngrams.items() if bits is not None]
    known = found["text_interval95"][0] is not None
    others = span(found["text_interval95"]) if known else "needs more than one sequence"
    rows.append(["this model, for more such text", "", others])
    name = "this model, upper bound" if bound else f"this model, exact, {found.get('rule') or 'autoregressive'}"
    rows.append([name, number(found["bits_per_char"]), span(found["monte_carlo_interval95"]) if bound else "no error"])
    return Table(["", f"bits per {unit}", "95% interval"], rows, "Likelihood")


def facts(result: dict[str, Any]) -> list[str]:
    """What was run on what."""
    run, text = result["run"], result["run"]["text"]
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    size = f"{text['characters']:,} {UNITS[text['unit']]}s, {text['tokens']:,} tokens"
    return [
        f"{run['machine']}; {versions}; seed {run['seed']}",
        f"checkpoint {run['checkpoint']['name']}; text {text['name']}, {size}",
    ]


def notes(result: dict[str, Any]) -> list[str]:
    """What a reader must know of the numbers."""
    text = result["run"]["text"]
    found = [text.get("note"), lost_words(text["lost"], text["name"]) if text.get("lost") else ""]
    return [f"Note: {note}." for note in (*found, (result.get("likelihood") or {}).get("caveat")) if note]


def headline(result: dict[str, Any]) -> str:
    """The number that matters, in one line: the likelihood, or the first sampler's judgement."""
    unit = UNITS[result["run"]["text"]["unit"]]
    if found := result.get("likelihood"):
        kind = "upper bound" if found["kind"] == "bound" else "exact"
        ends = found["monte_carlo_interval95"] if found["kind"] == "bound" else found["text_interval95"]
        around = f", 95% {span(ends)}" if ends[0] is not None else ""
        return f"{number(found['bits_per_char'])} bits per {unit} ({kind}{around})"
    first = next(g for g in result["generation"]["generations"] if g["sampler"])
    judge, score = next(iter(first["judges"].items()))
    return (
        f"{name_of(first)}: {number(score['bits_per_char'])} bits/char under {judge} "
        f"(95% {span(score['interval95'])}), entropy {first['entropy']['mean']:.3f} nats"
    )
