"""`pymdm bench`: measurements, as ratios in one run."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

CASES = {
    "choose": "exact Gumbel-max beside torch's ways to draw, and a plain maximum",
    "speedup": "first-hitting beside published ancestral sampling in plain PyTorch",
    "engine": "the forward beside at::linear, eager PyTorch and torch.compile",
    "second_order": "total variation of the parallel first-hitting variants",
}


def bench(
    context: typer.Context,
    case: Annotated[str, typer.Argument(help="; ".join(f"{k}: {v}" for k, v in CASES.items()))] = "choose",
) -> None:
    """Measure on this machine; options after the case are its own (`pymdm bench choose -- --help`).

    Exit code 1 with --check where a mark is missed.

    Example: pymdm bench choose --check
    """
    name = case.replace("-", "_")
    if name not in CASES:
        raise ValueError(f"bench: expected one of {', '.join(CASES)}, got {case!r}")
    raise typer.Exit(importlib.import_module(f"pymdm.bench.{name}").main(context.args) or 0)
