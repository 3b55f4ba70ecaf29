"""What sampling benchmarks share: a random network behind every door, its operations, and the rate of at::linear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

import pymdm
from pymdm.bench.timing import interleaved, spread

DTYPES = ("float32", "bfloat16")


def random_model(size: Mapping[str, int]) -> pymdm.MaskedTransformer:
    """A transformer with random weights, of the sizes layers, width, heads, length and vocab."""
    config = pymdm.ModelConfig(
        vocab_size=size["vocab"], length=size["length"], width=size["width"], layers=size["layers"], heads=size["heads"]
    )
    torch.manual_seed(0)
    return pymdm.MaskedTransformer(config).eval()


def check_same_network(model: pymdm.MaskedTransformer) -> None:
    """Both doors must lead to one network: the engine's logits are the module's.

    Raises:
        RuntimeError: they differ; nothing may be timed.
    """
    config = model.config
    tokens = torch.randint(0, config.vocab_size + 1, (1, min(64, config.length)))
    with torch.no_grad():
        theirs = model(tokens)
    for dtype, tolerance in (("float32", 1e-4), ("bfloat16", 5e-2)):
        off = (pymdm.Engine(model, dtype=dtype)(tokens) - theirs).abs().max() / theirs.abs().max()
        if not off <= tolerance:
            raise RuntimeError(
                f"bench: the {dtype} engine and the PyTorch module differ by {off:.1e}; nothing was timed"
            )


def first_hitting_operations(config: pymdm.ModelConfig, length: int) -> float:
    """Floating-point operations of one call for one sequence of L positions that wants the logits of one row.

    Two for each weight of a linear layer and position, 4 L^2 D for the attention of a block. The last block makes keys and
    values of all positions but everything else of the wanted row alone, and so does the head.
    """
    D, V, kv = config.width, config.vocab_size, 2 * config.kv_heads * config.head_dim
    weights = 2 * D * D + kv * D + (3 if config.mlp == "swiglu" else 2) * config.mlp_width * D
    block = 2.0 * weights * length + 4.0 * length * length * D
    last = 2.0 * kv * D * length + 2.0 * (weights - kv * D) + 4.0 * length * D
    return (config.layers - 1) * block + last + 2.0 * D * V


def linear_forms(dtype: torch.dtype, width: int, rows: int) -> dict[str, tuple[float, Callable[[], Any]]]:
    """A network's own layer shapes through at::linear: name -> (operations, call)."""
    forms: dict[str, tuple[float, Callable[[], Any]]] = {}
    for n, k in ((3 * width, width), (4 * width, width), (width, 4 * width)):
        x, w = torch.randn(rows, k, dtype=dtype), torch.randn(n, k, dtype=dtype)
        forms[f"linear {n} x {k}"] = (2.0 * rows * n * k, partial(torch.nn.functional.linear, x, w))
    return forms


@torch.inference_mode()
def linear_rate(dtype: torch.dtype, width: int, rows: int, rounds: int) -> float:
    """Best rate [operations/s] of at::linear on the shapes of a network: the processor's measured peak."""
    forms = linear_forms(dtype, width, rows)
    seconds = interleaved({name: form for name, (_, form) in forms.items()}, rounds)
    return max(operations / spread(seconds[name]).value for name, (operations, _) in forms.items())
