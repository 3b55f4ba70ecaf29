"""First-hitting sampling in the compiled engine beside published ancestral sampling in plain PyTorch.

The network is a random 12 x 768 transformer (or what the options say), the same weights on both sides. Long runs are
measured on a stated part of their steps and extrapolated by the speed model of the paper, time = calls t1 + steps t2
(Zheng et al., ICLR 2025, section 4), with expected calls N (1 - (1 - 1/N)^(B L)) for the whole-batch cache.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import pymdm
from pymdm.reference.published import categorical, sample_published

PRESETS: dict[str, dict[str, int]] = {
    "quick": {"layers": 4, "width": 256, "heads": 4, "length": 128, "vocab": 8192, "steps": 1024, "batch": 1},
    "n1024": {"layers": 12, "width": 768, "heads": 12, "length": 1024, "vocab": 50_257, "steps": 1024, "batch": 1},
    "paper": {"layers": 12, "width": 768, "heads": 12, "length": 1024, "vocab": 50_257, "steps": 10_000, "batch": 1},
    "paper-b8": {"layers": 12, "width": 768, "heads": 12, "length": 1024, "vocab": 50_257, "steps": 10_000, "batch": 8},
}
MARKS = {"n1024": 30.0, "paper": 150.0, "paper-b8": 200.0}  # against PyTorch, float32 network, float64 noise


def seconds_of(work: Callable[[], Any], repeats: int) -> float:
    """Median seconds after one call that is not counted."""
    work()
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def expected_calls(steps: int, tokens: int) -> float:
    """Network calls of ancestral sampling that reuses its output while none of `tokens` masked tokens moved."""
    return steps * (1 - (1 - 1 / steps) ** tokens)


def check_same_law(model: Any, config: Any) -> None:
    """Both sides must draw from the same network: the engine's logits are the module's."""
    tokens = torch.full((1, min(64, config.length)), config.mask_id)
    with torch.no_grad():
        ours, theirs = pymdm.Engine(model)(tokens), model(tokens)
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max())):
        raise RuntimeError("bench: the engine and the PyTorch module disagree; nothing was timed")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measures t1 and t2 of the published procedure and the time of a first-hitting call, and sets them beside each other."""
    size = dict(PRESETS[args.preset])
    for name in size:
        size[name] = getattr(args, name) or size[name]
    length, batch, steps = size["length"], size["batch"], size["steps"]
    config = pymdm.ModelConfig(
        vocab_size=size["vocab"], length=length, width=size["width"], layers=size["layers"], heads=size["heads"]
    )
    torch.manual_seed(0)
    model = pymdm.MaskedTransformer(config).eval()
    check_same_law(model, config)

    masked = torch.full((batch, length), config.mask_id)
    with torch.no_grad():
        t1 = seconds_of(lambda: model(masked), args.repeats)
        log_mu = model(masked[:1]).log_softmax(dim=-1)
    generator = torch.Generator().manual_seed(0)
    draw = {}
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        # One sequence at a time: the draws are independent, and B of them need B times the memory.
        draw[name] = batch * seconds_of(
            lambda dtype=dtype, log_mu=log_mu: categorical(log_mu, dtype, generator), args.repeats
        )
    part = max(1, min(steps, args.part))
    began = time.perf_counter()
    measured = sample_published(
        model, batch=1, length=length, mask_id=config.mask_id, steps=steps, seed=1, stop_after=part
    )
    measured_seconds = time.perf_counter() - began
    del log_mu

    first_hitting: dict[str, dict[str, float]] = {}
    for dtype in ("float32", "bfloat16"):
        engine = pymdm.Engine(model, dtype=dtype)
        calls = max(1, min(length, args.part))

        def work(engine: Any = engine, calls: int = calls) -> Any:
            return pymdm.sample(engine, num_samples=batch, length=length, seed=1, max_calls=calls)

        per_call = seconds_of(work, args.repeats) / calls
        first_hitting[dtype] = {"seconds_per_call": per_call, "seconds": per_call * length, "calls": length}
    network_calls = expected_calls(steps, batch * length)
    published = {
        name: {"t1": t1, "t2": t2, "calls": network_calls, "seconds": network_calls * t1 + steps * t2}
        for name, t2 in draw.items()
    }
    uncached = steps * (t1 + draw["float64"])
    # t1 at B = 1 for the check of the speed model against the measured part
    single = t1 if batch == 1 else seconds_of(lambda: model(masked[:1]), args.repeats)
    predicted = measured.calls * single + measured.steps * draw["float64"] / batch
    total = published["float64"]["seconds"]
    mark = MARKS.get(args.preset)
    speedup = {d: total / f["seconds"] for d, f in first_hitting.items()}
    return {
        "case": "speedup",
        "preset": args.preset,
        "size": size,
        "parameters": sum(p.numel() for p in model.parameters()),
        "published": published,
        "published_uncached_seconds": uncached,
        "measured_part": {
            "steps": measured.steps,
            "calls": measured.calls,
            "seconds": measured_seconds,
            "predicted": predicted,
        },
        "first_hitting": first_hitting,
        "speedup_float64_noise": speedup,
        "from_sampler": total / (length * t1),
        "from_engine": length * t1 / first_hitting["float32"]["seconds"],
        "from_bfloat16": first_hitting["float32"]["seconds"] / first_hitting["bfloat16"]["seconds"],
        "mark": mark,
        "passed": mark is None or max(speedup.values()) >= mark,
        "machine": machine(),
    }


def machine() -> dict[str, Any]:
    """What it ran on."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    try:
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    except OSError:
        commit = ""
    threads = torch.get_num_threads()
    return {
        "processor": name,
        "threads": threads,
        "torch": torch.__version__,
        "pymdm": pymdm.__version__,
        "commit": commit,
    }


def show(result: dict[str, Any], console: Console) -> None:
    """The tables a person reads."""
    size, part = result["size"], result["measured_part"]
    sizes = ", ".join(f"{k} {v:,}" for k, v in size.items())
    console.print(f"{sizes}; float32 weights unless said", highlight=False)
    table = Table(title="seconds for the whole run (extrapolated from measured calls and steps)")
    for column in ("sampler", "network calls", "t1", "t2", "seconds"):
        table.add_column(column, justify="left" if column == "sampler" else "right")
    for name, p in result["published"].items():
        label = f"ancestral, cached, PyTorch, {name} noise"
        table.add_row(label, f"{p['calls']:,.0f}", f"{p['t1']:.3f}", f"{p['t2']:.3f}", f"{p['seconds']:,.1f}")
    for name, f in result["first_hitting"].items():
        table.add_row(
            f"first-hitting, engine, {name}",
            str(f["calls"]),
            f"{f['seconds_per_call']:.3f}",
            "in t1",
            f"{f['seconds']:,.1f}",
        )
    console.print(table)
    console.print(
        f"speed model against {part['steps']} measured steps at B = 1: predicted {part['predicted']:.1f} s, "
        f"measured {part['seconds']:.1f} s",
        highlight=False,
    )
    for name, ratio in result["speedup_float64_noise"].items():
        console.print(f"first-hitting in {name}: {ratio:.1f}x against float64 noise", highlight=False)
    console.print(
        f"of which the sampler {result['from_sampler']:.1f}x, the engine {result['from_engine']:.2f}x, "
        f"bfloat16 {result['from_bfloat16']:.2f}x",
        highlight=False,
    )
    if result["mark"]:
        console.print(f"mark {result['mark']:.0f}x: {'passed' if result['passed'] else 'missed'}", highlight=False)
    console.print(str(result["machine"]), highlight=False)


def main(argv: list[str] | None = None) -> int:
    """Command line: prints the tables, returns 1 where `--check` found a miss."""
    parser = argparse.ArgumentParser(prog="pymdm bench speedup", description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    for name in PRESETS["quick"]:
        parser.add_argument(f"--{name}", type=int, help=f"instead of the preset's {name}")
    parser.add_argument("--part", type=int, default=8, help="steps and calls that are measured (default 8)")
    parser.add_argument("--repeats", type=int, default=3, help="timed repeats, median taken (default 3)")
    parser.add_argument("--check", action="store_true", help="exit with 1 where the mark is missed")
    parser.add_argument("--json", metavar="FILE", help="write the result there, - for standard output")
    args = parser.parse_args(argv)
    for name in (*PRESETS["quick"], "part", "repeats"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1, got {value}")
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
