"""Rows of a result: one measured number each, with the mark it must meet, and how it is written."""

from __future__ import annotations

import math
from typing import Any

from pymdm.bench.timing import Spread

Row = dict[str, Any]


def row(
    subject: str,
    measure: str,
    value: float | Spread,
    unit: str = "",
    *,
    mark: float | None = None,
    least: bool = True,
    stretch: float | None = None,
    note: str = "",
    extrapolated: bool = False,
    headline: bool = False,
) -> Row:
    """One line of a result.

    Args:
        subject, measure: what was measured, and which number of it; together they name the row.
        value: the number, or a median with quartiles.
        unit: "x" (a ratio), "%" (of a fraction), "s", "MiB", "GFLOP/s" or any word.
        mark: bound that `--check` asks for: at least, or at most where `least` is False; None for none.
        stretch: harder bound of the same direction, reported only.
        note: a few words beside the number.
        extrapolated: computed from a measured part, and printed with ~.
        headline: belongs into the first section of docs/benchmarks.md.

    >>> row("choose", "over argmax", 1.5, "x", mark=2.0)["passed"]
    False
    """
    number = value if isinstance(value, Spread) else Spread(float(value), float(value), float(value), 0)
    return {
        "subject": subject,
        "measure": measure,
        "value": number.value,
        "low": number.low,
        "high": number.high,
        "rounds": number.rounds,
        "unit": unit,
        "mark": mark,
        "least": least,
        "stretch": stretch,
        "passed": None if mark is None else meets(number.value, mark, least),
        "note": note,
        "extrapolated": extrapolated,
        "headline": headline,
    }


def meets(value: float, bound: float, least: bool) -> bool:
    """Whether a value meets a lower bound (least), or an upper one."""
    return bool(value >= bound if least else value <= bound)


def number_text(value: float, unit: str) -> str:
    """A number as people read it.

    >>> number_text(0.00321, "s"), number_text(18.04, "x"), number_text(0.956, "%")
    ('3.21 ms', '18.0x', '95.6%')
    """
    if unit == "s":
        for scale, name in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
            if abs(value) * scale >= 1 or name == "us":
                return f"{_digits(value * scale)} {name}"
    if unit == "%":
        return f"{_digits(value * 100)}%"
    if unit == "x":
        return f"{_digits(value)}x"
    return f"{_digits(value)} {unit}".strip()


def _digits(value: float) -> str:
    """Three significant digits, all of an integer part."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if not size >= 1e-4:  # zero, and what is not a number
        return f"{value:.3g}"
    return f"{value:.{2 - math.floor(math.log10(size))}f}"


def value_text(r: Row) -> str:
    return ("~" if r["extrapolated"] else "") + number_text(r["value"], r["unit"])


def spread_text(r: Row) -> str:
    """Quartiles, or nothing for a number that was not repeated."""
    if r["rounds"] < 2:
        return ""
    low, high = number_text(r["low"], r["unit"]), number_text(r["high"], r["unit"])
    return f"{low} to {high}"


def mark_text(r: Row) -> str:
    if r["mark"] is None:
        return ""
    return f"at {'least' if r['least'] else 'most'} {number_text(r['mark'], r['unit'])}"


def verdict_text(r: Row) -> str:
    """pass, MISS, or nothing without a mark; and whether the stretch was met."""
    if r["passed"] is None:
        return ""
    if not r["passed"]:
        return "MISS"
    met = r["stretch"] is not None and meets(r["value"], r["stretch"], r["least"])
    return f"pass, and {number_text(r['stretch'], r['unit'])}" if met else "pass"
