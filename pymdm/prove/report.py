"""The proof as a report: Markdown with the laws, distances and faults, and one self-contained HTML file with every test."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path

from pymdm.prove.goodness import MIN_EXPECTED
from pymdm.prove.plan import MISS, TV, Verdict, detectable
from pymdm.prove.plots import plots
from pymdm.prove.run import Proof
from pymdm.prove.total_variation import COVERAGE
from pymdm.report import page, table
from pymdm.report.table import Table

LEGEND = (
    "Symbols: mu(x)[l] is the network's distribution of position l given the tokens x that are there; m = 1 - alpha is the "
    "probability of a mask; m_e is m at event e, with n masks before it; r is 64 random bits and w their high word."
)
HALF = 0.5  # power from which on a test can be said to see the distance that it is for


def able(proof: Proof) -> tuple[int, int]:
    """Tests with power above one half, and all tests that chance decides."""
    tests = [v for v in proof.plan.verdicts if v.statistical]
    return sum(v.power > HALF for v in tests), len(tests)


def verdict(proof: Proof) -> str:
    """The outcome in one line: no test failed is said with what the tests could see."""
    tests, failed = len(proof.plan.verdicts), [v for v in proof.plan.verdicts if not v.passed]
    missed = [c.fault.name for c in proof.caught if not c.caught]
    strong, statistical = able(proof)
    passed = (
        "all passed"
        if strong == statistical
        else f"none failed at this power (above 1/2 in {strong} of the {statistical} that chance decides)"
    )
    words = [f"{tests} tests of {proof.implementation}: {f'{len(failed)} FAILED' if failed else passed}"]
    if proof.caught:
        words.append(
            f"{len(proof.caught)} planted faults: " + ("all caught" if not missed else f"{len(missed)} MISSED")
        )
    return "; ".join(words) + "."


def how_wrong(proof: Proof) -> str:
    """The largest distance in an audit that the samples show, or the largest that they do not exclude."""
    seen = [m for m in proof.distances if m.distance.seen]
    sure = f"{COVERAGE:.0%} sure for all models together"
    if seen:
        worst = max(seen, key=lambda m: m.distance.low)
        d = worst.distance
        return (
            f"How wrong: total variation {d.tv:.4f}, between {d.low:.4f} and {d.high:.4f}, on {worst.model} ({sure})."
        )
    high = max(m.distance.high for m in proof.distances)
    return f"How wrong: no distance is seen; a total variation up to {high:.4f} is not excluded ({sure})."


def visible(proof: Proof) -> str:
    """The total variation that an audit's tests of laws are likely to see."""
    laws = [v for v in proof.plan.verdicts if v.name.endswith("/ tokens")]
    least = sorted(detectable(v.fit.n, v.fit.cells, proof.plan.level) for v in laws)
    return (
        f"Seen with probability one half at least: a total variation of {least[0]:.2%} on the best seen model, of "
        f"{least[-1]:.2%} on the worst seen one."
    )


def summary(proof: Proof) -> list[str]:
    """Sentences at the head of the report, the outcome first."""
    plan = proof.plan
    failed = [v.name for v in plan.verdicts if not v.passed]
    missed = [c.fault.name for c in proof.caught if not c.caught]
    lines = [verdict(proof)]
    if proof.cells:
        lines += [how_wrong(proof), visible(proof)]
    if failed:
        lines.append("Failed: " + "; ".join(failed) + ".")
    if missed:
        lines.append("Missed: " + "; ".join(missed) + ".")
    lines.append(
        f"Family-wise error level {plan.alpha:g} by Holm's procedure over {plan.tests} declared tests "
        f"({plan.level:.2g} each at the first step). Root seed {plan.seed}; "
        f"{sum(v.fit.n for v in plan.verdicts):,} draws and samples in all."
    )
    strong, statistical = able(proof)
    sizes = "" if proof.fast or proof.samples else f" Sample sizes aim at 1 - {MISS:g}."
    lines.append(
        f"Power, above one half in {strong} of the {statistical} tests that chance decides, is the least chance of rejecting "
        f"a law at total variation {TV:.0%}; for rare tokens, of rejecting a rate 1.5 times off for the likeliest of them."
        f"{sizes} Cells with fewer than {MIN_EXPECTED:g} expected are pooled into one; a cell of probability zero is never "
        "pooled, one observation there fails the test."
    )
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
        statistical = [v for v in tests if v.statistical]
        pooled = max(v.fit.pooled for v in tests)
        strong = sum(v.power > HALF for v in statistical)
        rows.append(
            [
                "pass" if all(v.passed for v in tests) else "FAIL",
                what,
                law,
                str(len(tests)),
                f"{sum(v.fit.n for v in tests):,}",
                f"{min(v.p_value for v in tests):.2g}",
                power_text(min(v.power for v in statistical)) if statistical else "exact comparison",
                f"{strong} of {len(statistical)}" if statistical else "",
                f"{pooled:.2g}" if pooled else "",
            ]
        )
    head = ["result", "of", "law", "tests", "samples", "least p-value", "least power", "power above 1/2", "most pooled"]
    return Table(head, rows, "Laws", LEGEND)


def power_text(power: float) -> str:
    """1 - 1e-6 and better read as that, not as a row of nines."""
    return f"1 - {1 - power:.0e}" if 0 < 1 - power < 1e-3 else f"{power:.3g}"


def verdict_table(verdicts: list[Verdict]) -> Table:
    """One row per test."""
    head = ["result", "test", "law", "statistic", "p-value", "n", "cells", "pooled", "power"]
    rows = []
    for v in verdicts:
        fit = v.fit
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
                power_text(v.power) if v.statistical else "exact",
            ]
        )
    return Table(head, rows)


def test_table(proof: Proof) -> Table:
    """The tests of an audit with what a terminal has room for."""
    rows = [[row[0], row[1], row[4], row[5], row[8]] for row in verdict_table(proof.plan.verdicts).rows]
    return Table(["result", "test", "p-value", "n", "power"], rows)


def model_table(proof: Proof) -> Table:
    """An audit's distance from the law, model by model, and what the test of that law could see."""
    tests = {v.name.removesuffix(" / tokens"): v for v in proof.plan.verdicts if v.name.endswith(" / tokens")}
    rows = []
    for m in proof.distances:
        test, d = tests[m.model], m.distance
        seen = detectable(test.fit.n, test.fit.cells, proof.plan.level)
        interval = f"{d.low:.4f} to {d.high:.4f}"
        rows.append([m.model, f"{d.n:,}", f"{d.tv:+.4f}", interval, power_text(test.power), f"{seen:.2%}"])
    head = ["model", "samples", "total variation", "interval", f"power at {TV:.0%}", "seen with power 1/2"]
    text = (
        "Total variation between the sampler and the exact law, estimated without the part that noise explains (0 is exact, "
        f"and may come out negative); the intervals hold for all models together with probability {COVERAGE:.0%}."
    )
    return Table(head, rows, "How wrong", text)


def cell_table(proof: Proof) -> Table:
    """The sequences of an audit whose frequencies differ most."""
    text = (
        "Sequences of all models, by how many standard errors the sampler's frequency is from the law. Among so many an "
        "exact sampler, too, has some beyond 3."
    )
    rows = [[c.model, c.sequence, f"{c.law:.5f}", f"{c.seen:.5f}", f"{c.z:+.1f}"] for c in proof.cells]
    head = ["model", "sequence", "law", "sampler", "standard errors apart"]
    return Table(head, rows, "Cells that differ most", text)


def fault_table(proof: Proof) -> Table:
    """One row per planted fault, the ones that needed most samples first."""
    head = ["caught", "fault", "what is wrong", "caught by", "samples needed", "p-value"]
    rows = [
        ["yes" if c.caught else "MISSED", c.fault.name, c.fault.what, c.test, f"{c.n:,}", f"{c.p_value:.2g}"]
        for c in sorted(proof.caught, key=lambda c: -c.n)
    ]
    return Table(
        head, rows, "Planted faults", "Samples are doubled until a check rejects the fault at the run's level."
    )


def distance_table(proof: Proof) -> Table:
    """One row per approximate sampler, one column per model: total variation with its interval."""
    samplers = list(dict.fromkeys(d.sampler for d in proof.distances))
    models = list(dict.fromkeys(d.model for d in proof.distances))
    found = {(d.sampler, d.model): d.distance for d in proof.distances}
    rows = [[sampler, *(found[sampler, model].text() for model in models)] for sampler in samplers]
    text = (
        "Total variation from the exact law of the network, that of FirstHitting(): each half of the samples chooses an "
        f"event, the other measures it, so that noise does not count as distance; {COVERAGE:.0%} intervals, one by one. "
        "Where an exact sampler is not excluded, only the upper end is told."
    )
    return Table(["sampler", *models], rows, "Approximate samplers, measured", text)


def approximation_table(proof: Proof) -> Table:
    """Enumerated distance of several tokens a call from the exact law."""
    rows = [[name, str(k), f"{tv:.5f}"] for name, k, tv in proof.approximations]
    text = "Total variation of first-hitting sampling with k tokens from each network output; no sampling involved."
    head = ["model", "tokens per call", "TV from the exact law"]
    return Table(head, rows, "Several tokens a call, enumerated", text)


def sections(proof: Proof) -> list[tuple[Table, tuple[str, ...]]]:
    """The tables that have rows, with the stems of their plots; an audit's findings come first."""
    laws = (law_table(proof.plan.verdicts), ("p_values", "distances", "sample_sizes"))
    if proof.cells:
        return [(model_table(proof), ("approximations",)), (cell_table(proof), ("cells",)), laws]
    parts: list[tuple[Table, tuple[str, ...]]] = [
        laws,
        (distance_table(proof), ("approximations",)),
        (approximation_table(proof), ()),
        (fault_table(proof), ("faults",)),
    ]
    return [part for part in parts if part[0].rows]


def markdown(proof: Proof, images: bool = False) -> str:
    """The report as Markdown, law by law; with `images` it refers to the plots that `write` puts beside it."""
    parts = [f"# Proof of {proof.implementation}\n", "\n\n".join(summary(proof)) + "\n"]
    if proof.facts:
        parts.append(table.markdown(_facts(proof)))
    captions = {stem: caption for stem, caption, _ in plots(proof)} if images else {}
    for section, stems in sections(proof):
        parts.append(table.markdown(section))
        parts += [f"![{captions[s]}](proof_{s}.png)\n\n{captions[s]}\n" for s in stems if s in captions]
    return "\n".join(parts)


def _facts(proof: Proof) -> Table:
    return Table(["run", ""], [[key, value] for key, value in proof.facts.items()])


def html_page(proof: Proof) -> str:
    """The report as one HTML file with its plots and every test inside."""
    title = f"Proof of {proof.implementation}"
    first, *rest = summary(proof)
    lead = 2 if proof.cells else 0  # of an audit, how wrong comes before how it was tested
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="verdict{"" if proof.passed else " bad"}">{html.escape(" ".join([first, *rest[:lead]]))}</p>',
    ]
    how = [*(f"<p>{html.escape(line)}</p>" for line in rest[lead:])]
    how += [table.html_table(_facts(proof))] if proof.facts else []
    drawn = {stem: (caption, png) for stem, caption, png in plots(proof)}
    body = []
    for section, stems in sections(proof):
        body.append(table.html_table(section))
        body.append(page.figures([drawn[stem] for stem in stems if stem in drawn]))
    parts += [*body, "<h2>How it was tested</h2>", *how] if proof.cells else [*how, *body]
    tests = replace(verdict_table(proof.plan.verdicts), title="")
    words = f"{len(tests.rows)} tests"
    parts.append(f"<h2>Every test</h2><details><summary>{words}</summary>{table.html_table(tests)}</details>")
    return page.page(title, parts)


def write(proof: Proof, folder: str | Path, stem: str = "proof") -> tuple[Path, Path]:
    """Writes `<stem>.html`, `<stem>.md` and the latter's plots into a folder (made if absent); returns (md, html)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    text, whole = folder / f"{stem}.md", folder / f"{stem}.html"
    for name, _, png in plots(proof):
        (folder / f"proof_{name}.png").write_bytes(png)
    text.write_text(markdown(proof, images=True), encoding="utf-8")
    whole.write_text(html_page(proof), encoding="utf-8")
    return text, whole
