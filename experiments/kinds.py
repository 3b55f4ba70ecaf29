"""Four kinds of network at equal training cost: masked, block, any-order and autoregressive, on one corpus.

A cell is (kind, size, seed). Cells of one size and seed take the same steps and compute the same number of rows in each: the
objectives that show a network two copies of a sequence take half as many sequences. Each cell is written when it is done, so
that a run can be stopped and started again.

python -m experiments.kinds run --sizes 3x128 --sizes 4x192 --seeds 1 --seeds 2 --seeds 3 --steps 1000 --out kinds
python -m experiments.kinds time kinds
python -m experiments.kinds report kinds
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import pymdm
from experiments.twins_samples import judged
from pymdm.data.tokens import TokenData
from pymdm.evaluate.autoregressive import causal_losses
from pymdm.evaluate.bound import evaluate_bound
from pymdm.evaluate.judges import NGramJudge
from pymdm.evaluate.streams import evaluate_streams
from pymdm.network.checkpoint import Checkpoint, load_checkpoint
from pymdm.network.loading import model_of
from pymdm.train import Recipe, load_corpus, train
from pymdm.train.setup import load_training_data

KINDS: dict[str, dict[str, Any]] = {
    "masked": {"weight_power": 0.5},
    "block": {"objective": "block", "block_length": 16},
    "any-order": {"objective": "any-order"},
    "autoregressive": {"objective": "autoregressive"},
}
TWO_COPIES = ("block", "any-order")
SHAPE: dict[str, Any] = {"vocab_size": 4096, "length": 128, "lr": 3e-3, "muon_lr": 0.03, "ema": 0.99, "threads": 1}
PASSES = 8  # draws of masks or orders for each held-out sequence


def recipe_of(kind: str, size: str, seed: int, args: argparse.Namespace) -> Recipe:
    """The settings of a cell; `size` is layers x width."""
    layers, width = (int(x) for x in size.split("x"))
    batch = args.batch // 2 if kind in TWO_COPIES else args.batch
    own = {"layers": layers, "width": width, "heads": max(1, width // 48), "batch_size": batch, "steps": args.steps}
    own |= {"seed": seed, "eval_every": args.steps, "save_every": args.steps, "source": args.data}
    return Recipe(**(SHAPE | own | KINDS[kind] | args.changes))


def score(checkpoint: Checkpoint, data: TokenData, windows: int) -> dict[str, Any]:
    """Bits per unit over evenly spaced held-out windows: a ratio of means, with the interval of masks, orders and text."""
    L, row, model = checkpoint.config.length, data.held_out, checkpoint.build()
    starts = np.unique(np.linspace(0, len(row) // L - 1, windows).astype(int)) * L
    nats, units = [], []
    for i, start in enumerate(starts):
        tokens = torch.from_numpy(np.asarray(row[start : start + L]).astype(np.int64))[None]
        units.append(data.characters(row[start : start + L]))
        if checkpoint.config.causal:
            nats.append(float(causal_losses(model, tokens).double().sum()))
        elif checkpoint.config.attention == "bidirectional":
            nats.append(evaluate_bound(model, [tokens], checkpoint.config.mask_id, samples=PASSES, seed=i).nats)
        else:
            nats.append(evaluate_streams(model, [tokens], samples=PASSES, seed=i).nats)
    bits, size = np.array(nats) / np.log(2.0), np.array(units, dtype=float)
    mean = bits.sum() / size.sum()
    half = 1.96 * (bits - mean * size).std(ddof=1) / np.sqrt(len(bits)) / size.mean()
    return {
        "bits": float(mean), "interval95": [float(mean - half), float(mean + half)],
        "per_window_bits": [round(float(b), 3) for b in bits], "per_window_units": [int(u) for u in units],
    }  # fmt: skip


def samples(checkpoint: Checkpoint, source: str | None, number: int, seed: int) -> dict[str, Any]:
    """Samples of the law that the network asks for, one at a time, judged; seconds a sample."""
    model = model_of(checkpoint)
    pymdm.sample(model, num_samples=1, seed=seed, sequence_ids=[0])  # set up, not timed
    began, used = time.perf_counter(), _cpu()
    drawn = [pymdm.sample(model, num_samples=1, seed=seed, sequence_ids=[i]) for i in range(number)]
    seconds, used = (time.perf_counter() - began) / number, (_cpu() - used) / number
    tokens = torch.stack([torch.as_tensor(d.tokens[0]) for d in drawn])
    judge = NGramJudge(load_corpus(source).train_text)
    found = judged(
        checkpoint.config.attention, drawn[0].law, judge, [str(d.text[0]) for d in drawn], tokens, tokens.shape[1]
    )
    return found | {"seconds": seconds, "cpu_seconds": used, "calls": drawn[0].calls}


def _cpu() -> float:
    use = resource.getrusage(resource.RUSAGE_SELF)
    return use.ru_utime + use.ru_stime


def cell(kind: str, size: str, seed: int, args: argparse.Namespace) -> None:
    """Train, score and sample one cell, unless its file is there."""
    name = f"{kind}-{size}-{seed}"
    file = args.out / f"{name}.json"
    if file.is_file():
        return
    recipe = recipe_of(kind, size, seed, args)
    data, began, used = load_training_data(recipe), time.perf_counter(), _cpu()
    folder = args.out / "checkpoints" / name
    train(recipe, folder, corpus=data, command=shlex.join(sys.argv), overwrite=folder.exists())  # one cut short, anew
    spent = {"seconds": time.perf_counter() - began, "cpu_seconds": _cpu() - used}
    checkpoint = load_checkpoint(folder)
    values = {"kind": kind, "size": size, "seed": seed, "parameters": checkpoint.training["parameters"]}
    values |= {
        "rows": args.steps * args.batch * recipe.length,
        "training": spent,
        "recipe": checkpoint.training["recipe"],
    }
    values |= {"score": score(checkpoint, data, args.windows)}
    values |= {"samples": samples(checkpoint, args.data, args.samples, seed), "cpu_seconds": _cpu() - used}
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(f"{name}: {values['score']['bits']:.3f} bits, {values['cpu_seconds']:.0f} CPU seconds", flush=True)


def time_samples(out: Path, number: int) -> None:
    """Sample every finished cell anew, for the seconds of a machine that does nothing else."""
    for file in _cells(out):
        values = json.loads(file.read_text())
        values["samples"] = samples(
            load_checkpoint(out / "checkpoints" / file.stem), values["recipe"]["source"], number, values["seed"]
        )
        file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _cells(out: Path) -> list[Path]:
    return sorted(out.glob("*-*x*-*.json"))


def report(out: Path) -> str:
    """Markdown: bits and samples of each kind and size over seeds, and any-order against masked on the same windows."""
    cells = [json.loads(f.read_text()) for f in _cells(out)]
    if not cells:
        raise ValueError(f"kinds: no cells in {out}")
    lines = [
        "| size | kind | seeds | bits | 95% of a seed | samples' bits | entropy | seconds a sample |",
        "|" + "---|" * 8,
    ]
    for size in sorted({c["size"] for c in cells}, key=lambda s: [int(x) for x in s.split("x")]):
        for kind in KINDS:
            own = [c for c in cells if (c["size"], c["kind"]) == (size, kind)]
            if not own:
                continue
            bits = [c["score"]["bits"] for c in own]
            half = np.mean([c["score"]["interval95"][1] - c["score"]["bits"] for c in own])
            spread = f" ({min(bits):.3f} to {max(bits):.3f})" if len(own) > 1 else ""
            shown = [np.mean([c["samples"][key] for c in own]) for key in ("bits_per_char", "entropy_nats", "seconds")]
            lines.append(
                f"| {size} | {kind} | {len(own)} | {np.mean(bits):.3f}{spread} | +-{half:.3f} | {shown[0]:.3f} | "
                f"{shown[1]:.3f} | {shown[2]:.3f} |"
            )
    for size in sorted({c["size"] for c in cells}):
        differences = []
        for seed in sorted({c["seed"] for c in cells}):
            kinds = {c["kind"]: c for c in cells if (c["size"], c["seed"]) == (size, seed)}
            if {"any-order", "masked"} <= set(kinds):
                differences.append(_difference(kinds["any-order"], kinds["masked"]))
        if differences:
            text = "; ".join(f"{mean:+.3f} +- {half:.3f}" for mean, half in differences)
            lines.append(f"\n{size}: any-order minus masked, bits on the same windows, each seed: {text}")
    return "\n".join(lines) + "\n"


def _difference(one: dict[str, Any], other: dict[str, Any]) -> tuple[float, float]:
    """Mean difference of bits per unit and half of its 95% interval, window by window."""
    a, b = (np.array(c["score"]["per_window_bits"]) for c in (one, other))
    units = np.array(one["score"]["per_window_units"], dtype=float)
    mean = (a - b).sum() / units.sum()
    half = 1.96 * (a - b - mean * units).std(ddof=1) / np.sqrt(len(units)) / units.mean()
    return float(mean), float(half)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; see the module's first lines."""
    parser = argparse.ArgumentParser(prog="python -m experiments.kinds", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="train, score and sample the cells that are not there yet")
    one.add_argument("--kinds", action="append", choices=KINDS, help="default all")
    one.add_argument("--sizes", action="append", help="layers x width, default 3x128, 4x192, 6x240")
    one.add_argument("--seeds", action="append", type=int, help="default 1, 2, 3")
    for name, default in (("steps", 1000), ("batch", 16), ("windows", 200), ("samples", 32)):
        one.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    one.add_argument("--data", help="text, or a folder made by `pymdm data`; default the bundled model's corpus")
    one.add_argument("--out", type=Path, default=Path("kinds"))
    one.add_argument("--changes", type=json.loads, default={}, help="settings of every recipe, as a JSON object")
    again = commands.add_parser(
        "time", help="sample the cells that are there anew, on a machine that does nothing else"
    )
    again.add_argument("out", type=Path)
    again.add_argument("--samples", type=int, default=32, help="default 32")
    shown = commands.add_parser("report", help="the table of the cells that are there")
    shown.add_argument("out", type=Path)
    args = parser.parse_args(arguments)
    if args.command == "time":
        time_samples(args.out, args.samples)
        return 0
    if args.command == "report":
        print(report(args.out), end="")
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds or [1, 2, 3]:  # seed by seed, so that a cut run still compares
        for size in args.sizes or ["3x128", "4x192", "6x240"]:
            for kind in args.kinds or KINDS:
                cell(kind, size, seed, args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
