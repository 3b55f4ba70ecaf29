"""The CUDA engine beside torch and Triton on one card. `bench/gpu.sh` builds, and runs this in parts.

choose: time over that of reading its logits at the bandwidth of a copy, and against Gumbel-max kernels in Triton with a
word of noise for every element. step: a recorded graph of one first-hitting call, its operations over the best measured
rate of bfloat16 matrix products, and beside the same network in eager PyTorch. whole: runs against the cached ancestral
procedure of published code follow the speed model calls t1 + steps t2 from measured parts (marked ~); both networks are
bfloat16, and the procedure's steps are timed one sequence at a time.

What fails becomes a failed row and a note, and with --json the file is written again after every piece.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pymdm.bench import common, gpu_step
from pymdm.bench.gpu_choose import choose_rows, torch_rows
from pymdm.bench.gpu_timer import Timer, card, card_text
from pymdm.bench.network import random_model
from pymdm.bench.rows import Row, row
from pymdm.network.device import as_device

EXAMPLE = "pymdm bench gpu --out bench/results"
QUICK = {"rounds": 5}
FULL = {"rounds": 31}
PARTS = ("choose", "step", "whole", "profile")


class Pieces:
    """Rows and notes so far; a piece that fails is one of them."""

    def __init__(self, args: argparse.Namespace, found: common.Measured) -> None:
        self.args, self.found = args, found

    def add(self, name: str, piece: Callable[[], list[Row]]) -> None:
        """Rows of one piece, written at once."""
        try:
            self.found.rows += piece()
        except Exception as error:
            self.found.rows.append(row(name, "failed", 1, "", mark=0, least=False))
            self.found.notes.append(f"{name}: {type(error).__name__}: {str(error).partition(chr(10))[0]}")
        self.args.keep(self.found)


def run(args: argparse.Namespace) -> common.Measured:
    """The parts asked for, one after the other."""
    device = as_device(args.device)
    timer = Timer(device, args.rounds)
    size = {name: getattr(args, name) for name in ("layers", "width", "heads", "length", "vocab")}
    settings = size | {"batch": args.batch, "steps": args.steps, "dtype": "bfloat16", "device": str(device)}
    found = common.Measured(settings, [], [f"Card: {card_text(card(device))}."])
    pieces, notes = Pieces(args, found), found.notes
    if "choose" in args.parts:
        for vocab in args.vocabs:
            piece = partial(choose_rows, args.rows, vocab, torch.float32, timer, notes)
            pieces.add(f"choose, {vocab:,} float32", piece)
        first = args.vocabs[0]
        pieces.add("choose, bfloat16", lambda: choose_rows(args.rows, first, torch.bfloat16, timer, notes))
        pieces.add("choose, torch", lambda: torch_rows(args.rows, first, timer))
    if set(args.parts) - {"choose"}:
        network_parts(args, pieces, timer, random_model(size))
    notes.append(f"After the last piece: {card_text(card(device))}.")
    return found


def network_parts(args: argparse.Namespace, pieces: Pieces, timer: Timer, model: Any) -> None:
    """What needs the network: step, whole and profile."""
    device, settings = timer.device, pieces.found.settings
    native = gpu_step.native_of(model, device)
    seconds: dict[int, list[float]] = {}

    def add(name: str, piece: Callable[[], list[Row]]) -> None:
        pieces.add(name, piece)
        settings["median_step_seconds"] = {str(b): statistics.median(s) for b, s in sorted(seconds.items())}

    if "step" in args.parts:
        add("network", lambda: gpu_step.network_rows(model, native, args, timer))
        add("step, B=1", lambda: gpu_step.small_rows(model, native, args, timer, seconds))
        add(f"step, B={args.batch}", lambda: gpu_step.large_rows(model, native, args, timer, seconds))
    if "whole" in args.parts:
        for batch in args.against:
            add(f"whole run, B={batch}", partial(gpu_step.whole_rows, model, native, args, timer, batch, seconds))
    if "profile" in args.parts:
        for batch in dict.fromkeys((1, args.batch)):
            add(f"profile, B={batch}", partial(profile, args, native, model, batch, device))


def profile(args: argparse.Namespace, native: Any, model: Any, batch: int, device: torch.device) -> list[Row]:
    """Adds a step's table of kernels to the file of --profile, or prints it."""
    table = gpu_step.profile_table(native, model, batch, device)
    if args.profile is None:
        print(table)
        return []
    args.profile.parent.mkdir(parents=True, exist_ok=True)
    with args.profile.open("a") as file:
        file.write(table)
    return []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    one = common.at_least(1)
    parser.add_argument("--device", default="cuda", help="cuda (default); cpu walks the kernels, to try this out")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:3], help="default choose, step and whole")
    parser.add_argument("--profile", type=Path, metavar="FILE", help="where the part profile adds its tables")
    parser.add_argument("--rows", type=one, default=1024, help="rows of choose (default 1024)")
    parser.add_argument("--vocabs", type=one, nargs="+", default=[50_304, 200_000], help="columns of choose")
    for name, value in (("layers", 12), ("width", 768), ("heads", 12), ("length", 1024), ("vocab", 50_258)):
        parser.add_argument(f"--{name}", type=one, default=value, help=f"of the network (default {value})")
    parser.add_argument("--batch", type=one, default=32, help="B of the large step (default 32)")
    parser.add_argument("--against", type=one, nargs="+", default=[1, 64], help="B of whole runs (default 1 64)")
    parser.add_argument("--steps", type=one, default=10_000, help="N of ancestral sampling (default 10000)")
    parser.add_argument("--rounds", type=one, default=15, help="interleaved rounds (default 15)")


def main(argv: list[str] | None = None) -> int:
    """Command line of this case; see `common.main`."""
    return common.main(sys.modules[__name__], argv)


if __name__ == "__main__":
    common.run_as_script(main)
