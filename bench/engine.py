"""Speed of the CPU engine beside PyTorch on the same network in one run: `pymdm bench engine`.

The network is the 12-layer, 768-wide denoiser with random weights. Eager PyTorch and torch.compile run
`bench.plain_torch`, the same network without its head; the engine scores 16 token ids, which is as good as none. Rounds
are interleaved, so that other load on the machine falls on all alike, and medians are compared. The marks are those of
a processor with AMX, whose bfloat16 peak is eight times float32's or more; with AVX-512 alone it is twice.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from pymdm._native import C
from pymdm.config import ModelConfig
from pymdm.engine import Engine
from pymdm.model import MaskedTransformer
from pymdm.samplers import FirstHitting

from .plain_torch import PlainTorch

WIDTH, HEADS, LENGTH = 768, 12, 2048
# dtype, B, L, then the marks: of the best at::linear rate, over eager of the same dtype, over eager float32
CASES = (
    ("bfloat16", 1, 1024, 0.70, 2.2, 7.0),
    ("bfloat16", 4, 1024, 0.70, 2.2, 7.0),
    ("bfloat16", 1, 128, None, 2.0, None),
    ("bfloat16", 8, 128, None, 2.0, None),
    ("bfloat16", 8, 256, None, 2.0, None),
    ("float32", 1, 1024, 0.85, 1.4, None),
)
STRETCH = {0.70: 0.80, 2.2: 2.6}


def work(layers: int, B: int, L: int) -> float:
    """Floating-point operations of one forward without the head: linear layers, then scores and mixing."""
    return layers * (24.0 * WIDTH * WIDTH * B * L + 4.0 * WIDTH * B * L * L)


def interleaved(forms: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each form over interleaved rounds, after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for form in forms.values():
        form()
    for _ in range(rounds):
        for name, form in forms.items():
            start = time.perf_counter()
            form()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def linear_forms(dtype: torch.dtype, rows: int) -> dict[str, tuple[float, Callable[[], Any]]]:
    """The network's own layer shapes through at::linear: name -> (operations, call)."""
    forms = {}
    for n, k in ((3 * WIDTH, WIDTH), (4 * WIDTH, WIDTH), (WIDTH, 4 * WIDTH)):
        x, w = torch.randn(rows, k, dtype=dtype), torch.randn(n, k, dtype=dtype)
        forms[f"linear {n} x {k}"] = (2.0 * rows * n * k, lambda x=x, w=w: torch.nn.functional.linear(x, w))
    return forms


class Networks:
    """The engine and the PyTorch forms of one random network."""

    def __init__(self, layers: int) -> None:
        torch.manual_seed(0)
        config = ModelConfig(vocab_size=16, length=LENGTH, width=WIDTH, layers=layers, heads=HEADS)
        model = MaskedTransformer(config).eval()
        self.layers = layers
        self.engines = {dtype: Engine(model, dtype=dtype) for dtype in ("float32", "bfloat16")}
        self.plain = {dtype: PlainTorch(model, getattr(torch, dtype)).eval() for dtype in self.engines}

    def tokens(self, B: int, L: int) -> torch.Tensor:
        return torch.randint(0, 17, (B, L), generator=torch.Generator().manual_seed(L))


def row(case: str, what: str, value: float, mark: float | None, least: bool = True, text: str = "") -> dict[str, Any]:
    """One line of the result; `least` says whether the mark is a lower bound."""
    passed = None if mark is None else bool(value >= mark if least else value <= mark)
    stretch = STRETCH.get(mark) if mark is not None and least else None
    return {
        "case": case,
        "measure": what,
        "value": value,
        "text": text or f"{value:.2f}",
        "mark": mark,
        "least": least,
        "passed": passed,
        "stretch": stretch is not None and value >= stretch,
    }


def forward_rows(nets: Networks, rounds: int, compiled: bool) -> list[dict[str, Any]]:
    """Forwards against at::linear, eager PyTorch and torch.compile."""
    out = []
    for dtype, B, L, of_linear, over_eager, over_float32 in CASES:
        tokens = nets.tokens(B, L)
        linears = linear_forms(getattr(torch, dtype), 1024)
        forms: dict[str, Callable[[], Any]] = {
            "engine": lambda dtype=dtype, tokens=tokens: nets.engines[dtype](tokens),
            "eager": lambda dtype=dtype, tokens=tokens: nets.plain[dtype](tokens),
        }
        if over_float32:
            forms["eager float32"] = lambda tokens=tokens: nets.plain["float32"](tokens)
        if compiled:
            network = torch.compile(nets.plain[dtype], dynamic=False)
            forms["compiled"] = lambda network=network, tokens=tokens: network(tokens)
        forms |= {name: form for name, (_, form) in linears.items()}
        seconds = interleaved(forms, rounds)
        flops, case = work(nets.layers, B, L), f"{dtype} B={B} L={L}"
        best = max(operations / seconds[name] for name, (operations, _) in linears.items())
        rate = flops / seconds["engine"]
        ms = f"{seconds['engine'] * 1e3:.1f} ms"
        out.append(row(case, "GFLOP/s", rate / 1e9, None, text=f"{rate / 1e9:.0f} ({ms})"))
        out.append(
            row(case, "of the best at::linear", rate / best, of_linear, text=f"{rate / best:.2f} of {best / 1e9:.0f}")
        )
        out.append(row(case, f"x eager {dtype}", seconds["eager"] / seconds["engine"], over_eager))
        if over_float32:
            out.append(row(case, "x eager float32", seconds["eager float32"] / seconds["engine"], over_float32))
        if compiled:
            out.append(row(case, "x torch.compile", seconds["compiled"] / seconds["engine"], 1.0))
    return out


def straight_line(nets: Networks, rounds: int, quick: bool) -> list[dict[str, Any]]:
    """Largest deviation of the forward's time from `a + b * operations` over lengths and batches."""
    sizes = [(B, L) for L in (64, 256, 1024, 2048) for B in (1, 4, 16) if B * L <= (4096 if quick else 32768)]
    out = []
    tokens = {f"{B} {L}": nets.tokens(B, L) for B, L in sizes}
    for dtype, engine in nets.engines.items():
        forms = {name: functools.partial(engine, t) for name, t in tokens.items()}
        seconds = interleaved(forms, rounds)
        t = torch.tensor([seconds[f"{B} {L}"] for B, L in sizes], dtype=torch.float64)
        f = torch.tensor([work(nets.layers, B, L) for B, L in sizes], dtype=torch.float64)
        columns = torch.stack([1 / t, f / t], dim=1)  # least squares of the relative deviation
        a, b = torch.linalg.lstsq(columns, torch.ones(len(sizes), 1, dtype=torch.float64)).solution.flatten().tolist()
        worst = float(((a + b * f) / t - 1).abs().max())
        text = f"{worst:.0%} from {a * 1e3:.2f} ms + operations / {1 / b / 1e9:.0f} GFLOP/s"
        out.append(row(f"{dtype} B=1..16 L=64..2048", "off a straight line", worst, 0.20, least=False, text=text))
    return out


def first_hitting(dtype: str, layers: int, calls: int) -> dict[str, Any]:
    """Shares of time and peak memory of the first-hitting sampler, V=50,258, L=1024, B=1; run in a process of its own."""
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=50_258, length=1024, width=WIDTH, layers=layers, heads=HEADS)
    engine = Engine(MaskedTransformer(config), dtype=dtype).native
    tokens, offsets = torch.full((1024,), config.mask_id), torch.tensor([0, 1024])
    state = C.State(tokens, offsets, torch.zeros(1, dtype=torch.int64), config.mask_id, 7)
    sampler = FirstHitting().native()
    sampler.init(state)
    C.run(state, sampler, engine, max_calls=1)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    before, start = engine.forward_seconds, time.perf_counter()
    C.run(state, sampler, engine, max_calls=calls)
    total, forward = time.perf_counter() - start, engine.forward_seconds - before
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    return {"total": total, "forward": forward, "peak": peak, "weights": engine.weight_bytes, "calls": calls}


def first_hitting_rows(layers: int, calls: int) -> list[dict[str, Any]]:
    out = []
    for dtype in ("bfloat16", "float32"):
        command = [sys.executable, "-m", f"{__package__}.engine", "--child", dtype, str(layers), str(calls)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        r = json.loads(done.stdout)
        inside, rest = r["forward"] / r["total"], 1 - r["forward"] / r["total"]
        case = f"{dtype} first hitting V=50,258 L=1024"
        whole = r["total"] / r["calls"] * 1024
        text = f"{inside:.2%} of {calls} calls; 1,024 calls would take {whole:.0f} s"
        out.append(row(case, "inside the forward", inside, 0.95, text=text))
        out.append(row(case, "choice and bookkeeping", rest, 0.01, least=False, text=f"{rest:.3%}"))
        over = (r["peak"] - r["weights"]) / 2**20
        text = f"{over:.0f} MB over {r['weights'] / 2**20:.0f} MB of weights (Python and torch included)"
        out.append(row(case, "peak memory, MB over weights", over, 300, least=False, text=text))
    return out


@torch.inference_mode()
def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measures, and returns one row a measure with its mark, and what it ran on."""
    layers, rounds = (2, 3) if args.quick else (12, args.rounds)
    threads = args.threads or C.num_threads()
    C.set_num_threads(threads)
    torch.set_num_threads(threads)
    nets = Networks(layers)
    rows = forward_rows(nets, rounds, compiled=not args.quick and not args.no_compile)
    rows += straight_line(nets if args.quick else Networks(3), 3, args.quick)
    rows += first_hitting_rows(layers, 4 if args.quick else 12)
    return {
        "case": "engine",
        "layers": layers,
        "threads": threads,
        "rounds": rounds,
        "rows": rows,
        "passed": all(r["passed"] is not False for r in rows),
        "machine": {"features": C.cpu_features(), "load": os.getloadavg()[0], "torch": torch.__version__},
    }


def show(result: dict[str, Any], console: Console) -> None:
    """Prints the result as one table."""
    table = Table(title=f"engine, {result['layers']} layers x {WIDTH}, {result['threads']} threads")
    for column in ("case", "measure", "value", "mark", ""):
        table.add_column(column)
    for r in result["rows"]:
        mark = "" if r["mark"] is None else f"at {'least' if r['least'] else 'most'} {r['mark']:g}"
        verdict = {None: "", True: "[green]pass" + (", stretch" if r["stretch"] else ""), False: "[red]MISS"}[
            r["passed"]
        ]
        table.add_row(r["case"], r["measure"], r["text"], mark, verdict)
    console.print(table)
    m = result["machine"]
    console.print(f"processor features {m['features']}, load {m['load']:.1f} at the end, torch {m['torch']}")
    if not m["features"]["amx_bf16"]:
        console.print(
            "no AMX here: bfloat16's peak is about twice float32's, so the marks over eager cannot all be met"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument("--threads", type=int, default=0, help="threads, 0 for all (default)")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default 7)")
    parser.add_argument("--quick", action="store_true", help="2 layers, 3 rounds, no torch.compile: a minute")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out (it needs a C++ compiler)")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a mark is missed")
    parser.add_argument("--json", metavar="FILE", help="write the result there, - for standard output")


def main(argv: list[str] | None = None) -> int:
    """Command line: prints the table, returns 1 where `--check` found a miss."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--child"]:
        print(json.dumps(first_hitting(argv[1], int(argv[2]), int(argv[3]))))
        return 0
    parser = argparse.ArgumentParser(prog="pymdm bench engine", description=__doc__.splitlines()[0])
    add_arguments(parser)
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {args.rounds}")
    result = run(args)
    show(result, Console(stderr=args.json == "-", width=160))
    if args.json == "-":
        print(json.dumps(result, indent=1))
    elif args.json:
        with open(args.json, "w") as file:
            json.dump(result, file, indent=1)
    return 1 if args.check and not result["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
