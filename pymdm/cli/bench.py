"""`pymdm bench`: measurements, as ratios in one run."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from typing import Annotated

import typer

from pymdm.bench.cases import CASES, TOOLS, module_name


def bench(
    context: typer.Context,
    case: Annotated[str, typer.Argument(help="Case to measure; none: all of them.", show_default=False)] = "",
    full: Annotated[bool, typer.Option("--full", help="All cases at full length.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 where a mark is missed.")] = False,
    out: Annotated[str, typer.Option(metavar="FOLDER", help="Write a JSON and a PNG file for each case.")] = "",
) -> None:
    """Measure on this machine, as ratios in one run: every case in under 2 minutes, or one case with options of its own.

    Example: pymdm bench speedup --preset paper --check

    Also: pymdm bench speedup --help (options of a case); pymdm bench compare a.json b.json; pymdm bench docs
    """
    shared = ["--full"] * full + ["--check"] * check + (["--out", out] if out else [])
    if not case:
        raise typer.Exit(run_all(shared if full else ["--quick", *shared]))
    module = importlib.import_module(TOOLS.get(case) or module_name(case))
    raise typer.Exit(module.main([*shared, *context.args]) or 0)


def run_all(options: list[str]) -> int:
    """Each case in a process of its own, so that none inherits another's threads and memory; 1 where one failed."""
    failed, began = [], time.perf_counter()
    for i, (name, what) in enumerate(CASES.items()):
        print(f"[{i + 1}/{len(CASES)}] {name}: {what}", file=sys.stderr, flush=True)
        start = time.perf_counter()
        if subprocess.run([sys.executable, "-m", "pymdm", "bench", name, *options]).returncode:
            failed.append(name)
        seconds = time.perf_counter() - start
        print(f"      {seconds:.0f} s, {time.perf_counter() - began:.0f} s in all", file=sys.stderr, flush=True)
    if failed:
        print(f"pymdm: bench: missed a mark or failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def cases_text() -> str:
    """The cases, one a line."""
    width = max(map(len, CASES))
    lines = [f"  {name:<{width}}  {what}" for name, what in CASES.items()]
    lines.append(f"  {'gpu':<{width}}  the CUDA engine, on a card (not among all cases)")
    return "\b\nCases:\n" + "\n".join(lines)
