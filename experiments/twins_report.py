"""docs/training.md and its figures and numbers, from the results of `twins`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from experiments.twins import RUNS
from pymdm.report import figure
from pymdm.report.bits import Bits
from pymdm.report.table import Table, markdown

# bits per byte on enwik8's last 5M bytes, as published
PUBLISHED = {
    "Transformer-XL": 0.99,
    "64-layer autoregressive transformer": 1.06,
    "autoregressive argmax flow": 1.42,
    "multinomial diffusion": 1.75,
}
AIM = 1.75
Result = dict[str, Any]


def write_report(results: Path, docs: Path) -> None:
    """Copy the numbers to DOCS/training/, draw the curves, write DOCS/training.md.

    Raises:
        ValueError: no results.
    """
    found = [json.loads(f.read_text(encoding="utf-8")) for f in sorted(results.glob("*.json"))]
    runs = [r for r in found if "group" in r]
    if not runs:
        raise ValueError(f"twins: no results in {results}")
    samples = next((r for r in found if "judge" in r), None)
    folder = docs / "training"
    folder.mkdir(parents=True, exist_ok=True)
    for file in results.glob("*.json"):
        (folder / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    with figure.styled():
        figure.save(picture(runs), docs / "training.png")
    sections = [INTRODUCTION]
    for group, make in (("enwik8", enwik8), ("bundled", bundled), ("variants", variants)):
        mine = [r for r in runs if r["group"] == group]
        if mine:
            sections.append(make(mine, samples))
    missing = [f"{group}: {'; '.join(left)}" for group, left in not_run(runs).items() if left]
    if missing:
        sections.append("## Not run yet\n\n" + "\n".join(f"* {line}" for line in missing))
    sections.append("![Held-out bits over tokens](training.png)\n\n" + commands(runs, samples))
    (docs / "training.md").write_text("\n\n".join(sections) + "\n", encoding="utf-8")


INTRODUCTION = """# Training runs, with their twins

Written by `python -m experiments.twins report`; the numbers, curves and settings of every run are in `docs/training/`. All runs
of a table share blocks, data, batches and number of steps. Intervals are 95%, over the scored sequences: they hold
the noise of the masks and that of the text. A masked model's number is an upper bound on its bits, an autoregressive one's
is exact. Every sequence is scored from its own start, without earlier text as context."""


def not_run(runs: list[Result]) -> dict[str, list[str]]:
    """Runs of each group that have no result."""
    done = {(r["group"], r["run"]) for r in runs}
    return {group: [name for name in names if (group, name) not in done] for group, names in RUNS.items()}


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    return markdown(Table(head, rows)).rstrip()


def bits(r: Result) -> str:
    """A score with its interval."""
    return str(Bits.between(r["score"]["bits"], r["score"]["interval95"]))


def size(r: Result) -> str:
    """What a run was, in a line."""
    recipe = r["recipe"]
    return (
        f"{recipe['layers']} layers x {recipe['width']}, {r['parameters'] / 1e6:.2f}M weights, length {recipe['length']}, "
        f"batch {recipe['batch_size']}, {r['steps']:,} steps = {r['tokens'] / 1e6:.2f}M tokens, {r['precision']}, 1 thread"
        + ("" if r.get("finished", True) else unfinished(r))
    )


def unfinished(r: Result) -> str:
    """Said of a run that was stopped before its budget was spent."""
    planned = r["recipe"]["steps"]
    return (
        f". **Unfinished**: stopped after {r['steps']:,} of {planned:,} steps, before the learning rate had fallen, so all "
        "numbers here are worse than what the budget would give"
    )


def by_name(runs: list[Result], order: tuple[str, ...]) -> list[Result]:
    """Runs in an order; others after."""
    return sorted(runs, key=lambda r: order.index(r["run"]) if r["run"] in order else len(order))


def enwik8(runs: list[Result], _: Result | None) -> str:
    """The section on enwik8."""
    runs = by_name(runs, ("mdm", "autoregressive"))
    side = runs[0]["score"]
    rows = [[r["run"], bits(r), side["kind"] if r is runs[0] else "exact", speed(r)] for r in runs]
    rows += [[name, f"{value:.2f}", "published", ""] for name, value in PUBLISHED.items()]
    rows += [[f"order-{k} n-gram, Witten-Bell", f"{v:.3f}", "exact, held-out side", ""] for k, v in ngrams(runs[0])]
    best = runs[0]["score"]["bits"]
    text = f"The aim of {AIM} bits/byte was {'met' if best < AIM else 'not met'}"
    share = runs[0]["tokens"] / runs[0]["corpus"]["train_tokens"]
    text += f": the run saw {share:.1%} of the training bytes." if best >= AIM else "."
    scored = (
        f"{side['sequences']} sequences of the {side['side']} side, {side['samples']} draws each for the masked model."
    )
    head = ["model", "bits/byte", "kind", "training"]
    return f"## enwik8, 90M/5M/5M bytes\n\n{size(runs[0])}. {scored}\n\n{table(head, rows)}\n\n{text} {last_gain(runs)}"


def speed(r: Result) -> str:
    """Tokens and rate of a run."""
    return f"{r['tokens'] / 1e6:.2f}M tokens, {r['tokens'] / max(r['seconds'], 1e-9):,.0f} a second"


def last_gain(runs: list[Result]) -> str:
    """How steep the held-out curve still was."""
    words = []
    for r in runs:
        held = [(p["tokens"], p["held_out"]) for p in r["curve"] if p["held_out"] is not None]
        if len(held) >= 3:
            words.append(f"{r['run']} went from {held[-3][1]:.3f} to {held[-1][1]:.3f}")
    return f"From the third last to the last evaluation on held-out text, {'; '.join(words)}." if words else ""


def ngrams(r: Result) -> list[tuple[str, float]]:
    """Orders and bits."""
    return sorted(r["ngram_bits"].items())


def bundled(runs: list[Result], samples: Result | None) -> str:
    """The section on the corpus of the bundled model."""
    runs = by_name(runs, ("mdm", "autoregressive"))
    rows = [[r["run"], bits(r), r["score"]["kind"], speed(r)] for r in runs]
    rows += [[f"order-{k} n-gram, Witten-Bell", f"{v:.3f}", "exact", ""] for k, v in ngrams(runs[0])]
    text = f"## The bundled model's corpus\n\n{size(runs[0])}.\n\n"
    text += table(["model", "held-out bits/char", "kind", "training"], rows)
    if samples is None:
        return text
    rows = [
        [
            s["run"],
            str(Bits.between(s["bits_per_char"], s["interval95"])),
            f"{s['entropy_nats']:.3f}",
            s["law"],
            str(s["nfe"] or ""),
        ]
        for s in samples["rows"]
    ]
    judged = table(["samples of", f"bits/char under the {samples['judge']}", "entropy, nats", "law", "NFE"], rows)
    count = samples["rows"][0]["samples"]
    return (
        f"{text}\n\nGenerated text, {count} sequences each, float32 network, noise of 64 bits, temperature 1, judged by the "
        f"{samples['judge']} counted on the training side. Bits alone can be lowered by dull text; read them with the entropy, "
        f"and against the held-out text.\n\n{judged}"
    )


def variants(runs: list[Result], _: Result | None) -> str:
    """The section on objectives."""
    base = next((r for r in runs if r["run"] == "count"), runs[0])
    order = [base, *(r for r in runs if r is not base)]
    first = np.array(base["score"]["per_sequence_bits"])
    units = np.array(base["score"]["per_sequence_units"], dtype=float)
    rows = []
    for r in order:
        gap = np.array(r["score"]["per_sequence_bits"]) - first
        half = 1.96 * gap.std(ddof=1) / len(gap) ** 0.5 / units.mean()
        difference = "" if r is base else f"{gap.sum() / units.sum():+.3f} ± {half:.3f}"
        rows.append([r["run"], bits(r), difference, f"{r['parameters'] / 1e6:.2f}M"])
    gaps = [abs(r["score"]["bits"] - base["score"]["bits"]) for r in order]
    head = ["objective", "held-out bits/char (bound)", "minus the first, same sequences and masks", "weights"]
    return (
        f"## Objectives on one corpus\n\nThe bundled model's corpus by characters. {size(base)}. All are scored by the same "
        f"bound.\n\n"
        f"{table(head, rows)}\n\nThe largest distance from the first is {max(gaps):.3f} bits/char. At this short budget the "
        "variants differ by how fast they learn as well as by where they end; one seed each."
    )


def commands(runs: list[Result], samples: Result | None) -> str:
    """What made the numbers."""
    lines = ["pymdm data enwik8 --out enwik8-bytes --split 90000000,5000000,5000000"]
    lines += dict.fromkeys(r["command"] for r in runs)
    lines += [f"python -m experiments.twins score {r['group']} {r['run']}" for r in runs if not r.get("finished", True)]
    lines += ["python -m experiments.twins samples twins"] if samples else []
    lines += ["python -m experiments.twins report twins --docs docs"]
    return "## Commands\n\n```\n" + "\n".join(lines) + "\n```"


def picture(runs: list[Result]) -> Any:
    """Held-out bits over tokens, a panel a group, as a figure."""
    groups = [g for g in ("enwik8", "bundled", "variants") if any(r["group"] == g for r in runs)]
    drawn, grid = figure.axes(5.0 * len(groups), 4.0, len(groups), squeeze=False)
    for axes, group in zip(grid[0], groups, strict=True):
        for r in runs:
            if r["group"] == group:
                held = [(p["tokens"] / 1e6, p["held_out"]) for p in r["curve"] if p["held_out"] is not None]
                axes.plot(*zip(*held, strict=True), marker=".", label=r["run"])
        axes.set(title=group, xlabel="tokens, millions", ylabel="held-out bits")
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 2} if len(axes.lines) > 4 else {}
        axes.legend(**below)
    return drawn
