"""Speed of `pymdm.choose` beside what people run today, on the same logits in one run.

Every form gets the same float32 logits [M, V]. The baselines are written as published samplers write them: Gumbel-max
with float64 noise drawn by torch, and `torch.multinomial` of the softmax. `torch.argmax` draws nothing, and `plain
maximum` (this package's widest vectors, no argument) is the time of reading the logits once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

import pymdm
from pymdm._native import C
from pymdm.bench import common
from pymdm.bench.rows import Row, row
from pymdm.bench.timing import interleaved, ratio, spread, threads
from pymdm.reference import choose as reference

EXAMPLE = "pymdm bench choose --rows 256 --check"
QUICK = {"rows": 256, "rounds": 5}
FULL = {"rounds": 31}
# name of a baseline, how it enters, mark: "faster" means baseline / ours >= mark, "slower" ours / baseline <= mark.
MARKS = (
    ("float64 Gumbel-max", "faster", 35.0),
    ("multinomial", "faster", 35.0),
    ("argmax", "slower", 0.5),
    ("plain maximum", "slower", 4.0),
)
STRETCH = {"plain maximum": 3.0}
SLOW = {"multinomial", "float64 Gumbel-max"}  # run in the first few rounds only


def gumbel_max(logits: torch.Tensor) -> torch.Tensor:
    """[M] tokens: arg-max of float64 logits plus -log(-log u), as published code writes it."""
    uniform = torch.rand(logits.shape, dtype=torch.float64)
    return (logits - torch.log(-torch.log(uniform))).argmax(dim=-1)


def multinomial(logits: torch.Tensor) -> torch.Tensor:
    """[M] tokens drawn by `torch.multinomial` from the softmax."""
    return torch.multinomial(logits.softmax(dim=-1), 1).squeeze(-1)


def check_correct(logits: torch.Tensor, sequence: torch.Tensor, event: torch.Tensor) -> None:
    """Raises AssertionError unless `choose` equals the reference, every element in float64, on the first 16 rows."""
    rows, at, when = logits[:16], sequence[:16], event[:16]
    lazy = pymdm.choose(rows, seed=1, sequence=at, event=when)
    if lazy.tolist() != reference.choose(rows, 1, at, when).tolist():
        raise AssertionError("bench choose: choose differs from the reference; nothing was timed")


def single_rows(sizes: tuple[int, ...]) -> list[Row]:
    """Time of one call on one row [1, V], all threads and one."""
    out = []
    for vocab in sizes:
        logits = torch.randn(1, vocab, generator=torch.Generator().manual_seed(2)) * 3
        for name, count in (("all threads", C.num_threads()), ("1 thread", 1)):
            with threads(count):
                seconds = interleaved({"row": partial(pymdm.choose, logits, seed=1, sequence=1, event=1)}, 300)["row"]
            out.append(row(f"1 x {vocab:,}, {name}", "choose", spread(seconds), "s"))
    return out


def run(args: argparse.Namespace) -> common.Measured:
    """Ratios with their marks, then the times."""
    torch.manual_seed(0)
    logits = torch.randn(args.rows, args.vocab) * 3
    sequence, event = torch.arange(args.rows), torch.zeros(args.rows, dtype=torch.long)
    check_correct(logits, sequence, event)
    forms: dict[str, Callable[[], Any]] = {
        "choose": lambda: pymdm.choose(logits, seed=1, sequence=sequence, event=event),
        "plain maximum": lambda: C.plain_max(logits),
        "argmax": lambda: logits.argmax(dim=-1),
        "amax": lambda: logits.amax(dim=-1),
        "multinomial": lambda: multinomial(logits),
        "float64 Gumbel-max": lambda: gumbel_max(logits),
    }
    rounds = {name: min(args.rounds, args.slow_rounds) if name in SLOW else args.rounds for name in forms}
    seconds = interleaved(forms, rounds)
    subject = f"{args.rows:,} x {args.vocab:,}"
    rows = []
    for name, way, mark in MARKS:
        faster = way == "faster"
        value = ratio(seconds[name], seconds["choose"]) if faster else ratio(seconds["choose"], seconds[name])
        words = f"{name} / choose" if faster else f"choose / {name}"
        stretch = STRETCH.get(name)
        rows.append(row(subject, words, value, "x", mark=mark, least=faster, stretch=stretch, headline=True))
    times = {name: spread(s) for name, s in seconds.items()}
    rows += [row(subject, name, t, "s") for name, t in sorted(times.items(), key=lambda item: item[1].value)]
    rows += single_rows((50_304, 200_000))
    return common.Measured({"rows": args.rows, "vocab": args.vocab, "dtype": "float32"}, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument("--rows", type=common.at_least(1), default=1024, help="rows M (default 1024)")
    parser.add_argument("--vocab", type=common.at_least(1), default=50_304, help="columns V (default 50304)")
    parser.add_argument("--rounds", type=common.at_least(1), default=15, help="interleaved rounds (default 15)")
    parser.add_argument("--slow-rounds", type=common.at_least(1), default=5, help="rounds of slow forms (default 5)")
