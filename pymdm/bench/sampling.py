"""Sampling by each procedure, timed part by part: a network call, a step of noise, one evaluation of a sampler's run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import pymdm
from pymdm.bench.network import DTYPES
from pymdm.bench.rows import Row, row
from pymdm.bench.timing import interleaved, spread
from pymdm.reference.published import ancestral_step, predict, sample_published

RUN = 0.3  # s; a timed run of the engine has as many calls as take about this long
# name -> dtype of the noise, form of the draw (pymdm.reference.published.categorical)
DRAWS = {
    "float64": (torch.float64, "gumbel"),
    "float32": (torch.float32, "gumbel"),
    "float64, one logarithm": (torch.float64, "race"),
}


def expected_calls(steps: int, tokens: int) -> float:
    """Network calls of ancestral sampling that reuses its output while none of `tokens` masked tokens moved."""
    return steps * (1 - (1 - 1 / steps) ** tokens)


class Forms:
    """What is timed for one setting: name -> call, and how many sequence evaluations or steps a call holds.

    Args:
        model: the network, in PyTorch on `device`.
        length, steps, batch: L, N and B.
        device: of the PyTorch network and its noise; the engine takes part on the CPU only.
        draws: forms of the procedure's noise, of DRAWS.
        dtypes: of the engine.
        swapped: also first-hitting sampling with the PyTorch network, and ancestral sampling in the engine.
    """

    def __init__(
        self,
        model: pymdm.MaskedTransformer,
        length: int,
        steps: int,
        batch: int,
        device: str = "cpu",
        draws: Sequence[str] = tuple(DRAWS),
        dtypes: Sequence[str] = DTYPES,
        swapped: bool = True,
    ) -> None:
        self.model, self.length, self.steps, self.batch, self.device = model, length, steps, batch, device
        self.mask_id = model.config.mask_id
        self.generator = torch.Generator(device).manual_seed(0)
        self.evaluations: dict[str, float] = {}
        self.called: dict[str, float] = {}
        masked = torch.full((batch, length), self.mask_id, device=device)
        log_mu = predict(model, masked[:1])
        self.calls = {"t1": self._synchronized(lambda: predict(model, masked))}
        for name in draws:
            dtype, form = DRAWS[name]
            # One sequence at a time: the draws are independent, and B of them would need B times the memory.
            step = (masked[:1], log_mu, 0, steps, self.mask_id, dtype, self.generator, form)
            self.calls[f"t2 {name}"] = self._synchronized(lambda step=step: ancestral_step(*step))
        if swapped:
            self.add("PyTorch", self._module, pymdm.FirstHitting(), limit=1)
        for precision in dtypes if device == "cpu" else ():
            engine = pymdm.Engine(model, dtype=precision)
            self.add(f"engine {precision}", engine, pymdm.FirstHitting())
            if swapped:
                self.add(f"ancestral engine {precision}", engine, pymdm.Ancestral(steps=steps))

    def _module(self, tokens: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.model(tokens.to(self.device))

    def _synchronized(self, work: Any) -> Any:
        if self.device == "cpu":
            return work

        def waited() -> None:
            work()
            torch.cuda.synchronize()

        return waited

    def add(self, name: str, network: Any, sampler: Any, limit: int | None = None) -> None:
        """Adds a sampler's run, of as many calls as take about RUN seconds."""

        def run(calls: int) -> Any:
            options: dict[str, Any] = {} if isinstance(network, pymdm.Engine) else {"mask_id": self.mask_id}
            return pymdm.sample(
                network,
                num_samples=self.batch,
                length=self.length,
                seed=1,
                sampler=sampler,
                max_calls=calls,
                **options,
            )

        out = run(1)
        if out.seconds < RUN:
            out = run(1)  # the first call also made buffers
        calls = max(1, min(limit or self.length, round(RUN / max(out.seconds, 1e-6))))
        if calls > 1:
            out = run(calls)
        self.evaluations[name] = sum(out.nfe)
        self.calls[name] = self._synchronized(lambda: run(calls))
        self.called[name] = out.seconds

    def scaled(self, seconds: Mapping[str, list[float]]) -> dict[str, list[float]]:
        """Seconds of the calls -> seconds of a network call (t1), a step of the batch (t2), or one sequence's evaluation."""
        scales = {n: self.batch if n.startswith("t2") else 1 / self.evaluations.get(n, 1) for n in self.calls}
        return {name: [t * scales[name] for t in seconds[name]] for name in self.calls}

    def measure(self, rounds: int) -> dict[str, list[float]]:
        """`scaled` seconds, round by round."""
        return self.scaled(interleaved(self.calls, rounds, self.called))


def whole_runs(seconds: dict[str, list[float]], length: int, steps: int, batch: int) -> dict[str, list[float]]:
    """Seconds of complete runs, round by round, by the speed model."""
    calls, alone = expected_calls(steps, batch * length), expected_calls(steps, length)
    runs = {}
    for name in DRAWS:
        if f"t2 {name}" not in seconds:
            continue
        t2 = seconds[f"t2 {name}"]
        runs[f"cached {name}"] = [calls * a + steps * b for a, b in zip(seconds["t1"], t2, strict=True)]
        runs[f"uncached {name}"] = [steps * (a + b) for a, b in zip(seconds["t1"], t2, strict=True)]
    for name, times in seconds.items():
        if not name.startswith("t"):
            # the engine's ancestral sampler reuses its output sequence by sequence
            each = alone if name.startswith("ancestral") else length
            runs[name] = [batch * each * t for t in times]
    return runs


def check_model(forms: Forms, seconds: dict[str, list[float]], part: int) -> list[Row]:
    """The speed model beside the procedure itself, for the first steps of one sequence."""
    single = seconds["t1"]
    if forms.batch > 1:
        masked = torch.full((1, forms.length), forms.mask_id, device=forms.device)
        single = interleaved({"t1": lambda: predict(forms.model, masked)}, 3)["t1"]
    found = []

    def run() -> None:
        found.append(
            sample_published(
                forms.model,
                batch=1,
                length=forms.length,
                mask_id=forms.mask_id,
                steps=forms.steps,
                seed=1,
                stop_after=part,
                device=forms.device,
            )
        )

    measured = interleaved({"part": run}, 1, {"part": math.inf})["part"][0]
    done = found[-1]
    predicted = done.calls * spread(single).value + done.steps * spread(seconds["t2 float64"]).value / forms.batch
    share = f"{done.steps:,} of {forms.steps:,} steps, {done.calls} calls, B=1"
    subject = "speed model, float64 noise"
    return [
        row(subject, "predicted / measured", predicted / measured, "x", note=share),
        row(subject, "measured", measured, "s", note=share),
        row(subject, "predicted", predicted, "s", note="calls t1 + steps t2"),
    ]
