"""One first-hitting call on a card, and whole runs made of it, for `pymdm bench gpu`."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch

import pymdm
from pymdm._native import C
from pymdm.bench.gpu_timer import Timer, card, host_seconds
from pymdm.bench.network import first_hitting_operations
from pymdm.bench.plain_torch import PlainTorch
from pymdm.bench.rows import Row, row
from pymdm.bench.sampling import expected_calls
from pymdm.bench.timing import ratio, spread
from pymdm.reference.published import ancestral_step, predict
from pymdm.sampling import device_run
from pymdm.sampling.opening import open_state

# What the roofline in docs/cuda.md allows. The whole run's marks are of N = 10,000, against the cached procedure with float64
# noise; its eager steps move 6.0 GB each, so that they are slower on an H100 than on an H200.
MATRIX_SHARE, EAGER, HOST = (0.55, 0.65), (2.3, 3.0), 0.1  # mark and stretch; mark and stretch; mark
WHOLE = {"H200": {1: 18.0, 64: 50.0}, "H100": {1: 24.0, 64: 50.0}}
TOLERANCE = 5e-2  # of bfloat16 logits, over the largest


def native_of(model: pymdm.MaskedTransformer, device: torch.device) -> C.DeviceEngine:
    """The device's network in bfloat16."""
    weights: dict[str, torch.Tensor | list[torch.Tensor]] = {
        name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()
    }
    return C.DeviceEngine(model.config.to_dict(), weights, "bfloat16", device)


class Step:
    """One first-hitting call of `batch` sequences, all masked; replayed where `graphs`, else launched."""

    def __init__(self, native: C.DeviceEngine, batch: int, config: pymdm.ModelConfig, graphs: bool = True) -> None:
        mask_id, length = config.mask_id, config.length
        state = open_state(pymdm.FirstHitting(), torch.full((batch, length), mask_id), mask_id, seed=1)
        self.recorded = device_run.Recorded(native, (length,) * batch, 1, 1.0, mask_id)
        if graphs:
            self.recorded.record()
        self.recorded.step.load(state, list(range(batch)), torch.zeros(native.vocab_size, dtype=torch.bool))

    def __call__(self) -> None:
        self.recorded()


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


@torch.no_grad()
def network_rows(model: Any, native: C.DeviceEngine, args: argparse.Namespace, timer: Timer) -> list[Row]:
    """Logits of one sequence at full size beside the PyTorch module in float32, GELU in the product and behind it."""
    c, device = model.config, timer.device
    tokens = torch.randint(0, c.embed_rows, (1, args.length), generator=torch.Generator().manual_seed(2))
    rows = torch.arange(0, args.length, max(1, args.length // 16))
    want = model.to(device)(tokens.to(device))[0, rows.to(device)].float()
    out, usual = [], native.gelu_in_product
    for on in (False, True):
        native.gelu_in_product = on
        got = native.logits(tokens[0], torch.tensor([0, args.length]), rows, torch.zeros(1).double())
        off = float((got - want).abs().max() / want.abs().max())
        words = f"GELU {'in' if on else 'behind'} the product"
        out.append(
            row("network, L=" + f"{args.length:,}", f"off float32, {words}", off, "", mark=TOLERANCE, least=False)
        )
    native.gelu_in_product = usual
    return out


def large_rows(
    model: Any, native: C.DeviceEngine, args: argparse.Namespace, timer: Timer, seconds: dict[int, list[float]]
) -> Any:
    """The step at B = batch: its share of the measured matrix rate, and what GELU in the product saves."""
    rate = matrix_rate(model, args.batch * args.length, timer)
    usual, steps = native.gelu_in_product, {}
    for on in (False, True):
        native.gelu_in_product = on
        steps[on] = Step(native, args.batch, model.config)
    native.gelu_in_product = usual
    found = timer({str(on): step for on, step in steps.items()}, inner=3)
    seconds[args.batch] = found[str(usual)]
    share = args.batch * first_hitting_operations(model.config, args.length) / rate / spread(seconds[args.batch]).value
    subject, note = f"step, B={args.batch}", f"of {rate / 1e12:,.1f} TFLOP/s"
    mark, stretch = MATRIX_SHARE
    behind = ratio(found["False"], found["True"])
    return [
        row(subject, "of the best matrix rate", share, "%", mark=mark, stretch=stretch, note=note, headline=True),
        row(subject, "one call of the batch", spread(seconds[args.batch]), "s"),
        row(subject, "GELU behind the product / in it", behind, "x"),
    ]


def small_rows(
    model: Any, native: C.DeviceEngine, args: argparse.Namespace, timer: Timer, seconds: dict[int, list[float]]
) -> Any:
    """The step at B = 1 beside eager PyTorch, and what recording costs and saves."""
    c, device = model.config, timer.device
    step, launched, network = Step(native, 1, c), Step(native, 1, c, graphs=False), Eager(model, device)
    tokens = torch.full((1, args.length), c.mask_id, device=device)
    found = timer({"step": step, "launched": launched, "eager": lambda: network(tokens, one=True)})
    seconds[1] = found["step"]
    host, subject = host_seconds(step, device), "step, B=1"
    mark, stretch = EAGER
    saved = spread(found["launched"]).value - spread(found["step"]).value
    rows = [
        row(
            subject,
            "eager PyTorch / step",
            ratio(found["eager"], found["step"]),
            "x",
            mark=mark,
            stretch=stretch,
            headline=True,
        ),
        row(subject, "host / device time", host / spread(seconds[1]).value, "x", mark=HOST, least=False),
        row(subject, "one call", spread(seconds[1]), "s"),
        row(subject, "launched / replayed", ratio(found["launched"], found["step"]), "x"),
    ]
    if step.recorded.graph is not None:
        cost = step.recorded.record_seconds
        rows.append(row(subject, "recording", cost, "s", note=f"device_run.MIN_REPLAYS is {device_run.MIN_REPLAYS}"))
        if saved > 0:
            rows.append(row(subject, "calls before a recording pays", cost / saved, "calls"))
    return rows


def whole_rows(
    model: Any,
    native: C.DeviceEngine,
    args: argparse.Namespace,
    timer: Timer,
    batch: int,
    steps: dict[int, list[float]],
) -> list[Row]:
    """A whole run of a batch against the cached ancestral procedure with float64 noise, the same network in bfloat16."""
    c, L, N, device = model.config, args.length, args.steps, timer.device
    if batch not in steps:
        steps[batch] = timer({"step": Step(native, batch, c)}, inner=3)["step"]
    network = Eager(model, device)
    part = min(batch, 4)  # logits and noise of all positions need memory; the procedure's parts are linear in B
    masked = torch.full((part, L), c.mask_id, device=device)
    log_mu = predict(network, masked[:1])
    generator = torch.Generator(device).manual_seed(0)
    step = (masked[:1], log_mu, 0, N, c.mask_id, torch.float64, generator)
    seconds = timer({"t1": lambda: predict(network, masked), "t2": lambda: ancestral_step(*step)}, inner=1)
    calls = expected_calls(N, batch * L)
    baseline = [calls * t1 * batch / part + N * t2 * batch for t1, t2 in zip(seconds["t1"], seconds["t2"], strict=True)]
    ours, subject, note = [L * s for s in steps[batch]], f"whole run, B={batch}", f"L={L:,}, N={N:,}"
    name = str(card(device)["card"])
    marks = next((marks for kind, marks in WHOLE.items() if kind in name), {})
    own = (L, N, c.layers, c.width) == (1024, 10_000, 12, 768)
    mark, words = marks.get(batch) if own else None, "cached ancestral / first-hitting"
    return [
        row(subject, words, ratio(baseline, ours), "x", mark=mark, note=note, extrapolated=True, headline=True),
        row(subject, "first-hitting", spread(ours), "s", extrapolated=True),
        row(subject, "cached ancestral", spread(baseline), "s", extrapolated=True),
    ]


def profile_table(native: Any, model: Any, batch: int, device: torch.device) -> str:
    """torch.profiler's table by kernel of one replayed step (on the CPU: of one that is walked)."""
    from torch.profiler import ProfilerActivity, profile

    step = Step(native, batch, model.config)
    step()
    on_card = device.type == "cuda"
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_card else [])]
    with profile(activities=kinds) as found:
        step()
        if on_card:
            torch.cuda.synchronize(device)
    order = "self_cuda_time_total" if on_card else "self_cpu_time_total"
    return f"step, B={batch}\n{found.key_averages().table(sort_by=order, row_limit=40)}\n"
