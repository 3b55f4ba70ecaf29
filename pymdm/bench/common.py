"""The frame of `pymdm bench`: from a case's options to its table, files and exit code.

A case is a module with a docstring, `EXAMPLE` (a command line), `add_arguments(parser)` and `run(args)`, which returns
`Measured`. It checks that what it times is right, then times interleaved rounds (`timing.py`). `QUICK` and `FULL` are the
options that `--quick` and `--full` set where the user set none; `TIMED = False` says that nothing is timed, and
`plot(result, figure)` replaces the bars.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NoReturn

from pymdm.bench.cases import TOOLS, module_name
from pymdm.bench.report import SCHEMA, show, write_json, write_png
from pymdm.bench.rows import Row
from pymdm.bench.timing import threads, use_clock
from pymdm.environment import OtherWork, environment
from pymdm.report.figure import require
from pymdm.report.terminal import console as terminal

OUTPUTS = {"--json": 1, "--png": 1, "--out": 1, "--check": 0}  # options that do not change what is measured


@dataclass
class Measured:
    """What a case found: sizes and options, rows, and lines for the reader; `passed` is no missed mark."""

    settings: dict[str, Any]
    rows: list[Row]
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(r["passed"] is not False for r in self.rows)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, raised."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{self.prog.removeprefix('pymdm ')}: {message}")


def at_least(bound: int) -> Any:
    """An argparse type: an integer not below `bound`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected an integer, got {text!r}") from None
        if value < bound:
            raise argparse.ArgumentTypeError(f"must be at least {bound}, got {value}")
        return value

    return read


def case_name(case: ModuleType) -> str:
    return (case.__spec__.name if case.__spec__ else case.__name__).rsplit(".", 1)[-1]


def case_plot(name: str) -> Any:
    """The case's own `plot`, or None for bars."""
    return getattr(importlib.import_module(TOOLS.get(name) or module_name(name)), "plot", None)


def make_parser(case: ModuleType) -> Parser:
    """The options of the frame and of the case."""
    doc, name = (case.__doc__ or "").strip(), case_name(case)
    parser = Parser(
        prog=f"pymdm bench {name}",
        description=doc,
        epilog=f"Example: {case.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    case.add_arguments(parser)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small sizes: all cases together take under 2 minutes")
    size.add_argument("--full", action="store_true", help="everything, long")
    parser.add_argument("--threads", type=at_least(0), default=0, help="threads, 0 for all (default)")
    words = "wall (default), or cpu: processor seconds, for one thread on a machine that others use too"
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help=words)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a mark is missed")
    parser.add_argument("--json", metavar="FILE", help="write the result there, - for standard output")
    parser.add_argument("--png", metavar="FILE", help="draw the result there (needs matplotlib)")
    parser.add_argument("--out", metavar="FOLDER", help=f"write {name}.json, and {name}.png if matplotlib is there")
    return parser


def parse(case: ModuleType, argv: list[str]) -> argparse.Namespace:
    """Options, with those of `QUICK` or `FULL` where the user set none.

    Raises:
        ValueError: options that the case does not have.
    """
    parser = make_parser(case)
    args = parser.parse_args(argv)
    preset = getattr(case, "QUICK", {}) if args.quick else getattr(case, "FULL", {}) if args.full else {}
    if preset:
        parser.set_defaults(**preset)
        args = parser.parse_args(argv)
    return args


def command_line(case: ModuleType, argv: list[str]) -> str:
    """The command that measures this again, without the options that only say where results go."""
    words, skip = ["pymdm", "bench", case_name(case)], 0
    for word in argv:
        name, equals, _ = word.partition("=")
        if skip:
            skip -= 1
        elif name in OUTPUTS:
            skip = 0 if equals else OUTPUTS[name]
        else:
            words.append(word)
    return shlex.join(words)


def measure(case: ModuleType, argv: list[str]) -> tuple[dict[str, Any], argparse.Namespace]:
    """Runs a case: its result as it is written, and its options."""
    args = parse(case, argv)
    if args.png:
        require("bench")  # a missing library is said before, not after, the measurement
    with threads(args.threads):
        record, others = environment(), OtherWork()

        def result_of(found: Measured) -> dict[str, Any]:
            return {
                "schema": SCHEMA,
                "case": case_name(case),
                "command": command_line(case, argv),
                "settings": found.settings,
                "rows": found.rows,
                "notes": found.notes,
                "passed": found.passed,
                "timed": getattr(case, "TIMED", True) and args.clock == "wall",
                "environment": record | {"other_work": others.share()},
            }

        def keep(found: Measured) -> None:
            if args.json and args.json != "-":
                write_json(result_of(found), args.json)

        args.keep = keep  # for cases that write what they have before they end
        use_clock(args.clock)
        try:
            found: Measured = case.run(args)
        finally:
            use_clock("wall")
        return result_of(found), args


def main(case: ModuleType, argv: list[str] | None = None) -> int:
    """Measures, prints, writes; 1 where `--check` found a missed mark.

    Raises:
        ValueError: bad options, in one line.
    """
    result, args = measure(case, sys.argv[1:] if argv is None else argv)
    console = terminal(stderr=args.json == "-")
    show(result, console)
    plot = getattr(case, "plot", None)
    if args.json == "-":
        print(json.dumps(result, indent=1, allow_nan=False))
    elif args.json:
        write_json(result, args.json)
    if args.png:
        write_png(result, args.png, plot)
    if args.out:
        write_json(result, f"{args.out}/{case_name(case)}.json")
        try:
            write_png(result, f"{args.out}/{case_name(case)}.png", plot)
        except ValueError as error:
            console.print(str(error))
    return 1 if args.check and not result["passed"] else 0


def run_as_script(main: Callable[[], int]) -> NoReturn:
    """`python -m pymdm.bench.gpu`, as bench/gpu.sh calls it: bad input is one line and exit code 2."""
    try:
        sys.exit(main())
    except (ValueError, TypeError, OSError) as error:
        print(f"pymdm: {error}", file=sys.stderr)
        sys.exit(2)
