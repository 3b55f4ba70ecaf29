"""A result of `pymdm.precision.lab.run` as titled tables, for the terminal, Markdown and HTML alike."""

from __future__ import annotations

from typing import Any

from pymdm.evaluate.judges import describe_judge
from pymdm.precision.audit import FAULTY, LEVEL
from pymdm.precision.findings import ALPHA
from pymdm.report import facts as facts_text
from pymdm.report.bits import Bits
from pymdm.report.table import Table


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits, or a dash.

    >>> number(0.00123), number(None), number(1.0), number(16.6355, 4)
    ('0.00123', '-', '1', '16.64')
    """
    return "-" if value is None else f"{value:.{digits}g}"


def signed(value: float) -> str:
    """Three decimals and a sign; no minus before nothing.

    >>> signed(-0.2), signed(-1e-9)
    ('-0.200', '+0.000')
    """
    return f"{round(value, 3) + 0.0:+.3f}"


def interval(mean: float, ends: list[float] | tuple[float, float], digits: int = 3) -> str:
    """Mean, and half the width of its interval.

    >>> interval(1.0, (0.5, 1.5), 2)
    '1.00 ± 0.50'
    """
    return f"{mean:.{digits}f} ± {(ends[1] - ends[0]) / 2:.{digits}f}"


def caps_table(result: dict[str, Any]) -> Table:
    """Forms of uniform numbers and their caps."""
    text = (
        "The largest Gumbel noise g = -log(-log u) that each form of uniform numbers can give. The largest u was found by "
        "making the numbers: all of them up to 2^24, of longer forms the first and last 2^16."
    )
    head = ["form", "who draws so", "numbers made", "1 - largest u", "u = 1", "cap found", "cap -log(-log(1 - 2^-b))"]
    rows = [
        [
            c["name"],
            c["who"],
            f"{c['values']:,}" + (" (all)" if c["whole"] else ""),
            f"2^-{c['bits']}" if c["gap"] == 2.0 ** -c["bits"] else number(c["gap"]),
            str(c["ones"]),
            f"{c['cap']:.4f}",
            f"{c['claimed']:.4f}" + ("" if c["agrees"] else " DIFFERS"),
        ]
        for c in result["caps"]
    ]
    return Table(head, rows, "Caps", text)


def draw_table(result: dict[str, Any]) -> Table:
    """One draw at each cap."""
    text = (
        "What the cap does to one categorical draw, as the first-hitting sampler makes it, by Proposition 5.2: total "
        "variation from the prediction, change of entropy in nats, and the temperature of equal entropy. Means over rows."
    )
    head = ["prediction", "form", "total variation", "entropy", "temperature"]
    rows = [
        [_name(p), form, number(d["tv"]), signed(d["entropy_change"]), number(d["temperature"], 4)]
        for p in result["predictions"]
        for form, d in p["draw"].items()
    ]
    return Table(head, rows, "One draw", text)


def step_table(result: dict[str, Any]) -> Table:
    """The first ancestral step."""
    steps = [s["steps"] for s in next(iter(result["predictions"][0]["step"].values()))]
    text = (
        "What the cap does to the first of N ancestral steps, where the mask is a class of weight 1 - 1/N: factor on the "
        "unmask rate / total variation of the token that comes. 1/0 is no defect. Means over rows."
    )
    head = ["prediction", "form", *(f"N = {n:,}" for n in steps)]
    rows = [
        [_name(p), form, *(f"{s['factor']:.2f} / {s['tv']:.2f}" for s in effects)]
        for p in result["predictions"]
        for form, effects in p["step"].items()
    ]
    return Table(head, rows, "The first ancestral step", text)


def run_table(result: dict[str, Any]) -> Table:
    """Whole runs."""
    text = (
        "Whole ancestral runs of a position that predicts the same at all times: the law of its token against the "
        "prediction, and how many positions are still masked at half time (0.50 without a cap). Means over at most 8 rows."
    )
    head = ["prediction", "form", "N", "total variation", "entropy", "temperature", "masked at t = 1/2"]
    rows = [
        [
            _name(p),
            form,
            f"{r['steps']:,}",
            number(r["tv"]),
            signed(r["entropy_change"]),
            number(r["temperature"], 4),
            f"{r['masked_at_half']:.3f}",
        ]
        for p in result["predictions"]
        for form, runs in p["run"].items()
        for r in runs
    ]
    return Table(head, rows, "Whole ancestral runs", text)


def known_table(result: dict[str, Any]) -> Table:
    """Samples beside their law."""
    known = result["known"]
    text = (
        "The samplers on a network that predicts one Zipf law everywhere, V = 50,257: mean of -log mu(token), whose exp is "
        f"the generative perplexity under the true law, and positions still masked at half time. Without a cap: "
        f"{known[0]['exact_nats']:.3f} nats. Expected: for truncated noise by Proposition 5.2; for float32 by the law of "
        "uniforms that are multiples of 2^-24, which reach the cap with probability 2^-24 where truncated noise never does, "
        "so that the defect is a little smaller. z: measured minus expected, in standard errors."
    )
    head = [
        "sampler",
        "noise",
        "N",
        "tokens",
        "nats",
        "expected",
        "z",
        "perplexity",
        "masked at t = 1/2",
        "expected",
        "z",
    ]
    rows = [
        [
            k["sampler"],
            k["noise"],
            f"{k['steps']:,}" if k["steps"] else "",
            f"{k['positions']:,}",
            f"{k['nats']:.3f} ± {1.96 * k['nats_error']:.3f}",
            f"{k['expected_nats']:.3f}",
            f"{k['z_nats']:+.1f}",
            f"{k['perplexity']:,.0f}",
            f"{k['half']:.3f}",
            f"{k['expected_half']:.3f}",
            f"{k['z_half']:+.1f}",
        ]
        for k in known
    ]
    return Table(head, rows, "Samples beside their law", text)


def experiment_table(result: dict[str, Any]) -> Table:
    """The experiment's runs."""
    judges = [judge["name"] for judge in result["judges"]]
    preset = result["preset"]
    text = (
        f"{preset['samples']} sequences of {preset['length']} tokens from the model by each sampler and noise: entropy of a "
        "sequence's own token counts, and what the judges say. Intervals are 95% over sequences."
    )
    head = ["sampler", "noise", "N", "entropy, nats"]
    for judge in judges:
        head += [f"{judge}: bits/char", f"{judge}: perplexity per token"]
    rows = []
    for r in result["runs"]:
        row = [r["sampler"], r["noise"], f"{r['steps']:,}" if r["steps"] else ""]
        row.append(interval(r["entropy_mean"], r["entropy_interval95"]))
        for judge in judges:
            s = r["scores"][judge]
            row += [Bits.between(s["bits_per_char"], s["interval95"]).short, f"{s['perplexity']:,.1f}"]
        rows.append(row)
    return Table(head, rows, "Samples of the model", text)


def findings_table(result: dict[str, Any]) -> Table:
    """The paper's shapes."""
    found = result["findings"]
    text = (
        "The shapes of the paper's Table 2 and Figures 7, 9 and 10, in the entropy of the samples and in the bits per "
        "character that each judge gives them. Differences with their 95% intervals (Welch's t), and the p-value of a "
        f"permutation test, which holds at any number of sequences; from {number(found[0]['level'], 2)} down they count. "
        "Samenesses: NO where a difference counts, and a yes says no more than that it lies within its interval. Falls: yes or "
        "NO where the difference of both kinds of capped noise together counts, unclear where it does not. By chance alone, a "
        f"sameness that holds gets a NO somewhere with probability {ALPHA} at most. {would_show(result)}"
    ).rstrip()
    rows = [[f["verdict"], f["claim"], f["measure"], "; ".join(_gap(g, f["unit"]) for g in f["gaps"])] for f in found]
    return Table(["shows", "claim", "measure", "differences"], rows, "What the paper reports, here", text)


def would_show(result: dict[str, Any]) -> str:
    """The number of samples that would show a fall of the size measured, for falls that are unclear; "" where none is."""
    falls = [f for f in result["findings"] if f["fall"]]
    unclear = [f for f in falls if f["verdict"] == "unclear"]
    if not unclear:
        return ""
    least = min(unclear, key=lambda f: f["gaps"][-1]["needed"])
    gap = least["gaps"][-1]
    size = max(abs(gap["difference"]), gap["error"])
    return (
        f"Unclear with these {result['preset']['samples']} samples a run: {len(unclear)} of {len(falls)} falls; about "
        f"--samples {gap['needed']:,} would show one of {size:.3f} {least['unit']} in {least['measure']} 9 times of 10."
    )


def _gap(gap: dict[str, Any], unit: str) -> str:
    p = f"p {gap['p_value']:.2g}"
    return f"{gap['name']}: {signed(gap['difference'])} ± {gap['half']:.3f} {unit} ({p})"


def audit_verdict(a: dict[str, Any]) -> str:
    """The verdict of an audit in words."""
    if a["verdict"] == "too few draws":
        return f"too few draws to see a cap above {a['visible']:.1f}"
    return str(a["verdict"].upper() if a["verdict"] in FAULTY else a["verdict"])


def audit_table(audits: list[dict[str, Any]]) -> Table:
    """Sources of random numbers."""
    text = (
        "CAPPED: the rare values do not come, so unlikely tokens do not win. INFINITE: some noise is infinite, and its token "
        "wins whatever its probability. HEAVY: too many rare values. Sources of noise: the largest Gumbel noise seen, how "
        "often it was infinite, and how many of all draws had -log u below 15 / draws. Categorical samplers: how many of "
        "the draws from 65,536 rare tokens and a likely mask left the mask, and the cap that explains it; numbers k/2^24 give "
        "their largest value too, and so look like a cap a little above 16.64. So many draws show caps up to the one under "
        "'seen up to', and say nothing of larger ones: sound means that float32's cap, 16.64, would have been seen. The last "
        "three columns, of a capped source: what noise truncated at that cap does by Proposition 5.2 to a Zipf prediction over "
        f"50,257 tokens; TV is total variation. A right source fails once in {1 / LEVEL:,.0f} audits."
    )
    head = [
        "verdict",
        "source",
        "kind",
        "draws",
        "largest noise / cap",
        "seen up to",
        "infinite",
        "tail hits",
        "expected",
        "p-value",
    ]
    head += ["unmask rate, first of 10,000 steps", "TV there", "TV of one draw"]
    rows = [
        [
            audit_verdict(a),
            a["name"],
            a["kind"],
            f"{a['draws']:,}",
            number(a["cap"], 4),
            number(a["visible"], 4),
            str(a["infinite"]),
            f"{a['tail_hits']:,}",
            f"{a['expected_hits']:.1f}",
            number(a["p_value"], 2),
            *(
                (f"x {a['step_factor']:.2f}", f"{a['step_tv']:.2f}", number(a["draw_tv"], 2))
                if a["verdict"] == "capped"
                else ("-", "-", "-")
            ),
        ]
        for a in audits
    ]
    return Table(head, rows, "Audit of random numbers", text)


def tables(result: dict[str, Any]) -> list[Table]:
    """All tables of a result."""
    makers = (findings_table, experiment_table, known_table, caps_table, draw_table, step_table, run_table)
    return [*(make(result) for make in makers), audit_table(result["audits"])]


def facts(result: dict[str, Any]) -> list[str]:
    """Command, machine and sizes, a line each."""
    preset = result["preset"]
    return [
        f"Command: {result['command']}",
        *machine(result["environment"], result["seed"]),
        f"Model: {result['model']}. L = {preset['length']}, B = {preset['samples']}, float32 network.",
        *(f"Judge {describe_judge(judge['name'], judge)}." for judge in result["judges"]),
        f"{result['seconds']:.0f} s, with whatever else the machine was doing.",
    ]


def machine(environment: dict[str, Any], seed: int) -> list[str]:
    """Machine, versions and seed, a line each."""
    e = environment
    return [f"Machine: {facts_text.machine(e)}.", f"{facts_text.versions(e)}; {e['date']}; seed {seed}."]


def _name(prediction: dict[str, Any]) -> str:
    return f"{prediction['name']}, V = {prediction['vocab_size']:,}"
