"""Two results of one case beside each other: `pymdm bench compare before.json after.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.text import Text

from pymdm.bench import common
from pymdm.bench.report import read_json
from pymdm.bench.rows import value_text
from pymdm.report.table import Table, show
from pymdm.report.terminal import console

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


def table(found: dict[str, Any]) -> Table:
    """One row a measure: before, after, after / before."""
    rows = [
        [
            "LOST" if r["lost"] else "",
            *(r[key] for key in ("subject", "measure", "before", "after")),
            "" if r["ratio"] is None else f"{r['ratio']:.3f}",
            "its mark is missed now" if r["lost"] else "quartiles apart" if r["apart"] else "",
        ]
        for r in found["rows"]
    ]
    head = ["", "subject", "measure", "before", "after", "after / before", "note"]
    return Table(head, rows, f"{found['case']}: after / before", right=tuple(head[3:6]))


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
        screen = console()
        show(table(found), screen)
        for line in found["differ"]:
            screen.print(Text(f"differs in {line}"))
    return 1 if args.check and found["lost"] else 0
