"""A result on the screen, in a file and as a picture."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pymdm.bench.rows import mark_text, spread_text, value_text, verdict_text
from pymdm.report import facts
from pymdm.report.figure import REFERENCE, require, save, styled
from pymdm.report.table import Table
from pymdm.report.table import show as show_table

SCHEMA = 1
NUMBERS = ("median", "quartiles")  # columns
BUSY = 0.1  # share of the processors in other hands that makes ratios doubtful
KEYS = ("schema", "case", "command", "settings", "rows", "notes", "passed", "timed", "environment")


def table(result: dict[str, Any], title: str, text: str) -> Table:
    """The rows of a result; the verdict stands first, so that a miss is seen."""
    rows = [
        [verdict_text(r), r["subject"], r["measure"], value_text(r), spread_text(r), mark_text(r), r["note"]]
        for r in result["rows"]
    ]
    return Table(["", "subject", "measure", "median", "quartiles", "mark", "note"], rows, title, text, right=NUMBERS)


def setting_text(settings: dict[str, Any]) -> str:
    """Sizes and options in one line."""
    words = (f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in settings.items())
    return ", ".join(words)


def environment_text(result: dict[str, Any]) -> str:
    """What it ran on, in one line; with other work on the machine if times were measured."""
    e = result["environment"]
    words = [facts.machine(e), facts.versions(e)]
    if result["timed"] and e["other_work"] is not None:
        words.append(f"other work took {e['other_work']:.0%} of the cores meanwhile")
    return "; ".join([*words, e["date"]])


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the table, the notes and what it ran on."""
    show_table(table(result, result["command"], setting_text(result["settings"])), console)
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


def plot_rows(result: dict[str, Any], figure: Any) -> None:
    """A dot with its quartiles for each row, a panel a unit; marks, and of ratios the line where both are equal.

    The axis is logarithmic, and says so, where the rows span more than a factor of thirty; else zero is on it.
    """
    units = list(dict.fromkeys(r["unit"] for r in result["rows"]))
    groups = [[r for r in result["rows"] if r["unit"] == unit] for unit in units]
    panels = figure.subplots(len(units), 1, squeeze=False, gridspec_kw={"height_ratios": [len(g) + 1 for g in groups]})
    figure.set_size_inches(9, 1.4 * len(units) + 0.28 * len(result["rows"]))
    for axis, unit, group in zip(panels[:, 0], units, groups, strict=True):
        values = [r["value"] for r in group]
        logarithmic = min(values) > 0 and max(values) > 30 * min(values)
        for missed, color, words in (
            (False, "tab:blue", "median, quartiles"),
            (True, "tab:red", "the same, mark missed"),
        ):
            shown = [i for i, r in enumerate(group) if (r["passed"] is False) == missed]
            rows = [group[i] for i in shown]
            spread = [[r["value"] - r["low"] for r in rows], [r["high"] - r["value"] for r in rows]]
            if rows:
                style = {
                    "fmt": "o",
                    "color": color,
                    "markersize": 5,
                    "elinewidth": 1.2,
                    "capsize": 3,
                    "clip_on": False,
                    "label": words,
                }
                axis.errorbar([r["value"] for r in rows], shown, xerr=spread, **style)
        marks = [(r["mark"], i) for i, r in enumerate(group) if r["mark"] is not None]
        if marks:
            axis.plot(*zip(*marks, strict=True), "|", color="black", markersize=14, markeredgewidth=1.5, label="mark")
        if unit == "x":
            axis.axvline(1.0, color=REFERENCE, linestyle="--", linewidth=1, label="1: equal")
        names = [f"{r['subject']}: {r['measure']} {value_text(r)}" for r in group]
        axis.set_yticks(range(len(group)), names, fontsize=7)
        axis.set_ylim(len(group) - 0.5, -0.5)
        axis.grid(visible=False, axis="y")
        name = {"x": "ratio", "%": "fraction"}.get(unit, unit or "value")
        axis.set_xlabel(f"{name}, logarithmic axis" if logarithmic else name)
        if logarithmic:
            axis.set_xscale("log")
        else:
            left, right = axis.get_xlim()
            axis.set_xlim(0 if min(values) >= 0 else left, 0 if max(values) < 0 else right)
            axis.locator_params(axis="x", nbins=6)
        axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5))


def write_png(result: dict[str, Any], path: str | os.PathLike[str], plot: Any = None) -> None:
    """Draws a result: by the case's own `plot(result, figure)`, or as dots with their quartiles.

    Raises:
        ValueError: matplotlib is not installed.
    """
    require("bench")
    from matplotlib.figure import Figure

    with styled():
        figure = Figure()
        (plot or plot_rows)(result, figure)
        figure.tight_layout()
        figure.suptitle(result["command"], fontsize=9, y=1.0, va="bottom")
        save(figure, path, format="png", bbox_inches="tight")
