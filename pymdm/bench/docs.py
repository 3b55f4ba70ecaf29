"""docs/benchmarks.md, made from the results in a folder: `pymdm bench docs`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pymdm.bench import common
from pymdm.bench.cases import CASES
from pymdm.bench.report import environment_text, read_json, setting_text, table, write_png
from pymdm.bench.rows import mark_text, value_text, verdict_text
from pymdm.report.table import markdown

HEAD = """# Benchmarks

Made by `pymdm bench docs` from the files in {folder}; every number is in them. A result of your own:
`pymdm bench CASE --out {folder}`, and the command again.

Medians of interleaved rounds, with quartiles; a ratio a / b is of the medians of a and b, its quartiles are those of the
rounds' own ratios. `~`: computed from a measured part of the run, as the case says. MISS: the mark is not met on
this machine. What each case does: `pymdm bench CASE --help`.
"""


def results(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """All results of a folder, in the order of the cases, then of the file names.

    Raises:
        ValueError: no result there, or a file that is none.
    """
    found = [(path, read_json(path)) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise ValueError(f"bench docs: expected JSON files of `pymdm bench` in {folder}, found none")
    order = list(CASES)
    return sorted(found, key=lambda pair: order.index(pair[1]["case"]) if pair[1]["case"] in order else len(order))


def section(path: Path, result: dict[str, Any], page: Path) -> str:
    """One result: its command, table, notes, machine, and picture if there is one."""
    what = CASES.get(result["case"], result["case"])
    text = f"{what[0].upper()}{what[1:]}: `{result['command']}`\n\n{setting_text(result['settings'])}."
    shown = table(result, result["command"].removeprefix("pymdm bench "), text)
    parts = [markdown(shown).rstrip(), *result["notes"], f"Measured on {environment_text(result)}."]
    picture = path.with_suffix(".png")
    if picture.exists():
        parts.append(f"![{result['command']}]({Path(os.path.relpath(picture, page.parent)).as_posix()})")
    return "\n\n".join(parts) + "\n"


def benchmarks(folder: Path, page: Path) -> str:
    """The whole page; `page` is where it will be, for links."""
    name = Path(os.path.relpath(folder, page.parent.parent)).as_posix()
    sections = [section(path, result, page) for path, result in results(folder)]
    return "\n".join([HEAD.format(folder=name), headlines(folder), *sections])


def headlines(folder: Path) -> str:
    """The page's first section: the headline rows of every result, one item a command."""
    lines = []
    for _, result in results(folder):
        rows = [r for r in result["rows"] if r["headline"]]
        if not rows:
            continue
        lines.append(f"* `{result['command']}` ({setting_text(result['settings'])}):")
        for r in rows:
            verdict = f" ({mark_text(r)}: {verdict_text(r)})" if r["mark"] is not None else ""
            lines.append(f"  * {r['subject']}, {r['measure']}: {value_text(r)}{verdict}")
    return "\n".join(["## In short", "", *lines, ""])


def make_parser() -> common.Parser:
    """The options of this command."""
    parser = common.Parser(prog="pymdm bench docs", description=__doc__, epilog="Example: pymdm bench docs --check")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("bench/results"), help="default bench/results")
    parser.add_argument("--page", type=Path, default=Path("docs/benchmarks.md"), help="default docs/benchmarks.md")
    parser.add_argument("--pictures", action="store_true", help="draw every result anew (needs matplotlib)")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a file is out of date")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line: writes the files, or with `--check` returns 1 where they differ from the results."""
    args = make_parser().parse_args(sys.argv[1:] if argv is None else argv)
    if args.pictures and not args.check:
        for path, result in results(args.folder):
            write_png(result, path.with_suffix(".png"), common.case_plot(result["case"]))
    wanted = {args.page: benchmarks(args.folder, args.page)}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if args.check:
            print(f"{path} is out of date; run pymdm bench docs", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
            print(path)
    return int(args.check and bool(stale))
