"""Speed of the CPU engine beside PyTorch on the same network in one run.

The network is the 12-layer, 768-wide denoiser with random weights. Eager PyTorch and torch.compile run
`bench.plain_torch`, the same network without its head; the engine scores 16 token ids, which is as good as none. The
marks are those of a processor with AMX, whose bfloat16 peak is eight times float32's or more; with AVX-512 alone it is
twice. So the processor's own peak is measured in the same rounds (`C.peak`: multiply-adds on registers alone), and
beside every missed ratio stands the largest one that any engine could reach at that peak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from pymdm._native import C
from pymdm.bench import common
from pymdm.bench.network import check_same_network, linear_forms
from pymdm.bench.plain_torch import PlainTorch
from pymdm.bench.rows import Row, number_text, row
from pymdm.bench.timing import interleaved, ratio, spread
from pymdm.network.config import ModelConfig
from pymdm.network.engine import Engine
from pymdm.network.transformer import MaskedTransformer
from pymdm.sampling import run as sampling
from pymdm.sampling.opening import open_state
from pymdm.sampling.samplers import FirstHitting

EXAMPLE = "pymdm bench engine --layers 2 --no-compile"
QUICK = {"layers": 2, "rounds": 2, "calls": 4, "tokens": 1024, "no_compile": True}
FULL = {"rounds": 15}
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
PEAK = 2 * 10**10  # operations of one measurement of the peak: some 50 ms


def work(layers: int, B: int, L: int) -> float:
    """Floating-point operations of one forward without the head: linear layers, then scores and mixing."""
    return layers * (24.0 * WIDTH * WIDTH * B * L + 4.0 * WIDTH * B * L * L)


class Networks:
    """The engine and the PyTorch forms of one random network."""

    def __init__(self, layers: int) -> None:
        torch.manual_seed(0)
        config = ModelConfig(vocab_size=16, length=LENGTH, width=WIDTH, layers=layers, heads=HEADS)
        model = MaskedTransformer(config).eval()
        check_same_network(model)
        self.layers = layers
        self.engines = {dtype: Engine(model, dtype=dtype) for dtype in ("float32", "bfloat16")}
        self.plain = {dtype: PlainTorch(model, getattr(torch, dtype)).eval() for dtype in self.engines}

    def tokens(self, B: int, L: int) -> torch.Tensor:
        return torch.randint(0, 17, (B, L), generator=torch.Generator().manual_seed(L))


def over_row(
    case: str, name: str, theirs: list[float], ours: list[float], at_peak: float, mark: float, **more: Any
) -> Row:
    """A row of the ratio `theirs` / `ours`; where it misses its mark, with the ratio at the processor's peak.

    Args:
        at_peak: seconds of the forward if every operation ran at the measured peak.
    """
    value, bound = ratio(theirs, ours), spread(theirs).value / at_peak
    made = row(case, f"{name} / engine", value, "x", mark=mark, **more)
    if not made["passed"]:
        made["note"] = f"at the measured peak of the processor it would be {number_text(bound, 'x')}"
    return made


def forward_rows(nets: Networks, rounds: int, compiled: bool) -> list[Row]:
    """Forwards against at::linear, eager PyTorch and torch.compile."""
    out = []
    for dtype, B, L, of_linear, over_eager, over_float32 in CASES:
        tokens = nets.tokens(B, L)
        linears = linear_forms(getattr(torch, dtype), WIDTH, 1024)
        forms: dict[str, Callable[[], Any]] = {
            "engine": partial(nets.engines[dtype], tokens),
            "eager": partial(nets.plain[dtype], tokens),
        }
        if over_float32:
            forms["eager float32"] = partial(nets.plain["float32"], tokens)
        if compiled:
            network = torch.compile(nets.plain[dtype], dynamic=False)
            forms["compiled"] = partial(network, tokens)
        forms |= {name: form for name, (_, form) in linears.items()}
        busy = partial(C.peak, dtype == "bfloat16", PEAK)
        forms["peak"] = busy
        seconds = interleaved(forms, rounds)
        engine = seconds["engine"]
        flops, case = work(nets.layers, B, L), f"{dtype} B={B} L={L}"
        best = max(operations / spread(seconds[name]).value for name, (operations, _) in linears.items())
        peak = busy() / spread(seconds["peak"]).value  # it returns how many operations it did
        at_peak = flops / peak
        share = spread([flops / t / best for t in engine])
        note = f"{share.value * best / 1e9:.0f} of {best / 1e9:.0f} GFLOP/s"
        stretch = None if of_linear is None else STRETCH.get(of_linear)
        out.append(row(case, "of the best at::linear", share, "%", mark=of_linear, stretch=stretch, note=note))
        note = f"{share.value * best / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s"
        out.append(row(case, "of the measured peak", spread([at_peak / t for t in engine]), "%", note=note))
        more = {"stretch": STRETCH.get(over_eager), "headline": L == 1024}
        out.append(over_row(case, f"eager {dtype}", seconds["eager"], engine, at_peak, over_eager, **more))
        if over_float32:
            out.append(over_row(case, "eager float32", seconds["eager float32"], engine, at_peak, over_float32))
        if compiled:
            out.append(over_row(case, "torch.compile", seconds["compiled"], engine, at_peak, 1.0))
        out.append(row(case, "forward", spread(engine), "s"))
    return out


def straight_line(nets: Networks, rounds: int, largest: int) -> list[Row]:
    """Largest deviation of the forward's time from `a + b * operations` over lengths and batches of B L <= largest."""
    sizes = [(B, L) for L in (64, 256, 1024, 2048) for B in (1, 4, 16) if B * L <= largest]
    out = []
    tokens = {f"{B} {L}": nets.tokens(B, L) for B, L in sizes}
    for dtype, engine in nets.engines.items():
        forms = {name: partial(engine, t) for name, t in tokens.items()}
        seconds = interleaved(forms, rounds)
        t = torch.tensor([spread(seconds[f"{B} {L}"]).value for B, L in sizes], dtype=torch.float64)
        f = torch.tensor([work(nets.layers, B, L) for B, L in sizes], dtype=torch.float64)
        columns = torch.stack([1 / t, f / t], dim=1)  # least squares of the relative deviation
        a, b = torch.linalg.lstsq(columns, torch.ones(len(sizes), 1, dtype=torch.float64)).solution.flatten().tolist()
        worst = float(((a + b * f) / t - 1).abs().max())
        note = f"{a * 1e3:.2f} ms + operations / {1 / b / 1e9:.0f} GFLOP/s"
        case = f"{dtype} B=1..16 L=64..2048"
        out.append(row(case, "off a straight line", worst, "%", mark=0.20, least=False, note=note))
    return out


def resident(field: str) -> int:
    """Bytes of this process in memory: now (VmRSS) or at most so far (VmHWM)."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


def first_hitting(dtype: str, layers: int, calls: int) -> dict[str, Any]:
    """Shares of time and peak memory of the first-hitting sampler, V=50,258, L=1024, B=1; run in a process of its own."""
    imported = resident("VmRSS")
    torch.manual_seed(0)
    config = ModelConfig(vocab_size=50_258, length=1024, width=WIDTH, layers=layers, heads=HEADS)
    engine = Engine(MaskedTransformer(config), dtype=dtype).native
    assert isinstance(engine, C.Engine)
    sampler = FirstHitting()
    state = open_state(sampler, torch.full((1, 1024), config.mask_id), config.mask_id, seed=7)
    sampling.run(state, sampler, engine, sampling.RunOptions(max_calls=1))
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    before = engine.forward_seconds
    total = sampling.run(state, sampler, engine, sampling.RunOptions(max_calls=calls))
    forward = engine.forward_seconds - before
    bytes_of = {"peak": resident("VmHWM"), "weights": engine.weight_bytes, "imported": imported}
    return {"total": total, "forward": forward, "calls": calls, **bytes_of}


def first_hitting_rows(layers: int, calls: int) -> list[Row]:
    out = []
    for dtype in ("bfloat16", "float32"):
        command = [
            sys.executable,
            "-m",
            "pymdm.bench.engine",
            dtype,
            *map(str, (layers, calls, C.num_threads())),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        r = json.loads(done.stdout)
        inside, rest = r["forward"] / r["total"], 1 - r["forward"] / r["total"]
        case = f"{dtype} first-hitting V=50,258 L=1024"
        whole = r["total"] / r["calls"] * 1024
        note = f"of {calls} calls; 1,024 calls would take {whole:.0f} s"
        out.append(row(case, "inside the forward", inside, "%", mark=0.95, note=note))
        out.append(row(case, "choice and bookkeeping", rest, "%", mark=0.01, least=False))
        over = (r["peak"] - r["weights"]) / 2**20
        note = f"over {r['weights'] / 2**20:,.0f} MiB of weights; {r['imported'] / 2**20:.0f} are Python and torch"
        out.append(row(case, "peak memory over weights", over, "MiB", mark=300, least=False, note=note))
    return out


@torch.inference_mode()
def run(args: argparse.Namespace) -> common.Measured:
    """One row a measure with its mark."""
    nets = Networks(args.layers)
    rows = forward_rows(nets, args.rounds, not args.no_compile)
    rows += straight_line(Networks(min(args.layers, 3)), 3, args.tokens)
    rows += first_hitting_rows(args.layers, args.calls)
    return common.Measured({"layers": args.layers, "width": WIDTH, "heads": HEADS}, rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    parser.add_argument("--layers", type=common.at_least(1), default=12, help="blocks (default 12)")
    parser.add_argument("--rounds", type=common.at_least(1), default=7, help="interleaved rounds (default 7)")
    parser.add_argument("--calls", type=common.at_least(1), default=12, help="first-hitting calls (default 12)")
    parser.add_argument(
        "--tokens", type=common.at_least(64), default=32768, help="largest B L on the straight line (default 32768)"
    )
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out (it needs a C++ compiler)")


def _child(dtype: str, layers: str, batch: str, threads: str) -> None:
    C.set_num_threads(int(threads))
    torch.set_num_threads(int(threads))
    print(json.dumps(first_hitting(dtype, int(layers), int(batch))))


if __name__ == "__main__":
    _child(*sys.argv[1:])
