"""Time and network calls of sampling against L, V, B, N and threads, beside a straight line.

One size is changed at a time. First-hitting sampling needs L calls whatever V, B and N; the line for the time of one
sequence's evaluation is a + b operations + c V D / B, the last for reading the head's weights once a call, fitted to all
sizes with all threads. Cached ancestral sampling in plain PyTorch (float64 noise) stands beside it, computed from its
measured t1 and t2 as in `pymdm bench speedup`; its calls are counted in runs of the engine's ancestral sampler.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

import pymdm
from pymdm._native import C
from pymdm.bench import common
from pymdm.bench.network import DTYPES, check_same_network, first_hitting_operations, random_model
from pymdm.bench.rows import Row, row
from pymdm.bench.sampling import Forms, expected_calls, whole_runs
from pymdm.bench.timing import interleaved, ratio, spread, threads
from pymdm.report.figure import ticks_at

EXAMPLE = "pymdm bench scaling --dtype float32 --threads 1"
BASE = {"layers": 4, "width": 256, "heads": 4, "vocab": 8192, "length": 128, "steps": 1024, "batch": 1}
AXES: dict[str, tuple[int, ...]] = {
    "length": (32, 128, 256, 512),
    "vocab": (256, 8192, 50_258),
    "batch": (1, 4, 16),
    "steps": (64, 1024, 16_384),
}
LETTERS = {"length": "L", "vocab": "V", "batch": "B", "steps": "N", "threads": "threads"}
QUICK = {"rounds": 1, "points": 2}
FULL = {"rounds": 9}
MARK = 0.20  # off the line, as for the engine's forward


def counted_calls(steps: int, length: int, runs: int = 64) -> float:
    """Mean network calls of cached ancestral sampling of one sequence; which tokens move does not depend on the network."""
    out = pymdm.sample(
        lambda tokens: torch.zeros(*tokens.shape, 2),
        mask_id=2,
        length=length,
        num_samples=runs,
        seed=1,
        sampler=pymdm.Ancestral(steps=steps),
    )
    return float(np.mean(out.nfe))


def settings(points: int) -> list[tuple[str, dict[str, int]]]:
    """(axis, sizes): the base, then the other values of each axis, the last `points` of them."""
    found = [("base", dict(BASE))]
    for axis, values in AXES.items():
        others = [v for v in values if v != BASE[axis]]
        found += [(axis, BASE | {axis: v}) for v in others[-points:]]
    return found


def features(size: dict[str, int], config: pymdm.ModelConfig) -> list[float]:
    """1, operations and head weights of one sequence's evaluation: what its time is a line in."""
    return [1.0, first_hitting_operations(config, size["length"]), size["vocab"] * size["width"] / size["batch"]]


def fit(rows: list[list[float]], seconds: list[float]) -> np.ndarray:
    """Non-negative coefficients of least squared relative deviation."""
    x, t = np.asarray(rows), np.asarray(seconds)
    scale = x.max(axis=0)
    found, _ = nnls(x / scale / t[:, None], np.ones(len(t)))
    return found / scale


def measure(points: list[tuple[str, dict[str, int]]], dtype: str, rounds: int) -> list[Any]:
    """(axis, sizes, config, seconds of each form) of all sizes, in the same interleaved rounds."""
    subjects, calls = [], {}
    for i, (axis, size) in enumerate(points):
        model = random_model(size)
        check_same_network(model)
        L, N, B = size["length"], size["steps"], size["batch"]
        forms = Forms(model, L, N, B, draws=["float64"], dtypes=[dtype], swapped=False)
        subjects.append((axis, size, model.config, forms))
        for name, call in forms.calls.items():
            calls[f"{i} {name}"] = on_one_thread(call) if axis == "threads" else call
    seconds = interleaved(calls, rounds)
    return [
        (axis, size, config, forms.scaled({name: seconds[f"{i} {name}"] for name in forms.calls}))
        for i, (axis, size, config, forms) in enumerate(subjects)
    ]


def on_one_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> None:
        with threads(1):
            call()

    return run


def run(args: argparse.Namespace) -> common.Measured:
    """For each size: the speedup, both times, and the distance from the line."""
    engine = f"engine {args.dtype}"
    points = settings(args.points) + ([("threads", dict(BASE))] if C.num_threads() > 1 else [])
    measured = []
    for axis, size, config, seconds in measure(points, args.dtype, args.rounds):
        runs = whole_runs(seconds, size["length"], size["steps"], size["batch"])
        value = 1 if axis == "threads" else size.get(axis, 0)
        name = "base" if axis == "base" else f"{LETTERS[axis]} = {value:,}"
        measured.append((name, axis, size, config, seconds[engine], runs))
    line = fit(
        [features(size, config) for _, axis, size, config, _, _ in measured if axis != "threads"],
        [spread(t).value for _, axis, _, _, t, _ in measured if axis != "threads"],
    )
    rows: list[Row] = []
    worst = 0.0
    for name, axis, size, config, each, runs in measured:
        L, N, B = size["length"], size["steps"], size["batch"]
        cached, ours = runs["cached float64"], runs[engine]
        rows.append(row(name, "cached ancestral / first-hitting", ratio(cached, ours), "x", extrapolated=True))
        rows.append(row(name, "first-hitting", spread(ours), "s", note=f"{L:,} calls", extrapolated=True))
        note = f"{expected_calls(N, B * L):,.0f} calls, {N:,} categorical steps"
        rows.append(row(name, "cached ancestral", spread(cached), "s", note=note, extrapolated=True))
        if axis != "threads":
            off = float(line @ features(size, config)) / spread(each).value - 1
            worst = max(worst, abs(off))
            rows.append(row(name, "line / measured - 1", off, "%"))
    a, b, c = line
    note = f"{a * 1e6:,.0f} us + operations / {1 / b / 1e9:,.0f} GFLOP/s" if b else f"{a * 1e6:,.0f} us"
    note += f" + head weights / {1 / c / 1e9:,.1f} G/s" if c else ""
    rows.insert(
        0, row("first-hitting, one call", "off the straight line", worst, "%", mark=MARK, least=False, note=note)
    )
    for N in AXES["steps"]:
        calls, expected = counted_calls(N, BASE["length"]), expected_calls(N, BASE["length"])
        rows.append(
            row(f"calls, N = {N:,}", "counted / expected", calls / expected, "x", note=f"{calls:,.1f} of {N:,}")
        )
    base = {LETTERS.get(name, name): value for name, value in BASE.items()}
    return common.Measured(base | {"dtype": args.dtype}, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16", help="of the engine (default bfloat16)")
    parser.add_argument("--points", type=common.at_least(1), default=9, help="values of each axis besides the base")
    parser.add_argument("--rounds", type=common.at_least(1), default=5, help="interleaved rounds (default 5)")


def plot(result: dict[str, Any], figure: Any) -> None:
    """Seconds of both samplers against each size, logarithmic both ways."""
    axes = [name for name in AXES]
    figure.set_size_inches(3.3 * len(axes), 3.4)
    panels = figure.subplots(1, len(axes), sharey=True)
    for panel, axis in zip(panels, axes, strict=True):
        letter = LETTERS[axis]
        for measure, marker in (("cached ancestral", "s"), ("first-hitting", "o")):
            points = []
            for r in result["rows"]:
                start = f"{letter} = "
                if r["measure"] == measure and (r["subject"] == "base" or r["subject"].startswith(start)):
                    text = r["subject"].removeprefix(start).replace(",", "")
                    points.append((result["settings"][letter] if text == "base" else int(text), r["value"]))
            x, y = zip(*sorted(points), strict=True)
            panel.loglog(x, y, marker=marker, label=measure)
        panel.set_xlabel(letter)
        ticks_at(panel.xaxis, x)
    panels[0].set_ylabel("seconds of a run")
    panels[0].legend()
