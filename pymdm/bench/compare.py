"""Two results of one case beside each other: `pymdm bench compare before.json after.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pymdm.bench import common
from pymdm.bench.report import read_json
from pymdm.bench.rows import value_text

SAME = ("processor", "features", "threads", "torch")  # of the environment; where they differ, ratios mean little


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Rows that both have, with the ratio of their values and whether their quartiles lie apart.

    Raises:
        ValueError: results of different cases.
    """
    if before["case"] != after["case"]:
        raise ValueError(f"bench compare: the results are of different cases, {before['case']} and {after['case']}")
    later = {(r["subject"], r["measure"]): r for r in after["rows"]}
    rows = []
    for a in before["rows"]:
        b = later.get((a["subject"], a["measure"]))
        if b is None or a["unit"] != b["unit"]:
            continue
        repeated = min(a["rounds"], b["rounds"]) > 1
        rows.append(
            {
                "subject": a["subject"],
                "measure": a["measure"],
                "before": value_text(a),
                "after": value_text(b),
                "ratio": b["value"] / a["value"] if a["value"] else None,
                "apart": (a["high"] < b["low"] or b["high"] < a["low"]) if repeated else None,
                "lost": bool(a["passed"]) and b["passed"] is False,
            }
        )
    differ = [
        f"{name}: {x} and {y}"
        for part in ("settings", "environment")
        for name in before[part]
        if part == "settings" or name in SAME
        if (x := before[part][name]) != (y := after[part].get(name))
    ]
    return {"case": before["case"], "rows": rows, "differ": differ, "lost": any(r["lost"] for r in rows)}


def show(found: dict[str, Any], console: Console) -> None:
    """One line a row: before, after, after / before."""
    table = Table(title=f"{found['case']}: after / before")
    for column in ("subject", "measure", "before", "after", "after / before", ""):
        table.add_column(column, justify="right" if column in ("before", "after", "after / before") else "left")
    for r in found["rows"]:
        change = "" if r["ratio"] is None else f"{r['ratio']:.3f}"
        words = "mark LOST" if r["lost"] else "" if not r["apart"] else "quartiles apart"
        table.add_row(*(Text(w) for w in (r["subject"], r["measure"], r["before"], r["after"], change, words)))
    console.print(table)
    for line in found["differ"]:
        console.print(Text(f"differs in {line}"))


def make_parser() -> common.Parser:
    """The options of this command."""
    parser = common.Parser(
        prog="pymdm bench compare",
        description=__doc__,
        epilog="Example: pymdm bench compare before.json after.json",
    )
    parser.add_argument("before", help="result that was measured first")
    parser.add_argument("after", help="result of the same case")
    parser.add_argument(
        "--check", action="store_true", help="exit with 1 where a mark was met before and is missed now"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line: 1 where `--check` found a mark that was met before and is missed after."""
    args = make_parser().parse_args(sys.argv[1:] if argv is None else argv)
    found = compare(read_json(args.before), read_json(args.after))
    if not found["rows"]:
        raise ValueError("bench compare: the results have no row in common")
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        show(found, Console(width=None if sys.stdout.isatty() else 160))
    return 1 if args.check and found["lost"] else 0


if __name__ == "__main__":
    common.run_as_script(main)
