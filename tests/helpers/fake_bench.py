"""A case that measures nothing, and the command line."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from pymdm.bench import common, timing
from pymdm.bench.rows import row

ROOT = Path(__file__).resolve().parents[2]
PNG = b"\x89PNG\r\n\x1a\n"


def fake_case(value, mark=2.0):
    """A case that measures nothing: one row with a mark, one without."""
    case = ModuleType("pymdm.bench.fake", "A fake case.")
    case.EXAMPLE = "pymdm bench fake --size 3"
    case.QUICK = {"size": 1}
    case.FULL = {"size": 100}
    case.add_arguments = lambda parser: parser.add_argument("--size", type=common.at_least(1), default=10)
    case.run = lambda args: common.Measured(
        {"size": args.size},
        [
            row("a", "ratio", timing.Spread(value, value * 0.9, value * 1.1, 5), "x", mark=mark),
            row("a", "time", 2.5, "s"),
        ],
        ["a note"],
    )
    return case
