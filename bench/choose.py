"""Speed of `choose` beside what people run today, on the same logits in one run: `pymdm bench choose`.

Every form gets the same float32 logits [M, V]. The baselines are written as published samplers write them: Gumbel-max
with float64 noise drawn by torch, and `torch.multinomial` of the softmax. `torch.argmax` draws nothing, and `plain
maximum` (this package's widest vectors, no argument) is the time of reading the logits once. Rounds are interleaved, so
that other load on the machine falls on all alike; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from pymdm._native import C

# name of a baseline, how it enters, mark: "faster" means baseline / ours >= mark, "slower" ours / baseline <= mark.
MARKS = (
    ("float64 Gumbel-max", "faster", 35.0),
    ("multinomial", "faster", 35.0),
    ("argmax", "slower", 0.5),
    ("plain maximum", "slower", 4.0),
)
STRETCH = 3.0  # of the plain maximum


def gumbel_max(logits: torch.Tensor) -> torch.Tensor:
    """[M] tokens: arg-max of float64 logits plus -log(-log u), as published code writes it."""
    uniform = torch.rand(logits.shape, dtype=torch.float64)
    return (logits - torch.log(-torch.log(uniform))).argmax(dim=-1)


def multinomial(logits: torch.Tensor) -> torch.Tensor:
    """[M] tokens drawn by `torch.multinomial` from the softmax."""
    return torch.multinomial(logits.softmax(dim=-1), 1).squeeze(-1)


def check_correct(logits: torch.Tensor, sequence: torch.Tensor, event: torch.Tensor) -> None:
    """Raises AssertionError unless `choose` equals the evaluation of every element on the first 64 rows."""
    rows = logits[:64]
    lazy = C.choose(rows, 1, sequence[:64], event[:64])
    if not torch.equal(lazy, C.choose_full(rows, 1, sequence[:64], event[:64])):
        raise AssertionError("bench choose: choose differs from the full evaluation; nothing was timed")


def medians(forms: dict[str, Callable[[], Any]], rounds: dict[str, int]) -> dict[str, float]:
    """Median seconds of each form over interleaved rounds; some run in the first rounds only.

    Each timed call follows an untimed one of the same form: torch's threads spin for some milliseconds after its
    operators, and would take the processors from whichever form comes next (4 ms of choose's 14 on 2 cores).
    """
    times: dict[str, list[float]] = {name: [] for name in forms}
    for i in range(max(rounds.values())):
        for name, form in forms.items():
            if i < rounds[name]:
                form()
                start = time.perf_counter()
                form()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def single_rows(sizes: tuple[int, ...]) -> dict[str, float]:
    """Microseconds of one call on one row [1, V], median, all threads and one."""
    out = {}
    one = torch.ones(1, dtype=torch.long)
    for vocab in sizes:
        row = torch.randn(1, vocab, generator=torch.Generator().manual_seed(2)) * 3
        for name, threads in (("all threads", 0), ("1 thread", 1)):
            C.set_num_threads(threads)
            form = {"row": lambda row=row: C.choose(row, 1, one, one)}
            out[f"1 x {vocab:,}, {name}"] = medians(form, {"row": 300})["row"] * 1e6
    C.set_num_threads(0)
    return out


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measures, and returns times [s], ratios with their marks, the single-row times [us] and what it ran on."""
    threads = args.threads or C.num_threads()
    C.set_num_threads(threads)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    logits = torch.randn(args.rows, args.vocab) * 3
    sequence, event = torch.arange(args.rows), torch.zeros(args.rows, dtype=torch.long)
    check_correct(logits, sequence, event)
    forms: dict[str, Callable[[], Any]] = {
        "choose": lambda: C.choose(logits, 1, sequence, event),
        "plain maximum": lambda: C.plain_max(logits),
        "argmax": lambda: logits.argmax(dim=-1),
        "amax": lambda: logits.amax(dim=-1),
        "multinomial": lambda: multinomial(logits),
        "float64 Gumbel-max": lambda: gumbel_max(logits),
    }
    slow = {"multinomial", "float64 Gumbel-max"}
    seconds = medians(forms, {name: min(args.rounds, 5) if name in slow else args.rounds for name in forms})
    ratios = []
    for name, way, mark in MARKS:
        ratio = seconds[name] / seconds["choose"] if way == "faster" else seconds["choose"] / seconds[name]
        passed = ratio >= mark if way == "faster" else ratio <= mark
        ratios.append({"against": name, "way": way, "ratio": ratio, "mark": mark, "passed": passed})
    single = single_rows((50_304, 200_000))
    return {
        "case": "choose",
        "rows": args.rows,
        "vocab": args.vocab,
        "dtype": "float32",
        "threads": threads,
        "seconds": seconds,
        "ratios": ratios,
        "single_row_microseconds": single,
        "passed": all(r["passed"] for r in ratios),
        "machine": {
            "processor": _processor(),
            "features": C.cpu_features(),
            "load": os.getloadavg()[0],
            "torch": torch.__version__,
        },
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the result as two tables."""
    table = Table(title=f"choose, {result['rows']:,} x {result['vocab']:,} float32, {result['threads']} threads")
    for column in ("form", "median", "ratio", "mark", ""):
        table.add_column(column, justify="left" if column == "form" else "right")
    marks = {r["against"]: r for r in result["ratios"]}
    for name, seconds in sorted(result["seconds"].items(), key=lambda item: item[1]):
        if name not in marks:
            table.add_row(name, f"{seconds * 1e3:.2f} ms", "", "", "")
            continue
        r = marks[name]
        words = (
            ("choose is {:.1f}x faster", "at least {:.0f}x")
            if r["way"] == "faster"
            else ("{:.2f}x its time", "at most {:g}x")
        )
        verdict = "[green]pass" if r["passed"] else "[red]MISS"
        if name == "plain maximum" and r["ratio"] <= STRETCH:
            verdict = f"[green]pass, and {STRETCH:g}x"
        table.add_row(name, f"{seconds * 1e3:.2f} ms", words[0].format(r["ratio"]), words[1].format(r["mark"]), verdict)
    console.print(table)
    single = Table(title="one row")
    single.add_column("case")
    single.add_column("median", justify="right")
    for name, micro in result["single_row_microseconds"].items():
        single.add_row(name, f"{micro:.1f} us")
    console.print(single)
    machine = result["machine"]
    console.print(f"{machine['processor']}, load {machine['load']:.1f} at the end, torch {machine['torch']}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument("--rows", type=int, default=1024, help="rows M (default 1024)")
    parser.add_argument("--vocab", type=int, default=50_304, help="columns V (default 50304)")
    parser.add_argument("--threads", type=int, default=0, help="threads, 0 for all (default)")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds (default 15; slow forms at most 5)")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a mark is missed")
    parser.add_argument("--json", metavar="FILE", help="write the result there, - for standard output")


def main(argv: list[str] | None = None) -> int:
    """Command line: prints the tables, returns 1 where `--check` found a miss."""
    parser = argparse.ArgumentParser(prog="pymdm bench choose", description=__doc__.splitlines()[0])
    add_arguments(parser)
    args = parser.parse_args(argv)
    for name in ("rows", "vocab", "rounds"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1, got {getattr(args, name)}")
    result = run(args)
    show(result, Console(stderr=args.json == "-"))
    if args.json == "-":
        print(json.dumps(result, indent=1))
    elif args.json:
        with open(args.json, "w") as file:
            json.dump(result, file, indent=1)
    return 1 if args.check and not result["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
