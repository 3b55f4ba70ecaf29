"""Masked diffusion models beside their autoregressive twins, and variants of the objective beside each other.

Every run of a group has the same blocks, data, batches and number of steps; only what the group compares differs.

pymdm data enwik8 --out enwik8-bytes --split 90000000,5000000,5000000
python -m experiments.twins train enwik8 mdm --data enwik8-bytes --out twins
python -m experiments.twins train variants count
python -m experiments.twins samples twins
python -m experiments.twins report twins --docs docs
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pymdm.data.tokens import TokenData
from pymdm.evaluate.any_order import BetaTimes
from pymdm.evaluate.autoregressive import causal_losses
from pymdm.evaluate.bound import evaluate_bound
from pymdm.evaluate.intervals import ratio_bits
from pymdm.network.checkpoint import Checkpoint, load_checkpoint
from pymdm.train import Recipe, train
from pymdm.train.log import read_curve
from pymdm.train.setup import load_training_data

WINDOWS = 400  # held-out sequences that are scored, evenly spaced
SAMPLES = 8  # draws per sequence
COMMON: dict[str, Any] = {"layers": 4, "heads": 4, "lr": 3e-3, "muon_lr": 0.03, "threads": 1, "save_every": 250}
VARIANT: dict[str, Any] = {"vocab": "char", "length": 128, "width": 128, "batch_size": 16, "steps": 400, "ema": 0.98}
SETS: dict[str, dict[str, Any]] = {
    "enwik8": {"length": 320, "width": 192, "batch_size": 8, "steps": 6000, "ema": 0.998, "eval_every": 500},
    "bundled": {"vocab_size": 4096, "length": 128, "width": 192, "batch_size": 16, "steps": 1000, "ema": 0.99},
    "variants": VARIANT | {"layers": 3},
}
TWINS: dict[str, dict[str, Any]] = {"mdm": {"weight_power": 0.5}, "autoregressive": {"objective": "autoregressive"}}
CONTINUOUS = {"objective": "continuous"}
RUNS: dict[str, dict[str, dict[str, Any]]] = {
    "enwik8": TWINS,
    "bundled": TWINS,
    "variants": {
        "count": {},
        "count, time-conditioned": {"conditioning": "time"},
        "count, adaLN at a constant time": {"conditioning": "constant"},
        "count, independent draws": {"draw": "independent"},
        "count, w_n = n/L": {"weight_power": 0.0},
        "continuous, linear": CONTINUOUS,
        "continuous, cosine": CONTINUOUS | {"schedule": "cosine"},
        "continuous, linear, time-conditioned": CONTINUOUS | {"conditioning": "time"},
    },
}


def recipe_of(group: str, run: str, source: str | None, steps: int | None) -> Recipe:
    """The settings of one run."""
    values = COMMON | {"eval_every": 100, "eval_tokens": 32_768} | SETS[group] | RUNS[group][run]
    recipe = Recipe(source=source, **values)
    return replace(recipe, steps=steps) if steps else recipe


def score(checkpoint: Checkpoint, data: TokenData, recipe: Recipe) -> dict[str, Any]:
    """Bits per unit on evenly spaced sequences of the test side (held-out side where there is none).

    The interval is that of a ratio of means over sequences: it holds the noise of the masks and that of the text.
    """
    side, row = ("test", data.test) if len(data.test) else ("held out", data.held_out)
    L, mask_id, torch_row = recipe.length, data.tokenizer.mask_id, row
    starts = np.unique(np.linspace(0, len(row) // L - 1, WINDOWS).astype(int)) * L
    model = checkpoint.build()
    network = BetaTimes(model, mask_id, recipe.schedule, 1).eval() if recipe.conditioning == "time" else model
    nats, units = [], []
    for i, start in enumerate(starts):
        piece = np.asarray(torch_row[start : start + L]).astype(np.int64)
        tokens = torch.from_numpy(piece)[None]
        units.append(data.characters(torch_row[start : start + L]))
        if recipe.objective == "autoregressive":
            nats.append(float(causal_losses(model, tokens).double().sum()))
        else:
            nats.append(evaluate_bound(network, [tokens], mask_id, samples=SAMPLES, seed=i).nats)
    found = ratio_bits(nats, units, data.unit)
    kind = "exact" if recipe.objective == "autoregressive" else "upper bound"
    return {
        "side": side,
        "kind": kind,
        "unit": data.unit,
        "bits": found.value,
        "interval95": list(found.interval),
        "sequences": len(nats),
        "samples": SAMPLES,
        "per_sequence_bits": [round(n / math.log(2.0), 3) for n in nats],
        "per_sequence_units": [int(u) for u in units],
    }


def stem_of(group: str, name: str) -> str:
    """File name of a run."""
    return f"{group}-" + "".join(c if c.isalnum() else "-" for c in name)


def run(group: str, name: str, source: str | None, out: Path, steps: int | None, resume: bool) -> Path:
    """Train and score one run; its numbers go to OUT/GROUP-NAME.json."""
    recipe, stem = recipe_of(group, name, source, steps), stem_of(group, name)

    def note(report: Any) -> None:
        if report.event == "evaluated" or (report.event == "step" and report.step % 20 == 0):
            held = report.held_out_bits_per_char if report.event == "evaluated" else ""
            print(f"{stem} {report.step} {report.bits_per_char:.3f} {held} {report.seconds:.0f} s", flush=True)

    data = load_training_data(recipe)
    train(
        recipe, out / "checkpoints" / stem, corpus=data, on_progress=note, resume=resume, command=shlex.join(sys.argv)
    )
    return record(group, name, out, data)


def record(group: str, name: str, out: Path, data: TokenData | None = None) -> Path:
    """Score the checkpoint of a run, finished or not, and write OUT/GROUP-NAME.json."""
    stem = stem_of(group, name)
    folder = out / "checkpoints" / stem
    checkpoint = load_checkpoint(folder)
    training = checkpoint.training
    recipe = Recipe.from_dict(training["recipe"])
    command = ["python", "-m", "experiments.twins", "train", group, name]
    if recipe.source is not None:
        command += ["--data", recipe.source]
    values = {
        "group": group,
        "run": name,
        "command": shlex.join(command),
        "finished": training["finished"],
        "parameters": training["parameters"],
        "recipe": training["recipe"],
        "steps": training["steps"],
        "tokens": training["tokens"],
        "seconds": training["seconds"],
        "precision": training["precision"],
        "corpus": training["corpus"],
        "ngram_bits": training.get("ngram_bits_per_char", {}),
        "curve": [
            {
                "step": int(r["step"]),
                "tokens": int(r["tokens"]),
                "train": float(r["bits_per_char"]),
                "held_out": float(r["held_out_bits_per_char"]) if r["held_out_bits_per_char"] else None,
            }
            for r in read_curve(folder.with_name(stem + ".csv"))
            if int(r["step"]) <= training["steps"]
        ],
        "score": score(checkpoint, data or load_training_data(recipe), recipe),
    }
    file = out / f"{stem}.json"
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    print(f"{stem}: {values['score']['bits']:.3f} {values['score']['interval95']}", flush=True)
    return file


def main(arguments: list[str] | None = None) -> int:
    """Entry point; see the module's first lines."""
    parser = argparse.ArgumentParser(prog="python -m experiments.twins", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("train", help="train and score one run, or all runs of a group")
    one.add_argument("group", choices=RUNS)
    one.add_argument("run", nargs="?", help="; ".join(f"{g}: {', '.join(r)}" for g, r in RUNS.items()))
    one.add_argument("--data", help="text, or a folder made by `pymdm data`; default the bundled model's corpus")
    one.add_argument("--out", type=Path, default=Path("twins"))
    one.add_argument("--steps", type=int)
    one.add_argument("--resume", action="store_true", help="go on with unfinished runs")
    report = commands.add_parser("report", help="tables and curves of finished runs")
    report.add_argument("results", type=Path)
    report.add_argument("--docs", type=Path, default=Path("docs"))
    scored = commands.add_parser("score", help="score the last checkpoint of a run, also of an unfinished one")
    scored.add_argument("group", choices=RUNS)
    scored.add_argument("run")
    scored.add_argument("--out", type=Path, default=Path("twins"))
    samples = commands.add_parser("samples", help="sample the twins of the bundled corpus and judge the samples")
    samples.add_argument("results", type=Path)
    chosen = parser.parse_args(arguments)
    if chosen.command == "score":
        record(chosen.group, chosen.run, chosen.out)
        return 0
    if chosen.command == "samples":
        from experiments.twins_samples import judge_samples

        print(judge_samples(chosen.results))
        return 0
    if chosen.command == "report":
        from experiments.twins_report import write_report

        write_report(chosen.results, chosen.docs)
        return 0
    if chosen.run is not None and chosen.run not in RUNS[chosen.group]:
        parser.error(f"{chosen.group} has the runs {', '.join(RUNS[chosen.group])}")
    for name in [chosen.run] if chosen.run else RUNS[chosen.group]:
        run(chosen.group, name, chosen.data, chosen.out, chosen.steps, chosen.resume)
    return 0


if __name__ == "__main__":
    sys.exit(main())
