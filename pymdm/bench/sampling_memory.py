"""Peak memory of sampling in the engine beside the published procedure in plain PyTorch.

Each form runs in a process of its own: it loads the network, forgets the peak so far, samples a few calls, and reads the
peak of its resident memory. The part over the memory before sampling is the workspace: in the engine linear in the tokens,
in the procedure several arrays [B, L, V]. Needs Linux.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys

import torch

import pymdm
from pymdm._native import C
from pymdm.bench import common
from pymdm.bench.network import random_model
from pymdm.bench.rows import Row, row
from pymdm.bench.speedup import PRESETS
from pymdm.bench.timing import threads
from pymdm.reference.published import sample_published

EXAMPLE = "pymdm bench sampling_memory --preset paper"
TIMED = False
FORMS = ("engine bfloat16", "engine float32", "PyTorch, float64 noise", "PyTorch, float32 noise")
QUICK = {"calls": 1}
FULL = {"preset": "paper"}


def status(field: str) -> int:
    """Bytes of a field of /proc/self/status: VmRSS now, VmHWM at the peak."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field + ":"))


def forget_peak() -> None:
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def peak_of(form: str, size: dict[str, int], calls: int) -> dict[str, int]:
    """Bytes of the weights, before sampling and at the peak of `calls` network calls."""
    model = random_model(size)
    L, B, mask_id = size["length"], size["batch"], model.config.mask_id
    if form.startswith("engine"):
        engine = pymdm.Engine(model, dtype=form.split()[1])
        weights = engine.native.weight_bytes
        del model
    else:
        weights = sum(p.numel() * p.element_size() for p in model.parameters())
    gc.collect()
    before = status("VmRSS")
    forget_peak()
    if form.startswith("engine"):
        pymdm.sample(engine, num_samples=B, length=L, seed=1, max_calls=calls)
    else:
        noise = getattr(torch, form.split()[1])
        sample_published(
            model, batch=B, length=L, mask_id=mask_id, steps=size["steps"], seed=1, noise=noise, stop_after=calls
        )
    return {"weights": weights, "before": before, "peak": status("VmHWM")}


def measured(form: str, size: dict[str, int], calls: int) -> dict[str, int]:
    """`peak_of` in a process of its own, with as many threads as this one has."""
    what = json.dumps([form, size, calls, C.num_threads()])
    command = [sys.executable, "-m", "pymdm.bench.sampling_memory", what]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["killed, perhaps for want of memory"])[-1]
        raise ValueError(f"bench sampling_memory: {form} failed: {last}")
    found: dict[str, int] = json.loads(done.stdout)
    return found


def run(args: argparse.Namespace) -> common.Measured:
    """For each form: workspace, weights, peak of the whole process; and the procedure's over the engine's."""
    size = dict(PRESETS[args.preset]) | ({} if args.batch is None else {"batch": args.batch})
    found = {form: measured(form, size, args.calls) for form in FORMS}
    space = {form: max(f["peak"] - f["before"], 1) for form, f in found.items()}
    rows: list[Row] = []
    for theirs in FORMS[2:]:
        for ours in FORMS[:2]:
            value = space[theirs] / space[ours]
            rows.append(row("workspace", f"{theirs} / {ours}", value, "x", headline=theirs.endswith("64 noise")))
    for form, f in found.items():
        rows.append(row(form, "workspace", space[form] / 2**20, "MiB", note="peak over the memory before sampling"))
        rows.append(row(form, "weights", f["weights"] / 2**20, "MiB"))
        rows.append(row(form, "peak of the process", f["peak"] / 2**20, "MiB", note="Python and torch included"))
    return common.Measured({"preset": args.preset} | size | {"calls": args.calls}, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument("--preset", choices=PRESETS, default="small", help="sizes, as in bench speedup (default small)")
    parser.add_argument("--batch", type=common.at_least(1), help="B, instead of the preset's")
    parser.add_argument(
        "--calls", type=common.at_least(1), default=2, help="network calls that are sampled (default 2)"
    )


def _child(form: str, size: dict[str, int], calls: int, count: int) -> None:
    with threads(count):
        print(json.dumps(peak_of(form, size, calls)))


if __name__ == "__main__":
    _child(*json.loads(sys.argv[1]))
