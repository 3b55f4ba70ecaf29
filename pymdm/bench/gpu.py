"""The CUDA engine beside torch and Triton on one card, in one run. `bench/gpu.sh` builds, tests and then runs this.

choose: time over that of reading its logits at the bandwidth of a copy, and against Gumbel-max kernels in Triton with a
word of noise for every element. The step: a recorded graph of one first-hitting call, its operations over the best measured
rate of bfloat16 matrix products, and beside the same network in eager PyTorch. Whole runs against the cached ancestral
procedure of published code follow the speed model calls t1 + steps t2 from measured parts (marked ~); both networks are
bfloat16, and the procedure's steps are timed one sequence at a time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

import pymdm
from pymdm._native import C
from pymdm.bench import common
from pymdm.bench.network import first_hitting_operations, random_model
from pymdm.bench.plain_torch import PlainTorch
from pymdm.bench.rows import Row, row
from pymdm.bench.sampling import expected_calls
from pymdm.bench.timing import ratio, spread
from pymdm.network.device import as_device
from pymdm.reference.published import ancestral_step, predict
from pymdm.sampling import device_run

EXAMPLE = "pymdm bench gpu --out bench/results"
QUICK = {"rounds": 5}
FULL = {"rounds": 31}
SPEEDUP = {1: 20.0, 64: 100.0}  # marks against the cached procedure, by batch
Seconds = dict[str, list[float]]


class Timer:
    """Seconds of calls, by CUDA events on a card, by the clock on the CPU."""

    def __init__(self, device: torch.device, rounds: int) -> None:
        self.device, self.rounds = device, rounds

    def __call__(self, forms: Mapping[str, Callable[[], Any]], inner: int = 5) -> Seconds:
        """Interleaved rounds of `inner` calls each, after two untimed calls of each form."""
        seconds: Seconds = {name: [] for name in forms}
        for form in forms.values():
            form(), form()
        for _ in range(self.rounds):
            for name, form in forms.items():
                seconds[name].append(self._once(form, inner) / inner)
        return seconds

    def _once(self, form: Callable[[], Any], inner: int) -> float:
        if self.device.type == "cpu":
            began = time.perf_counter()
            for _ in range(inner):
                form()
            return time.perf_counter() - began
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(inner):
            form()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3


def card(device: torch.device) -> dict[str, Any]:
    """Name, clocks and power as they are found; nothing is set."""
    found: dict[str, Any] = {"card": "none: the kernels are walked on the CPU"}
    if device.type != "cuda":
        return found
    properties = torch.cuda.get_device_properties(device)
    found = {"card": properties.name, "multiprocessors": properties.multi_processor_count, "cuda": torch.version.cuda}
    query = "clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,power.limit,driver_version"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader", f"--id={device.index}"]
    try:
        words = (
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip().split(", ")
        )
        found |= dict(zip(query.split(","), words, strict=False))
    except (OSError, subprocess.SubprocessError) as error:
        found["clocks"] = f"nvidia-smi: {error}"
    return found


def noise_kernels(logits: torch.Tensor, out: torch.Tensor, notes: list[str]) -> dict[str, Callable[[], Any]]:
    """Gumbel-max in Triton, or nothing and a note where Triton is not there or does not compile them."""
    if logits.device.type != "cuda":
        return {}
    try:
        from pymdm.bench.gpu_noise import gumbel_max

        forms: dict[str, Callable[[], Any]] = {
            "Triton float32": lambda: gumbel_max(logits, out, 1, False),
            "Triton float64": lambda: gumbel_max(logits, out, 1, True),
        }
        for form in forms.values():
            form()
        if not bool(((out >= 0) & (out < logits.shape[1])).all()):
            raise RuntimeError("tokens out of range")
        return forms
    except Exception as error:
        notes.append(f"Triton's kernels did not run ({type(error).__name__}: {str(error).splitlines()[0]}).")
        return {}


def choose_rows(rows: int, vocab: int, timer: Timer, notes: list[str]) -> list[Row]:
    """choose on float32 logits [rows, vocab], checked against the CPU first."""
    device = timer.device
    logits = (torch.randn(rows, vocab, generator=torch.Generator().manual_seed(0)) * 3).to(device)
    sequence, event = torch.arange(rows), torch.zeros(rows, dtype=torch.int64)
    there, events = sequence.to(device), event.int().to(device)
    token, copy = torch.empty_like(there), torch.empty_like(logits)
    C.choose_into(logits, 1, there, events, token)
    if not torch.equal(token.cpu(), C.choose(logits.cpu(), 1, sequence, event)):
        raise RuntimeError("bench gpu: choose on the device differs from the CPU's; nothing was timed")
    few = min(rows, 64)  # torch's form needs several float64 copies of what it draws from

    def torch64() -> torch.Tensor:
        uniform = torch.rand(few, vocab, dtype=torch.float64, device=device)
        return (logits[:few] - (-uniform.log()).log()).argmax(-1)

    forms: dict[str, Callable[[], Any]] = {
        "choose": lambda: C.choose_into(logits, 1, there, events, token),
        "copy": lambda: copy.copy_(logits),
        "torch float64": torch64,
    }
    forms |= noise_kernels(logits, torch.empty_like(token), notes)
    seconds = timer(forms)
    read = [s / 2 for s in seconds["copy"]]  # a copy reads and writes
    subject = f"choose, {rows:,} x {vocab:,} float32"
    out = [row(subject, "time / reading the logits", ratio(seconds["choose"], read), "x", mark=1.3, least=False)]
    for name, mark in (("Triton float32", 1.0), ("Triton float64", 5.0)):
        if name in seconds:
            out.append(
                row(subject, f"{name} Gumbel-max / choose", ratio(seconds[name], seconds["choose"]), "x", mark=mark)
            )
    scaled = [s * rows / few for s in seconds["torch float64"]]
    note = f"on {few} rows, scaled"
    out.append(row(subject, "torch float64 Gumbel-max / choose", ratio(scaled, seconds["choose"]), "x", note=note))
    out.append(row(subject, "choose", spread(seconds["choose"]), "s"))
    bandwidth = 2 * logits.nbytes / spread(seconds["copy"]).value / 1e9
    out.append(row(subject, "bandwidth of a copy, read and written", bandwidth, "GB/s"))
    return out


def matrix_rate(model: pymdm.MaskedTransformer, rows: int, timer: Timer) -> float:
    """Best rate [operations/s] of bfloat16 products: a large square one, and the network's own shapes."""
    c = model.config
    side = 8192 if timer.device.type == "cuda" else 256
    shapes = [(side, side, side)] + [(rows, n, k) for n, k in ((3 * c.width, c.width), (c.mlp_width, c.width))]
    best = 0.0
    for m, n, k in shapes:
        a, b = (torch.randn(*s, device=timer.device).bfloat16() for s in ((m, k), (n, k)))
        best = max(best, 2.0 * m * n * k / spread(timer({"product": partial(torch.matmul, a, b.t())})["product"]).value)
    return best


class Step:
    """One recorded first-hitting call of `batch` sequences, all masked."""

    def __init__(self, native: Any, batch: int, config: pymdm.ModelConfig) -> None:
        mask_id, length = config.mask_id, config.length
        offsets = torch.arange(batch + 1) * length
        state = C.State(torch.full((batch * length,), mask_id), offsets, torch.arange(batch), mask_id, 1)
        pymdm.FirstHitting().native().init(state)
        self.recorded = device_run.Recorded(native, (length,) * batch, 1, 1.0, mask_id)
        self.recorded.record()
        self.recorded.step.load(state, list(range(batch)), torch.zeros(native.vocab_size, dtype=torch.bool))

    def __call__(self) -> None:
        self.recorded()

    def host_seconds(self, device: torch.device, calls: int = 20) -> float:
        """Host time of queueing one call while the device is busy with those before."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        began = time.perf_counter()
        for _ in range(calls):
            self.recorded()
        spent = (time.perf_counter() - began) / calls
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return spent


def native_of(model: pymdm.MaskedTransformer, device: torch.device) -> Any:
    """The device's network in bfloat16."""
    weights = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    return C.DeviceEngine(model.config.to_dict(), weights, "bfloat16", device)


class Eager:
    """The same network in eager PyTorch, bfloat16: hidden states, and logits of the positions asked for."""

    def __init__(self, model: pymdm.MaskedTransformer, device: torch.device) -> None:
        self.plain = PlainTorch(model.to(device), torch.bfloat16)
        self.plain.cos, self.plain.sin = self.plain.cos.to(device), self.plain.sin.to(device)
        weight, bias = model.state_dict()["head.weight"], model.state_dict()["head.bias"]
        self.weight, self.bias = weight.bfloat16(), bias.bfloat16()

    @torch.inference_mode()
    def __call__(self, tokens: torch.Tensor, one: bool = False) -> torch.Tensor:
        """Logits [B, L, V], or [B, V] of the first position."""
        hidden = self.plain(tokens)
        return torch.nn.functional.linear(hidden[:, 0] if one else hidden, self.weight, self.bias)


def step_rows(
    model: Any, native: Any, args: argparse.Namespace, timer: Timer
) -> tuple[list[Row], dict[int, list[float]]]:
    """The step at B = batch and B = 1; and seconds of a step by batch, for whole runs."""
    c, L = model.config, args.length
    rate = matrix_rate(model, args.batch * L, timer)
    steps: dict[int, list[float]] = {}
    host = 0.0
    for batch in sorted({1, args.batch, *args.against}):
        step = Step(native, batch, c)
        steps[batch] = timer({"step": step}, inner=3)["step"]
        if batch == 1:
            host = step.host_seconds(timer.device)
        del step
    tokens = torch.full((1, L), c.mask_id, device=timer.device)
    network = Eager(model, timer.device)
    step = Step(native, 1, c)
    beside = timer({"step": step, "eager": lambda: network(tokens, one=True)})
    operations = first_hitting_operations(c, L)
    rows = []
    for batch in sorted({1, args.batch}):
        share = batch * operations / rate / spread(steps[batch]).value
        mark = 0.6 if batch == args.batch and batch > 1 else None
        note = f"of {rate / 1e12:,.1f} TFLOP/s"
        rows.append(row(f"step, B={batch}", "of the best matrix rate", share, "%", mark=mark, note=note))
        rows.append(row(f"step, B={batch}", "one call of the batch", spread(steps[batch]), "s"))
    rows.append(row("step, B=1", "eager PyTorch / step", ratio(beside["eager"], beside["step"]), "x", mark=3.0))
    rows.append(row("step, B=1", "host / device time", host / spread(steps[1]).value, "x", mark=0.2, least=False))
    return rows, steps


def speedup_rows(model: Any, steps: dict[int, list[float]], args: argparse.Namespace, timer: Timer) -> list[Row]:
    """Whole runs against the cached ancestral procedure with float64 noise, the same network in bfloat16."""
    c, L, N, device = model.config, args.length, args.steps, timer.device
    network = Eager(model, device)
    rows = []
    for batch in args.against:
        part = min(batch, 4)  # logits and noise of all positions need memory; the procedure's parts are linear in B
        masked = torch.full((part, L), c.mask_id, device=device)
        log_mu = predict(network, masked[:1])
        generator = torch.Generator(device).manual_seed(0)
        step = (masked[:1], log_mu, 0, N, c.mask_id, torch.float64, generator)
        seconds = timer(
            {"t1": partial(predict, network, masked), "t2": partial(ancestral_step, *step)},
            inner=1,
        )
        calls = expected_calls(N, batch * L)
        baseline = [
            calls * t1 * batch / part + N * t2 * batch for t1, t2 in zip(seconds["t1"], seconds["t2"], strict=True)
        ]
        ours = [L * s for s in steps[batch]]
        own = (L, N, c.layers, c.width) == (1024, 10_000, 12, 768)
        value, mark = ratio(baseline, ours), SPEEDUP.get(batch) if own else None
        note = f"L={L:,}, N={N:,}"
        words = "cached ancestral / first-hitting"
        rows.append(row(f"whole run, B={batch}", words, value, "x", mark=mark, note=note, extrapolated=True))
        rows.append(row(f"whole run, B={batch}", "first-hitting", spread(ours), "s", extrapolated=True))
        rows.append(row(f"whole run, B={batch}", "cached ancestral", spread(baseline), "s", extrapolated=True))
    return rows


def run(args: argparse.Namespace) -> common.Measured:
    """choose, the step, whole runs."""
    device = as_device(args.device)
    timer, notes = Timer(device, args.rounds), [json.dumps(card(device))]
    rows: list[Row] = []
    for vocab in args.vocabs:
        rows += choose_rows(args.rows, vocab, timer, notes)
    size = {name: getattr(args, name) for name in ("layers", "width", "heads", "length", "vocab")}
    model = random_model(size)
    native = native_of(model, device)
    found, steps = step_rows(model, native, args, timer)
    rows += found + speedup_rows(model, steps, args, timer)
    notes.append(f"clocks after: {json.dumps(card(device))}")
    settings = size | {"batch": args.batch, "steps": args.steps, "dtype": "bfloat16", "device": str(device)}
    settings |= {"median_step_seconds": {str(b): statistics.median(s) for b, s in steps.items()}}
    return common.Measured(settings, rows, notes)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this case."""
    one = common.at_least(1)
    parser.add_argument("--device", default="cuda", help="cuda (default); cpu walks the kernels, to try this out")
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
