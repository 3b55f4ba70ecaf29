"""A result on the screen, in a file and as a picture."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pymdm.bench.rows import mark_text, spread_text, value_text, verdict_text

SCHEMA = 1
BUSY = 0.1  # share of the processors in other hands that makes ratios doubtful
KEYS = ("schema", "case", "command", "settings", "rows", "notes", "passed", "timed", "environment")
COLUMNS = ("subject", "measure", "median", "quartiles", "mark", "", "note")


def cells(r: dict[str, Any]) -> list[str]:
    """The texts of a row, in the order of COLUMNS."""
    return [r["subject"], r["measure"], value_text(r), spread_text(r), mark_text(r), verdict_text(r), r["note"]]


def setting_text(settings: dict[str, Any]) -> str:
    """Sizes and options in one line."""
    words = (f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in settings.items())
    return ", ".join(words)


def environment_text(result: dict[str, Any]) -> str:
    """What it ran on, in one line; with other work on the machine if times were measured."""
    e = result["environment"]
    features = ", ".join(e["features"]) or "none of AVX2, AVX-512, AMX"
    words = [e["processor"], f"features {features}", f"{e['threads']} threads on {e['cores']} cores"]
    words += [f"torch {e['torch']}", f"pymdm {e['pymdm']}" + (f" at {e['commit']}" if e["commit"] else "")]
    if result["timed"] and e["other_work"] is not None:
        words.append(f"other work took {e['other_work']:.0%} of the cores meanwhile")
    return "; ".join([*words, e["date"]])


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table, the notes and what it ran on."""
    shown = [cells(r) for r in result["rows"]]
    used = [i for i in range(len(COLUMNS)) if any(line[i] for line in shown)]
    table = Table(title=Text(result["command"]), caption=Text(setting_text(result["settings"])))
    for i in used:
        table.add_column(COLUMNS[i], justify="right" if COLUMNS[i] in ("median", "quartiles") else "left")
    for line in shown:
        style = "red" if line[5] == "MISS" else "green"
        table.add_row(*(Text(line[i], style=style if i == 5 else "") for i in used))
    console.print(table)
    for note in result["notes"]:
        console.print(Text(note))
    if any(r["extrapolated"] for r in result["rows"]):
        console.print(Text("~ computed from a measured part of the run"))
    console.print(Text(environment_text(result)))
    if result["timed"] and (result["environment"]["other_work"] or 0) > BUSY:
        words = "The machine was busy: torch's threads wait for one another, so ratios to it may be too large. Measure again."
        console.print(Text(words, style="yellow"))


def write_json(result: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Writes a result; a number that is not finite is an error."""
    text = json.dumps(result, indent=1, allow_nan=False) + "\n"
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a result.

    Raises:
        ValueError: a file that is not a result of this schema.
        OSError: a file that cannot be read.
    """
    try:
        result = json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"bench: {path} is not JSON: {error}") from None
    if not isinstance(result, dict) or any(key not in result for key in KEYS) or result["schema"] != SCHEMA:
        raise ValueError(f"bench: {path} is not a result of `pymdm bench` (schema {SCHEMA})")
    return result


def figures() -> Any:
    """matplotlib.pyplot without a screen.

    Raises:
        ValueError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise ValueError("bench: plots need matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def plot_rows(result: dict[str, Any], figure: Any) -> None:
    """Bars of each unit's rows, logarithmic where they span more than a factor of thirty, with marks as lines."""
    units = list(dict.fromkeys(r["unit"] for r in result["rows"]))
    groups = [[r for r in result["rows"] if r["unit"] == unit] for unit in units]
    panels = figure.subplots(len(units), 1, squeeze=False, gridspec_kw={"height_ratios": [len(g) + 1 for g in groups]})
    figure.set_size_inches(9, 1.2 * len(units) + 0.28 * len(result["rows"]))
    for axis, unit, group in zip(panels[:, 0], units, groups, strict=True):
        values = [r["value"] for r in group]
        colors = ["tab:red" if r["passed"] is False else "tab:blue" for r in group]
        spread = [[r["value"] - r["low"] for r in group], [r["high"] - r["value"] for r in group]]
        axis.barh(range(len(group)), values, color=colors, xerr=spread, error_kw={"lw": 0.8})
        for i, r in enumerate(group):
            if r["mark"] is not None:
                axis.plot([r["mark"]] * 2, [i - 0.45, i + 0.45], color="black")
        names = [f"{r['subject']}: {r['measure']} {value_text(r)}" for r in group]
        axis.set_yticks(range(len(group)), names, fontsize=7)
        axis.invert_yaxis()
        axis.set_xlabel({"x": "ratio", "%": "fraction"}.get(unit, unit or "value"))
        if min(values) > 0 and max(values) > 30 * min(values):
            axis.set_xscale("log")


def write_png(result: dict[str, Any], path: str | os.PathLike[str], plot: Any = None) -> None:
    """Draws a result: by the case's own `plot(result, figure)`, or as bars; black lines are marks."""
    plt = figures()
    figure = plt.figure()
    (plot or plot_rows)(result, figure)
    figure.suptitle(result["command"], fontsize=9)
    figure.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format="png", bbox_inches="tight")
    plt.close(figure)
