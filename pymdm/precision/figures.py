"""A result of `pymdm.precision.lab.run` as plots, in SVG."""

from __future__ import annotations

from typing import Any

from pymdm.report import figure

WIDTH, HEIGHT = 5.2, 3.5  # inches; at a phone's width the letters stay near their size
COLOURS = {"exact": "#222222", "float64": "#1b6ca8", "float32": "#c8402a", "truncated": "#e39b2d", "text": "#6a8f3c"}
MARKS = {"exact": "o", "float64": "s", "float32": "o", "truncated": "^"}


def figures(result: dict[str, Any]) -> list[tuple[str, str]]:
    """(caption, SVG) of each plot; empty without matplotlib."""
    if not figure.available():
        return []
    found: list[tuple[str, str]] = []
    with figure.styled():

        def plot(caption: str, draw: Any, *arguments: Any) -> None:
            picture, axes = figure.axes(WIDTH, HEIGHT)
            draw(axes, result, *arguments)
            found.append((caption, figure.svg(picture)))

        plot(
            "Entropy of the samples over the number of ancestral steps; bands are first-hitting's intervals.", _entropy
        )
        for judge in result["judges"]:
            plot(f"Bits per character of the samples under the judge {judge['name']}.", _bits, judge["name"])
        plot("Share of tokens still masked at time t, measured, at the largest N. Without a cap it is t.", _masks)
        plot("Zipf network, V = 50,257: mean -log mu of the tokens, beside its law (lines).", _known)
        plot("Factor on the unmask rate in the first of N ancestral steps, by Proposition 5.2.", _factor)
        plot("Temperature of equal entropy of one draw, by cap; 1 is no change.", _temperature)
    return found


def _over_steps(axes: Any, result: dict[str, Any], value: Any, label: str) -> None:
    runs = result["runs"]
    steps = sorted({r["steps"] for r in runs if r["sampler"] == "ancestral"})
    for shift, noise in enumerate(("float64", "truncated", "float32")):
        mine = [r for r in runs if r["sampler"] == "ancestral" and r["noise"] == noise]
        values = [value(r) for r in mine]
        x = [r["steps"] * 1.04 ** (shift - 1) for r in mine]  # side by side, not on top of each other
        error = [(high - low) / 2 for _, (low, high) in values]
        axes.errorbar(
            x,
            [v for v, _ in values],
            error,
            color=COLOURS[noise],
            marker=MARKS[noise],
            ms=4,
            lw=1.3,
            capsize=2,
            label=f"ancestral, {noise}",
        )
    for sampler, noise, style in (
        ("first-hitting", "exact", "-"),
        ("first-hitting", "float32", ":"),
        ("text", "", "-"),
    ):
        for r in runs:
            if (r["sampler"], r["noise"]) == (sampler, noise):
                mean, (low, high) = value(r)
                colour = COLOURS["text" if sampler == "text" else noise]
                axes.axhline(mean, color=colour, ls=style, lw=1, label=r["name"])
                axes.axhspan(low, high, color=colour, alpha=0.08, lw=0)
    axes.set(xscale="log", xlabel="ancestral steps N", ylabel=label)
    axes.set_xticks(steps, [f"{n:,}" for n in steps])
    axes.minorticks_off()
    axes.legend(fontsize=8)


def _entropy(axes: Any, result: dict[str, Any]) -> None:
    _over_steps(axes, result, lambda r: (r["entropy_mean"], r["entropy_interval95"]), "entropy, nats")


def _bits(axes: Any, result: dict[str, Any], judge: str) -> None:
    def value(r: dict[str, Any]) -> Any:
        return r["scores"][judge]["bits_per_char"], r["scores"][judge]["interval95"]

    _over_steps(axes, result, value, "bits per character")


def _masks(axes: Any, result: dict[str, Any]) -> None:
    last = max(r["steps"] for r in result["runs"])
    axes.plot([1, 0], [1, 0], color="0.75", lw=1, label="without a cap: t")
    for r in result["runs"]:
        shown = (r["sampler"] == "ancestral" and r["steps"] == last) or (r["sampler"], r["noise"]) == (
            "first-hitting",
            "float32",
        )
        if shown:
            t = [1 - i / (len(r["masks"]) - 1) for i in range(len(r["masks"]))]
            style = ":" if r["sampler"] == "first-hitting" else "-"
            axes.plot(t, r["masks"], color=COLOURS[r["noise"]], ls=style, label=r["name"])
    axes.set(xlabel="time t (sampling goes from 1 to 0)", ylabel="share masked", xlim=(1, 0))
    axes.legend(fontsize=8)


def _known(axes: Any, result: dict[str, Any]) -> None:
    known = result["known"]
    labels = []
    for i, k in enumerate(known):
        measured, law = ("measured, 95%", "its law") if not i else (None, None)
        axes.errorbar(
            k["nats"], -i, xerr=1.96 * k["nats_error"], fmt="o", color="tab:blue", ms=4, capsize=2, label=measured
        )
        axes.vlines(k["expected_nats"], -i - 0.35, -i + 0.35, color="#222222", lw=2, label=law)
        labels.append(f"{k['sampler']}, {k['noise']}" + (f", N={k['steps']:,}" if k["steps"] else ""))
    axes.axvline(known[0]["exact_nats"], color="0.75", lw=1, zorder=0, label="without a cap")
    axes.set_yticks([-i for i in range(len(known))], labels, fontsize=8)
    axes.set(xlabel="nats per token")
    axes.legend(loc="lower center", bbox_to_anchor=(0.3, 1), ncols=3)


def _factor(axes: Any, result: dict[str, Any]) -> None:
    styles = ("-", "--", ":")
    for style, p in zip(styles, result["predictions"], strict=False):
        for form, colour in (("bfloat16", "0.6"), ("float32", COLOURS["float32"]), ("float64", COLOURS["float64"])):
            effects = p["step"][form]
            x = [s["steps"] for s in effects]
            axes.plot(x, [s["factor"] for s in effects], color=colour, ls=style, label=f"{p['name']}, {form}")
            axes.fill_between(
                x,
                *zip(*(s["factor_range"] for s in effects), strict=True),
                color=colour,
                alpha=0.08,
                lw=0,
                label=f"{p['name']}, {form}: range over rows" if p["rows"] > 1 and form == "float32" else None,
            )
    axes.set(xscale="log", xlabel="ancestral steps N", ylabel="factor on the unmask rate", ylim=(-0.03, 1.05))
    axes.legend(fontsize=7)


def _temperature(axes: Any, result: dict[str, Any]) -> None:
    for mark, p in zip(("o-", "s--", "^:"), result["predictions"], strict=False):
        points = [(c["cap"], p["draw"][c["name"]]["temperature"]) for c in result["caps"]]
        points = [(cap, t) for cap, t in points if t is not None]
        axes.plot([c for c, _ in points], [t for _, t in points], mark, ms=4, lw=1, label=p["name"])
    axes.set(xlabel="cap of the noise", ylabel="effective temperature")
    axes.legend(fontsize=8)
