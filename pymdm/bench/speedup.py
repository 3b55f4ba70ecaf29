"""First-hitting sampling in the compiled engine beside published ancestral sampling in plain PyTorch, one network.

The published procedure computes logits at all positions, log-softmax and Gumbel noise over [B, L, V + 1], and calls the
network again where anything in the batch changed (cached; uncached: in every step). Its time follows the speed model of
the paper, calls t1 + steps t2 (Zheng et al., ICLR 2025, section 4), with N (1 - (1 - 1/N)^(B L)) expected calls if cached.
t1, t2 and the time of a first-hitting call are measured, whole runs are computed from them and marked ~; the model is
checked against measured steps of the procedure. Sampler, engine and bfloat16 are swapped one at a time. The wall is the
ratio that would be reached if the network's operations ran at the rate of at::linear and nothing else took time.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

import pymdm
from pymdm.bench import common
from pymdm.bench.network import DTYPES, check_same_network, first_hitting_operations, linear_rate, random_model
from pymdm.bench.rows import Row, row
from pymdm.bench.sampling import DRAWS, Forms, check_model, expected_calls, whole_runs
from pymdm.bench.timing import ratio, spread
from pymdm.network.checkpoint import load_checkpoint

EXAMPLE = "pymdm bench speedup --preset paper --check"
NETWORK = ("layers", "width", "heads", "vocab")
PRESETS: dict[str, dict[str, int]] = {
    "small": {"layers": 4, "width": 256, "heads": 4, "vocab": 8192, "length": 128, "steps": 1024, "batch": 1},
    "n1024": {"layers": 12, "width": 768, "heads": 12, "vocab": 50_258, "length": 1024, "steps": 1024, "batch": 1},
    "paper": {"layers": 12, "width": 768, "heads": 12, "vocab": 50_258, "length": 1024, "steps": 10_000, "batch": 1},
    "paper-b8": {"layers": 12, "width": 768, "heads": 12, "vocab": 50_258, "length": 1024, "steps": 10_000, "batch": 8},
}
SIZES = tuple(PRESETS["small"])
MARKS = {"n1024": 30.0, "paper": 150.0, "paper-b8": 200.0}  # against the cached procedure with float64 noise
QUICK = {"part": 16, "rounds": 2}
FULL = {"part": 32, "rounds": 9}


def setting(args: argparse.Namespace) -> tuple[dict[str, int], pymdm.MaskedTransformer]:
    """Sizes and network: the preset's with what the options say instead, or those of a checkpoint.

    Raises:
        ValueError: options that contradict the checkpoint, or a network that published samplers cannot reuse.
    """
    size = dict(PRESETS[args.preset])
    given = {name: getattr(args, name) for name in SIZES if getattr(args, name) is not None}
    if args.model is None:
        size |= given
        return size, random_model(size)
    if fixed := [name for name in NETWORK if name in given]:
        raise ValueError(f"bench speedup: --{fixed[0]} is the checkpoint's; leave it out with --model")
    checkpoint = load_checkpoint(args.model)
    c = checkpoint.config
    if c.conditioning == "time":
        raise ValueError("bench speedup: expected a network without time, whose output can be reused")
    size |= {"layers": c.layers, "width": c.width, "heads": c.heads, "vocab": c.vocab_size, "length": c.length} | given
    if size["length"] > c.length:
        raise ValueError(f"bench speedup: --length must be at most the checkpoint's {c.length}, got {size['length']}")
    return size, pymdm.MaskedTransformer.from_state(c, checkpoint.state_dict)


def ratio_rows(runs: dict[str, list[float]], walls: dict[str, float], mark: float | None) -> list[Row]:
    """Baselines over first-hitting sampling: the ratio with the mark first, then what it is made of."""

    def line(
        subject: str, words: str, over: list[float], under: list[float], note: str = "", bound: float | None = None
    ) -> Row:
        main = subject == "speedup"
        value = ratio(over, under)
        return row(subject, words, value, "x", mark=bound, note=note, extrapolated=True, headline=main)

    cached, torch_run = runs["cached float64"], runs["PyTorch"]
    best = "engine bfloat16" if "engine bfloat16" in runs else "PyTorch"
    rows = []
    for ours in ("engine bfloat16", "engine float32") if best != "PyTorch" else ("PyTorch",):
        name, bound = f"first-hitting {ours.removeprefix('engine ')}", mark if ours == best else None
        rows.append(line("speedup", f"cached ancestral / {name}", cached, runs[ours], bound=bound))
        rows.append(line("speedup", f"uncached ancestral / {name}", runs["uncached float64"], runs[ours]))
    rows.append(line("speedup, other noise", "cached, float32 noise", runs["cached float32"], runs[best]))
    race = "cached float64, one logarithm"
    rows.append(line("speedup, other noise", "cached, float64 noise, one logarithm", runs[race], runs[best]))
    rows.append(line("from the sampler", "cached ancestral / first-hitting", cached, torch_run, "both PyTorch float32"))
    if best == "PyTorch":
        return rows
    both = "both first-hitting"
    rows.append(line("from the engine", "PyTorch / engine", torch_run, runs["engine float32"], f"{both}, float32"))
    note = f"{both}, engine"
    rows.append(line("from bfloat16", "float32 / bfloat16", runs["engine float32"], runs["engine bfloat16"], note))
    note = "the same law as the baseline's in exact arithmetic"
    for dtype in reversed(DTYPES):
        words = f"cached ancestral / ancestral in the engine, {dtype}"
        rows.append(line("same sampler in the engine", words, cached, runs[f"ancestral engine {dtype}"], note))
    for dtype, wall in reversed(walls.items()):
        words = f"cached ancestral / {dtype} operations at at::linear's rate"
        rows.append(row("largest possible here", words, spread(cached).value / wall, "x", extrapolated=True))
    return rows


def time_rows(seconds: dict[str, list[float]], runs: dict[str, list[float]], size: dict[str, int]) -> list[Row]:
    """Whole runs with their network calls and categorical steps, then what was measured."""
    L, N, B = size["length"], size["steps"], size["batch"]
    calls, alone = expected_calls(N, B * L), expected_calls(N, L)
    rows = []
    for name, times in runs.items():
        if name.startswith("uncached") and name != "uncached float64":
            continue
        if name.startswith("cached"):
            subject, note = f"ancestral, PyTorch, {name}", f"{calls:,.0f} calls, {N:,} categorical steps"
        elif name.startswith("uncached"):
            subject, note = f"ancestral, PyTorch, {name}", f"{N:,} calls, {N:,} categorical steps"
        elif name.startswith("ancestral"):
            subject, note = f"ancestral, {name.removeprefix('ancestral ')}", f"{alone:,.0f} calls a sequence"
        else:
            subject, note = f"first-hitting, {name}", f"{L:,} calls a sequence, as many categorical steps"
        subject += " noise" if "cached" in name else ""
        rows.append(row(subject, "whole run", spread(times), "s", note=note, extrapolated=True))
    for name, times in seconds.items():
        if name == "t1":
            rows.append(row("PyTorch", "t1: network call and log-softmax, all positions", spread(times), "s"))
        elif name.startswith("t2"):
            note = "" if B == 1 else f"{B} x the time of one sequence"
            rows.append(row("PyTorch", f"t2: step with {name[3:]} noise", spread(times), "s", note=note))
        else:
            what = name if name.startswith("ancestral") else f"first-hitting, {name}"
            rows.append(
                row(what.replace("ancestral engine", "ancestral, engine"), "one call, one sequence", spread(times), "s")
            )
    t2 = f"t2 {next(iter(DRAWS))}"
    rows.append(row("PyTorch", "t2 / t1, float64 noise", ratio(seconds[t2], seconds["t1"]), "x"))
    return rows


def run(args: argparse.Namespace) -> common.Measured:
    """Ratios, whole runs, their parts, and the speed model beside the measurement."""
    if args.device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"bench speedup: device must be cpu where torch finds no CUDA device, got {args.device}")
    size, model = setting(args)
    L, N, B = size["length"], size["steps"], size["batch"]
    check_same_network(model)
    forms = Forms(model.to(args.device), L, N, B, args.device)
    seconds = forms.measure(args.rounds)
    runs = whole_runs(seconds, L, N, B)
    walls: dict[str, float] = {}
    notes = []
    if args.device == "cpu":
        operations = first_hitting_operations(model.config, L)
        for dtype in DTYPES:
            rate = linear_rate(getattr(torch, dtype), model.config.width, min(B * L, 1024), max(args.rounds, 5))
            walls[dtype] = B * L * operations / rate
            notes.append(
                f"at::linear in {dtype}: {rate / 1e9:,.0f} GFLOP/s at best; a first-hitting call is {operations / 1e9:,.1f}"
                f" GFLOP, so {L * B:,} of them take at least {walls[dtype]:,.0f} s."
            )
    own = args.model is None and size == PRESETS[args.preset] and args.device == "cpu"
    mark = MARKS.get(args.preset) if own else None
    rows = ratio_rows(runs, walls, mark) + time_rows(seconds, runs, size)
    rows += check_model(forms, seconds, min(args.part, N))
    settings: dict[str, Any] = {"preset": args.preset} if own else {"model": args.model or "random weights"}
    settings |= size | {"parameters": sum(p.numel() for p in model.parameters()), "device": args.device}
    baseline = "The baseline's network is float32; its noise is float64 where nothing else is said."
    return common.Measured(settings, rows, [baseline, *notes])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument("--preset", choices=PRESETS, default="small", help="sizes (default small)")
    parser.add_argument(
        "--model", metavar="PATH", help="a checkpoint folder, or bundled:masked, instead of random weights"
    )
    names = {"vocab": "V", "length": "L", "steps": "N, ancestral steps", "batch": "B, sequences"}
    for name in SIZES:
        words = f"{names.get(name, name)}, instead of the preset's"
        parser.add_argument(f"--{name}", type=common.at_least(1), help=words)
    parser.add_argument(
        "--device", default="cpu", help="of the PyTorch network, cpu (default) or cuda; the engine is CPU"
    )
    parser.add_argument(
        "--part", type=common.at_least(1), default=8, help="steps that check the speed model (default 8)"
    )
    parser.add_argument("--rounds", type=common.at_least(1), default=5, help="interleaved rounds (default 5)")
